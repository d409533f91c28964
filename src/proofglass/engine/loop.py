"""The only pixel loop of Proofglass; `minimise` is its door."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from proofglass.engine import checkpoints, seeds
from proofglass.engine.constraints import Constraint, Rounds
from proofglass.engine.found import Found, as_images, distances, in_levels
from proofglass.engine.gradients import zero_shares
from proofglass.engine.objectives import Evaluation, Objective
from proofglass.engine.progress import Pace, report
from proofglass.engine.rounding import nearest
from proofglass.engine.schedule import Check, Look, Schedule
from proofglass.engine.steps import Iterate, State, Step
from proofglass.types import Cost, Seconds

if TYPE_CHECKING:
    import torch

# A picture whose gradient stays non-finite for so many steps has left what its model can compute.
NONFINITE_PATIENCE = 5

# Raised when what a checkpoint holds changes: older ones are of no use then.
LAYOUT = 2

Select = Literal["last", "best", "checked"]


@dataclass
class Run:
    """The loop's state. Tensors named `all_*` have a row per picture; `rows` lists those that are still running,
    and x, state and the objective in use hold exactly these."""

    objective: Objective
    x0: torch.Tensor
    constraint: Constraint
    rule: Step
    schedule: Schedule
    seeds: tuple[int, ...]
    budget: float | None
    select: Select
    check: Check | None
    start: torch.Tensor | None
    facts: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        import torch

        count = len(self.x0)
        self.began = time.perf_counter()
        self.slot = checkpoints.next_slot(self._fingerprint())
        self.fresh = {name: tensor.clone() for name, tensor in self.objective.memory().items()}
        self.all_x = self.x0.clone()
        self.all_best = torch.full((count,), math.inf, device=self.x0.device)
        self.end_price = self.objective.price(False) if self._judges_end else 0.0
        # JSON-able: what a checkpoint holds beside tensors.
        self.facts = {
            "restart": 0, "step": 0, "rows": [], "elapsed": 0.0, "over": False,
            "step_price": self.objective.price(self.rule.needs_grad),
            "spent": [0.0] * count, "forward": [0.0] * count, "backward": [0.0] * count, "queries": [0] * count,
            "tokens_in": [0] * count, "tokens_out": [0] * count, "money": [0.0] * count,
            "steps": [0] * count, "strikes": [0] * count, "nonfinite": [0] * count, "zeros": [0.0] * count,
            "losses": [[] for _ in range(count)], "kept_losses": [[] for _ in range(count)],
            "stopped": [""] * count, "succeeded": [None] * count, "score": [-1.0] * count,
            "unseen_end": [False] * count, "judged": [False] * count, "kept_judged": [False] * count,
        }  # fmt: skip

    # ---- the loop -------------------------------------------------------------------------------------------------

    def finish(self) -> Found:
        if not self._resume():
            self._begin(0)
        while not self.facts["over"]:
            self._descend()
            self._next_restart()
        self._save()
        return self._found()

    def _begin(self, restart: int) -> None:
        """A fresh start for all pictures that have not succeeded."""
        import torch

        f = self.facts
        rows = [b for b in range(len(self.x0)) if not f["succeeded"][b] and not (restart and f["stopped"][b])]
        f.update(restart=restart, step=0)
        self._run_on(rows)
        if restart and self.fresh:
            self.active.recall({name: tensor[rows].clone() for name, tensor in self.fresh.items()})
        if self.start is not None and restart == 0:
            self.x = self.start.clone()
        else:
            noise = seeds.uniform(self.clean, self.row_seeds, "start", restart)
            self.x = self.constraint.begin(self.clean, noise)
        self.state: State = self.rule.init(self.x)
        self.kept_x = self.x.clone()
        self.kept = torch.full((len(rows),), math.inf, device=self.x.device)
        for b in rows:
            f["losses"][b], f["strikes"][b], f["score"][b], f["judged"][b] = [], 0, -1.0, False

    def _descend(self) -> None:
        """One run from its start, or from a checkpoint, to its end."""
        f, schedule = self.facts, self.schedule
        if f["step"] == 0:
            self._turn_away()
        while f["step"] < schedule.steps and f["rows"]:
            i = f["step"]
            self._look(i)
            if not f["rows"]:
                return
            seen = self.active(self.x, i, need_grad=self.rule.needs_grad)
            self._count(seen)
            self._keep(seen.loss)
            at = Iterate(
                self.x, self.clean, seen.loss, self._gradient(seen, i), self.constraint,
                i, schedule.steps, schedule.scale(i), self.row_seeds,
            )  # fmt: skip
            moved, self.state = self.rule(at, self.state)
            self.x = moved.detach()
            f["step"] = i + 1
            for b in f["rows"]:
                f["steps"][b] += 1
            self._pace(float(seen.loss.mean()))
            self._give_up()
            if self.slot and f["step"] % self.slot.every == 0:
                self._save()
        if f["rows"]:
            self._look(f["step"], last=f["rows"])
        self._end(list(range(len(f["rows"]))))

    @property
    def _judges_end(self) -> bool:
        return self.select == "best" or self.schedule.restarts > 1

    def _next_restart(self) -> None:
        """Begin the next restart with the pictures that neither succeeded nor ran out of budget."""
        f = self.facts
        restart = f["restart"] + 1
        if restart == self.schedule.restarts:
            f["over"] = True
            return
        rows = [b for b in range(len(self.x0)) if not f["succeeded"][b] and not f["stopped"][b]]
        for b in rows:
            if self._passes(f["spent"][b] + self._ahead(0)):
                f["stopped"][b] = self._spent
        if any(not f["stopped"][b] for b in rows):
            self._begin(restart)
        else:
            f["over"] = True

    def _run_on(self, rows: list[int]) -> None:
        self.facts["rows"] = rows
        everything = not rows or rows == list(range(len(self.x0)))
        self.active = self.objective if everything else self.objective.rows(rows)
        self.clean = self.x0[rows]
        self.row_seeds = tuple(self.seeds[b] for b in rows)

    # ---- what happens to a picture ----------------------------------------------------------------------------------

    def _count(self, seen: Evaluation) -> None:
        f = self.facts
        for b in f["rows"]:
            f["forward"][b] += seen.forward / len(f["rows"])
            f["backward"][b] += seen.backward / len(f["rows"])
            f["spent"][b] += (seen.forward + 2 * seen.backward) / len(f["rows"])
        f["step_price"] = (seen.forward + 2 * seen.backward) / max(len(f["rows"]), 1)

    def _ahead(self, i: int) -> float:
        """What step `i` costs a picture, and the looks at its last iterate that must remain payable after it."""
        check, goes_on = self.check, i < self.schedule.steps
        queries = 0 if check is None else check.queries * (2 if goes_on and i % check.every == 0 else 1)
        return goes_on * float(self.facts["step_price"]) + self.end_price + queries

    def _keep(self, loss: torch.Tensor) -> None:
        """Note the loss of x; keep x if the selector prefers it."""
        for k, b in enumerate(self.facts["rows"]):
            self.facts["losses"][b].append(float(loss[k]))
        if self.select == "best":
            better = loss < self.kept
            self.kept_x = self.x.where(better[:, None, None, None], self.kept_x)
            self.kept = loss.where(better, self.kept)

    def _gradient(self, seen: Evaluation, i: int) -> torch.Tensor:
        """Finite, and zero where the constraint allows no change. Raises ZeroGradient."""
        import torch

        if seen.grad is None:
            return torch.zeros_like(self.x)
        f = self.facts
        finite = torch.isfinite(seen.grad).flatten(1).all(1)
        for k, b in enumerate(f["rows"]):
            f["strikes"][b] = 0 if finite[k] else f["strikes"][b] + 1
            f["nonfinite"][b] += int(not finite[k])
        grad = torch.nan_to_num(seen.grad, 0.0, 0.0, 0.0)
        free = self.constraint.free(self.x0[:1])
        if free is not None:
            grad = grad * free
        if i == 0 and f["restart"] == 0:
            for b, share in zip(f["rows"], zero_shares(grad, finite, free), strict=True):
                f["zeros"][b] = share
        return grad

    def _turn_away(self) -> None:
        """Retire pictures whose budget does not pay a first step: nothing is spent on them, no look at the start."""
        f = self.facts
        poor = [k for k, b in enumerate(f["rows"]) if self._passes(f["spent"][b] + self._ahead(0))]
        for k in poor:
            f["stopped"][f["rows"][k]] = self._spent
        self._retire(poor)

    def _give_up(self) -> None:
        """Retire pictures whose gradient stays non-finite or whose next step would pass the budget."""
        f = self.facts
        goes_on = f["step"] < self.schedule.steps
        gone: list[int] = []
        for b in f["rows"]:
            if f["strikes"][b] >= NONFINITE_PATIENCE:
                f["stopped"][b] = f"gradient not finite for {NONFINITE_PATIENCE} steps"
            elif goes_on and self._passes(f["spent"][b] + self._ahead(f["step"])):
                f["stopped"][b] = self._spent
            if f["stopped"][b]:
                gone.append(b)
        if gone:
            self._look(f["step"], last=gone)
            self._end([k for k, b in enumerate(f["rows"]) if b in gone])

    def _end(self, places: list[int]) -> None:
        """The last iterate is a candidate too: judge it where losses decide, then retire these places."""
        f = self.facts
        if places and self._judges_end:
            end = self.active.rows(places).value(self.x[places])
            for loss, k in zip(end.loss, places, strict=True):
                b = f["rows"][k]
                f["losses"][b].append(float(loss))
                f["judged"][b] = True
                f["forward"][b] += end.forward / len(places)
                f["spent"][b] += end.forward / len(places)
                if self.select == "best" and loss < self.kept[k]:
                    self.kept_x[k], self.kept[k] = self.x[k], loss
        self._retire(places)

    def _passes(self, spent: float) -> bool:
        if isinstance(self.budget, Seconds):
            return self.elapsed() >= self.budget
        return self.budget is not None and spent > self.budget

    def _look(self, i: int, last: Sequence[int] = ()) -> None:
        """Ask the check, where it is due, about all pictures, or about those at their `last` iterate; retire what
        has succeeded."""
        check, f = self.check, self.facts
        places = [k for k, b in enumerate(f["rows"]) if b in last or not last]
        if check is None or not places or (i % check.every and not last):
            return
        pictures = as_images(self._levels(self.x[places], self.clean[places]))
        seen = check.score(pictures, [f["rows"][k] for k in places])
        enough = 1.0 if check.stop_at is None else check.stop_at
        done = []
        for k, look in zip(places, seen, strict=True):
            b = f["rows"][k]
            score = self._pay(b, look if isinstance(look, Look) else Look(float(look), Cost(queries=check.queries)))
            succeeded = score >= enough
            f["succeeded"][b] = succeeded or (self.select == "checked" and bool(f["succeeded"][b]))
            if score > f["score"][b]:
                f["score"][b] = score
                if self.select == "checked":
                    self.kept_x[k], self.kept[k] = self.x[k], -score
            if succeeded and (check.stop_at is not None or (last and self.select == "last")):
                done.append(k)
                self.kept_x[k] = self.x[k]
                self.kept[k] = -math.inf  # a success outdoes every loss of another restart
                f["stopped"][b] = "" if i == self.schedule.steps else f"succeeded at step {i}"
        self._retire(done)

    def _pay(self, b: int, look: Look) -> float:
        """Count what a look at picture b cost; its score."""
        f, cost = self.facts, look.cost
        for name in ("forward", "backward", "queries", "tokens_in", "tokens_out", "money"):
            f[name][b] += getattr(cost, name)
        f["spent"][b] += cost.equivalents
        return look.score

    def _levels(self, x: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        """The 8-bit pictures of `x`, uint8, inside the constraint around those of `clean`."""
        return (self.constraint.rounded(x, clean) if isinstance(self.constraint, Rounds) else nearest(x)).byte()

    def _retire(self, places: list[int]) -> None:
        """These places of the batch are finished: hand over their pictures, go on with the others."""
        f = self.facts
        for k in places:
            b = f["rows"][k]
            succeeded = float(self.kept[k]) == -math.inf
            takes_last = self.select == "last" and not succeeded
            rank = (f["losses"][b] or [math.inf])[-1] if takes_last else float(self.kept[k])
            rank = math.inf if math.isnan(rank) else rank
            if f["restart"] == 0 or rank < float(self.all_best[b]):
                self.all_x[b], self.all_best[b] = self.x[k] if takes_last else self.kept_x[k], rank
                f["kept_losses"][b] = f["losses"][b]
                unlooked = not f["losses"][b]  # its budget did not pay a look at the start
                f["kept_judged"][b] = f["judged"][b]
                f["unseen_end"][b] = (takes_last or succeeded or unlooked) and len(f["losses"][b]) <= f["step"]
        rest = [k for k in range(len(f["rows"])) if k not in places]
        if places:
            self.x, self.kept_x, self.kept = self.x[rest], self.kept_x[rest], self.kept[rest]
            self.state = {name: tensor[rest] for name, tensor in self.state.items()}
            memory = self.active.memory()
            self._run_on([f["rows"][k] for k in rest])
            if memory and rest:
                self.active.recall({name: tensor[rest] for name, tensor in memory.items()})

    @property
    def _spent(self) -> str:
        if isinstance(self.budget, Seconds):
            return f"budget of {self.budget!r} spent"
        return f"budget of {self.budget or 0:g} forward equivalents per picture spent"

    # ---- the outside ------------------------------------------------------------------------------------------------

    def elapsed(self) -> float:
        return float(self.facts["elapsed"]) + time.perf_counter() - self.began

    def _pace(self, loss: float) -> None:
        f = self.facts
        known = sum(s for s in f["succeeded"] if s is not None) if self.check else None
        done = f["restart"] * self.schedule.steps + f["step"]
        per_second = done / max(self.elapsed(), 1e-9)
        report(Pace(done, self._whole(done, per_second), loss, len(self.x0), known, per_second))

    def _whole(self, done: int, per_second: float) -> int:
        """Steps of the whole run as far as the budget pays for them: those `done`, and what it has left for the picture
        that spent least."""
        whole, f, check = self.schedule.steps * self.schedule.restarts, self.facts, self.check
        if self.budget is None or not f["rows"]:
            return whole
        if isinstance(self.budget, Seconds):
            return max(done, min(whole, done + int((self.budget - self.elapsed()) * per_second)))
        price = float(f["step_price"]) + (check.queries / check.every if check else 0)
        end = self.end_price + (check.queries if check else 0)
        rest = self.budget - min(f["spent"][b] for b in f["rows"]) - end
        return max(done, min(whole, done + int(rest / price))) if price else whole

    def _found(self) -> Found:
        f = self.facts
        levels = self._levels(self.all_x, self.x0)
        before = self.objective.value(self.all_x)
        after = self.objective.value(in_levels(levels, self.all_x))
        costs = [
            Cost(
                forward=round(f["forward"][b]), backward=round(f["backward"][b]), queries=f["queries"][b],
                tokens_in=f["tokens_in"][b], tokens_out=f["tokens_out"][b], money=f["money"][b],
            )
            for b in range(len(self.x0))
        ]  # fmt: skip
        # Where losses do not decide, the loop spends no pass on its last iterate: this one is it.
        losses = [
            f["kept_losses"][b] + ([float(before.loss[b])] if f["unseen_end"][b] else []) for b in range(len(self.x0))
        ]
        return Found(
            self.all_x, levels, before.loss, after.loss, *distances(levels, nearest(self.x0)), losses,
            [self._plain_from(b, len(seen)) for b, seen in enumerate(losses)], costs, f["steps"], f["succeeded"],
            f["stopped"], f["nonfinite"], f["zeros"], self.elapsed(),
        )  # fmt: skip

    def _plain_from(self, b: int, count: int) -> int:
        """Number of the first of `count` losses that is the whole objective's."""
        if self.objective.plain:
            return 0
        return count - (self.facts["unseen_end"][b] or self.facts["kept_judged"][b])

    def _fingerprint(self) -> str:
        """What must be equal for a checkpoint to be of this run; the attack and victim are the folder's business."""
        looks = self.check and (self.check.every, self.check.stop_at, self.check.queries)
        # What a first phase leaves of a budget in seconds is never the same twice.
        budget = "seconds" if isinstance(self.budget, Seconds) else self.budget
        parts = (LAYOUT, self.constraint, self.rule, self.schedule, self.seeds, budget, self.select, looks)
        return checkpoints.fingerprint([self.x0, self.start], *parts)

    def _save(self) -> None:
        if self.slot is None:
            return
        tensors = {"x": self.x, "kept_x": self.kept_x, "kept": self.kept}
        tensors |= {"all_x": self.all_x, "all_best": self.all_best}
        tensors |= {f"state.{name}": tensor for name, tensor in self.state.items()}
        tensors |= {f"memory.{name}": tensor for name, tensor in self.active.memory().items()}
        self.slot.save(tensors, self.facts | {"elapsed": self.elapsed()})

    def _resume(self) -> bool:
        kept = self.slot.load() if self.slot else None
        if kept is None:
            return False
        tensors, self.facts = kept
        here = {name: tensor.to(self.x0.device) for name, tensor in tensors.items()}
        self._run_on(list(self.facts["rows"]))
        self.x, self.kept_x, self.kept = here["x"], here["kept_x"], here["kept"]
        self.all_x, self.all_best = here["all_x"], here["all_best"]
        self.state = {name[6:]: tensor for name, tensor in here.items() if name.startswith("state.")}
        if any(name.startswith("memory.") for name in here):
            self.active.recall({name[7:]: t for name, t in here.items() if name.startswith("memory.")})
        return True
