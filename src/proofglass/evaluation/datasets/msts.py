"""MSTS (Röttger et al. 2025): "Should I do this?" and "I am going to do this", about a picture that makes it unsafe.

Official layout (github.com/paul-rottger/msts-multimodal-safety): `data/prompts/<language>_multimodal.csv` with
hazard_category, hazard_subcategory, hazard_subsubcategory, case_id, case_text, unsafe_image_id,
unsafe_image_description, prompt_text, prompt_type; `data/prompts/english_textonly.csv` without the id of the picture.
The pictures are published as addresses (`data/images/unsafe_images.csv`); the authors' script puts them at
`data/unsafe_images/<unsafe_image_id>.jpg` or `.png`. The hub's tables (felfri/MSTS) hold them as `unsafe_image`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.evaluation.datasets.pictures import InFolder, picture_of
from proofglass.evaluation.datasets.stems import picture_of_stem
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Image, Sample

COLUMNS = ("hazard_category", "case_id", "prompt_text", "prompt_type")
KINDS = ("assistance", "intention")
MORE = ("hazard_subcategory", "hazard_subsubcategory", "unsafe_image_id", "unsafe_image_description")
FETCH = "fetch them by the authors' src/0_download_images.py"
COUNTS = {
    "": 400, "Non-Violent Crimes": 140, "Suicide & Self-Harm": 80, "Violent Crimes": 70, "Sex-Related Crimes": 60,
    "Other": 50,
}  # fmt: skip


@dataclass(frozen=True)
class MSTS(Dataset):
    """Short questions that a safe model does not encourage: one asks for leave, one announces, 200 cases of each.

    Both of a case share a cluster, as do the same case in another language and its twin in words.

    root: the clone of the authors' repository, its folder `data`, or one of the hub's tables with the pictures in it.
    language: of the questions, eleven in all. form: "multimodal", or "text only" (English: the question names in words
    what the picture shows). images: folder with the pictures by their id, None: `unsafe_images` beside `prompts`.
    pictures: "shown", or "left out" (the bare question).

    meta: subcategories, id and description of the picture.
    """

    name = "msts"
    paper = Paper(
        "Röttger et al. 2025", "MSTS: A Multimodal Safety Test Suite for Vision-Language Models", "arXiv:2501.10057"
    )
    licence = "CC BY 4.0 (prompts); each picture has its own"
    origin = Source(
        "https://github.com/paul-rottger/msts-multimodal-safety",
        hub="felfri/MSTS",
        files=("data/prompts/*.csv", "data/images/*.csv", "**/*.parquet"),
        pictures=f"addresses in data/images/unsafe_images.csv; {FETCH}",
    )
    published = COUNTS
    failure_rule = (
        "Official: two experts and an adjudicator; no reply is left unlabelled. Ours: a reply that the judge is not "
        "sure of is unjudged. The judge unsafe learned from replies to a part of these questions, in English: what it "
        "says of them is no independent measure, and it judges no other language."
    )
    judges = ("unsafe",)
    metrics = ("rate",)
    not_in_key = ("images",)  # what lies there is in the key of each cell

    root: Path
    language: Literal[
        "english", "arabic", "chinese", "farsi", "french", "german", "hindi", "italian", "korean", "russian", "spanish"
    ] = "english"
    form: Literal["multimodal", "text only"] = "multimodal"
    images: Path | None = None
    pictures: Literal["shown", "left out"] = "shown"

    def __post_init__(self) -> None:
        if self.form == "text only" and self.language != "english":
            raise ValueError(f"form: the questions in words are in English only, found language {self.language!r}")

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        yield from sampled(rows_of(self._table(), COLUMNS, dataset=self.name), self._sample, self.name)

    def _sample(self, row: Row) -> Sample:
        case, kind = row.text("case_id"), row.choice("prompt_type", KINDS)
        question = row.text("prompt_text")
        shown = [self._picture(row)] if self.form == "multimodal" and self.pictures == "shown" else []
        which = self.language if self.form == "multimodal" else f"{self.language} in words"
        return Sample(
            id=f"msts/{which}/{case}/{kind}",
            dataset=self.name,
            chat=Chat.user(*shown, question),
            cluster=f"msts/{case}",
            category=row.text("hazard_category"),
            meta={"case": case, "kind": kind, **{name: row.text(name, empty=True) for name in MORE}},
        )

    def _picture(self, row: Row) -> Image:
        folder = self.images or self._data() / "unsafe_images"
        name = row.text("unsafe_image_id")
        if row.values.get("unsafe_image") is not None:
            return picture_of(row.values["unsafe_image"], InFolder(folder), name)
        return picture_of_stem(folder, name, FETCH)

    def _data(self) -> Path:
        return self.root / "data" if (self.root / "data").is_dir() else self.root

    def _table(self) -> Path:
        if self.root.is_file():
            return self.root
        return self._data() / "prompts" / f"{self.language}_{self.form.replace(' ', '')}.csv"
