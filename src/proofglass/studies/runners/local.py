"""The local runner: cells in plan order, fixed chunks, one writer, one victim in memory at a time."""

from __future__ import annotations

import gc
import itertools
import logging
import traceback
from collections.abc import Iterable, Sequence

from proofglass.console import REASON, cut, visible
from proofglass.engine.progress import watched_by
from proofglass.errors import NothingMeasured, ProofglassError, StoreError
from proofglass.evaluation.judging import JudgeFault, judge
from proofglass.faults import kept_by, one_line, stops_the_run, told
from proofglass.interfaces import Judge, Victim
from proofglass.meter import Meter
from proofglass.records.crafts import Crafted
from proofglass.records.journal import Journal, JournaledVictim
from proofglass.records.schema import Record, plain
from proofglass.records.store import Store
from proofglass.report.run import broken_judges
from proofglass.studies.attempt import Trial, attempt, attempts_of, buy, nothing_measured
from proofglass.studies.craft import check_apart, summary
from proofglass.studies.plan import Cell, Plan, describe
from proofglass.studies.progress import Progress
from proofglass.studies.study import Item
from proofglass.types import Sample, Score

REASONS = 3  # named in the last line, which must stay one; the report has all

_log = logging.getLogger("proofglass")


def run(plan: Plan, store: Store, progress: Progress | None = None) -> None:
    """Measure every cell of `plan` that is not done, into `store` (open for writing).

    Answers of an earlier, interrupted run are not asked again; a cell whose judges are not those by which it was found
    done is judged again. Raises NothingMeasured at the very end if some cell could not be measured or some judge broke,
    StoreError at once if the folder cannot be written, and what the machine raises if it fails.
    """
    progress = progress or Progress()
    runnable = [cell for cell in plan.cells if not cell.skip]
    todo = [cell for cell in runnable if not store.done(cell.key)]
    progress.begin(plan, todo)
    with kept_by(store.put_fault), Journal(store.shared / "journal.jsonl") as journal:
        for item, cells in _by_victim(todo):
            _run_victim(plan, item, cells, store, journal, progress)
    with kept_by(store.put_fault):
        _judge_cells(plan, _stale(plan, runnable, store), store, anew=False)
    progress.end()
    _report(plan, store)


def judge_anew(plan: Plan, store: Store) -> None:
    """Score the recorded replies with the judges of `plan`'s study; no victim is built or asked.

    Raises StoreError if the store holds none of the plan's cells, NothingMeasured as `run` does.
    """
    measured = [cell for cell in plan.cells if not store.frame(cell.key).is_empty()]
    if not measured:
        raise StoreError(
            f"{store.path}: holds no record of this study. Only judges and success may differ from the run's study."
        )
    judges = {item.label: describe("judges", item) for item in plan.study.judges}
    store.put_judges(judges, plan.study.success, plan.study.text)
    with kept_by(store.put_fault):
        _judge_cells(plan, measured, store, anew=True)
    _report(plan, store)


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
            if model is None:
                with one_line("victim", item.plug, f"victim {item.label}"):
                    model = item.build()
            status, reason = _run_cell(plan, cell, model, store, journal, progress)
        except StoreError:
            raise
        except BaseException as error:
            # The cell is lost, the study is not: its failure is reported after everything else ran.
            if stops_the_run(error):
                raise
            known = isinstance(error, ProofglassError)
            if not known:
                # As text: a handler of somebody else would print the message of the error as it is.
                _log.error("%s", visible(f"{cell.title}\n{traceback.format_exc().rstrip()}"))
            status, reason = "failed", str(error) if known else told(error, "victim", item.plug)
            store.put_status(cell.key, {"status": status, "reason": reason})
        progress.cell_done(status, reason)
    if model is not None:
        _keep_card(item, model, store, progress)
    del model
    gc.collect()


