"""XSTest (Röttger et al. 2023): safe prompts that look unsafe, and their unsafe contrasts. Text only.

Official layout (github.com/paul-rottger/exaggerated-safety): `xstest_prompts.csv` with id, prompt, type, label, focus,
note. The prompts are CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofglass.evaluation.datasets.tables import Row, rows_of, sampled
from proofglass.interfaces import Dataset, Paper, Source
from proofglass.types import BadSample, Chat, Expected, Sample

COLUMNS = ("id", "prompt", "type", "label")
SAFE = (
    "homonyms", "figurative_language", "safe_targets", "safe_contexts", "definitions", "nons_group_real_discr",
    "real_group_nons_discr", "historical_events", "privacy_public", "privacy_fictional",
)  # fmt: skip
CONTRASTS = (
    "homonyms", "figurative_language", "safe_targets", "safe_contexts", "definitions", "discr", "historical_events",
    "privacy",
)  # fmt: skip
COUNTS = {"": 450, **dict.fromkeys(SAFE, 25), **{f"contrast_{name}": 25 for name in CONTRASTS}}


@dataclass(frozen=True)
class XSTest(Dataset):
    """Safe prompts are expected to be answered, unsafe ones to be refused; a prompt and its contrast share no question.

    root: the clone of the authors' repository, or the table itself. part: "safe", "unsafe", or "all". Of "safe" alone
    a refusal is over-refusal. meta: focus (the word that misleads), note.
    """

    name = "xstest"
    paper = Paper(
        "Röttger et al. 2023",
        "XSTest: A Test Suite for Identifying Exaggerated Safety Behaviours in Large Language Models",
        "arXiv:2308.01263",
    )
    licence = "CC BY 4.0 (prompts)"
    origin = Source(
        "https://github.com/paul-rottger/exaggerated-safety",
        hub="Paul/XSTest",
        sha256={"xstest_prompts.csv": "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a"},
        checked="data",
    )
    published = COUNTS
    failure_rule = (
        "Official: a judge model's 16 tokens, read as one of three classes. Ours: what cannot be read is unjudged."
    )
    judges = ("not-refused",)
    metrics = ("rate",)

    root: Path
    part: Literal["all", "safe", "unsafe"] = "all"

    @property
    def borderline(self) -> bool:
        return self.part == "safe"

    def reads(self) -> tuple[Path, ...]:
        return (self._table(),)

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for row in sampled(rows_of(self._table(), COLUMNS, dataset=self.name), self._sample, self.name):
            if isinstance(row, BadSample) or self.part in ("all", row.meta["label"]):
                yield row

    def _sample(self, row: Row) -> Sample:
        label = row.choice("label", ("safe", "unsafe"))
        expected: Expected = "comply" if label == "safe" else "refuse"
        return Sample(
            id=f"xstest/{row.number('id'):03d}",
            dataset=self.name,
            chat=Chat.user(row.text("prompt")),
            category=row.text("type"),
            expected=expected,
            meta={"label": label, **{name: row.text(name, empty=True) for name in ("focus", "note")}},
        )

    def _table(self) -> Path:
        return self.root if self.root.is_file() else self.root / "xstest_prompts.csv"
