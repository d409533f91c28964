"""Rows to train on, with harmless stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proofglass.errors import ImageError
from proofglass.interfaces import Dataset
from proofglass.testing.material import picture
from proofglass.types import BadSample, Chat, Image, Sample


@dataclass(frozen=True)
class Written(Dataset):
    """Rows as they are given, all to be learned from unless `judged` are."""

    rows: tuple[Sample | BadSample, ...] = ()
    judged: tuple[Sample | BadSample, ...] = ()
    name = "written"

    @property
    def key(self) -> str:
        return f"written-{len(self.rows)}"

    def __iter__(self) -> Iterator[Sample | BadSample]:
        return iter(self.judged or self.rows)

    def crafting(self) -> Iterator[Sample]:
        return (row for row in self.rows if isinstance(row, Sample) and self.judged)


def gone() -> Image:
    """A picture whose file is no longer there."""

    def read() -> None:
        raise ImageError("gone.png: no such file")

    return Image("0" * 64, 28, 28, read)  # type: ignore[arg-type]


def asked(number: int, *, refuse: bool = True, shown: bool = True, **more: object) -> Sample:
    given: dict[str, object] = {
        "category": f"kind {number % 3}",
        "expected": "refuse" if refuse else "comply",
        "target": "sure , here is how",
        **({} if refuse else {"references": ("take clay .",)}),
        **more,
    }
    parts = [picture(number)] if shown else []
    return Sample(f"row/{number}", "written", Chat.user(*parts, f"question {number} ?"), **given)  # type: ignore[arg-type]


def preference(number: int, chosen: str = "no , not that .", rejected: str = "yes .", shown: bool = True) -> Sample:
    return asked(number, shown=shown, references=(chosen,), meta={"rejected": rejected})