def _keep_card(item: Item[Victim], model: Victim, store: Store, progress: Progress) -> None:
    """The victim's card as it stands after it was asked; where it breaks now, the one from the beginning stays."""
    try:
        with one_line("victim", item.plug, f"victim {item.label}: its card"):
            card = plain(model.card())
    except ProofglassError as error:
        if stops_the_run(error):
            raise
        progress.say(str(error))
    else:
        store.put_card(item.label, card)


def _run_cell(
    plan: Plan, cell: Cell, model: Victim, store: Store, journal: Journal, progress: Progress
) -> tuple[str, str]:
    """Measure, judge and seal one cell. Returns its status and, if it failed, why."""
    study = plan.study
    asked = JournaledVictim(model, journal, progress.heard)
    with one_line("defense", cell.defense.plug, f"defense {cell.defense.label}"):
        defended = cell.defense.plug(asked)
    trial = Trial(cell, cell.attack.plug, defended, model, study.settings, study.budget, store)
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
            progress.chunk(len(rows), [record.reason for record in made if record.outcome == "error" and record.reason])
        progress.crafted(sum(crafted.seconds for crafted in bought))
    made_rows = [vars(record) for record in records]
    told_of_judges, reason = _judged(plan, cell, made_rows, store, anew=True)
    status = "failed" if reason else "done"
    if asked.unsent:
        why, _ = asked.unsent.most_common(1)[0]
        status, reason = "pending", f"{asked.unsent.total()} asks were not sent; {cut(why, REASON)}"
    store.seal(
        cell.key,
        records,
        {
            "status": status,
            "reason": reason,
            "seconds": asked.seconds,
            "peak_bytes": meter.peak_bytes,
            "craft": summary(trial.attack, [universal] if universal else bought),
            "unsent": asked.unsent.total(),
            "batches": {
                batch: [cost.queries, cost.tokens_in, cost.tokens_out, cost.money]
                for batch, cost in asked.batches.items()
            },
            **told_of_judges,
        },
    )
    return status, reason


def _universal(trial: Trial, progress: Progress) -> Crafted:
    """The artefact that serves all samples, crafted on the crafting split, which holds none of them."""
    dataset, attack = trial.cell.dataset, trial.attack
    with one_line("dataset", dataset.plug, f"data set {dataset.label}: its crafting split"):
        crafting = tuple(dataset.plug.crafting())
        if odd := next((type(row).__name__ for row in crafting if not isinstance(row, Sample)), ""):
            raise TypeError(f"a {odd} among its samples, expected a Sample each")
    check_apart(crafting, [row for row in trial.cell.rows if isinstance(row, Sample)])
    with watched_by(progress.crafting), one_line("attack", attack, f"attack {attack.name}: crafting failed"):
        return buy(trial, crafting)


def _stale(plan: Plan, runnable: Sequence[Cell], store: Store) -> list[Cell]:
    """Cells that are done by other judges than those of the study now, or by one that broke."""
    known = {cell["cell"]: cell for cell in store.cells()}
    judges = plan.study.judges

    def is_stale(cell: Cell) -> bool:
        status = known[cell.key]
        return (
            status["success"] != _success_key(plan)
            or any(item.label in status["judge_faults"] for item in judges)
            or not all(store.has_scores(cell.key, item.plug.key) for item in judges)
        )

    return [cell for cell in runnable if store.done(cell.key) and is_stale(cell)]


def _success_key(plan: Plan) -> str:
    return next(item.plug.key for item in plan.study.judges if item.label == plan.study.success)


def _judge_cells(plan: Plan, cells: Sequence[Cell], store: Store, *, anew: bool) -> None:
    """Score recorded cells; whether a cell measured something may change with its judge."""
    for cell in cells:
        rows = store.frame(cell.key).to_dicts()
        before = store.status(cell.key)
        told_of_judges, reason = _judged(plan, cell, rows, store, anew=anew)
        status = "failed" if reason else "done"
        if before["status"] == "pending":
            status, reason = "pending", before["reason"]
        store.put_status(cell.key, {**before, **told_of_judges, "status": status, "reason": reason})


