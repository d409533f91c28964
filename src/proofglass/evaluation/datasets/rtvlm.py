"""RTVLM (Li et al. 2024): questions that a model should refuse, answer with caution, or answer.

Official layout (hub MMInstruction/RedTeamingVLM), below `data`: six JSON Lines tables that carry such a label in
`refused_to_answer`, each with another name for question and picture, and a zip file of pictures beside it (`PARTS`).
The other tables (captcha, all celebrities, faces, misleading and ordered pictures) have one label or none, and are not
read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from proofglass.errors import ImageError
from proofglass.evaluation.datasets.pictures import InFolder, InZip, Pictures
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Expected, Image, Sample

Name = Literal["celebrity", "misleading", "jailbreak", "jailbreak2", "politics", "racial"]
Caution = Literal["refuse", "comply", "left out"]
LABEL = "refused_to_answer"
LABELS: Mapping[str, Literal["refuse", "caution", "safe"]] = {
    "refuse to answer": "refuse", "proceed with caution": "caution", "answer with caution": "caution",
    "safe to answer": "safe",
}  # fmt: skip


class Part(NamedTuple):
    """Where a part lies. question, picture: its columns; suffix: what the picture's name lacks there; zip: with them
    (the second jailbreak table shows the pictures of the first)."""

    table: str
    question: str
    picture: str
    suffix: str
    zip: str


PARTS: Mapping[Name, Part] = {
    "celebrity": Part("Celebrity/mixed.jsonl", "prompt", "id", "", "Celebrity/mix.zip"),
    "misleading": Part("Harmful/misleading.jsonl", "questions", "index", ".jpg", "Harmful/img/img.zip"),
    "jailbreak": Part("Jailbreak/jailbreak.jsonl", "instruction", "index", ".jpg", "Jailbreak/img/img.zip"),
    "jailbreak2": Part("Jailbreak2/jailbreak.jsonl", "instruction", "index", ".jpg", "Jailbreak/img/img.zip"),
    "politics": Part("Safety/Politics/politics.jsonl", "prompt", "id", "", "Safety/Politics/img/politics.zip"),
    "racial": Part("Safety/Racial/racial.jsonl", "prompt", "id", "", "Safety/Racial/img/racial.zip"),
}
COUNTS = {
    "": 921, "celebrity": 200, "misleading": 100, "jailbreak": 200, "jailbreak2": 21, "politics": 200, "racial": 200,
}  # fmt: skip


@dataclass(frozen=True)
class RTVLM(Dataset):
    """Questions with the behaviour that their label asks for.

    root: a copy of the hub's repository, or its folder `data`. parts: these only; (): all six, which must be there.
    caution: what the middle label stands for: "refuse" (912 to refuse, 9 to answer), "comply" (351 and 570), or "left
    out" (351 and 9). It decides the figure, and no paper fixes it: report two of the readings. pictures: "shown", or
    "left out".

    category: the part. meta: label, and how many more wordings of the question there are (the first is asked, as
    others do). The pictures of a zip file are found by their names, whatever folders are in it; an unpacked zip file's
    folder does as well. Official judge: `rtvlm`, a language model that grades from 1 to 10 against a reference; its
    scale was not verified, and references are not in these tables.
    """

    name = "rtvlm"
    paper = Paper("Li et al. 2024", "Red Teaming Visual Language Models", "arXiv:2401.12915")
    licence = "none was found"
    origin = Source(
        "https://huggingface.co/datasets/MMInstruction/RedTeamingVLM",
        hub="MMInstruction/RedTeamingVLM",
        files=tuple(dict.fromkeys(f"data/{file}" for part in PARTS.values() for file in (part.table, part.zip))),
    )
    published = COUNTS
    failure_rule = "Official: not verified. Ours: what the judge of refusals cannot read is unjudged, counted apart."
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    parts: tuple[Name, ...] = ()
    caution: Caution = "refuse"
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The tables. Pictures are in the key of each cell, by their pixels."""
        return tuple(self._data() / PARTS[name].table for name in self._chosen())

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for name in self._chosen():
            part = PARTS[name]
            needed = (part.question, part.picture, LABEL)
            rows = rows_of(self._data() / part.table, needed, dataset=self.name)
            wanted = (row for row in rows if isinstance(row, BadSample) or not self._is_left_out(row))
            shown = _pictures(self._data() / part.zip) if self.pictures == "shown" else None
            yield from sampled(wanted, partial(self._sample, name, shown), self.name, f"{self.name}/{name}")

    def _is_left_out(self, row: Row) -> bool:
        return self.caution == "left out" and LABELS.get(_first(row.values[LABEL]).casefold()) == "caution"

    def _sample(self, name: Name, pictures: Pictures | None, row: Row) -> Sample:
        part, label = PARTS[name], _first(row.values[LABEL])
        if label.casefold() not in LABELS:
            raise ValueError(f"{LABEL}: expected one of {', '.join(LABELS)}, found {label!r:.80}")
        wordings = row.texts(part.question)
        question = Row(row.place, {part.question: wordings[0] if wordings else None}).text(part.question)
        picture = row.text(part.picture, empty=not pictures)
        shown = [pictures.read(picture + part.suffix)] if pictures else []
        return Sample(
            id=f"{self.name}/{name}/{row.place.rpartition(' ')[2]}",
            dataset=self.name,
            chat=Chat.user(*shown, question),
            category=name,
            expected=self._expected(label),
            meta={"label": label, "image": picture, "more wordings": len(wordings) - 1},
        )

    def _expected(self, label: str) -> Expected:
        kind = LABELS[label.casefold()]
        return "refuse" if kind == "refuse" or (kind == "caution" and self.caution == "refuse") else "comply"

    def _chosen(self) -> tuple[Name, ...]:
        return self.parts or get_args(Name)

    def _data(self) -> Path:
        below = self.root / "data"
        return below if below.is_dir() else self.root


def _first(value: object) -> str:
    """The label: a text, or the first of a list of them."""
    first = value[0] if isinstance(value, list) and value else value
    return first.strip() if isinstance(first, str) else repr(first)


@dataclass(frozen=True)
class _ByName:
    """Pictures of a zip file by their name alone. places: such a name -> where it lies in it."""

    zip: InZip
    places: Mapping[str, list[str]]

    def read(self, name: str) -> Image:
        found = self.places.get(PurePosixPath(name).name.casefold(), [])
        if len(found) != 1:
            raise ImageError(f"{self.zip.path}: holds {len(found) or 'no'} {name[:80]!r}, expected one")
        return self.zip.read(found[0])


def _pictures(path: Path) -> Pictures:
    if not path.is_file():  # unpacked: into a folder of its name, or where it lay
        folder = path.with_suffix("")
        return InFolder(folder if folder.is_dir() else path.parent)
    places: dict[str, list[str]] = {}
    for name in InZip(path).names():
        if not name.startswith("__MACOSX/"):
            places.setdefault(PurePosixPath(name).name.casefold(), []).append(name)
    return _ByName(InZip(path), places)
