"""The only token search of Proofglass: GCG, HotFlip and ARCA differ in their `Swaps`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from proofglass.engine import checkpoints
from proofglass.engine.course import Course, Row
from proofglass.engine.marked import MarkedNLL
from proofglass.engine.progress import Pace, report
from proofglass.engine.purse import Purse
from proofglass.engine.schedule import Check, Look, Schedule
from proofglass.engine.swaps import Ids, Swaps
from proofglass.errors import ZeroGradient
from proofglass.types import Budget, Cost

if TYPE_CHECKING:
    import torch

# Steps in a row without any candidate that can be written, after which a row is given up.
PATIENCE = 5

# Raised when what a checkpoint holds changes: older ones are of no use then.
LAYOUT = 1


@dataclass
class Mark:
    """One mark while it is searched. current: what the next step starts from; best: of the least loss so far (where
    losses cannot be compared, the current one); rejected: candidates that do not read back as their own tokens; tried:
    candidates whose loss was taken; stuck: steps in a row without one; seen: what the last check looked at."""

    current: Ids
    best: Ids
    least: float = math.inf
    rejected: int = 0
    tried: int = 0
    stuck: int = 0
    seen: Ids = ()
    row: Row = field(default_factory=Row)

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Mark:
        ids = {name: tuple(facts[name]) for name in ("current", "best", "seen")}
        return cls(**(facts | ids | {"row": Row(**facts["row"])}))


@dataclass(frozen=True)
class FoundTokens:
    """What `search` returns, row by row.

    texts: what each mark says, with the space in front of it; ids: its tokens. loss: at these tokens (of a sampled
    objective: of its last step's draw). losses[b]: at the start and after each step; least[b]: the least so far, which
    never rises. costs, steps, succeeded, stopped: as in `engine.Found`. tried, rejected: candidates whose loss was
    taken, and those that are other tokens once written.
    """

    texts: list[str]
    ids: list[Ids]
    loss: list[float]
    losses: list[list[float]]
    least: list[list[float]]
    costs: list[Cost]
    steps: list[int]
    succeeded: list[bool | None]
    stopped: list[str]
    tried: list[int]
    rejected: list[int]
    seconds: float

    def trace(self, b: int = 0) -> dict[str, Any]:
        """JSON-able summary of row b, for an `Artefact`."""
        return {
            "loss": [round(value, 6) for value in self.losses[b]],
            "loss_best": self.loss[b],
            "tokens": len(self.ids[b]),
            "steps": self.steps[b],
            "candidates": self.tried[b],
            "candidates_rejected": self.rejected[b],
            "succeeded": self.succeeded[b],
            "stopped": self.stopped[b],
        }


def search(
    objective: MarkedNLL,
    start: Sequence[Ids],
    swaps: Swaps,
    *,
    allowed: torch.Tensor,
    steps: int,
    seed: Sequence[int],
    budget: Budget | None = None,
    check: Check | None = None,
) -> FoundTokens:
    """Change the tokens of each row's mark, one a step, so that the loss falls.

    start: the tokens that a row begins with. allowed: bool [V], which tokens may be written. seed: one per row; all
    that a row draws depends on its seed and the step alone, so rows are independent of each other.
    budget: cap per row. A step costs a pass for each candidate and pair, and a forward and a backward pass for each
    gradient and pair; one that a budget does not pay whole is not begun. check: sees texts in place of pictures, the
    best so far every `every` steps and at the end (a text that it has seen before is not asked again).
    A candidate counts only if its text reads back as its own tokens in every chat of its row. Where losses can be
    compared, the best mark so far is kept apart from the one that the next step starts from, and is what is found.
    Raises ValueError where nothing may be written, ZeroGradient if the first gradient of every row is zero.
    """
    if not bool(allowed.any()):
        raise ValueError("allowed: expected at least one token that may be written, found none")
    if not len(start) == len(seed) == len(objective.rows):
        raise ValueError(f"start, seed: expected {len(objective.rows)} each, found {len(start)}, {len(seed)}")
    return TokenSearch(objective, tuple(start), swaps, allowed, steps, tuple(seed), budget, check).finish()


@dataclass
class TokenSearch:
    """One search; `search` is its door. marks: all that it has so far."""

    objective: MarkedNLL
    start: tuple[Ids, ...]
    swaps: Swaps
    allowed: torch.Tensor
    steps: int
    seeds: tuple[int, ...]
    budget: Budget | None
    check: Check | None

    def __post_init__(self) -> None:
        self.began = time.perf_counter()
        self.slot = checkpoints.next_slot(self._fingerprint())
        self.embeddings = self.objective.victim.embeddings().float()
        self.purse = Purse(self.budget, Schedule(self.steps), self.check, Cost())
        self.marks = [Mark(ids, ids) for ids in self.start]
        self.course = Course(running=list(range(len(self.start))), price=self.purse.of(self._price()))
        self._resume()

    def _price(self) -> Cost:
        """What a step costs a row at most."""
        own = self.swaps.fill_ins > 1  # then the loss of the current mark is a pass of its own
        forward = self.swaps.candidates + self.swaps.fill_ins + own
        most = max(map(self.objective.width, range(len(self.start))), default=1) * self.objective.victim.passes
        return Cost(forward=forward, backward=self.swaps.fill_ins) * most

    # ---- the loop -------------------------------------------------------------------------------------------------

    def finish(self) -> FoundTokens:
        while self.course.running and self.course.step < self.steps:
            step = self.course.step
            self._stop_spent(step)
            due = self.check is not None and step % self.check.every == 0
            if due and step:
                self._look(self.course.running, step)
            gradients = {b: self._gradient(b, step) for b in self.course.running}
            if step == 0:
                self._some_slope(gradients)
                if due:  # not before: what succeeds at its start has a loss, too
                    self._look(self.course.running, step)
            for b in self.course.running:
                self._advance(b, step, *gradients[b])
            self.course.step = step + 1
            self._leave([b for b in self.course.running if self.marks[b].row.stopped])
            self._pace()
            if self.slot and self.course.step % self.slot.every == 0:
                self._save()
        self._leave(list(self.course.running))
        self._save()
        return self._found()

    def _gradient(self, b: int, step: int) -> tuple[float, torch.Tensor]:
        """The loss at the current mark (infinite where it is not among the fillings), and what the step goes by."""
        mark = self.marks[b]
        fillings = self.swaps.fillings(mark.current, step, self.seeds[b], self.allowed)
        loss, gradient = self.objective.gradient(b, fillings, step)
        self._pass(b, len(fillings), len(fillings))
        at_current = fillings == [mark.current]
        if step == 0 and not at_current:
            loss, at_current = float(self._losses(b, [mark.current], step)[0]), True
        if step == 0:
            mark.row.losses.append(loss)
            self._prefer(mark, loss)
        return (loss if at_current else math.inf), gradient.float().to(self.embeddings.device)

    def _advance(self, b: int, step: int, at_current: float, gradient: torch.Tensor) -> None:
        """Take row b's step: propose, keep what can be written, score, accept."""
        mark = self.marks[b]
        mark.row.steps += 1
        mark.row.strikes = 0 if bool(gradient.isfinite().all()) else mark.row.strikes + 1
        mark.row.nonfinite += mark.row.strikes > 0
        if mark.row.strikes:
            mark.row.losses.append(mark.row.losses[-1])
            if mark.row.strikes >= PATIENCE:
                mark.row.stopped = f"gradient not finite for {PATIENCE} steps"
            return
        proposed = self.swaps.candidates_of(
            mark.current, gradient, self.embeddings, self.allowed, step=step, seed=self.seeds[b]
        )
        written = [ids for ids, fits in zip(proposed, self.objective.readable(b, proposed), strict=True) if fits]
        mark.rejected += len(proposed) - len(written)
        found = self._best(b, step, at_current, written)
        patience = PATIENCE if self.swaps.order == "all" else max(PATIENCE, len(mark.current))
        if found is None and mark.stuck >= patience:
            mark.row.stopped = f"no candidate of {patience} steps reads back as its own tokens"
        if found is not None:
            mark.current = found[0]
        loss = found[1] if found is not None else at_current if at_current < math.inf else mark.row.losses[-1]
        mark.row.losses.append(loss)
        self._prefer(mark, loss)

    def _best(self, b: int, step: int, at_current: float, written: Sequence[Ids]) -> tuple[Ids, float] | None:
        """The candidate to go on from, and its loss; None to stay."""
        mark = self.marks[b]
        careful = self.swaps.accepts == "better"
        if careful and at_current == math.inf:
            at_current = float(self._losses(b, [mark.current], step)[0])
        losses = self._losses(b, written, step).tolist() if written else []
        mark.stuck += 1
        for loss, k in sorted((loss, k) for k, loss in enumerate(losses) if math.isfinite(loss)):
            if careful and not loss < at_current:
                mark.stuck = 0
                return None
            if written[k] == mark.current or self.objective.reads(b, written[k]):
                mark.stuck = 0
                return written[k], loss
            mark.rejected += 1
        return None

    def _losses(self, b: int, candidates: Sequence[Ids], step: int) -> torch.Tensor:
        found = self.objective.losses(b, self.marks[b].current, candidates, step)
        self.marks[b].tried += len(candidates)
        self._pass(b, len(candidates), 0)
        return found

    def _pass(self, b: int, forward: int, backward: int) -> None:
        each = self.objective.width(b) * self.objective.victim.passes
        self.marks[b].row.passed(forward * each, backward * each, 1, self.purse.unit)

    def _prefer(self, mark: Mark, loss: float) -> None:
        if not self.objective.fixed or loss < mark.least:
            mark.best, mark.least = mark.current, loss

    def _some_slope(self, gradients: dict[int, tuple[float, torch.Tensor]]) -> None:
        if gradients and not any(bool(gradient.any()) for _, gradient in gradients.values()):
            raise ZeroGradient(
                "the first gradient of every mark is zero: the loss does not depend on its tokens, or the victim's "
                "embeddings are not what it computes with"
            )

    # ---- what happens to a row --------------------------------------------------------------------------------------

    def _stop_spent(self, step: int) -> None:
        """Retire rows whose budget does not pay another step."""
        for b in self.course.running:
            if self.purse.lacks(self.marks[b].row, self.course, step, self._elapsed()):
                self.marks[b].row.stopped = self.purse.spent
        self._leave([b for b in self.course.running if self.marks[b].row.stopped])

    def _leave(self, rows: Sequence[int]) -> None:
        """These rows are finished: a last look, where their budget paid a first step, then on with the others."""
        if rows:
            self._look([b for b in rows if self.marks[b].row.losses], self.course.step)
            self.course.running = [b for b in self.course.running if b not in rows]

    def _look(self, rows: Sequence[int], step: int) -> None:
        """Ask the check about these rows' best texts, as far as it has not seen them; retire what has succeeded."""
        due = [b for b in rows if self.marks[b].best != self.marks[b].seen]
        if self.check is None or not due:
            return
        texts = [self.objective.text(b, self.marks[b].best) for b in due]
        for b, given in zip(due, self.check.score(texts, due), strict=True):
            mark = self.marks[b]
            look = given if isinstance(given, Look) else Look(float(given), Cost(queries=self.check.queries))
            score, mark.seen = mark.row.looked(look, self.purse.unit), mark.best
            mark.row.succeeded = score >= (1.0 if self.check.stop_at is None else self.check.stop_at)
            if mark.row.succeeded and self.check.stop_at is not None:
                mark.row.stopped = "" if step == self.steps else f"succeeded at step {step}"
        self.course.running = [
            b for b in self.course.running if not (self.marks[b].row.succeeded and self.marks[b].row.stopped)
        ]

    # ---- the outside ------------------------------------------------------------------------------------------------

    def _elapsed(self) -> float:
        return self.course.elapsed + time.perf_counter() - self.began

    def _pace(self) -> None:
        rows, elapsed = [mark.row for mark in self.marks], self._elapsed()
        known = sum(bool(row.succeeded) for row in rows) if self.check else None
        last = [row.losses[-1] for row in rows if row.losses]
        done, loss = self.course.step, sum(last) / max(len(last), 1)
        whole = self.purse.steps(self.course, rows, elapsed)
        report(Pace(done, whole, loss, len(rows), known, done / max(elapsed, 1e-9)))

    def _found(self) -> FoundTokens:
        marks, rows = self.marks, [mark.row for mark in self.marks]
        return FoundTokens(
            [self.objective.text(b, mark.best) for b, mark in enumerate(marks)],
            [mark.best for mark in marks],
            [mark.least for mark in marks],
            [row.losses for row in rows],
            [_falling(row.losses) if self.objective.fixed else row.losses for row in rows],
            [row.cost for row in rows],
            [row.steps for row in rows],
            [row.succeeded for row in rows],
            [row.stopped for row in rows],
            [mark.tried for mark in marks],
            [mark.rejected for mark in marks],
            self._elapsed(),
        )

    def _fingerprint(self) -> str:
        looks = self.check and (self.check.every, self.check.stop_at, self.check.queries)
        budget = "seconds" if self.budget and self.budget.unit == "seconds" else self.budget
        drawn = (self.objective.per_step, self.objective.weighting)
        parts = ("tokens", LAYOUT, self.start, self.swaps, self.steps, self.seeds, budget, looks, drawn)
        return checkpoints.fingerprint([self.allowed], *parts)

    def _save(self) -> None:
        if self.slot is not None:
            course = asdict(self.course) | {"elapsed": self._elapsed()}
            self.slot.save({}, {"course": course, "marks": [asdict(mark) for mark in self.marks]})

    def _resume(self) -> None:
        kept = self.slot.load() if self.slot else None
        if kept is not None:
            _, facts = kept
            self.course = Course(**facts["course"])
            self.marks = [Mark.of(each) for each in facts["marks"]]


def _falling(losses: Sequence[float]) -> list[float]:
    """The least of each start of `losses`."""
    least: list[float] = []
    for loss in losses:
        least.append(min(loss, least[-1]) if least else loss)
    return least
