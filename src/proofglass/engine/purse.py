"""What a budget still pays for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.engine.course import Course, Row
from proofglass.engine.schedule import Check, Schedule
from proofglass.types import Budget, Cost
from proofglass.types.budget import Unit, counted


@dataclass(frozen=True)
class Purse:
    """The budget of a search and the prices in it. end: what judging a last iterate costs a picture."""

    budget: Budget | None
    schedule: Schedule
    check: Check | None
    end: Cost

    @property
    def unit(self) -> Unit:
        return "passes" if self.budget is None else self.budget.unit

    def of(self, cost: Cost) -> float:
        return counted(self.unit, cost)

    def look(self, row: Row) -> float:
        """What a look at this picture costs, at most as far as anyone can say."""
        if self.check is None:
            return 0.0
        return float(self.check.queries) if self.unit in ("passes", "queries") else row.dearest

    def ahead(self, row: Row, step: int, price: float) -> float:
        """What `step`, at this price, costs a picture, with the looks at its last iterate that must remain payable."""
        goes_on = step < self.schedule.steps
        looks = 2 if self.check and goes_on and step % self.check.every == 0 else 1
        return goes_on * price + self.of(self.end) + looks * self.look(row)

    def lacks(self, row: Row, course: Course, step: int, elapsed: float) -> bool:
        """Whether `step` would pass the budget."""
        if self.budget is None:
            return False
        if self.unit == "seconds":
            return elapsed >= self.budget.amount
        return row.spent + self.ahead(row, step, course.price) > self.budget.amount

    @property
    def spent(self) -> str:
        """Why a picture ends whose budget is spent."""
        return "" if self.budget is None else f"budget of {self.budget.meaning} spent"

    def steps(self, course: Course, rows: Sequence[Row], elapsed: float) -> int:
        """Steps of the whole run as far as the budget pays for them: those done, and what it has left for the picture
        that spent least."""
        done, whole = course.restart * self.schedule.steps + course.step, self.schedule.steps * self.schedule.restarts
        if self.budget is None or not course.running:
            return whole
        if self.unit == "seconds":
            per_second = done / max(elapsed, 1e-9)
            return max(done, min(whole, done + int((self.budget.amount - elapsed) * per_second)))
        least = min((rows[b] for b in course.running), key=lambda row: row.spent)
        look = self.look(least)
        price = course.price + (look / self.check.every if self.check else 0)
        left = self.budget.amount - least.spent - self.of(self.end) - look
        return max(done, min(whole, done + int(left / price))) if price else whole
