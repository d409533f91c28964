"""A sound data set, and one without a licence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.broken_plugs.material import float_image
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Sample


@dataclass(frozen=True)
class Three(Dataset):
    """Three questions and one to craft on. `fault` names what is wrong with it."""

    name = "three"
    licence = "CC0"
    fault: str = ""
    calls: list[int] = field(default_factory=lambda: [0], compare=False)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        self.calls[0] += 1
        for k in range(3):
            yield Sample(
                id="same" if self.fault == "same id" else str(k),
                dataset="other" if self.fault == "other name" else self.name,
                chat=self._chat(k),
            )

    def _chat(self, k: int) -> Chat:
        if self.fault == "changes":
            return Chat.user(f"{k} {self.calls[0]}?")
        if self.fault == "float picture":
            return Chat.user(float_image(), f"{k}?")
        return Chat.user("" if self.fault == "asks nothing" else f"{k}?")

    def crafting(self) -> Iterator[Sample]:
        question = "1?" if self.fault == "leaks a question" else "craft?"
        name = "1" if self.fault == "leaks an id" else "craft"
        split = "test" if self.fault == "unmarked split" else "craft"
        yield Sample(name, self.name, Chat.user(question), split=split)


class Unlicensed(Three):
    licence = ""
