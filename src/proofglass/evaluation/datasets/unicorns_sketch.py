"""Sketchy-VQA of Tu et al. (2023): is this thing in the sketch? Yes or no, about hand-drawn sketches.

Layout (github.com/UCSC-VLAA/vllm-safety-benchmark, folder `ood/sketchy-vqa` of the data): `sketchy-vqa.json` and
`sketchy-challenging.json`, each a list of {image, question, answer}; `image` is relative to that folder, where the
sketches of Eitz et al. 2012 are unzipped. Not included here (CC BY-NC 4.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofglass.errors import ImageError, is_environment
from proofglass.evaluation.datasets.reading import picture_in, read_json
from proofglass.evaluation.datasets.tables import Row
from proofglass.interfaces import Dataset, Paper
from proofglass.types import BadSample, Chat, Sample

FIELDS = ("image", "question", "answer")


@dataclass(frozen=True)
class UnicornsSketch(Dataset):
    """Yes-or-no questions about sketches, for the judge `yes-no`.

    root: the folder of the data, or its `ood/sketchy-vqa`. challenging: the authors' harder table.

    The one reference is "yes" or "no"; questions about one sketch form a cluster.
    """

    name = "unicorns-sketch"
    paper = Paper("Tu et al. 2023", "How Many Unicorns Are in This Image?", "arXiv:2311.16101")
    licence = "CC BY-NC 4.0"
    judges = ("yes-no",)
    metrics = ("rate", "yes-no-f1", "yes-no-share-of-yes")

    root: Path
    challenging: bool = False

    def reads(self) -> tuple[Path, ...]:
        """The table: an edited one is another data set. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for place, row in enumerate(read_json(self._table(), FIELDS, self.name)):
            yield row if isinstance(row, BadSample) else self._sample(place, row)

    def _sample(self, place: int, row: dict[str, Any]) -> Sample | BadSample:
        name, image, answer = f"{self._table().stem}/{place:05d}", str(row["image"]), str(row["answer"]).casefold()
        if answer not in ("yes", "no"):
            return BadSample(name, self.name, f"answer: expected yes or no, found {row['answer']!r:.80}")
        try:
            question = Row(f"entry {place}", row).text("question")
            picture = picture_in(self._folder(), image)
        except (ImageError, ValueError) as error:
            if is_environment(error):
                raise
            return BadSample(name, self.name, str(error))
        return Sample(
            name,
            self.name,
            Chat.user(picture, question),
            cluster=image,
            category="sketch, challenging" if self.challenging else "sketch",
            expected="label",
            references=(answer,),
            meta={"image": image},
        )

    def _folder(self) -> Path:
        below = self.root / "ood" / "sketchy-vqa"
        return below if below.is_dir() else self.root

    def _table(self) -> Path:
        return self._folder() / ("sketchy-challenging.json" if self.challenging else "sketchy-vqa.json")
