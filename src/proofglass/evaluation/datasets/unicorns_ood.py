"""OODCV-VQA of Tu et al. (2023): yes-or-no and counting questions about objects in unusual situations.

Layout (github.com/UCSC-VLAA/vllm-safety-benchmark, folder `ood/oodcv-vqa` of the data): `oodcv-vqa.json` and
`oodcv-counterfactual.json`, each a list of {image, question, answer, text_answer, options, situation}; `image` is
relative to that folder, which holds the pictures of OOD-CV (Zhao et al. 2022). Not included here (CC BY-NC 4.0).
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

FIELDS = ("image", "question", "answer", "text_answer", "options", "situation")


@dataclass(frozen=True)
class UnicornsOOD(Dataset):
    """Questions with a yes, a no or a number as answer, for the judge `answer-match`.

    root: the folder of the data, or its `ood/oodcv-vqa`. counterfactual: the variant that first changes the scene in
    words.

    The question is asked as it stands, without its options, as the authors ask it; the reference is the answer
    in words or figures, the category the situation (iid, occlusion, context, pose, shape, texture, weather). meta:
    options, and the letter of the right one as "option". Questions about one picture form a cluster.
    """

    name = "unicorns-ood"
    paper = Paper("Tu et al. 2023", "How Many Unicorns Are in This Image?", "arXiv:2311.16101")
    licence = "CC BY-NC 4.0"
    judges = ("answer-match",)

    root: Path
    counterfactual: bool = False

    def reads(self) -> tuple[Path, ...]:
        """The table: an edited one is another data set. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for place, row in enumerate(read_json(self._table(), FIELDS, self.name)):
            yield row if isinstance(row, BadSample) else self._sample(place, row)

    def _sample(self, place: int, row: dict[str, Any]) -> Sample | BadSample:
        name, image = f"{self._table().stem}/{place:05d}", str(row["image"])
        answer, situation = str(row["text_answer"]), str(row["situation"])
        if not (answer.casefold() in ("yes", "no") or answer.isdigit()):
            reason = f"text_answer: expected Yes, No or a number, found {row['text_answer']!r:.80}"
            return BadSample(name, self.name, reason, situation)
        try:
            question = Row(f"entry {place}", row).text("question")
            picture = picture_in(self._folder(), image)
        except (ImageError, ValueError) as error:
            if is_environment(error):
                raise
            return BadSample(name, self.name, str(error), situation)
        return Sample(
            name,
            self.name,
            Chat.user(picture, question),
            cluster=image,
            category=situation,
            expected="label",
            references=(answer,),
            meta={"option": str(row["answer"]), "options": row["options"], "image": image},
        )

    def _folder(self) -> Path:
        below = self.root / "ood" / "oodcv-vqa"
        return below if below.is_dir() else self.root

    def _table(self) -> Path:
        return self._folder() / ("oodcv-counterfactual.json" if self.counterfactual else "oodcv-vqa.json")
