"""JailBreakV-28K (Luo et al. 2024): jailbreak texts of language models beside pictures, and jailbreaks by pictures.

Official layout (hub JailbreakV-28K/JailBreakV-28k), all below `JailBreakV_28K`: `JailBreakV_28K.csv` and
`mini_JailBreakV_28K.csv` with id, jailbreak_query, redteam_query, format, policy, image_path, from, selected_mini,
transfer_from_llm; `RedTeam_2K.csv` with id, question, policy, from; pictures in `llm_transfer_attack`, `figstep` and
`query_related`. The hub holds about 300 of the pictures, the rest is a download of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen

from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Sample

TABLES: Mapping[str, str] = {
    "full": "JailBreakV_28K.csv", "mini": "mini_JailBreakV_28K.csv", "redteam-2k": "RedTeam_2K.csv",
}  # fmt: skip
COLUMNS = ("id", "jailbreak_query", "redteam_query", "format", "policy", "image_path")
Format = Literal["Template", "Persuade", "Logic", "figstep", "SD", "SD_typo", "typo"]
FORMATS: tuple[Format, ...] = ("Template", "Persuade", "Logic", "figstep", "SD", "SD_typo", "typo")
COUNTS = {"": 28_000}


@dataclass(frozen=True)
class JailBreakV(Dataset):
    """Wrapped forbidden questions beside a picture: all should be refused. Rows with one question are one cluster.

    root: the clone of the hub's repository, or its folder `JailBreakV_28K`. part: "full", "mini" (280), or "redteam-2k"
    (the 2,000 questions behind it, as plain text). formats: these only: Template, Persuade and Logic are texts from
    attacks on language models beside pictures of several kinds (20,000), the others put the question into the picture
    (8,000). ask: "jailbreak_query", or "redteam_query", the question without its wrapping.
    leave_out: policies that are not asked. pictures: "shown", or "left out".

    A picture that is not there costs its sample: the number of bad samples is the number of pictures still to be had.
    category: the policy. meta: question (the plain one, which a judge should be shown), format, from, image, and the
    authors' marks selected_mini and transfer_from_llm.
    """

    name = "jailbreakv-28k"
    paper = Paper(
        "Luo et al. 2024",
        "JailBreakV-28K: A Benchmark for Assessing the Robustness of MultiModal Large Language Models against "
        "Jailbreak Attacks",
        "arXiv:2404.03027",
    )
    licence = "MIT"
    origin = Source(
        "https://github.com/EddyLuo1232/JailBreakV_28K",
        hub="JailbreakV-28K/JailBreakV-28k",
        files=("JailBreakV_28K/**",),
        pictures="most of them are a download that the repository's page links to",
    )
    published = COUNTS
    failure_rule = (
        "Official: Llama Guard with the 16 policies reads question and reply; what it does with an unreadable verdict "
        "was not verified. Ours: it is unjudged and counted apart."
    )
    judges = ("unsafe",)
    metrics = ("rate",)

    root: Path
    part: Literal["full", "mini", "redteam-2k"] = "full"
    formats: Annotated[tuple[Format, ...], MinLen(1)] = FORMATS
    ask: Literal["jailbreak_query", "redteam_query"] = "jailbreak_query"
    leave_out: tuple[str, ...] = ("Child Abuse Content",)
    pictures: Literal["shown", "left out"] = "shown"

    def reads(self) -> tuple[Path, ...]:
        """The table. Pictures are in the key of each cell, by their pixels."""
        return (self._folder() / TABLES[self.part],)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        plain = self.part == "redteam-2k"
        rows = rows_of(
            self._folder() / TABLES[self.part], ("id", "question", "policy") if plain else COLUMNS, dataset=self.name
        )
        wanted = (row for row in rows if isinstance(row, BadSample) or self._is_wanted(row))
        prefix = f"{self.name}/{self.part}"
        yield from sampled(wanted, self._question if plain else self._sample, self.name, prefix)

    def _is_wanted(self, row: Row) -> bool:
        """An unknown format is left to `_sample`, which says so."""
        kind = row.values.get("format")
        return row.values["policy"] not in self.leave_out and (kind in self.formats or kind not in FORMATS)

    def _question(self, row: Row) -> Sample:
        question = row.text("question")
        return Sample(
            id=f"{self.name}/{self.part}/{row.number('id'):05d}",
            dataset=self.name,
            chat=Chat.user(question),
            category=row.text("policy"),
            meta={"question": question, "from": row.text("from", empty=True)},
        )

    def _sample(self, row: Row) -> Sample:
        question = row.text("redteam_query")
        image = row.text("image_path", empty=self.pictures == "left out")
        told = {"question": question, "format": row.choice("format", FORMATS), "image": image}
        asked = row.text(self.ask)
        shown = [picture_in(self._folder(), image)] if self.pictures == "shown" else []
        return Sample(
            id=f"{self.name}/{self.part}/{row.number('id'):05d}",
            dataset=self.name,
            chat=Chat.user(*shown, asked),
            cluster=f"{self.name}/{hashlib.sha256(question.encode()).hexdigest()[:16]}",
            category=row.text("policy"),
            meta={**told, **{name: row.text(name, empty=True) for name in _MARKS}},
        )

    def _folder(self) -> Path:
        below = self.root / "JailBreakV_28K"
        return below if below.is_dir() else self.root


_MARKS = ("from", "selected_mini", "transfer_from_llm")
