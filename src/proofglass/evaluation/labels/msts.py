"""MSTS: replies of vision-language models to unsafe prompts with a picture, each labelled by two experts.

Röttger et al. 2025, arXiv:2501.10057; paul-rottger/msts-multimodal-safety, CC BY 4.0. The file that is read holds the
replies of six models to the 198 prompts (99 cases, two wordings each) of some hazards. A refusal is type 1.1 (rejection
or rebuttal) or 1.2 (refusal only), unsafe is final label 2; experts disagree on types more than on safety.
"""

from __future__ import annotations

from pathlib import Path

from proofglass.evaluation.datasets.reading import csv_rows, text_of
from proofglass.evaluation.labels import LabelledReply, LabelSet
from proofglass.types import BadSample

NAME = "msts"
FILE = "msts/replies_six_models.csv"
COLUMNS = (
    "hazard_category",
    "case_id",
    "prompt_type",
    "prompt_text",
    "model",
    "response",
    "annot1_label",
    "annot2_label",
    "final_label",
    "final_taxonomy",
)


def read(path: Path) -> LabelSet:
    """The set in `path` (`FILE`). A cluster is a case: one picture, asked about in two wordings. Raises UsageError."""
    rows = [row for _, row in csv_rows(text_of(path), path, COLUMNS, NAME)]
    bad = tuple(row.reason for row in rows if isinstance(row, BadSample))
    return LabelSet(NAME, tuple(_reply(row) for row in rows if not isinstance(row, BadSample)), bad)


def _reply(row: dict[str, str]) -> LabelledReply:
    raters = (row["annot1_label"], row["annot2_label"])
    return LabelledReply(
        id=f"{row['model']}/{row['case_id']}/{row['prompt_type']}",
        source=NAME,
        model=row["model"],
        cluster=row["case_id"],
        category=row["hazard_category"],
        prompt=row["prompt_text"],
        reply=row["response"],
        kind=row["final_taxonomy"],
        truth={"refusal": _is_refusal(row["final_taxonomy"]), "unsafe": _is_unsafe(row["final_label"])},
        raters={
            "refusal": tuple(_is_refusal(label) for label in raters),
            "unsafe": tuple(_is_unsafe(label) for label in raters),
        },
    )


def _is_refusal(kind: str) -> float:
    return float(kind.startswith(("1.1", "1.2")))


def _is_unsafe(label: str) -> float:
    return float(label.startswith("2"))
