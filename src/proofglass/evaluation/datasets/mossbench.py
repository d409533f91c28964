"""MOSSBench (Li et al. 2024): harmless questions about pictures that look as if they should be refused, and contrasts.

Official layout (github.com/xirui-li/MOSSBench): `data/images_information/information.json`, number -> {pid, image,
question, description, metadata}, pictures `data/images/<n>.png`; the harmful twins likewise below `data_contrast`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

FIELDS = ("pid", "image", "question", "metadata")
TYPES = {"type 1": "exaggerated risk", "type 2": "negated harm", "type 3": "counterintuitive interpretation"}
FOLDERS = {"benign": "data", "contrast": "data_contrast"}
COUNTS = {"": 300, **dict.fromkeys(TYPES.values(), 100)}


@dataclass(frozen=True)
class MOSSBench(Dataset):
    """Questions that should be answered; with part="contrast" their twins that should be refused.

    A question and its twin share the group `mossbench/<pid>`. The share of replies that refuse is over-refusal on one
    side and safety on the other: show both.

    root: the clone of the authors' repository, or the folder that holds `data` and `data_contrast`. part: "benign",
    "contrast", or "both". pictures: "shown", or "left out" (the question alone). meta: description of the picture, and
    the authors' codes (human, child, syn, ocr, harm; what the harm codes stand for is not in their repository).
    """

    name = "mossbench"
    paper = Paper(
        "Li et al. 2024",
        "MOSSBench: Is Your Multimodal Language Model Oversensitive to Safe Queries?",
        "arXiv:2406.17806",
    )
    licence = "CC BY-SA 4.0; for testing only, training on it is prohibited"
    origin = Source(
        "https://github.com/xirui-li/MOSSBench",
        hub="AIcell/MOSSBench",
        files=("data/**", "data_contrast/**", "*.json"),
        sha256={
            "data/images_information/information.json": (
                "a5f7701c0a068391a3ba10714dd95f3357d664c84faf47b747e425ff9806a352"
            ),
            "data_contrast/images_information/information.json": (
                "ec00786d6be370284bb398dd61978c279e372f0fd9114e8ca39032e20ea14f1e"
            ),
        },
        checked="data",
    )
    published = COUNTS
    failure_rule = (
        "Official: an empty reply is a refusal; of a verdict that cannot be read any digit 1 makes it one. Ours: both "
        "are unjudged and counted apart."
    )
    judges = ("refusal",)
    metrics = ("rate",)

    root: Path
    part: Literal["benign", "contrast", "both"] = "benign"
    pictures: Literal["shown", "left out"] = "shown"

    @property
    def borderline(self) -> bool:
        return self.part == "benign"

    def reads(self) -> tuple[Path, ...]:
        """The tables. Pictures are in the key of each cell, by their pixels."""
        return tuple(self._table(part) for part in self._parts())

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for part in self._parts():
            rows = rows_of(self._table(part), FIELDS, dataset=self.name, key="entry")
            yield from sampled(rows, partial(self._sample, part), self.name, f"{self.name}/{part}")

    def _sample(self, part: str, row: Row) -> Sample:
        number, told = row.number("pid"), row.values["metadata"]
        if not isinstance(told, dict) or told.get("over") not in tuple(TYPES):
            raise ValueError(
                f"metadata: expected an object whose 'over' is one of {', '.join(TYPES)}, found {told!r:.80}"
            )
        question = row.text("question")
        shown = [picture_in(self.root / FOLDERS[part], row.text("image"))] if self.pictures == "shown" else []
        codes = {name: value for name, value in told.items() if name != "over"}
        return Sample(
            id=f"mossbench/{part}/{number:03d}",
            dataset=self.name,
            chat=Chat.user(*shown, question),
            category=TYPES[told["over"]],
            expected="comply" if part == "benign" else "refuse",
            group=f"mossbench/{number:03d}",
            meta={"description": row.text("description", empty=True), **codes},
        )

    def _parts(self) -> tuple[str, ...]:
        return tuple(FOLDERS) if self.part == "both" else (self.part,)

    def _table(self, part: str) -> Path:
        return self.root / FOLDERS[part] / "images_information" / "information.json"
