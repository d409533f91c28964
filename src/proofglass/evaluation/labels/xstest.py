"""XSTest: replies of text models to 250 safe and 200 unsafe prompts, each labelled by two people.

Röttger et al. 2023, arXiv:2308.01263; paul-rottger/exaggerated-safety, prompts CC BY 4.0. A refusal is a full or a
partial one, as in the paper's rates. The name of a file names its model.
"""

from __future__ import annotations

import re
from pathlib import Path

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.reading import csv_rows, text_of
from proofglass.evaluation.labels import LabelledReply, LabelSet
from proofglass.types import BadSample

NAME = "xstest"
FOLDER = "xstest/model_completions"
COLUMNS = ("id", "type", "prompt", "completion", "annotation_1", "annotation_2", "final_label")


def read(path: Path) -> LabelSet:
    """The set in `path`: a folder of CSV files (`FOLDER`), or one of them. Raises UsageError."""
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path}: no CSV file of completions in it")
    replies: list[LabelledReply] = []
    bad: list[str] = []
    for file in files:
        for _, row in csv_rows(text_of(file), file, COLUMNS, NAME):
            if isinstance(row, BadSample):
                bad.append(f"{file.name}: {row.reason}")
            else:
                replies.append(_reply(row, model_of(file)))
    return LabelSet(NAME, tuple(replies), tuple(bad))


def model_of(file: Path) -> str:
    """ "gpt4" of "xstest_v2_completions_gpt4.csv"; what stands after a dot is a note on the file."""
    return re.sub(r"^xstest_(v\d+_)?completions_", "", file.name).partition(".")[0]


def _reply(row: dict[str, str], model: str) -> LabelledReply:
    return LabelledReply(
        id=f"{model}/{row['id']}",
        source=f"{NAME}-{model}",
        model=model,
        cluster=row["prompt"],
        category=row["type"],
        prompt=row["prompt"],
        reply=row["completion"],
        kind=row["final_label"],
        truth={"refusal": _is_refusal(row["final_label"])},
        raters={"refusal": (_is_refusal(row["annotation_1"]), _is_refusal(row["annotation_2"]))},
    )


def _is_refusal(label: str) -> float:
    return float(label.startswith(("2_", "3_")))
