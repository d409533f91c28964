"""The local runner: cells in plan order, fixed chunks, one writer, one victim in memory at a time."""

from __future__ import annotations

import gc
import itertools
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from proofglass.console import REASON, cut, visible
from proofglass.errors import NothingMeasured, ProofglassError, StoreError
from proofglass.faults import kept_by, one_line, stops_the_run, told
from proofglass.interfaces import Defense, Judge, Victim, key_of
from proofglass.judging import JudgeFault, judge
from proofglass.meter import Meter
from proofglass.records.crafts import Crafted
from proofglass.records.journal import Heard, Journal, JournaledHelpers, JournaledVictim, costs_of
from proofglass.records.schema import Record, plain
from proofglass.records.store import Store
from proofglass.report.run import broken_judges
from proofglass.studies.attempt import attempts_of, nothing_measured
from proofglass.studies.craft import summary
from proofglass.studies.execute import run_cell, trial_of
from proofglass.studies.fitting import fitted, spent
from proofglass.studies.plan import Cell, Plan, describe
from proofglass.studies.progress import Progress
from proofglass.studies.study import Item
from proofglass.types import Cost, Helper, Score

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
        _judge_cells(plan, _stale(plan, runnable, store), store, journal, anew=False)
    progress.end()
    _report(plan, store)


def judge_anew(plan: Plan, store: Store) -> None:
    """Score the recorded replies with the judges of `plan`'s study; no victim is built or asked, and a helper of a
    judge only what it was not asked before.

    Raises StoreError if the store holds none of the plan's cells, NothingMeasured as `run` does.
    """
    measured = [cell for cell in plan.cells if not store.frame(cell.key).is_empty()]
    if not measured:
        raise StoreError(
            f"{store.path}: holds no record of this study. "
            "Only judges, success and metrics may differ from the run's study."
        )
    judges = {item.label: describe("judges", item) for item in plan.study.judges}
    metrics = {item.label: describe("metrics", item) for item in plan.study.metrics}
    store.put_judges(judges, plan.study.success, plan.study.text, metrics)
    asks = any(item.plug.asks_helpers for item in plan.study.judges)
    with kept_by(store.put_fault), Journal(store.shared / "journal.jsonl") if asks else nullcontext() as journal:
        _judge_cells(plan, measured, store, journal, anew=True)
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
    held: dict[str, Helper] = {}
    for cell in cells:
        progress.cell(cell)
        try:
            if model is None:
                with one_line("victim", item.plug, f"victim {item.label}"):
                    model = item.build()
            asked = Asked(journal, progress, model, cell.defense.plug, held)
            status, reason = _run_cell(plan, cell, model, asked, store, progress)
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
    held.clear()
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


def _run_cell(plan: Plan, cell: Cell, model: Victim, asked: Asked, store: Store, progress: Progress) -> tuple[str, str]:
    """Measure, judge and seal one cell. Returns its status and, if it failed, why."""
    study = plan.study
    defense = fitted(cell, model, store, progress)
    trial = trial_of(cell, model, study.settings, study.budget, asked.through, asked.helpers, defense)
    records: list[Record] = []
    bought: list[Crafted] = []
    shared: Crafted | None = None
    with Meter() as meter:
        for chunk in run_cell(trial, store, progress):
            records += chunk.records
            if not bought or chunk.bought is not bought[-1]:  # one serves all chunks where it is universal
                bought.append(chunk.bought)
            shared = chunk.shared
            failures = [r.reason for r in chunk.records if r.outcome == "error" and r.reason]
            progress.chunk(chunk.rows, failures)
    bought += [shared] if shared else []
    made_rows = [vars(record) for record in records]
    told_of_judges, reason = _judged(plan, cell, made_rows, store, asked.by_judge, anew=True)
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
            "craft": summary(trial.attack, bought, trial.crafting(bought)),
            "fit": spent(defense),
            "unsent": asked.unsent.total(),
            "helpers": _told(asked.helpers.costs),
            "batches": {
                batch: [cost.queries, cost.tokens_in, cost.tokens_out, cost.money]
                for batch, cost in asked.batches.items()
            },
            **told_of_judges,
        },
    )
    return status, reason


class Asked:
    """What a cell asks, each model through the journal under a key of its own.

    held: helpers in memory, by key. helpers: those of attack and defense; by_judge(): those of one more judge, counted
    apart.
    """

    def __init__(
        self, journal: Journal, progress: Progress, model: Victim, defense: Defense, held: dict[str, Helper]
    ) -> None:
        self.helpers = JournaledHelpers(journal, held=held)
        self.by_judge = _by_judge(journal, held, progress.judged)
        self._journal, self._progress = journal, progress
        self._model, self._defense = model, defense
        self._models: dict[str, JournaledVictim] = {}

    def through(self, victim: Victim) -> JournaledVictim:
        """`victim`, the innermost one of a finished stack, its answers journaled: under its own key, or, where a
        defense has put it in the model's place, under that of all three: its class may name little of what it is made
        of."""
        key = victim.key
        if victim is not self._model:
            key = key_of([key, self._model.key, self._defense.key])
        journaled = JournaledVictim(victim, self._journal, self._progress.heard, key)
        return self._models.setdefault(key, journaled)

    @property
    def unsent(self) -> Counter[str]:
        """Asks that were not sent, by reason: those of helpers too, without which a row is not done."""
        return sum((model.unsent for model in self._models.values()), self.helpers.unsent)

    @property
    def seconds(self) -> float:
        """What the models took for all of their answers, whichever run asked."""
        return sum(model.seconds for model in self._models.values())

    @property
    def batches(self) -> dict[str, Cost]:
        """Batch -> what its answers cost."""
        return {batch: cost for model in self._models.values() for batch, cost in model.batches.items()}


