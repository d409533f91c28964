"""The local runner: cells in plan order, fixed chunks, one writer, one victim in memory at a time."""

from __future__ import annotations

import gc
import itertools
import logging
import traceback
from collections.abc import Iterable, Sequence

from proofglass.console import visible
from proofglass.engine.progress import watched_by
from proofglass.errors import NothingMeasured, ProofglassError, StoreError
from proofglass.interfaces import Judge, Victim
from proofglass.meter import Meter
from proofglass.records.journal import Journal, JournaledVictim
from proofglass.records.schema import Record, plain
from proofglass.records.store import Crafted, Store
from proofglass.studies.attempt import Trial, attempt, attempts_of, buy, judge, nothing_measured
from proofglass.studies.craft import check_apart, summary
from proofglass.studies.plan import Cell, Plan, describe
from proofglass.studies.progress import Progress
from proofglass.studies.study import Item
from proofglass.types import Sample, Score

_log = logging.getLogger("proofglass")


def run(plan: Plan, store: Store, progress: Progress | None = None) -> None:
    """Measure every cell of `plan` that is not done, into `store` (open for writing).

    Answers of an earlier, interrupted run are not asked again. Raises NothingMeasured at the very end if some
    cell could not be measured, StoreError at once if the folder cannot be written.
    """
    progress = progress or Progress()
    runnable = [cell for cell in plan.cells if not cell.skip]
    todo = [cell for cell in runnable if not store.done(cell.key)]
    progress.begin(plan, todo)
    with Journal(store.path / "journal.jsonl") as journal:
        for item, cells in _by_victim(todo):
            _run_victim(plan, item, cells, store, journal, progress)
    lacking = [
        cell
        for cell in runnable
        if store.done(cell.key) and not all(store.has_scores(cell.key, j.plug.key) for j in plan.study.judges)
    ]
    _judge_cells(plan, lacking, store)
    progress.end()
    _report_failures(plan, store)
    _report_unfinished(store)


def judge_anew(plan: Plan, store: Store) -> None:
    """Score the recorded replies with the judges of `plan`'s study; no victim is built or asked.

    Raises StoreError if the store holds none of the plan's cells, NothingMeasured as `run` does.
    """
    measured = [cell for cell in plan.cells if not store.frame(cell.key).is_empty()]
    if not measured:
        raise StoreError(
            f"{store.path}: holds no record of this study. Only judges and success may differ from the run's study."
        )
    store.put_judges({item.label: describe("judges", item) for item in plan.study.judges}, plan.study.success)
    _judge_cells(plan, measured, store)
    _report_failures(plan, store)


def _by_victim(cells: Iterable[Cell]) -> Iterable[tuple[Item[Victim], list[Cell]]]:
    for _, group in itertools.groupby(cells, key=lambda cell: cell.victim.label):
        members = list(group)
        yield members[0].victim, members


def _run_victim(
    plan: Plan, item: Item[Victim], cells: Sequence[Cell], store: Store, journal: Journal, progress: Progress
) -> None:
    """The cells of one victim, which is loaded for them and freed after them."""
    model: Victim | None = None
    for cell in cells:
        progress.cell(cell)
        try:
            model = model or item.build()
            status, reason = _run_cell(plan, cell, model, store, journal, progress)
        except StoreError:
            raise
        except Exception as error:
            # The cell is lost, the study is not: its failure is reported after everything else ran.
            known = isinstance(error, ProofglassError)
            if not known:
                # As text: a handler of somebody else would print the message of the error as it is.
                _log.error("%s", visible(f"{cell.title}\n{traceback.format_exc().rstrip()}"))
            status, reason = "failed", str(error) if known else f"{type(error).__name__}: {error}"
            store.put_status(cell.key, {"status": status, "reason": reason})
        progress.cell_done(status, reason)
    if model is not None:
        store.put_card(item.label, plain(model.card()))
    del model
    gc.collect()


