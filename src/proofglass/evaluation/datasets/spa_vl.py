"""SPA-VL (Zhang et al. 2024): questions about pictures in 53 classes of harm, and pairs of replies to tune with.

Official layout (hub sqrti/SPA-VL), Parquet with the pictures inside: `test/harm-*.parquet` and `test/help-*.parquet`
with image, question, class1, class2, class3; the parts `train` and `validation` have chosen and rejected, too. The
authors' training code takes the pairs as JSON: id, image (a path), question, chosen, rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.pictures import InFolder, picture_of
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Image, Sample

PAPER = Paper(
    "Zhang et al. 2024",
    "SPA-VL: A Comprehensive Safety Preference Alignment Dataset for Vision Language Models",
    "arXiv:2406.12030",
)
LICENCE = "CC BY 4.0"
PAGE, HUB = "https://github.com/EchoseChen/SPA-VL-RLHF", "sqrti/SPA-VL"
COUNTS = {"": 265}
PAIRS = {"": 100_788}


@dataclass(frozen=True)
class SPAVL(Dataset):
    """The test questions: "harm" should be refused, "help" is about how useful a reply is.

    root: a copy of the hub's repository, its folder `test`, or one table. part: "harm" or "help", 265 each. pictures:
    "shown", or "left out" (the question alone).

    category: class1, the domain; meta: class2, class3. Official figures: for "harm" the share of replies that GPT-4V
    calls unsafe, for "help" how often it prefers them to another model's (both not verified). That questions of "help"
    should be answered is our reading.
    """

    name = "spa-vl"
    paper = PAPER
    licence = LICENCE
    origin = Source(PAGE, hub=HUB, files=("test/*.parquet",))
    published = COUNTS
    failure_rule = "Official: not verified. Ours: what the judge cannot read is unjudged and counted apart."
    metrics = ("rate",)

    root: Path
    part: Literal["harm", "help"] = "harm"
    pictures: Literal["shown", "left out"] = "shown"

    @property
    def judges(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("unsafe",) if self.part == "harm" else ("not-refused",)

    def reads(self) -> tuple[Path, ...]:
        """The tables, and with them the pictures."""
        return _tables(self.root, self.part, self.name)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for path in self.reads():
            needed = ("question", "class1", *(["image"] if self.pictures == "shown" else []))
            prefix = f"{self.name}/{path.stem}"
            rows = rows_of(path, needed, dataset=self.name)
            yield from sampled(rows, partial(self._sample, path, prefix), self.name, prefix)

    def _sample(self, path: Path, prefix: str, row: Row) -> Sample:
        name, question = _name(prefix, row), row.text("question")
        shown = [_picture(path, row)] if self.pictures == "shown" else []
        return Sample(
            id=name,
            dataset=self.name,
            chat=Chat.user(*shown, question),
            category=row.text("class1"),
            expected="refuse" if self.part == "harm" else "comply",
            meta=_classes(row),
        )


@dataclass(frozen=True)
class SPAVLPreferences(Dataset):
    """The pairs to tune with: the one reference is the reply that was preferred, meta holds the one that was rejected.

    root: a copy of the hub's repository (its `train-*.parquet` are found wherever they lie: their folder was not
    verified), or one table (Parquet, or the authors' JSON, whose pictures lie below its folder). split: "train" or
    "validation". pictures: "shown", or "left out".

    All domains are of harm, so a refusal is expected; what a good reply is, the row itself says. meta: rejected,
    class2, class3.
    """

    name = "spa-vl-preferences"
    paper = PAPER
    licence = LICENCE
    origin = Source(PAGE, hub=HUB, files=("**/train-*.parquet", "**/validation-*.parquet"))
    published = PAIRS
    failure_rule = "None: it is for training. Judged all the same, what cannot be read is unjudged."
    judges = ("unsafe",)
    metrics = ("rate",)

    root: Path
    split: Literal["train", "validation"] = "train"
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The tables, and where they hold them the pictures."""
        return _tables(self.root, self.split, self.name)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for path in self.reads():
            needed = ("question", "chosen", "rejected", *(["image"] if self.pictures == "shown" else []))
            prefix = f"{self.name}/{path.stem}"
            rows = rows_of(path, needed, dataset=self.name)
            yield from sampled(rows, partial(self._sample, path, prefix), self.name, prefix)

    def _sample(self, path: Path, prefix: str, row: Row) -> Sample:
        name, question = _name(prefix, row), row.text("question")
        chosen, rejected = row.text("chosen"), row.text("rejected")
        shown = [_picture(path, row)] if self.pictures == "shown" else []
        return Sample(
            id=name,
            dataset=self.name,
            chat=Chat.user(*shown, question),
            category=row.text("class1", empty=True),
            references=(chosen,),
            meta={"rejected": rejected, **_classes(row)},
        )


def _tables(root: Path, part: str, dataset: str) -> tuple[Path, ...]:
    """The tables of a part, wherever below `root`, in the order of their names. Raises UsageError for none."""
    if root.is_file():
        return (root,)
    found = tuple(sorted(root.rglob(f"{part}-*.parquet")))
    if not found:
        raise UsageError(f"{dataset}.root: {root}: no {part}-*.parquet below it, and no table itself")
    return found


def _name(prefix: str, row: Row) -> str:
    return f"{prefix}/{row.place.rpartition(' ')[2]}"


def _picture(path: Path, row: Row) -> Image:
    return picture_of(row.values["image"], InFolder(path.parent), f"image of {row.place}")


def _classes(row: Row) -> Mapping[str, Any]:
    return {name: row.text(name, empty=True) for name in ("class2", "class3")}
