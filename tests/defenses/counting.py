"""Models that count what they are asked, and every defense behind an API around them: for ledgers and odd input."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from picture_helpers import Means
from proofglass.evaluation.judges.guard import Guard
from proofglass.flow import Flow
from proofglass.interfaces import Defense, Judge, Painter, Victim
from proofglass.registry import build
from proofglass.types import Ask, Attempt, Chat, Cost, Image, Reply, Score

PICTURE = Image.from_array(np.random.default_rng(0).integers(1, 256, (12, 10, 3), np.uint8))
ONE = Cost(queries=1)
USUAL: tuple[str | Reply, ...] = ("yes", "no", "a. b. c", "it is a kite . so", "I'm sorry , no")
SUFFIX = Reply("w " * 10, finish="length", cost=ONE)
ODD: tuple[str | Reply, ...] = (
    *USUAL,
    "",
    Reply("half of", "filtered", reason="theirs", cost=ONE),
    Reply(outcome="filtered", reason="theirs", cost=ONE),
    Reply(outcome="refused", reason="theirs", cost=ONE),
    Reply("no .", "blocked", reason="a wall", cost=ONE),
    Reply.error("the line is down", ONE),
)


@dataclass(frozen=True)
class Counting(Victim):
    """Says one of its lines, drawn anew for each ask; counts them."""

    label: str
    lines: tuple[str | Reply, ...] = USUAL
    seed: int = 0
    asked: list[Ask] = field(default_factory=list, compare=False)
    name = "counting"
    not_in_key = ("asked", "lines")

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self._one(ask) for ask in asks]

    def _one(self, ask: Ask) -> Reply:
        draw = random.Random(f"{self.seed} {self.label} {len(self.asked)}")
        self.asked.append(ask)
        line = draw.choice(self.lines)
        return line if isinstance(line, Reply) else Reply(line, cost=ONE)


@dataclass(frozen=True)
class Painting(Painter):
    """Gives a picture back, or a grey one; fails in `fails` of a hundred asks. Counts them."""

    label: str
    fails: int = 0
    asked: list[Ask] = field(default_factory=list, compare=False)
    name = "painting"
    not_in_key = ("asked", "fails")

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self._one(ask) for ask in asks]

    def _one(self, ask: Ask) -> Reply:
        draw = random.Random(f"{self.label} {len(self.asked)}")
        self.asked.append(ask)
        if draw.randrange(100) < self.fails:
            return Reply.error("out of paint", ONE)
        return Reply(images=(ask.chat.images[0] if ask.chat.images else PICTURE,), cost=ONE)


@dataclass(frozen=True)
class Rewards(Judge):
    """Asks a helper how good a text is; unjudged where it says neither."""

    helper: Victim
    name = "rewards"
    says = "good"

    def flow(self, attempt: Attempt) -> Flow[Score]:
        reply = yield Ask(Chat.user(attempt.reply.text), to=self.helper)
        if reply.text not in ("safe", "unsafe\nS1"):
            return Score.unjudged(self.name, "it said something else")
        return Score(self.name, float(reply.text == "safe"))


@dataclass(frozen=True)
class Heeds(Rewards):
    """The same, as whether an answer does what was asked."""

    name = "heeds"
    says = "done"


@dataclass
class World:
    """A victim, the helpers that members were given, and the makers of members by name. odd: models fail and talk
    nonsense."""

    seed: int
    odd: bool = False
    helpers: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.victim = Counting("victim", ODD if self.odd else USUAL, self.seed)

    def member(self, name: str, place: int) -> Defense:
        """The defense `name`, with helpers of its own."""
        made: Defense = build("defenses", name, **FIELDS[name](self, f"{name} {place}") if name in FIELDS else {})
        return made

    def guard(self, label: str, mode: str = "response") -> Guard:
        return Guard("llama-guard-4", self.helper(label, "safe", "unsafe\nS1"), mode=mode)  # type: ignore[arg-type]

    def helper(self, label: str, *lines: str | Reply) -> Counting:
        more = ("junk", "", Reply.error("gone", ONE), Reply("sa", "filtered", reason="x", cost=ONE)) if self.odd else ()
        self.helpers.append(Counting(label, (*lines, *more), self.seed))
        return self.helpers[-1]  # type: ignore[no-any-return]

    def painter(self, label: str) -> Painting:
        self.helpers.append(Painting(label, 20 if self.odd else 0))
        return self.helpers[-1]  # type: ignore[no-any-return]

    def asked(self) -> dict[str, int]:
        """Key of a helper -> how often it was asked."""
        return {helper.key: len(helper.asked) for helper in self.helpers if helper.asked}


FIELDS: dict[str, Callable[[World, str], dict[str, Any]]] = {
    "guard-input": lambda w, label: {"judge": w.guard(label, "prompt")},
    "guard-output": lambda w, label: {"judge": w.guard(label)},
    "ocr-guard": lambda w, label: {"judge": w.guard(label, "prompt"), "reader": "truth"},
    "eta": lambda w, label: {
        "reward": Rewards(w.helper(label, "safe", "unsafe\nS1")), "encoder": Means(), "pre": 0.0,
        "candidates": 2, "sentences": 2,
    },
    "dps": lambda w, label: {
        "weak": w.helper(label, "a kite", "word " * 30), "secretary": w.helper(f"{label} 2", "yes", "no"),
        "crops": "auto",
    },
    "smooth-vlm": lambda w, label: {"copies": 3, "judge": w.guard(label)},
    "jailguard": lambda w, label: {
        "copies": 3, "mutates": "both", "threshold": 5.0, "judge": Heeds(w.helper(label, "safe", "unsafe\nS1")),
        "translator": w.helper(f"{label} 2", "and what ?"),
    },
    "mirrorcheck": lambda w, label: {"painters": (w.painter(label),), "encoders": (Means(),), "threshold": -0.9},
    "cider": lambda w, label: {"denoiser": w.painter(label), "encoder": Means(), "steps": 100},
    "bluesuffix": lambda w, label: {
        "image_purifier": w.painter(label), "text_purifier": w.helper(f"{label} 2", "@@ a kite @@"),
        "suffix_model": w.helper(f"{label} 3", SUFFIX),
    },
    "purify-endpoint": lambda w, label: {"purifier": w.painter(label), "passes": 2},
}  # fmt: skip


def behind_an_api() -> list[str]:
    """Every defense that looks into no model and can be made without a fitted folder."""
    from proofglass.registry import entries

    needs = {name: entry.load().needs_model for name, entry in entries("defenses").items()}
    fitted = ("adashield", "mllm-protector")  # from a folder that was fitted
    return [name for name, what in needs.items() if not what and name not in fitted]


def chats() -> list[Chat]:
    """About a picture, without one, of several turns and pictures."""
    return [
        Chat.user(PICTURE, "what is it ?"),
        Chat.user("what is a kite ?"),
        Chat.user(PICTURE, "see ?").say("yes").ask("and now ?"),
    ]