def _by_judge(journal: Journal, held: dict[str, Helper], heard: Heard | None = None) -> Callable[[], JournaledHelpers]:
    """Makes the helpers of each judge, counted for it alone."""
    return lambda: JournaledHelpers(journal, heard, held)


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


def _judge_cells(plan: Plan, cells: Sequence[Cell], store: Store, journal: Journal | None, *, anew: bool) -> None:
    """Score recorded cells; whether a cell measured something may change with its judge. journal: None where no judge
    asks helpers."""
    held: dict[str, Helper] = {}
    for cell in cells:
        helpers = None if journal is None else _by_judge(journal, held)
        rows = store.frame(cell.key).to_dicts()
        before = store.status(cell.key)
        told_of_judges, reason = _judged(plan, cell, rows, store, helpers, anew=anew)
        status = "failed" if reason else "done"
        if before["status"] == "pending":
            status, reason = "pending", before["reason"]
        store.put_status(cell.key, {**before, **told_of_judges, "status": status, "reason": reason})


def _judged(
    plan: Plan,
    cell: Cell,
    rows: Sequence[dict[str, Any]],
    store: Store,
    helpers: Callable[[], JournaledHelpers] | None,
    *,
    anew: bool,
) -> tuple[dict[str, object], str]:
    """Keeps the scores of the study's judges; what the cell's status says about them, and why nothing was measured
    (empty: something was). anew: score also what is scored already."""
    attempts = attempts_of(rows, {row.id: row for row in cell.rows}, store)
    before = {} if anew else store.status(cell.key)
    broke = before.get("judge_faults", {})
    asked: dict[str, Any] = dict(before.get("judge_batches", {}))
    heard: list[JournaledHelpers] = []
    faults: dict[str, JudgeFault] = {}
    success: dict[str, Score] = {}
    for item in plan.study.judges:
        plug: Judge = item.plug
        if anew or item.label in broke or not store.has_scores(cell.key, plug.key):
            mine = None if helpers is None else helpers()
            scores, fault = judge(plug, item.label, attempts, mine, plan.study.chunk)
            store.put_scores(cell.key, plug.key, scores)
            asked[item.label] = {} if mine is None else mine.told
            heard += [] if mine is None else [mine]
            faults |= {item.label: fault} if fault else {}
        elif item.label == plan.study.success:
            scores = store.scores_of(cell.key, plug.key)
        if item.label == plan.study.success:
            success = scores
    told_of_judges: dict[str, object] = {
        "success": _success_key(plan),
        "judge_faults": {label: vars(fault) for label, fault in faults.items()},
        "judge_helpers": before.get("judge_helpers", {}) | _told(costs_of(heard)),
        "judge_batches": {label: batches for label, batches in asked.items() if batches},
    }
    return told_of_judges, nothing_measured(rows, success)


def _told(costs: Mapping[str, Cost]) -> dict[str, dict[str, float]]:
    """Costs by helper, as the status of a cell holds them."""
    return {key: asdict(cost) for key, cost in costs.items()}


def _report(plan: Plan, store: Store) -> None:
    """Raises NothingMeasured if the run, as it stands, is not what the study asked for; it says all of it."""
    cells = store.cells()
    if all(cell["status"] == "skipped" for cell in cells):
        raise NothingMeasured(f"no cell can run. {_title(cells[0])}: {cells[0]['reason']}")
    told_of = [_failures(cells), _broken_judges(plan, cells), _unfinished(cells)]
    if any(told_of):
        raise NothingMeasured(" ".join(filter(None, told_of)))


def _failures(cells: Sequence[dict[str, Any]]) -> str:
    failed, told_of = _named(cells, "failed")
    return f"{failed} measured nothing. {told_of}." if failed else ""


def _broken_judges(plan: Plan, cells: Sequence[dict[str, Any]]) -> str:
    """One sentence per judge that broke: a hole in its column that only its author can mend."""
    lines = [
        f"judge {fault['judge']} broke on {fault['replies']} of {fault['of']} replies: "
        + fault["reason"].removeprefix(f"judge {fault['judge']}: ")
        for fault in broken_judges(cells, [item.label for item in plan.study.judges])
    ]
    rest = "Mend it, then run the same command again: no victim is asked anew."
    return f"{'; '.join(lines)}. {rest}" if lines else ""


def _unfinished(cells: Sequence[dict[str, Any]]) -> str:
    unfinished, told_of = _named(cells, "pending")
    if not unfinished:
        return ""
    return (
        f"{unfinished} are not finished. {told_of}. "
        "What was answered is kept: raise the budget, then run the same command again."
    )


def _named(cells: Sequence[dict[str, Any]], status: str) -> tuple[str, str]:
    """How many of the cells that were to run have this status, and their reasons, each once with its first cell; "" if
    none has."""
    found = [cell for cell in cells if cell["status"] == status]
    promised = sum(cell["status"] != "skipped" for cell in cells)
    first: dict[str, list[dict[str, Any]]] = {}
    for cell in found:
        first.setdefault(cell["reason"], []).append(cell)
    lines = [
        _title(some[0]) + (f" and {len(some) - 1} more" if len(some) > 1 else "") + f": {reason}"
        for reason, some in first.items()
    ]
    rest = [f"{len(lines) - REASONS} more reasons: the report has them"] if len(lines) > REASONS else []
    return (f"{len(found)} of {promised} cells" if found else ""), "; ".join([*lines[:REASONS], *rest])


def _title(cell: dict[str, Any]) -> str:
    return " x ".join(cell[name] for name in ("victim", "attack", "defense", "dataset"))
