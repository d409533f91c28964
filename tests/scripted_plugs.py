"""Plugs whose every answer is known: a victim that counts, attacks that draw noise, data with marked faults."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proofglass import registry
from proofglass.errors import ImageError
from proofglass.flow import Flow
from proofglass.interfaces import Attack, Dataset, Defense, Judge, Victim, key_of
from proofglass.types import Artefact, Ask, Attempt, BadSample, Budget, Chat, Cost, Image, Reply, Sample, Score

CONTENTS = {
    "victims": {"echo": "EchoVictim"},
    "attacks": {"plain": "Plain", "speck": "Speck", "own-speck": "OwnSpeck", "broken": "Broken"},
    "defenses": {"ask-twice": "AskTwice", "wall": "Wall"},
    "datasets": {"lines": "Lines"},
    "judges": {"not-refused": "SaysYes", "loud": "Loud", "mute": "Mute", "long": "Long"},
}


def register() -> None:
    """Make the plugs known by name, over the built-in tables."""
    import importlib

    for kind, names in CONTENTS.items():
        table = importlib.import_module(registry._PACKAGES[kind]).CONTENTS
        table.update({name: f"scripted_plugs:{cls}" for name, cls in names.items()})
    import proofglass.attacks
    import proofglass.defenses

    proofglass.attacks.CONTENTS["no-attack"] = "scripted_plugs:Plain"
    proofglass.defenses.CONTENTS["none"] = "scripted_plugs:NoDefense"


def noise(seed: str, size: int = 8) -> Image:
    import numpy as np

    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]))
    return Image.from_array(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))


@dataclass(frozen=True)
class EchoVictim(Victim):
    """Answers yes or no by a hash of what it is asked. log: a file that gets one line per ask.

    die_at: kills its own process at this batch (counted over all lives by lines "batch" in the log).
    """

    name = "echo"
    log: str = ""
    pause_s: float = 0.0
    die_at: int = 0
    api_key: str = ""
    broken: bool = False
    sees_images: bool = True

    @property
    def key(self) -> str:
        return key_of(["echo", self.broken, self.sees_images])  # the log is no part of what it answers

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self._write("batch", [f"{len(asks)}"])
        if self.die_at and Path(self.log).read_text().count("batch ") == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.pause_s)
        if self.broken:
            raise RuntimeError("out of coffee")
        replies = [self._one(ask) for ask in asks]
        self._write("ask", [text_of(ask) for ask in asks])
        return replies

    def _one(self, ask: Ask) -> Reply:
        text = text_of(ask)
        if "fails" in text:
            return Reply.error("scripted failure")
        digest = hashlib.sha256(text.encode()).digest()
        word = "yes" if digest[0] % 2 else "no"
        finish = "length" if digest[1] % 4 == 0 else "stop"
        return Reply(f"{word} {digest.hex()[:8]}", finish=finish, cost=Cost(queries=1, tokens_out=2))

    def _write(self, what: str, lines: Sequence[str]) -> None:
        if self.log:
            with open(self.log, "a") as file:
                file.writelines(f"{what} {line}\n" for line in lines)


def text_of(ask: Ask) -> str:
    parts = [p if isinstance(p, str) else p.sha256[:12] for m in ask.chat.messages for p in m.parts]
    return "|".join(parts)


@dataclass(frozen=True)
class Plain(Attack):
    name = "no-attack"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat


@dataclass(frozen=True)
class Speck(Attack):
    """A universal picture of noise."""

    name = "speck"
    changes = ("image",)
    scope = "universal"
    epsilon: float = 16 / 255
    sizes: tuple[float, ...] = ()
    pause_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 1:
            raise ValueError(f"epsilon: expected 0 < epsilon <= 1, found {self.epsilon:g}; write 16/255?")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        time.sleep(self.pause_s)
        names = "".join(sample.id for sample in samples)
        yield Artefact(
            images=(noise(f"{seed}{names}"),),
            clean=noise("clean"),
            crafted_on=victim.key,
            cost=Cost(forward=3, backward=2),
            trace={"loss": [2.0, 1.0, float("nan")]},
        )

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])


@dataclass(frozen=True)
class OwnSpeck(Attack):
    """A picture of noise for each sample."""

    name = "own-speck"
    changes = ("image",)
    scope = "sample"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        for sample in samples:
            if "uncraftable" not in sample.id:
                yield Artefact(
                    sample.id,
                    (noise(f"{seed}{sample.id}"),),
                    crafted_on=victim.key,
                    cost=Cost(forward=1),
                    trace={"loss": [4.0, 2.0] if sample.id.endswith("0") else [2.0, 0.0]},
                )

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])


@dataclass(frozen=True)
class Broken(Attack):
    """Fails while crafting."""

    name = "broken"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        raise ZeroDivisionError("no gradient today")
        yield

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat


@dataclass(frozen=True)
class NoDefense(Defense):
    name = "none"


@dataclass(frozen=True)
class AskTwice(Defense):
    """Asks, and asks again whether the answer stands: two rounds, the first that of no defense."""

    name = "ask-twice"

    def flow(self, ask: Ask) -> Flow[Reply]:
        first = yield ask
        if first.outcome != "ok":
            return first
        second = yield ask.on(ask.chat.say(first.text).ask("sure?"))
        return replace(second, text=f"{first.text} / {second.text}")


@dataclass(frozen=True)
class Wall(Defense):
    """Blocks every ask."""

    name = "wall"

    def flow(self, ask: Ask) -> Flow[Reply]:
        yield from ()
        return Reply("blocked here", outcome="blocked")


@dataclass(frozen=True)
class Lines(Dataset):
    """n questions; with `faults`, row 1 is bad, row 2 fails at the victim, row 3 has a broken picture."""

    name = "lines"
    part: str = "first"
    n: int = 6
    faults: bool = False
    leak: bool = False
    twice: bool = False
    log: str = ""
    root: Path | None = None

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for k in range(self.n):
            name = f"{self.part}{k}"
            if self.faults and k == 1:
                yield BadSample(name, "lines", "row 2: no question", "odd")
            elif self.faults and k == 2:
                yield self._sample(name, Chat.user(f"{name} fails?"))
            elif self.faults and k == 3:
                yield self._sample(name, Chat.user(Image("0" * 64, 4, 4, self._broken), f"{name}?"))
            else:
                yield self._sample("same" if self.twice else name, Chat.user(f"{name}?"))

    def crafting(self) -> Iterator[Sample]:
        for k in range(3):
            text = f"{self.part}0 ?" if self.leak else f"craft {k}?"
            yield Sample(f"craft{k}", "lines", Chat.user(text.replace(" ?", "?")), split="craft")

    def _sample(self, name: str, chat: Chat) -> Sample:
        return Sample(name, "lines", chat, category="plain", target=f"yes {name}")

    @staticmethod
    def _broken() -> None:
        raise ImageError("x.png: truncated")


@dataclass(frozen=True)
class SaysYes(Judge):
    name = "not-refused"
    column = "not refused"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, float(a.reply.text.startswith("yes"))) for a in attempts]


@dataclass(frozen=True)
class Long(Judge):
    name = "long"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        seen = all(a.sample.target and a.conversation.last_text for a in attempts)
        return [Score(self.name, min(len(a.reply.text) / 100, 1.0) if seen else None, "len") for a in attempts]


@dataclass(frozen=True)
class Loud(Judge):
    """Raises."""

    name = "loud"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        raise RuntimeError("too loud to hear")


@dataclass(frozen=True)
class Mute(Judge):
    """Can judge nothing."""

    name = "mute"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score.unjudged(self.name, "nothing to say") for _ in attempts]