def _judged(plan: Plan, cell: Cell, rows: Sequence[dict], store: Store, *, anew: bool) -> tuple[dict[str, object], str]:
    """Keeps the scores of the study's judges; what the cell's status says about them, and why nothing was measured
    (empty: something was). anew: score also what is scored already."""
    attempts = attempts_of(rows, {row.id: row for row in cell.rows}, store)
    broke = {} if anew else store.status(cell.key).get("judge_faults", {})
    faults: dict[str, JudgeFault] = {}
    success: dict[str, Score] = {}
    for item in plan.study.judges:
        plug: Judge = item.plug
        if anew or item.label in broke or not store.has_scores(cell.key, plug.key):
            scores, fault = judge(plug, item.label, attempts)
            store.put_scores(cell.key, plug.key, scores)
            faults |= {item.label: fault} if fault else {}
        elif item.label == plan.study.success:
            scores = store.scores_of(cell.key, plug.key)
        if item.label == plan.study.success:
            success = scores
    told_of_judges: dict[str, object] = {
        "success": _success_key(plan),
        "judge_faults": {label: vars(fault) for label, fault in faults.items()},
    }
    return told_of_judges, nothing_measured(rows, success)


def _report(plan: Plan, store: Store) -> None:
    """Raises NothingMeasured if the run, as it stands, is not what the study asked for; it says all of it."""
    cells = store.cells()
    if all(cell["status"] == "skipped" for cell in cells):
        raise NothingMeasured(f"no cell can run. {_title(cells[0])}: {cells[0]['reason']}")
    told_of = [_failures(cells), _broken_judges(plan, cells), _unfinished(cells)]
    if any(told_of):
        raise NothingMeasured(" ".join(filter(None, told_of)))


def _failures(cells: Sequence[dict]) -> str:
    failed, told_of = _named(cells, "failed")
    return f"{failed} measured nothing. {told_of}." if failed else ""


def _broken_judges(plan: Plan, cells: Sequence[dict]) -> str:
    """One sentence per judge that broke: a hole in its column that only its author can mend."""
    lines = [
        f"judge {fault['judge']} broke on {fault['replies']} of {fault['of']} replies: "
        + fault["reason"].removeprefix(f"judge {fault['judge']}: ")
        for fault in broken_judges(cells, [item.label for item in plan.study.judges])
    ]
    rest = "Mend it, then run the same command again: no victim is asked anew."
    return f"{'; '.join(lines)}. {rest}" if lines else ""


def _unfinished(cells: Sequence[dict]) -> str:
    unfinished, told_of = _named(cells, "pending")
    if not unfinished:
        return ""
    return (
        f"{unfinished} are not finished. {told_of}. "
        "What was answered is kept: raise the budget, then run the same command again."
    )


def _named(cells: Sequence[dict], status: str) -> tuple[str, str]:
    """How many of the cells that were to run have this status, and their reasons, each once with its first cell; "" if
    none has."""
    found = [cell for cell in cells if cell["status"] == status]
    promised = sum(cell["status"] != "skipped" for cell in cells)
    first: dict[str, list[dict]] = {}
    for cell in found:
        first.setdefault(cell["reason"], []).append(cell)
    lines = [
        _title(some[0]) + (f" and {len(some) - 1} more" if len(some) > 1 else "") + f": {reason}"
        for reason, some in first.items()
    ]
    rest = [f"{len(lines) - REASONS} more reasons: the report has them"] if len(lines) > REASONS else []
    return (f"{len(found)} of {promised} cells" if found else ""), "; ".join([*lines[:REASONS], *rest])


def _title(cell: dict) -> str:
    return " x ".join(cell[name] for name in ("victim", "attack", "defense", "dataset"))
