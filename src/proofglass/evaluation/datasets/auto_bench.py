"""Auto-Bench (Ji et al. 2023): questions, answers and reasons that a language model wrote about COCO's pictures.

The authors released neither data nor format. What is here is a layout of ours for data of that type: a table (CSV, TSV,
JSON, JSON Lines, Parquet) with image, question, answer, and, where they are there, rationale, ability, sub_ability and
options (a list). Their safety part, of privacy and security, has 2,000 questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.evaluation.datasets.pictures import InFolder, picture_of
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

LETTERS = "ABCDEFGH"
COUNTS = {"": 2000}


@dataclass(frozen=True)
class AutoBench(Dataset):
    """Questions with one right answer each; options, where a row has them, stand below the question as "(A) ...".

    table: the table. images: the folder that its names of pictures are relative to; None: that of the table. pictures:
    "shown", or "left out" (the question alone).

    category: the sub-ability, or else the ability. meta: rationale, ability, options. Questions about one picture are
    one cluster. Official judge: `auto-bench`, a language model that says whether reply and answer mean the same, as
    people do in 85 % (their own figure); it needs a model. Here the answer is looked for in the reply.
    """

    name = "auto-bench"
    paper = Paper(
        "Ji et al. 2023",
        "Large Language Models as Automated Aligners for Benchmarking Vision-Language Models",
        "arXiv:2311.14580",
    )
    licence = "not released"
    origin = Source("https://arxiv.org/abs/2311.14580", gated="nothing was released; data of this type is your own")
    published = COUNTS
    failure_rule = "Official: not published. Ours: a verdict that cannot be read is unjudged and counted apart."
    judges = ("answer-match",)
    metrics = ("rate",)

    table: Path
    images: Path | None = None
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self.table,)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        needed = ("question", "answer", *(["image"] if self.pictures == "shown" else []))
        yield from sampled(rows_of(self.table, needed, dataset=self.name), self._sample, self.name)

    def _sample(self, row: Row) -> Sample:
        place, answer = row.place.rpartition(" ")[2], row.text("answer")
        options = row.texts("options") if row.values.get("options") else ()
        if len(options) > len(LETTERS):
            raise ValueError(f"options: expected at most {len(LETTERS)}, found {len(options)}")
        listed = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
        named, shown = row.values.get("image"), []
        if self.pictures == "shown":
            shown.append(picture_of(named, InFolder(self.images or self.table.parent), f"image of {row.place}"))
        ability = row.text("ability", empty=True)
        return Sample(
            id=f"{self.name}/{place}",
            dataset=self.name,
            chat=Chat.user(*shown, "\n".join([row.text("question"), *listed])),
            cluster=f"{self.name}/{named}" if isinstance(named, str) else "",
            category=row.text("sub_ability", empty=True) or ability,
            expected="label",
            references=(answer,),
            meta={"rationale": row.text("rationale", empty=True), "ability": ability, "options": list(options)},
        )
