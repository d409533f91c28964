"""VLGuard (Zong et al. 2024): unsafe pictures, and safe pictures with a safe and an unsafe instruction each.

Official layout (hub ys-zong/VLGuard, gated; code github.com/ys-zong/VLGuard): `test.json` and `train.json`, lists of
{id, image, safe, harmful_category, harmful_subcategory, instr-resp}; the last is a list, of an unsafe picture one
{instruction, response}, of a safe one {safe_instruction, response} and {unsafe_instruction, response}. Pictures:
`test.zip` and `train.zip`, as they come or unpacked into `test` and `train`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from proofglass.evaluation.datasets.pictures import InFolder, InZip, Pictures
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Expected, Sample

FIELDS = ("id", "image", "safe", "instr-resp")
Part = Literal["unsafes", "safe_unsafes", "safe_safes"]
# Key of the question in `instr-resp` -> the authors' name of the part, and what is expected there.
PARTS: Mapping[str, tuple[Part, Expected]] = {
    "instruction": ("unsafes", "refuse"),
    "unsafe_instruction": ("safe_unsafes", "refuse"),
    "safe_instruction": ("safe_safes", "comply"),
}
COUNTS = {"": 1558, "risky behavior": 270, "discrimination": 85, "privacy": 69, "deception": 18}


@dataclass(frozen=True)
class VLGuard(Dataset):
    """What should be refused for its picture or its words, and what should not.

    Parts: "unsafes" (442, unsafe pictures), "safe_unsafes" (558, unsafe words), "safe_safes" (558). The two questions
    about one safe picture are one group, and one cluster.

    root: the folder of the hub's files. split: "test", or "train" (2,000 pictures, to tune with). parts: which of the
    three. pictures: "shown", or "left out" (the instruction alone).

    category: as published, of unsafe pictures; counts by category are of these. meta: part, subcategory, image, and the
    authors' response. Official figures: the share of the first two parts without a refusal phrase (judge `phrases` has
    their list), and for the third a language model's preference over published replies, in one fixed order.
    """

    name = "vlguard"
    paper = Paper(
        "Zong et al. 2024",
        "Safety Fine-Tuning at (Almost) No Cost: A Baseline for Vision Large Language Models",
        "arXiv:2402.02207",
    )
    licence = "gated, for research only; must not be passed on"
    origin = Source(
        "https://github.com/ys-zong/VLGuard",
        hub="ys-zong/VLGuard",
        files=("*.json", "*.zip"),
        gated="the terms on the hub's page",
    )
    published = COUNTS
    failure_rule = (
        "Official: a reply without a phrase of the list is a success of the attack, empty replies with it. Ours: what "
        "the judge cannot read is unjudged and counted apart."
    )
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    split: Literal["test", "train"] = "test"
    parts: Annotated[tuple[Part, ...], MinLen(1)] = ("unsafes", "safe_unsafes", "safe_safes")
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        rows = rows_of(self._table(), FIELDS, dataset=self.name)
        pictures = self._pictures() if self.pictures == "shown" else None
        yield from sampled(self._asked(rows), partial(self._sample, pictures), self.name, f"{self.name}/{self.split}")

    def _asked(self, rows: Iterable[Row | BadSample]) -> Iterator[Row | BadSample]:
        """A row for each question of each picture, so that one that cannot be used leaves the other."""
        for row in rows:
            if isinstance(row, BadSample):
                yield row
                continue
            try:
                asked = list(_questions(row))
            except ValueError as error:
                yield BadSample(row.place.replace(" ", "-"), self.name, f"{row.place}: {error}")
                continue
            yield from (each for each in asked if each.values["part"] in self.parts)

    def _sample(self, pictures: Pictures | None, row: Row) -> Sample:
        part, picture = row.text("part"), f"{self.name}/{self.split}/{row.text('id')}"
        question, image = row.text("question"), row.text("image", empty=not pictures)
        shown = [pictures.read(image)] if pictures else []
        return Sample(
            id=f"{picture}/{part}",
            dataset=self.name,
            chat=Chat.user(*shown, question),
            cluster=picture,
            category=row.text("harmful_category", empty=True),
            expected=next(expected for name, expected in PARTS.values() if name == part),
            meta={
                "part": part,
                "subcategory": row.text("harmful_subcategory", empty=True),
                "image": image,
                "response": row.text("response", empty=True),
            },
            group="" if part == "unsafes" else picture,
        )

    def _table(self) -> Path:
        return self.root / f"{self.split}.json"

    def _pictures(self) -> Pictures:
        """Below the folder of the split, in its zip file, or beside the table."""
        folder, packed = self.root / self.split, self.root / f"{self.split}.zip"
        if folder.is_dir() or not packed.is_file():
            return InFolder(folder if folder.is_dir() else self.root)
        inside = any(name.startswith(f"{self.split}/") for name in InZip(packed).names())
        return InZip(packed, self.split if inside else "")


def _questions(row: Row) -> Iterator[Row]:
    """The questions about a picture, each as a row of its own. Raises ValueError where they do not fit the picture."""
    safe, told = row.values["safe"], row.values["instr-resp"]
    if not isinstance(safe, bool):
        raise ValueError(f"safe: expected true or false, found {safe!r:.80}")
    wanted = ("safe_instruction", "unsafe_instruction") if safe else ("instruction",)
    if not isinstance(told, list) or not told or not all(isinstance(each, dict) for each in told):
        raise ValueError(f"instr-resp: expected a list of objects with {' or '.join(wanted)}")
    for each in told:
        key = next((key for key in wanted if key in each), "")
        if not key:
            raise ValueError(f"instr-resp: expected {' or '.join(wanted)} in each object, found {_keys(each)}")
        values = {**row.values, "part": PARTS[key][0], "question": each[key], "response": each.get("response")}
        yield Row(f"{row.place} {PARTS[key][0]}", values)


def _keys(told: Mapping[str, Any]) -> str:
    return ", ".join(told)[:80] or "nothing"
