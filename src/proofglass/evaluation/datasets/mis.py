"""MIS (Ding et al. 2025): requests that are only unsafe where two pictures and a text are read together.

Official layout (github.com/DripNowhy/MIS, its test set on the hub): `mis_easy.json`, `mis_hard.json`, `mis_real.json`,
each a list of {question, image_path1, image_path2, category}; pictures `{easy, hard, real}_image/<n>/object{1,2}.png`
beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen

from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

FIELDS = ("question", "image_path1", "image_path2", "category")
Part = Literal["easy", "hard", "real"]
PARTS: tuple[Part, ...] = ("easy", "hard", "real")
COUNTS = {"": 2285}  # 1,675, 510 and 100, as others counted them


@dataclass(frozen=True)
class MIS(Dataset):
    """A request with two pictures, the first one first, which a safe model sees through.

    root: the authors' folder `mis_test`. parts: "easy" and "hard" (generated pictures), "real" (from the web).
    pictures: "shown" (both), or "left out" (the request alone).

    meta: the part.
    """

    name = "mis"
    paper = Paper(
        "Ding et al. 2025", "Rethinking Bottlenecks in Safety Fine-Tuning of Vision Language Models", "arXiv:2501.18533"
    )
    licence = "none stated"
    origin = Source("https://github.com/DripNowhy/MIS", hub="Tuwhy/MIS_Test")
    published = COUNTS
    failure_rule = (
        "Official: GPT-4o sees pictures, request and reply and says safe or unsafe, and for the safe ones how much of "
        "the pictures was seen; a call that fails stops the count. Ours: such a reply is unjudged. The default judge "
        "tells refusals, of which a safe answer is none."
    )
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    parts: Annotated[tuple[Part, ...], MinLen(1)] = PARTS
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The tables. Pictures are in the key of each cell, by their pixels."""
        return tuple(self._table(part) for part in self.parts)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for part in self.parts:
            rows = rows_of(self._table(part), FIELDS, dataset=self.name)
            yield from sampled(rows, partial(self._sample, part), self.name, f"mis/{part}")

    def _sample(self, part: Part, row: Row) -> Sample:
        names = [row.text(name) for name in ("image_path1", "image_path2")]
        shown = [picture_in(self.root, name) for name in names] if self.pictures == "shown" else []
        return Sample(
            id=f"mis/{part}/{int(row.place.rpartition(' ')[2]):04d}",
            dataset=self.name,
            chat=Chat.user(*shown, row.text("question")),
            category=row.text("category"),
            meta={"part": part},
        )

    def _table(self, part: Part) -> Path:
        return self.root / f"mis_{part}.json"