def _run_cell(
    plan: Plan, cell: Cell, model: Victim, store: Store, journal: Journal, progress: Progress
) -> tuple[str, str]:
    """Measure, judge and seal one cell. Returns its status and, if it failed, why."""
    study = plan.study
    asked = JournaledVictim(model, journal, progress.heard)
    trial = Trial(cell, cell.attack.plug, cell.defense.plug(asked), model, study.settings, study.budget, store)
    records: list[Record] = []
    bought: list[Crafted] = []
    with Meter() as meter:
        universal = _universal(trial, progress) if trial.attack.scope == "universal" else None
        progress.crafted(universal.seconds if universal else 0.0)
        for number, rows in enumerate(cell.chunks(study.chunk)):
            with watched_by(progress.crafting):
                made, crafted = attempt(trial, rows, number, universal)
            records += made
            bought += [] if universal else [crafted]
            errors = [record.reason for record in made if record.outcome == "error"]
            progress.chunk(len(rows), [reason for reason in errors if reason not in asked.unsent])
        progress.crafted(sum(crafted.seconds for crafted in bought))
    scores = _score(plan, cell, [vars(record) for record in records], store)
    status, reason = "done", nothing_measured([vars(record) for record in records], scores[study.success])
    if asked.unsent:
        why, _ = asked.unsent.most_common(1)[0]
        status, reason = "pending", f"{asked.unsent.total()} asks were not sent; {why}"
    elif reason:
        status = "failed"
    store.seal(
        cell.key,
        records,
        {
            "status": status,
            "reason": reason,
            "seconds": asked.seconds,
            "peak_bytes": meter.peak_bytes,
            "craft": summary(trial.attack, [universal] if universal else bought),
        },
    )
    return status, reason


def _universal(trial: Trial, progress: Progress) -> Crafted:
    """The artefact that serves all samples, crafted on the crafting split, which holds none of them."""
    crafting = tuple(trial.cell.dataset.plug.crafting())
    check_apart(crafting, [row for row in trial.cell.rows if isinstance(row, Sample)])
    with watched_by(progress.crafting):
        return buy(trial, crafting)


def _score(plan: Plan, cell: Cell, rows: Sequence[dict], store: Store) -> dict[str, dict[str, Score]]:
    """Judge label -> sample id -> score, kept in the store."""
    attempts = attempts_of(rows, {row.id: row for row in cell.rows}, store)
    scores = {}
    for item in plan.study.judges:
        plug: Judge = item.plug
        scores[item.label] = judge(plug, item.label, attempts)
        store.put_scores(cell.key, plug.key, scores[item.label])
    return scores


def _judge_cells(plan: Plan, cells: Sequence[Cell], store: Store) -> None:
    """Score recorded cells; whether a cell measured something may change with its judge."""
    status = {told["cell"]: told for told in store.cells()}
    for cell in cells:
        rows = store.frame(cell.key).to_dicts()
        reason = nothing_measured(rows, _score(plan, cell, rows, store)[plan.study.success])
        told = {k: status[cell.key][k] for k in ("seconds", "peak_bytes", "craft")}
        store.put_status(cell.key, {**told, "status": "failed" if reason else "done", "reason": reason})


def _report_failures(plan: Plan, store: Store) -> None:
    told = store.cells()
    failed = [cell for cell in told if cell["status"] == "failed"]
    if failed:
        lines = [f"{_title(cell)}: {cell['reason']}" for cell in failed]
        raise NothingMeasured(f"{len(failed)} of {len(told)} cells measured nothing. " + "; ".join(lines))
    if all(cell["status"] == "skipped" for cell in told):
        raise NothingMeasured(f"no cell can run. {_title(told[0])}: {told[0]['reason']}")


def _report_unfinished(store: Store) -> None:
    told = store.cells()
    unfinished = [cell for cell in told if cell["status"] == "pending"]
    if unfinished:
        lines = "; ".join(f"{_title(cell)}: {cell['reason']}" for cell in unfinished)
        raise NothingMeasured(
            f"{len(unfinished)} of {len(told)} cells are not finished. {lines}. "
            "What was answered is kept: raise the budget, then run the same command again."
        )


def _title(cell: dict) -> str:
    return " x ".join(cell[name] for name in ("victim", "attack", "defense", "dataset"))
