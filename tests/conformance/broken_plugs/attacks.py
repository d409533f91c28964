"""A sound attack, and attacks that break their contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.broken_plugs.material import PAPER, float_image, grey
from proofglass.flow import Flow
from proofglass.interfaces import Attack, Victim
from proofglass.types import Artefact, Ask, Chat, Reply, Sample, Settings


@dataclass(frozen=True)
class Suffix(Attack):
    """Adds words to the question."""

    name = "suffix"
    paper = PAPER
    changes = ("text",)
    words: str = "please"

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_text(f"{sample.chat.last_text} {self.words}")


class Counts(Suffix):
    """Another chat at every call."""

    calls = [0]  # noqa: RUF012

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        self.calls[0] += 1
        return sample.chat.with_text(str(self.calls[0]))


class WritesToTheSample(Suffix):
    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        sample.meta["seen"] = True  # type: ignore[index]
        return super().apply(artefact, sample)


class HidesAPicture(Suffix):
    """Changes the picture and says it changes text."""

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(grey())


class PromisesText(Suffix):
    """Says that it changes text, and changes nothing: neither at once nor in its dialogue."""

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat


class WordsItLater(PromisesText):
    """Leaves the text to its dialogue."""

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat = sample.chat.with_text(f"{sample.chat.last_text} now")
        reply = yield ask.on(chat)
        return chat, reply


class ShowsItLater(WordsItLater):
    """Shows a picture in its dialogue, and says that it changes text alone."""

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat = sample.chat.with_image(grey()).with_text("look")
        reply = yield ask.on(chat)
        return chat, reply


class FloatPicture(Suffix):
    changes = ("image",)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(float_image())


class Rolls(Suffix):
    """Crafts by a die that knows no seed."""

    die = [0]  # noqa: RUF012

    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        self.die[0] += 1
        yield Artefact(texts=(str(self.die[0]),))


class PerSampleButUniversal(Suffix):
    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        for sample in samples:
            yield Artefact(sample.id)


class UniversalButPerSample(Suffix):
    scope = "sample"


class CraftedElsewhere(Suffix):
    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        yield Artefact(crafted_on="another victim")


class NothingToCraft(CraftedElsewhere):
    scope = "none"


class FreeScores(Suffix):
    opens = "scores"


class FreeGradients(Suffix):
    opens = "gradients"

    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        yield Artefact(crafted_on=victim.key)


class NeedsItsTuple(Suffix):
    """Compares with a tuple that comes back from JSON as a list."""

    def craft(self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Any = None) -> Iterator[Artefact]:
        yield Artefact(meta={"colour": (1, 2, 3)})

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_text("same" if artefact.meta["colour"] == (1, 2, 3) else "other")


class OwnSettings(Suffix):
    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        reply = yield Ask(sample.chat, Settings(max_new_tokens=999))
        return sample.chat, reply


class AnswersItself(Suffix):
    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        yield ask
        return sample.chat, Reply("an answer")
