"""What a defense learned about a model: named as a folder, or learned in the run from data sets that it names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError
from proofglass.interfaces import COST, Dataset, learned_from
from proofglass.meter import Meter
from proofglass.records.files import write_whole
from proofglass.types import Sample


def check_either(field: str, folder: Path | None, **data: Dataset | None) -> None:
    """Raise ValueError unless a folder is given, or every data set to learn from."""
    if folder is None and (missing := [name for name, each in data.items() if each is None]):
        raise ValueError(
            f"{field}: expected the folder that `fit` wrote (`proofglass defend` makes one), or {' and '.join(data)}, "
            f"data sets to learn from in the run; found no {', no '.join(missing)}"
        )


def rows_of(dataset: Dataset | None, what: str) -> list[Sample]:
    """The samples of `dataset` that may be learned from. Raises UsageError, which names the field, where there are
    none."""
    rows = [] if dataset is None else [row for row in learned_from(dataset) if isinstance(row, Sample)]
    if dataset is not None and not rows:
        raise UsageError(f"{what}: {dataset.name} has no sample to learn from")
    return rows


def once(folder: Path, is_whole: Callable[[], object], learn: Callable[[], object], counts: Mapping[str, Any]) -> None:
    """Have `learn` fill `folder`, unless `is_whole` finds there what it would. is_whole: raises UsageError for a folder
    that is missing, broken or of another model. counts: what else its cost tells, such as rows."""
    try:
        is_whole()
    except UsageError:
        with Meter() as meter:
            learn()
        write_json(folder / COST, {"seconds": round(meter.seconds, 3), **counts})


def write_json(file: Path, told: Mapping[str, Any]) -> None:
    """Whole or not at all. Raises StoreError where it cannot be written."""
    write_whole(file, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())


def unlearned(name: str, field: str) -> UsageError:
    """The error of a defense that was put before a victim before it had learned about it."""
    return UsageError(
        f"{name}: has not learned about this victim yet: a study does so by itself; in Python "
        f"defense.fitted(victim, folder), on the command line `proofglass defend VICTIM --with {name}`, or name "
        f"`{field}`"
    )
