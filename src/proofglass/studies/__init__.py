"""Studies: read one, run it, run it at several budgets, judge it anew."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from proofglass.console import note
from proofglass.errors import StoreError, UsageError, is_environment, machine_fault
from proofglass.records.manifest import run_id
from proofglass.records.store import Store
from proofglass.studies.study import Item, P, Study, in_run, load, shipped
from proofglass.types import Budget

__all__ = ["Study", "curve_study", "judge_study", "load", "run_study", "shipped"]


def run_study(study: Study, out: Path | str, limit: int | None = None, progress: bool = True) -> Store:
    """Run `study` into the folder `out`, or go on with a run that was stopped there.

    limit: only the first samples of each data set, into the folder `limit-<n>` of `out`: beside the full run, whose
    answers it takes, never over it. Returns the store, for reading. Raises NothingMeasured after everything ran if some
    cell could not be measured, UsageError and StoreError if it cannot start or write, EnvironmentFault if the machine
    fails, KeyboardInterrupt after Ctrl-C: what was answered stays, the same call goes on.
    """
    again = f"proofglass run {_typed(study)} --out {out}{_limited(limit)}"
    return _run_study(study, out, limit, progress, again)


def _run_study(study: Study, out: Path | str, limit: int | None, progress: bool, again: str) -> Store:
    """again: the command that goes on with a run that was stopped."""
    from proofglass.studies import limited
    from proofglass.studies.plan import expand, manifest
    from proofglass.studies.progress import watcher
    from proofglass.studies.runners import local

    root = Path(out)
    folder = limited.folder_of(root, limit)
    try:
        run = run_id(root)
        study = _in_run(study, root, run)
        plan = expand(study, limit)
        told = {**manifest(plan), "run": run} | ({"beside": True} if limit else {})
        with Store.create(folder, told) as store:
            watching = watcher(progress)
            try:
                if limit:
                    watching.say(f"The first {limit} samples of each data set, in {folder}, beside the run of all.")
                    limited.take(study, plan, store)
                local.run(plan, store, watching)
            except KeyboardInterrupt:
                watching.say(f"Stopped. Every answer is kept; go on with: {again}")
                raise
            finally:
                watching.close()
    except StoreError:
        raise
    except Exception as error:
        if is_environment(error):
            raise machine_fault(error, str(folder)) from error
        raise
    return Store(folder)


def curve_study(
    study: Study,
    out: Path | str,
    budgets: Sequence[Budget | float | str],
    limit: int | None = None,
    progress: bool = True,
) -> list[Store]:
    """Run `study` once per budget, each in a folder of its own under `out`; returns the stores in that order.

    The budget caps what every attack may spend on one picture: 60, "500 queries", "60 s", ..., in one unit for all.
    Attacks that spend nothing run at the first one only. The curve is that of the bare victim: other defenses than
    `none` do not run, and that is said. Stopped, the same call goes on. Raises as `run_study`, UsageError for budgets
    that are no increasing row and for a study without the defense `none`.
    """
    row = _increasing(budgets)
    bare = tuple(item for item in study.defenses if item.name == "none")
    if not bare:
        raise UsageError(f"{study.source}: defenses: a curve is that of the bare victim. Add `none` to the defenses.")
    say = note if progress else lambda text: None
    if left_out := [item.label for item in study.defenses if item not in bare]:
        say(f"the curve is that of the bare victim; defenses left out: {', '.join(left_out)}")
    study = dataclasses.replace(study, defenses=bare)
    every = " ".join(f"--budget {shlex.quote(str(budget))}" for budget in row)
    again = f"proofglass curve {_typed(study)} {every} --out {out}{_limited(limit)}"
    stores: list[Store] = []
    for number, budget in enumerate(row, start=1):
        say(f"budget {number} of {len(row)}: {budget.meaning}")
        folder = Path(out) / f"budget-{str(budget).replace(' ', '-')}"
        stores.append(_run_study(dataclasses.replace(study, budget=budget), folder, limit, progress, again))
        if len(stores) == 1:
            study = _spenders(everything := study, stores[0])
            if idle := [item.label for item in everything.attacks if item not in study.attacks]:
                say(f"attacks that spend nothing run once: {', '.join(idle)}")
    return stores


def _increasing(given: Sequence[Budget | float | str]) -> list[Budget]:
    """Raises UsageError unless these are budgets of one unit, each larger than the one before, and above 0."""
    try:
        found = [Budget.read(each) for each in given]
    except ValueError as error:
        raise UsageError(f"budgets: {error}") from error
    amounts = [budget.amount for budget in found]
    if not found or amounts[0] <= 0 or amounts != sorted(set(amounts)) or len({b.unit for b in found}) > 1:
        raise UsageError(
            f"budgets: expected an increasing row of one unit, above 0, found {', '.join(map(str, found)) or 'none'}"
        )
    return found


def _spenders(study: Study, store: Store) -> Study:
    """`study` with those attacks only that spent something in `store`, or would have with a larger budget."""
    spent = {
        cell["attack"]
        for cell in store.cells()
        if (craft := cell["craft"]) and (craft["forward"] or craft["queries"] or (craft["trace"] or {}).get("stopped"))
    }
    datasets = [
        dataclasses.replace(item, only=None if item.only is None else tuple(a for a in item.only if a in spent))
        for item in study.datasets
    ]
    return dataclasses.replace(
        study,
        attacks=tuple(item for item in study.attacks if item.label in spent),
        datasets=tuple(item for item in datasets if item.only != ()),
    )


def judge_study(study: Study, out: Path | str) -> Store:
    """Score the run in `out` with the judges that `study` names now; asks no victim.

    Returns the store, for reading. Raises StoreError if `out` holds no run of this study.
    """
    from proofglass.studies.plan import expand
    from proofglass.studies.runners import local

    with Store(out).locked() as store:
        study = _in_run(study, store.shared, run_id(store.shared))
        plan = expand(study, store.manifest()["limit"])
        local.judge_anew(plan, store)
    return Store(out)


def _limited(limit: int | None) -> str:
    return f" --limit {limit}" if limit else ""


def _in_run(study: Study, folder: Path, run: str) -> Study:
    """`study` whose victims, and the helpers of its methods, know the run that asks them."""

    def bound(items: tuple[Item[P], ...]) -> tuple[Item[P], ...]:
        return tuple(in_run(item, folder, run) for item in items)

    return dataclasses.replace(
        study,
        victims=bound(study.victims),
        attacks=bound(study.attacks),
        defenses=bound(study.defenses),
        judges=bound(study.judges),
    )


def _typed(study: Study) -> str:
    """What stands for the study on a command line."""
    from proofglass.studies.study import SHIPPED

    return study.name if Path(study.source).parent == SHIPPED else study.source
