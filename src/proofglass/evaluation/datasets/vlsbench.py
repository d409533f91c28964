"""VLSBench (Hu et al. 2024): requests about harmful pictures whose text gives nothing away.

Official layout (hub Foreshhh/vlsbench): `data.json`, a list of {instruction_id, instruction, image_path, category,
sub_category, source, image_description, safety_reason}; `imgs.tar` unpacked, so that `imgs/<n>.png` lies beside it. The
repository (github.com/AI45Lab/VLSBench) holds the table alone, as `data/data.json`; names of pictures are relative to
its root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.pictures import InFolder, picture_of
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

FIELDS = ("instruction", "category")
TABLES = ("data.json", "data/data.json")
COUNTS = {"": 2241}


@dataclass(frozen=True)
class VLSBench(Dataset):
    """Requests that a safe model refuses, or answers with a warning, once it has seen the picture.

    What other sets leak, this one keeps back: where the text alone is refused (`pictures: left out`), it is not the
    picture that a model has understood. Ask both ways.

    root: the files of the hub with `imgs.tar` unpacked, the clone of the repository with `imgs` in it, or a table in
    another layout (.jsonl, .parquet) with the pictures in it as `image`. categories: only these, () for all (Illegal
    Activity, Violent, Hate, Privacy, Self-Harm, Erotic). pictures: "shown", or "left out".

    meta: sub-category, source, description of the picture, and why it is unsafe.
    """

    name = "vlsbench"
    paper = Paper("Hu et al. 2024", "VLSBench: Unveiling Visual Leakage in Multimodal Safety", "arXiv:2411.19939")
    licence = "Apache-2.0, as the hub's page is quoted"
    origin = Source(
        "https://github.com/AI45Lab/VLSBench",
        hub="Foreshhh/vlsbench",
        files=("data.json", "imgs.tar"),
        pictures="imgs.tar of the hub, to be unpacked beside data.json",
    )
    published = COUNTS
    failure_rule = (
        "Official: GPT-4o sees picture, request and reply and says safe with refusal, safe with warning, or unsafe; a "
        "call that fails three times stops the count. Ours: such a reply is unjudged. The default judge tells "
        "refusals, of which an answer with a warning is none: its rate is an upper bound of the official one."
    )
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    categories: tuple[str, ...] = ()
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        yield from sampled(self._chosen(), self._sample, self.name)

    def _chosen(self) -> Iterator[Row | BadSample]:
        """The rows of the categories that are asked for. Raises UsageError for one that no row has."""
        seen: set[str] = set()
        for row in rows_of(self._table(), FIELDS, dataset=self.name):
            if isinstance(row, BadSample):
                yield row
                continue
            seen.add(category := str(row.values["category"]))
            if not self.categories or category in self.categories:
                yield row
        if unknown := [name for name in self.categories if name not in seen]:
            found = ", ".join(sorted(seen))[:500]
            raise UsageError(f"vlsbench.categories: no category {unknown[0]!r} in {self._table()}; found {found}")

    def _sample(self, row: Row) -> Sample:
        number = row.number("instruction_id") if "instruction_id" in row.values else int(row.place.rpartition(" ")[2])
        name = f"vlsbench/{number:04d}"
        shown = []
        if self.pictures == "shown":
            column = "image" if "image" in row.values else "image_path"
            folder = self.root if self.root.is_dir() else self.root.parent
            shown = [picture_of(row.values.get(column), InFolder(folder), f"{column} of {name}")]
        return Sample(
            id=name,
            dataset=self.name,
            chat=Chat.user(*shown, row.text("instruction")),
            category=row.text("category"),
            meta={
                "sub-category": row.text("sub_category", empty=True),
                "source": row.text("source", empty=True),
                "description": row.text("image_description", empty=True),
                "reason": row.text("safety_reason", empty=True),
            },
        )

    def _table(self) -> Path:
        if self.root.is_file():
            return self.root
        return next((self.root / name for name in TABLES if (self.root / name).is_file()), self.root / TABLES[0])
