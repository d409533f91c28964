"""The only optimisation loop of Proofglass; `minimise` is its door."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from proofglass.engine import checkpoints, seeds
from proofglass.engine.batch import Batch, beneath, prefixed
from proofglass.engine.constraints import Rounds
from proofglass.engine.course import Course, Row, heard, told
from proofglass.engine.found import Found, as_pictures, found_at
from proofglass.engine.gradients import usable, zero_shares
from proofglass.engine.objectives import Evaluation, Objective
from proofglass.engine.points import IMAGE, Point, is_picture, named, rows_of, shaped
from proofglass.engine.progress import Pace, report
from proofglass.engine.purse import Purse
from proofglass.engine.rounding import nearest
from proofglass.engine.schedule import Check, Look, Schedule
from proofglass.engine.steps import Iterate
from proofglass.engine.variables import On
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
    which the objective is asked. rows, best, rank: of every picture, what is known of it, the iterate of the restart
    that counts and what that goes by; batch, active: the running ones, and the objective of exactly these."""

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
        import torch

        self.began = time.perf_counter()
        self.slot = checkpoints.next_slot(self._fingerprint())
        self.needs_grad = any(on.step.needs_grad for on in self.moves.values())
        self.judges_end = self.select == "best" or self.schedule.restarts > 1
        end = self.objective.price(False) if self.judges_end else Cost()
        self.purse = Purse(self.budget, self.schedule, self.check, end)
        self.course = Course(price=self.purse.of(self.objective.price(self.needs_grad)))
        self.rows = [Row() for _ in self.seeds]
        self.best = {name: x.clone() for name, x in self.x0.items()}
        self.rank = torch.full((len(self.rows),), math.inf, device=next(iter(self.x0.values())).device)

    # ---- the loop -------------------------------------------------------------------------------------------------

    def finish(self) -> Found:
        if not self._resume():
            self._begin(0)
        while not self.course.over:
            self._descend()
            self._next_restart()
        self._save()
        return self._found()

    def _begin(self, restart: int) -> None:
        """A fresh start for all pictures that have not succeeded."""
        import torch

        running = [b for b, row in enumerate(self.rows) if not row.succeeded and not (restart and row.stopped)]
        self.course.restart, self.course.step = restart, 0
        self._run_on(running)
        clean = rows_of(self.x0, running)
        x = self._started(clean, restart)
        self.batch = Batch(
            x,
            clean,
            {name: on.step.init(x[name]) for name, on in self.moves.items()},
            dict(self.active.memory()),
            {name: tensor.clone() for name, tensor in x.items()},
            torch.full((len(running),), math.inf, device=self.rank.device),
        )
        for b in running:
            self.rows[b].restart()

    def _started(self, clean: dict[str, torch.Tensor], restart: int) -> dict[str, torch.Tensor]:
        """The first iterates: the caller's for the first restart, where there are some, else the constraints' own."""
        if self.start is not None and restart == 0:
            return {name: tensor.clone() for name, tensor in self.start.items()}
        return {
            name: on.constraint.begin(clean[name], seeds.uniform(clean[name], self._seeds(name), "start", restart))
            for name, on in self.moves.items()
        }

    def _descend(self) -> None:
        """One run from its start, or from a checkpoint, to its end."""
        course, steps = self.course, self.schedule.steps
        if course.step == 0:
            self._turn_away()
        while course.step < steps and course.running:
            i = course.step
            self._look(i)
            if not course.running:
                return
            seen = self.active(self._asked(self.batch.x), i, need_grad=self.needs_grad, memory=self.batch.memory)
            self._count(seen)
            if self.select == "best":
                self.batch.prefer(seen.loss)
            self.batch.memory = seen.memory
            self.batch.x = self.batch.x | self._moved(seen.loss, self._gradients(seen, i), i)
            course.step = i + 1
            for row in self._running():
                row.steps += 1
            self._pace(float(seen.loss.mean()))
            self._give_up()
            if self.slot and course.step % self.slot.every == 0:
                self._save()
        if course.running:
            self._look(course.step, last=course.running)
        self._end(list(range(len(course.running))))

    def _moved(self, loss: torch.Tensor, grads: Mapping[str, torch.Tensor], i: int) -> dict[str, torch.Tensor]:
        """The next iterates of the variables that move at step `i`; their rules' states go on."""
        batch, moved = self.batch, {}
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
                self._seeds(name),
            )
            x, batch.states[name] = on.step(at, batch.states[name])
            moved[name] = x.detach()
        return moved

    def _next_restart(self) -> None:
        """Begin the next restart with the pictures that neither succeeded nor ran out of budget."""
        restart = self.course.restart + 1
        if restart == self.schedule.restarts:
            self.course.over = True
            return
        left = [row for row in self.rows if not row.succeeded and not row.stopped]
        for row in left:
            if self.purse.lacks(row, self.course, 0, self.elapsed()):
                row.stopped = self.purse.spent
        if any(not row.stopped for row in left):
            self._begin(restart)
        else:
            self.course.over = True

    def _run_on(self, running: list[int]) -> None:
        self.course.running = running
        everything = not running or running == list(range(len(self.rows)))
        self.active = self.objective if everything else self.objective.rows(running)

    def _running(self) -> list[Row]:
        return [self.rows[b] for b in self.course.running]

    def _seeds(self, name: str) -> tuple[int, ...]:
        """One per running picture; another variable than the picture has draws of its own."""
        own = tuple(self.seeds[b] for b in self.course.running)
        return own if name == IMAGE else tuple(seeds.seed_of(seed, name) for seed in own)

    def _asked(self, x: Mapping[str, torch.Tensor]) -> Point:
        return shaped(x, self.like)

    # ---- what happens to a picture ----------------------------------------------------------------------------------

    def _count(self, seen: Evaluation) -> None:
        running = self._running()
        for row, loss in zip(running, seen.loss, strict=True):
            self.course.price = row.passed(seen.forward, seen.backward, len(running), self.purse.unit)
            row.losses.append(float(loss))

    def _gradients(self, seen: Evaluation, i: int) -> dict[str, torch.Tensor]:
        """Of every variable; strikes for pictures whose is not finite. Raises ZeroGradient."""
        grads, finite = usable({} if seen.grad is None else named(seen.grad), self.batch.x, self.moves)
        if seen.grad is None:
            return grads
        running = self._running()
        for row, whole in zip(running, finite.tolist(), strict=True):
            row.strikes = 0 if whole else row.strikes + 1
            row.nonfinite += not whole
        if i == 0 and self.course.restart == 0:
            for row, share in zip(running, zero_shares(grads, finite, self.moves), strict=True):
                row.zeros = share
        return grads

    def _turn_away(self) -> None:
        """Retire pictures whose budget does not pay a first step: nothing is spent on them, no look at the start."""
        poor = [k for k, row in enumerate(self._running()) if self.purse.lacks(row, self.course, 0, self.elapsed())]
        for k in poor:
            self.rows[self.course.running[k]].stopped = self.purse.spent
        self._retire(poor)

    def _give_up(self) -> None:
        """Retire pictures whose gradient stays non-finite or whose next step would pass the budget."""
        step, running = self.course.step, list(self.course.running)
        for b in running:
            row = self.rows[b]
            if row.strikes >= NONFINITE_PATIENCE:
                row.stopped = f"gradient not finite for {NONFINITE_PATIENCE} steps"
            elif step < self.schedule.steps and self.purse.lacks(row, self.course, step, self.elapsed()):
                row.stopped = self.purse.spent
        gone = [b for b in running if self.rows[b].stopped]
        if gone:
            self._look(step, last=gone)
            self._end([k for k, b in enumerate(self.course.running) if b in gone])

    def _end(self, places: list[int]) -> None:
        """The last iterate is a candidate too: judge it where losses decide, then retire these places."""
        if places and self.judges_end:
            end = self.active.rows(places).value(self._asked(rows_of(self.batch.x, places)))
            for loss, k in zip(end.loss, places, strict=True):
                row = self.rows[self.course.running[k]]
                row.passed(end.forward, 0, len(places), self.purse.unit)
                row.losses.append(float(loss))
                row.judged = True
                if self.select == "best" and loss < self.batch.rank[k]:
                    self.batch.keep(k, loss)
        self._retire(places)

    def _look(self, i: int, last: Sequence[int] = ()) -> None:
        """Ask the check, where it is due, about all pictures, or about those at their `last` iterate; retire what
        has succeeded."""
        check, running = self.check, self.course.running
        places = [k for k, b in enumerate(running) if b in last or not last]
        if check is None or not places or (i % check.every and not last):
            return
        pictures = as_pictures(self._levels(rows_of(self.batch.x, places), rows_of(self.batch.clean, places)))
        seen = check.score(pictures, [running[k] for k in places])
        enough = 1.0 if check.stop_at is None else check.stop_at
        done = []
        for k, look in zip(places, seen, strict=True):
            row = self.rows[running[k]]
            score = row.looked(
                look if isinstance(look, Look) else Look(float(look), Cost(queries=check.queries)), self.purse.unit
            )
            succeeded = score >= enough
            row.succeeded = succeeded or (self.select == "checked" and bool(row.succeeded))
            if score > row.score:
                row.score = score
                if self.select == "checked":
                    self.batch.keep(k, -score)
            if succeeded and (check.stop_at is not None or (last and self.select == "last")):
                done.append(k)
                self.batch.keep(k, -math.inf)  # a success outdoes every loss of another restart
                row.stopped = "" if i == self.schedule.steps else f"succeeded at step {i}"
        self._retire(done)

    def _retire(self, places: list[int]) -> None:
        """These places of the batch are finished: hand over their pictures, go on with the others."""
        batch, course = self.batch, self.course
        for k in places:
            b, row = course.running[k], self.rows[course.running[k]]
            succeeded = float(batch.rank[k]) == -math.inf
            takes_last = self.select == "last" and not succeeded
            rank = (row.losses or [math.inf])[-1] if takes_last else float(batch.rank[k])
            rank = math.inf if math.isnan(rank) else rank
            if course.restart == 0 or rank < float(self.rank[b]):
                for name, x in (batch.x if takes_last else batch.kept).items():
                    self.best[name][b] = x[k]
                self.rank[b] = rank
                row.kept_losses, row.kept_judged = row.losses, row.judged
                unlooked = not row.losses  # its budget did not pay a look at the start
                row.unseen_end = (takes_last or succeeded or unlooked) and len(row.losses) <= course.step
        if places:
            rest = [k for k in range(len(course.running)) if k not in places]
            self.batch = batch.take(rest)
            self._run_on([course.running[k] for k in rest])

    # ---- the outside ------------------------------------------------------------------------------------------------

    def elapsed(self) -> float:
        return self.course.elapsed + time.perf_counter() - self.began

    def _pace(self, loss: float) -> None:
        known = sum(bool(row.succeeded) for row in self.rows) if self.check else None
        done, elapsed = self.course.restart * self.schedule.steps + self.course.step, self.elapsed()
        whole = self.purse.steps(self.course, self.rows, elapsed)
        report(Pace(done, whole, loss, len(self.rows), known, done / max(elapsed, 1e-9)))

    def _levels(self, x: Mapping[str, torch.Tensor], clean: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The 8-bit pictures of `x`, uint8, inside the constraints around those of `clean`; no other variables."""
        found = {}
        for name in filter(is_picture, x):
            on = self.moves[name].constraint
            found[name] = (on.rounded(x[name], clean[name]) if isinstance(on, Rounds) else nearest(x[name])).byte()
        return found

    def _found(self) -> Found:
        return found_at(
            self.rows,
            self.best,
            self._levels(self.best, self.x0),
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
        if self.slot is None:
            return
        tensors = self.batch.tensors() | prefixed("best", self.best) | {"best rank": self.rank}
        facts: dict[str, Any] = told(self.course, self.rows)
        facts["course"]["elapsed"] = self.elapsed()
        self.slot.save(tensors, facts)

    def _resume(self) -> bool:
        kept = self.slot.load() if self.slot else None
        if kept is None:
            return False
        tensors, facts = kept
        here = {name: tensor.to(self.rank.device) for name, tensor in tensors.items()}
        self.course, self.rows = heard(facts)
        self._run_on(self.course.running)
        self.batch = Batch.of(here, rows_of(self.x0, self.course.running))
        self.best, self.rank = beneath("best", here), here["best rank"]
        return True
