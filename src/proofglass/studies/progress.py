"""Who watches a run: a bar with the time left on a terminal, plain lines elsewhere, or nobody."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from proofglass.console import REASON, console_on, cut, one_line, write
from proofglass.engine.progress import Pace, Watcher
from proofglass.studies.forecast import Forecast
from proofglass.studies.plan import Cell, Plan

REASONS = 3  # different reasons of failures that are said per cell; the records hold all


class Progress:
    """Counts what a run did, says what was skipped and what failed, and why, as it happens. The base watches in
    silence; `show` and `say` are what the others add."""

    def __init__(self) -> None:
        self.cells = self.cells_done = self.samples = self.samples_done = 0
        self.asked = self.recalled = self.failed = 0
        self.forecast = Forecast()
        self._asks_in_cell = 0
        self._cell: Cell | None = None
        self._reasons: Counter[str] = Counter()  # of the present cell
        self._ends: Counter[str] = Counter()  # status of a cell -> how many ended so

    def begin(self, plan: Plan, todo: Sequence[Cell]) -> None:
        """todo: the cells that are not done yet."""
        self.cells, self.samples = len(todo), sum(len(cell.rows) for cell in todo)
        self.forecast.begin(todo)
        ready = sum(not cell.skip for cell in plan.cells) - len(todo)
        asks = sum(cell.asks for cell in todo)
        text = f"{plan.study.name}: {self.cells} cells, {self.samples} samples, about {asks} replies"
        if judging := sum(cell.judge_asks for cell in todo):
            text += f", up to {judging} asks by judges"
        self.say(text + (f"; {ready} cells are done already" if ready else ""))
        skipped = Counter((c.victim.label, c.attack.label, c.skip) for c in plan.cells if c.skip)
        for (victim, attack, why), count in skipped.items():
            self.say(f"skipped: {victim} x {attack} ({_count(count, 'cell')}): {why}")
        self._ends["skipped"] = skipped.total()

    def cell(self, cell: Cell) -> None:
        self._cell, self._asks_in_cell = cell, 0
        self._reasons.clear()
        self.show(cell.title)

    def crafting(self, pace: Pace) -> None:
        if self._cell is None:
            return
        work = self.forecast.crafting(self._cell, pace)
        text = f"{self._cell.title}: crafting"
        if work.pictures > pace.pictures and work.finished < work.pictures:
            text += f" picture {work.finished + 1} to {min(work.finished + pace.pictures, work.pictures)}"
            text += f" of {work.pictures}"
        text += f", step {pace.step} of {pace.steps}, loss {pace.loss:.3f}"
        if pace.succeeded is not None:
            text += f", {pace.succeeded} of {pace.pictures} succeeded"
        if pace.seconds_left:
            text += f", {pace.per_second:.1f} steps/s, {_clock(pace.seconds_left)} for these steps"
        self.show(text)

    def fitting(self, cell: Cell) -> Watcher:
        """The present cell's defense learns about its victim, step by step where it trains."""
        text = f"{cell.title}: fitting {cell.defense.label} to {cell.victim.label}"
        self.show(text)
        return lambda pace: self.show(f"{text}, step {pace.step} of {pace.steps}, loss {pace.loss:.3f}")

    def crafted(self, seconds: float) -> None:
        """The present cell has all its pictures; seconds: what they took, now or when they were bought."""
        if self._cell and seconds:
            self.forecast.crafted(self._cell, seconds)

    def heard(self, asks: int, is_new: bool, seconds: float) -> None:
        """A batch of replies came, from the victim, which took `seconds`, or from the journal."""
        if is_new:
            self.asked += asks
            if self._cell:
                self.forecast.heard(self._cell, asks, seconds)
        else:
            self.recalled += asks
        self._asks_in_cell += asks
        self.show(self._cell.title if self._cell else "")

    def judged(self, asks: int, is_new: bool, seconds: float) -> None:
        """Models of judges answered about the present cell, or the journal did for them."""
        self.forecast.judged(asks, is_new, seconds)
        self.show(f"{self._cell.title}: judging" if self._cell else "")

    def chunk(self, samples: int, failures: Iterable[str] = ()) -> None:
        """Some samples of the present cell are through. failures: why, for each of them that failed."""
        self.samples_done += samples
        for reason, count in Counter(one_line(cut(reason, REASON)) for reason in failures).items():
            is_new = reason not in self._reasons
            self._reasons[reason] += count
            if is_new and len(self._reasons) <= REASONS:
                self.say(f"  {count} of {samples} samples failed: {reason}")
        self.show(self._cell.title if self._cell else "")

    def cell_done(self, status: str, reason: str) -> None:
        cell, self._cell = self._cell, None
        if cell is None:
            return
        self.cells_done += 1
        self._ends[status] += 1
        failed = self._reasons.total()
        self.failed += failed
        self.forecast.done(cell, self._asks_in_cell)
        self._asks_in_cell = 0
        end = _count(len(cell.rows), "sample") + (f", {failed} failed" if failed else "")
        if len(self._reasons) > REASONS:
            end += f" for {len(self._reasons)} reasons (the records hold all)"
        end = f"{status}: {reason}" if reason else end
        self.say(f"[{self.cells_done}/{self.cells}] {cell.title}: {end}{self._left()}")

    def end(self) -> None:
        """Everything ran: what is not as it should be, once more and counted."""
        told = [_count(self._ends[name], f"cell {name}", f"cells {name}") for name in ("failed", "pending", "skipped")
                if self._ends[name]]  # fmt: skip
        told += [f"{_count(self.failed, 'sample')} failed"] if self.failed else []
        if told:
            self.say(f"{_count(self._ends['done'], 'cell')} done; {', '.join(told)}: the lines above say why")

    @property
    def left(self) -> str:
        """Time left, in words; empty while it is too early to say, or where nothing is left."""
        left = self.forecast.left(self._cell, self._asks_in_cell)
        if left is None or not (left.seconds or not left.is_whole) or self.cells_done >= self.cells:
            return ""
        return f"{'about' if left.is_whole else 'at least'} {_clock(left.seconds)} left"

    def _left(self) -> str:
        return f" ({self.left})" if self.left else ""

    def show(self, text: str) -> None:
        """The present state; called often."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def close(self) -> None:
        """The end, also after an error."""


class Lines(Progress):
    """Plain lines, for logs: one per cell, and one at most every `every_s` seconds in a long cell."""

    def __init__(self, stream: TextIO, every_s: float = 30.0) -> None:
        super().__init__()
        self.stream, self.every_s = stream, every_s
        self._said = time.perf_counter()

    def show(self, text: str) -> None:
        if time.perf_counter() - self._said >= self.every_s:
            self.say(f"  {text}: {self.samples_done}/{self.samples} samples{self._left()}")

    def say(self, text: str) -> None:
        self._said = time.perf_counter()
        write(_line(text), self.stream)


class Bar(Progress):
    """On a terminal: a bar with samples and the time left, below it what is being done, wrapped where it is narrow; one
    line stays for every cell."""

    def __init__(self, stream: TextIO) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.text import Text

        super().__init__()

        class TwoLines(RichProgress):
            state = ""

            def get_renderables(self) -> Iterable[Any]:
                yield from super().get_renderables()
                yield Text(self.state, no_wrap=False, overflow="fold")

        self._bar = TwoLines(
            BarColumn(bar_width=16),
            TextColumn("{task.completed}/{task.total} samples{task.fields[left]}", markup=False),
            console=console_on(stream),
            transient=True,
        )
        self._task = self._bar.add_task("", total=0, left="")
        self._bar.start()

    def show(self, text: str) -> None:
        self._bar.state = one_line(f"cell {min(self.cells_done + 1, self.cells)} of {self.cells}: {text}")
        left = f", {self.left}" if self.left else ""
        self._bar.update(self._task, total=self.samples, completed=self.samples_done, left=left)

    def say(self, text: str) -> None:
        self._bar.console.print(_line(text), soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


def watcher(wanted: bool) -> Progress:
    """A bar if standard error is a terminal, lines if not, silence if nothing is wanted."""
    if not wanted:
        return Progress()
    return Bar(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)


def _line(text: str) -> str:
    """One line of `text`, its indent kept: a reason that somebody else wrote forges no second one."""
    return " " * (len(text) - len(text.lstrip(" "))) + one_line(text)


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _clock(seconds: float) -> str:
    """90 -> "1 min 30 s"."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
