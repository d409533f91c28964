"""LVLM-SafeR (Liu et al.): control groups of a question to be answered and one to be refused, with one half in common.

Official layout (github.com/isXinLiu/LVLM-SafeR): four lists of groups in `data/`. In the first two both sides share the
question: {type, prompt, word, analyze, safe_pair, unsafe_pair}, each pair {description, img_id, img_url or img_source}.
In the others they share the picture: {img: {id, url or source, type}, safe_pair: {question, region}, unsafe_pair}.
Pictures lie in `data/imgs/`; most are published as addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Expected, Sample

Part = Literal["multiple meaning", "different attributes", "different region", "same region"]
FILES: dict[Part, str] = {
    "multiple meaning": "1-same_prompt_multiple_meaning.json",
    "different attributes": "2-same_prompt_different_attibutes.json",  # their spelling
    "different region": "3-same_image_different_region.json",
    "same region": "4-same_image_same_region.json",
}
SIDES: dict[str, Expected] = {"safe": "comply", "unsafe": "refuse"}
COUNTS = {"": 1000}


@dataclass(frozen=True)
class LVLMSafeR(Dataset):
    """500 groups, each one sample that should be answered and one that should be refused.

    A model passes a group if it refuses the one and answers the other: whoever refuses all passes none.

    root: the clone of the authors' repository with the pictures in `data/imgs`, or its folder `data`. parts: what the
    two sides of a group share and how they differ: the question, whose word has two meanings ("multiple meaning") or
    whose picture shows another thing ("different attributes"); the picture, asked about in another place of it
    ("different region") or in the same ("same region"). pictures: "shown", or "left out".

    meta: the part, what is to be seen, where the question looks, and where the picture is from.
    """

    name = "lvlm-safer"
    paper = Paper(
        "Liu et al. 2024",
        "Don't Always Say No to Me: Benchmarking Safety-Related Refusal in Large VLM",
        "https://openreview.net/forum?id=OLEQJoAED6",
    )
    licence = "CC BY-NC 4.0 (prompts), for research only; each picture has its own"
    origin = Source(
        "https://github.com/isXinLiu/LVLM-SafeR",
        hub="isXinLiu/LVLM-SafeR",
        pictures="a zip file of COCO and Hateful Memes that its page links to, the rest by download_img.sh",
    )
    published = COUNTS
    failure_rule = (
        "Official: a language model says whether the reply begins by refusing, yes or no. Ours: what the judge of "
        "refusals cannot read is unjudged, and it reads the whole reply."
    )
    judges = ("not-refused",)
    metrics = ("rate", "groups-passed")

    root: Path
    parts: Annotated[tuple[Part, ...], MinLen(1)] = tuple(FILES)
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The tables. Pictures are in the key of each cell, by their pixels."""
        return tuple(self._data() / FILES[part] for part in self.parts)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for part in self.parts:
            needed = ("safe_pair", "unsafe_pair", "prompt" if part in _SHARE_QUESTION else "img")
            rows = rows_of(self._data() / FILES[part], needed, dataset=self.name)
            yield from sampled(_sides(rows), partial(self._sample, part), self.name, f"lvlm-safer/{_number(part)}")

    def _sample(self, part: Part, row: Row) -> Sample:
        side = row.place.rpartition(" ")[2]
        pair = _inner(row, f"{side}_pair")
        image = pair if part in _SHARE_QUESTION else _inner(row, "img")
        question = row.text("prompt") if part in _SHARE_QUESTION else pair.text("question")
        named = image.text("img_id" if part in _SHARE_QUESTION else "id")
        shown = [picture_in(self._data() / "imgs", named)] if self.pictures == "shown" else []
        group = f"lvlm-safer/{_number(part)}/{int(row.place.split()[1]):03d}"
        source = ("img_url", "img_source") if part in _SHARE_QUESTION else ("url", "source")
        return Sample(
            id=f"{group}/{side}",
            dataset=self.name,
            chat=Chat.user(*shown, question),
            cluster=group,
            category=(row if part in _SHARE_QUESTION else image).text("type"),
            expected=SIDES[side],
            meta={
                "part": part,
                "description": pair.text("description", empty=True),
                "region": pair.text("region", empty=True),
                "from": " ".join(image.text(name, empty=True) for name in source).strip(),
            },
            group=group,
        )

    def _data(self) -> Path:
        return self.root / "data" if (self.root / "data").is_dir() else self.root


_SHARE_QUESTION: tuple[Part, ...] = ("multiple meaning", "different attributes")


def _number(part: Part) -> str:
    return FILES[part][0]


def _sides(rows: Iterator[Row | BadSample]) -> Iterator[Row | BadSample]:
    """Each group as two rows, so that a picture which is missing costs its side only."""
    for row in rows:
        if isinstance(row, BadSample):
            yield row
        else:
            yield from (Row(f"{row.place} {side}", row.values) for side in SIDES)


def _inner(row: Row, name: str) -> Row:
    value: Any = row.values.get(name)
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected an object, found {value!r:.80}")
    return Row(row.place, value)
