"""Crafted here, judged there: success on what an attack was made on is training success, and is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from proofglass.errors import UsageError
from proofglass.types import Sample


def check_apart(crafting: Sequence[Sample], judged: Iterable[Sample], used: str = "in the crafting split") -> None:
    """Raises UsageError if a crafting sample is also judged: success on it would be training success. used: what the
    crafting samples are, for the error.

    Samples are the same if their ids are, or what they ask: the text, case and space folded; together with the
    pictures where one text stands under several pictures ("do what the picture says" is no question by itself).
    Judged samples may be a stream: of them only those are kept that ask what some crafting sample asks, one per text.
    """
    ids = {sample.id for sample in crafting}
    asked: dict[str, _Asked] = {}
    for sample in crafting:
        asked.setdefault(question(sample), _Asked()).pictures.add(_pictures(sample))
    for sample in judged:
        if sample.id in ids:
            raise _both(sample, used)
        if found := asked.get(question(sample)):
            found.meet(sample)
    for met in asked.values():
        if met.shared is not None:
            raise _both(met.shared, used)


@dataclass
class _Asked:
    """A text of the crafting split. pictures: those under which it stands there; first: of the judged samples that ask
    it; same: the first of them under one of these very pictures; several: it is judged under several pictures."""

    pictures: set[tuple[str, ...]] = field(default_factory=set)
    first: Sample | None = None
    same: Sample | None = None
    several: bool = False

    def meet(self, judged: Sample) -> None:
        self.first = self.first or judged
        self.several = self.several or _pictures(judged) != _pictures(self.first)
        if self.same is None and _pictures(judged) in self.pictures:
            self.same = judged

    @property
    def shared(self) -> Sample | None:
        """The judged sample that asks what a crafting sample asks."""
        return self.same if self.several or len(self.pictures) > 1 else self.first


def _both(sample: Sample, used: str) -> UsageError:
    return UsageError(
        f"sample {sample.id!r}: is {used} and is judged too. The data set {sample.dataset!r} must keep them apart."
    )


def check_unseen(sample: Sample, prompts: Collection[str]) -> None:
    """Raises UsageError for a sample whose question is one of `prompts`, on which a picture is made."""
    if question(sample) in {folded(prompt) for prompt in prompts}:
        raise UsageError(
            f"sample {sample.id!r}: its question is one of `prompts`, on which the picture is made; success there "
            "says nothing about other prompts. Take it out of `prompts`."
        )


def check_context(sample: Sample, contexts: Collection[str]) -> None:
    """Raises UsageError for a sample whose `context` is among those that a picture was made or chosen on, unless it is
    of the crafting split: success there says nothing about unseen prompts."""
    if sample.split != "craft" and context(sample) in contexts:
        raise UsageError(f"sample {sample.id!r}: the attack was crafted on this context; judge it on others")


def context(sample: Sample) -> str:
    """Names all that is said in a sample's dialogue, case and space folded; the system prompt and the picture are left
    out."""
    said = [(m.role, folded(m.text)) for m in sample.chat.messages if m.role != "system"]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def question(sample: Sample) -> str:
    """A sample's last text, folded."""
    return folded(sample.chat.last_text)


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _pictures(sample: Sample) -> tuple[str, ...]:
    return tuple(image.sha256 for image in sample.chat.images)
