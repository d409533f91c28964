"""What a defense learned about a model: named as a folder, or learned in the run from data sets that it names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError
from proofglass.interfaces import Dataset, learned_from
from proofglass.meter import Meter
from proofglass.types import Sample

COST = "cost.json"


def check_either(field: str, folder: Path | None, **data: Dataset | None) -> None:
    """Raise ValueError unless a folder is given, or every data set to learn from."""
    if folder is None and (missing := [name for name, each in data.items() if each is None]):
        raise ValueError(
            f"{field}: expected the folder that `fit` wrote (`proofglass defend` makes one), or {' and '.join(data)}, "
            f"data sets to learn from in the run; found no {', no '.join(missing)}"
        )


def to_learn(folder: Path | None, *data: Dataset | None) -> tuple[Dataset, ...]:
    """What is still to be learned from: nothing where there is a folder."""
    return () if folder is not None else tuple(each for each in data if each is not None)


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
        told = {"seconds": round(meter.seconds, 3), **counts}
        (folder / COST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def spent_on(folder: Path | None) -> dict[str, float]:
    """What learning what lies in `folder` cost; nothing where that is not known."""
    if folder is None or not (folder / COST).is_file():
        return {}
    try:
        told = json.loads((folder / COST).read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in told.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder / COST}: cannot be read ({error}); delete it, or learn anew") from error


def unlearned(name: str, field: str) -> UsageError:
    """The error of a defense that was put before a victim before it had learned about it."""
    return UsageError(
        f"{name}: has not learned about this victim yet: a study does so by itself; in Python "
        f"defense.fitted(victim, folder), on the command line `proofglass defend VICTIM --with {name}`, or name "
        f"`{field}`"
    )
