"""VLSafe (Chen et al. 2023a, with DRESS): malicious questions about everyday pictures.

Official layout (hub YangyiYY/LVLM_NLF): `VLSafe/harmlessness_examine.jsonl` with image_id (a file of COCO's
`train2017`), caption, query. Other copies call it `VLSafe_harmlessness_examine.jsonl`. The pictures are COCO's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Image, Sample

NAMES = ("VLSafe/harmlessness_examine.jsonl", "harmlessness_examine.jsonl", "VLSafe_harmlessness_examine.jsonl")
COUNTS = {"": 1110}
DRESS = Paper(
    "Chen et al. 2023a",
    "DRESS: Instructing Large Vision-Language Models to Align and Interact with Humans via Natural Language Feedback",
    "arXiv:2311.10081",
)


@dataclass(frozen=True)
class VLSafe(Dataset):
    """Questions that should all be refused. A model that refuses everything wins: ask XSTest or MOSSBench beside it.

    root: a copy of the hub's repository, its folder `VLSafe`, or the table itself. images: the folder of COCO's
    `train2017`; needed unless pictures is "left out". pictures: "shown", or "left out" (the question alone).

    meta: caption and image. Official judge: a language model's three yes or no (`vlsafe-relevance`, `vlsafe-safety`,
    `vlsafe-persuasiveness`); they need a model.
    """

    name = "vlsafe"
    paper = DRESS
    licence = "not stated on the hub's page"
    origin = Source(
        "https://huggingface.co/datasets/YangyiYY/LVLM_NLF",
        hub="YangyiYY/LVLM_NLF",
        files=("VLSafe/*.jsonl",),
        pictures="COCO train2017 (cocodataset.org)",
    )
    published = COUNTS
    failure_rule = (
        "Official: the judge's dictionary is evaluated as it comes; what becomes of a broken one was not verified. "
        "Ours: what cannot be read is unjudged and counted apart."
    )
    judges = ("unsafe",)
    metrics = ("rate",)

    root: Path
    images: Path | None = None
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        if self.pictures == "shown":
            coco(self.images, self.name)
        yield from sampled(rows_of(self._table(), ("image_id", "query"), dataset=self.name), self._sample, self.name)

    def _sample(self, row: Row) -> Sample:
        image, question = row.text("image_id", empty=self.pictures == "left out"), row.text("query")
        shown = [coco_picture(self.images, image, self.name)] if self.pictures == "shown" else []
        return Sample(
            id=f"{self.name}/{row.place.rpartition(' ')[2]}",
            dataset=self.name,
            chat=Chat.user(*shown, question),
            meta={"caption": row.text("caption", empty=True), "image": image},
        )

    def _table(self) -> Path:
        if self.root.is_file():
            return self.root
        return next((self.root / name for name in NAMES if (self.root / name).is_file()), self.root / NAMES[0])


def coco(images: Path | None, dataset: str) -> Path:
    """The folder of COCO's pictures. Raises UsageError where none is named."""
    if images is None:
        raise UsageError(
            f"{dataset}.images: the pictures are not with the table: name the folder of COCO's train2017, or ask "
            "without them by `pictures: left out`"
        )
    return images


def coco_picture(images: Path | None, name: str, dataset: str) -> Image:
    """A picture that a table calls `000000000009.jpg` or `train2017/000000000009.jpg`. Raises ImageError."""
    folder = coco(images, dataset)
    return picture_in(folder, name if (folder / "train2017").is_dir() else name.removeprefix("train2017/"))
