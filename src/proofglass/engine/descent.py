"""The only optimisation loop of Proofglass; `minimise` is its door."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.engine import checkpoints, seeds
from proofglass.engine.batch import Batch
from proofglass.engine.course import Course, Row
from proofglass.engine.found import Found, as_pictures, found_at
from proofglass.engine.gradients import usable, zero_shares
from proofglass.engine.objectives import Evaluation, Objective
from proofglass.engine.points import IMAGE, Point, is_picture, named, rows_of, shaped
from proofglass.engine.progress import Pace, report
from proofglass.engine.purse import Purse
from proofglass.engine.rounding import nearest
from proofglass.engine.schedule import Check, Look, Schedule
from proofglass.engine.standing import Standing
from proofglass.engine.steps import Iterate
from proofglass.engine.variables import On, levels_of
from proofglass.types import Budget, Cost

if TYPE_CHECKING:
    import torch

# A picture whose gradient stays non-finite for so many steps has left what its model can compute.
NONFINITE_PATIENCE = 5

# Raised when what a checkpoint holds changes: older ones are of no use then.
LAYOUT = 3

Select = Literal["last", "best", "checked"]


@dataclass
class Descent:
    """One search. x0, start: variables by name, a row per picture; like: the form in which the caller gave them, and in
    which the objective is asked. now: all that it has so far; active: the objective of the pictures still running."""

    objective: Objective
    x0: dict[str, torch.Tensor]
    moves: Mapping[str, On]
    schedule: Schedule
    seeds: tuple[int, ...]
    budget: Budget | None
    select: Select
    check: Check | None
    start: dict[str, torch.Tensor] | None
    like: Point

    def __post_init__(self) -> None:
        self.began = time.perf_counter()
        self.slot = checkpoints.next_slot(self._fingerprint())
        self.needs_grad = any(on.step.needs_grad for on in self.moves.values())
        self.judges_end = self.select == "best" or self.schedule.restarts > 1
        end = self.objective.price(False) if self.judges_end else Cost()
        self.purse = Purse(self.budget, self.schedule, self.check, end)
        self.active = self.objective
        self.now = self._resumed() or self._at_first()
        self._activate()

    # ---- the loop -------------------------------------------------------------------------------------------------

    def finish(self) -> Found:
        while not self.now.course.over:
            self._descend()
            self._next_restart()
        self._save()
        return self._found()

    def _at_first(self) -> Standing:
        import torch

        rows = [Row() for _ in self.seeds]
        rank = torch.full((len(rows),), math.inf, device=next(iter(self.x0.values())).device)
        price = self.purse.of(self.objective.price(self.needs_grad))
        course = Course(running=list(range(len(rows))), price=price)
        best = {name: x.clone() for name, x in self.x0.items()}
        return Standing(rows, best, rank, course, self._batch(course))

    def _batch(self, course: Course) -> Batch:
        """The running pictures at the start of a restart."""
        clean = rows_of(self.x0, course.running)
        return Batch.begun(self._started(clean, course), clean, self.moves, self.active.memory())

    def _started(self, clean: dict[str, torch.Tensor], course: Course) -> dict[str, torch.Tensor]:
        """The first iterates: the caller's for the first restart, where there are some, else the constraints' own."""
        if self.start is not None and course.restart == 0:
            return {name: tensor.clone() for name, tensor in self.start.items()}
        return {
            name: on.constraint.begin(
                clean[name], seeds.uniform(clean[name], self._seeds(name, course), "start", course.restart)
            )
            for name, on in self.moves.items()
        }

    def _descend(self) -> None:
        """One run from its start, or from a checkpoint, to its end."""
        course, steps = self.now.course, self.schedule.steps
        if course.step == 0:
            self._turn_away()
        while course.step < steps and course.running:
            i = course.step
            self._look(i)
            if not course.running:
                return
            batch = self.now.batch
            seen = self.active(self._asked(batch.x), i, need_grad=self.needs_grad, memory=batch.memory)
            self._count(seen)
            if self.select == "best":
                batch.prefer(seen.loss)
            batch.memory = seen.memory
            batch.x = batch.x | self._moved(seen.loss, self._gradients(seen, i), i)
            course.step = i + 1
            self._pace(float(seen.loss.mean()))
            self._give_up()
            if self.slot and course.step % self.slot.every == 0:
                self._save()
        if course.running:
            self._look(course.step, last=course.running)
        self._end(list(range(len(course.running))))

    def _moved(self, loss: torch.Tensor, grads: Mapping[str, torch.Tensor], i: int) -> dict[str, torch.Tensor]:
        """The next iterates of the variables that move at step `i`; their rules' states go on."""
        batch, moved = self.now.batch, {}
        for name, on in self.moves.items():
            turn = on.turn(i, self.schedule.steps)
            if turn is None:
                continue
            at = Iterate(
                batch.x[name],
                batch.clean[name],
                -loss if on.ascends else loss,
                -grads[name] if on.ascends else grads[name],
                on.constraint,
                *turn,
                self.schedule.scale(i),
                self._seeds(name, self.now.course),
            )
            x, batch.states[name] = on.step(at, batch.states[name])
            moved[name] = x.detach()
        return moved

    def _next_restart(self) -> None:
        """Begin the next restart with the pictures that neither succeeded nor ran out of budget."""
        course, rows = self.now.course, self.now.rows
        left = [b for b, row in enumerate(rows) if not row.succeeded and not row.stopped]
        if course.restart + 1 == self.schedule.restarts:
            course.over = True
            return
        for b in left:
            self._stop_if_spent(rows[b], 0)
        course.running = [b for b in left if not rows[b].stopped]
        if not course.running:
            course.over = True
            return
        course.restart, course.step = course.restart + 1, 0
        self._activate()
        self.now.batch = self._batch(course)
        for row in self.now.running:
            row.restart()

    def _activate(self) -> None:
        running = self.now.course.running
        everything = not running or running == list(range(len(self.now.rows)))
        self.active = self.objective if everything else self.objective.rows(running)

    def _seeds(self, name: str, course: Course) -> tuple[int, ...]:
        """One per running picture; another variable than the picture has draws of its own."""
        own = tuple(self.seeds[b] for b in course.running)
        return own if name == IMAGE else tuple(seeds.seed_of(seed, name) for seed in own)

    def _asked(self, x: Mapping[str, torch.Tensor]) -> Point:
        return shaped(x, self.like)

    # ---- what happens to a picture ----------------------------------------------------------------------------------

    def _count(self, seen: Evaluation) -> None:
        running = self.now.running
        for row, loss in zip(running, seen.loss, strict=True):
            self.now.course.price = row.passed(seen.forward, seen.backward, len(running), self.purse.unit)
            row.losses.append(float(loss))
            row.steps += 1

    def _gradients(self, seen: Evaluation, i: int) -> dict[str, torch.Tensor]:
        """Of every variable; strikes for pictures whose is not finite. Raises ZeroGradient."""
        grads, finite = usable({} if seen.grad is None else named(seen.grad), self.now.batch.x, self.moves)
        if seen.grad is None:
            return grads
        running = self.now.running
        for row, whole in zip(running, finite.tolist(), strict=True):
            row.strikes = 0 if whole else row.strikes + 1
            row.nonfinite += not whole
        if i == 0 and self.now.course.restart == 0:
            for row, share in zip(running, zero_shares(grads, finite, self.moves), strict=True):
                row.zeros = share
        return grads

    def _stop_if_spent(self, row: Row, step: int) -> None:
        if self.purse.lacks(row, self.now.course, step, self.elapsed()):
            row.stopped = self.purse.spent

    def _turn_away(self) -> None:
        """Retire pictures whose budget does not pay a first step: nothing is spent on them, no look at the start."""
        for row in self.now.running:
            self._stop_if_spent(row, 0)
        self._retire([k for k, row in enumerate(self.now.running) if row.stopped])

    def _give_up(self) -> None:
        """Retire pictures whose gradient stays non-finite or whose next step would pass the budget."""
        step, running = self.now.course.step, list(self.now.course.running)
        for row in self.now.running:
            if row.strikes >= NONFINITE_PATIENCE:
                row.stopped = f"gradient not finite for {NONFINITE_PATIENCE} steps"
            elif step < self.schedule.steps:
                self._stop_if_spent(row, step)
        gone = [b for b in running if self.now.rows[b].stopped]
        if gone:
            self._look(step, last=gone)
            self._end([k for k, b in enumerate(self.now.course.running) if b in gone])

    def _end(self, places: list[int]) -> None:
        """The last iterate is a candidate too: judge it where losses decide, then retire these places."""
        batch, running = self.now.batch, self.now.running
        if places and self.judges_end:
            end = self.active.rows(places).value(self._asked(rows_of(batch.x, places)))
            for loss, k in zip(end.loss, places, strict=True):
                running[k].passed(end.forward, 0, len(places), self.purse.unit)
                running[k].losses.append(float(loss))
                running[k].judged = True
                if self.select == "best" and loss < batch.rank[k]:
                    batch.keep(k, loss)
        self._retire(places)

    def _look(self, i: int, last: Sequence[int] = ()) -> None:
        """Ask the check, where it is due, about all pictures, or about those at their `last` iterate; retire what
        has succeeded."""
        check, batch, running = self.check, self.now.batch, self.now.course.running
        places = [k for k, b in enumerate(running) if b in last or not last]
        if check is None or not places or (i % check.every and not last):
            return
        pictures = as_pictures(levels_of(rows_of(batch.x, places), rows_of(batch.clean, places), self.moves))
        seen = check.score(pictures, [running[k] for k in places])
        done = []
        for k, given in zip(places, seen, strict=True):
            row = self.now.rows[running[k]]
            look = given if isinstance(given, Look) else Look(float(given), Cost(queries=check.queries))
            score = row.looked(look, self.purse.unit)
            succeeded = score >= (1.0 if check.stop_at is None else check.stop_at)
            row.succeeded = succeeded or (self.select == "checked" and bool(row.succeeded))
            if score > row.score:
                row.score = score
                if self.select == "checked":
                    batch.keep(k, -score)
            if succeeded and (check.stop_at is not None or (last and self.select == "last")):
                done.append(k)
                batch.keep(k, -math.inf)  # a success outdoes every loss of another restart
                row.stopped = "" if i == self.schedule.steps else f"succeeded at step {i}"
        self._retire(done)

    def _retire(self, places: list[int]) -> None:
        if places:
            self.now.retire(places, takes_last=self.select == "last")
            self._activate()

    # ---- the outside ------------------------------------------------------------------------------------------------

    def elapsed(self) -> float:
        return self.now.course.elapsed + time.perf_counter() - self.began

    def _pace(self, loss: float) -> None:
        course, rows, elapsed = self.now.course, self.now.rows, self.elapsed()
        known = sum(bool(row.succeeded) for row in rows) if self.check else None
        done = course.restart * self.schedule.steps + course.step
        report(Pace(done, self.purse.steps(course, rows, elapsed), loss, len(rows), known, done / max(elapsed, 1e-9)))

    def _found(self) -> Found:
        return found_at(
            self.now.rows,
            self.now.best,
            levels_of(self.now.best, self.x0, self.moves),
            {name: nearest(x) for name, x in self.x0.items() if is_picture(name)},
            lambda x: self.objective.value(self._asked(x)).loss,
            self.objective.plain,
            self.elapsed(),
        )

    def _fingerprint(self) -> str:
        """What must be equal for a checkpoint to be of this run; the attack and victim are the folder's business."""
        looks = self.check and (self.check.every, self.check.stop_at, self.check.queries)
        # What a first phase leaves of a budget in seconds is never the same twice.
        budget = "seconds" if self.budget and self.budget.unit == "seconds" else self.budget
        parts = (LAYOUT, dict(self.moves), self.schedule, self.seeds, budget, self.select, looks)
        return checkpoints.fingerprint([*self.x0.values(), *(self.start or {}).values()], *parts)

    def _save(self) -> None:
        if self.slot is not None:
            self.slot.save(self.now.tensors(), self.now.facts(self.elapsed()))

    def _resumed(self) -> Standing | None:
        kept = self.slot.load() if self.slot else None
        if kept is None:
            return None
        tensors, facts = kept
        device = next(iter(self.x0.values())).device
        return Standing.of({name: tensor.to(device) for name, tensor in tensors.items()}, facts, self.x0)
