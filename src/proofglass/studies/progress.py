"""Who watches a run: a bar with the time left on a terminal, plain lines elsewhere, or nobody."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from proofglass.engine.progress import Pace
from proofglass.studies.plan import Cell, Plan


class Progress:
    """Counts what a run did. The base watches in silence; `show` and `say` are what the others add.

    The time left is the replies left times the rate of those asked so far; replies recalled from the journal
    took no time and do not count towards the rate. Crafting is not in it: its cost is the attack's own secret.
    """

    def __init__(self) -> None:
        self.cells = self.cells_done = self.samples = self.samples_done = 0
        self.asked = self.recalled = 0
        self._asks_left = self._asks_in_cell = 0
        self._cell: Cell | None = None
        self._asking_s = 0.0
        self._since = time.perf_counter()

    def begin(self, plan: Plan, todo: Sequence[Cell]) -> None:
        """todo: the cells that are not done yet."""
        self.cells, self.samples = len(todo), sum(len(cell.rows) for cell in todo)
        self._asks_left = sum(cell.asks for cell in todo)
        ready = sum(not cell.skip for cell in plan.cells) - len(todo)
        text = f"{plan.study.name}: {self.cells} cells, {self.samples} samples, about {self._asks_left} replies"
        self.say(text + (f"; {ready} cells are done already" if ready else ""))

    def cell(self, cell: Cell) -> None:
        self._cell, self._asks_in_cell = cell, 0
        self.show(cell.title)

    def crafting(self, pace: Pace) -> None:
        text = f"crafting, step {pace.step} of {pace.steps}, loss {pace.loss:.3f}"
        if pace.succeeded is not None:
            text += f", {pace.succeeded} of {pace.pictures} succeeded"
        if pace.seconds_left is not None:
            text += f", {pace.per_second:.1f} steps/s, {_clock(pace.seconds_left)} left"
        self.show(text)

    def asking(self) -> None:
        """The clock of the rate starts: from here on the victim answers."""
        self._since = time.perf_counter()

    def heard(self, asks: int, is_new: bool) -> None:
        """A batch of replies came, from the victim or from the journal."""
        now = time.perf_counter()
        if is_new:
            self.asked += asks
            self._asking_s += now - self._since
        else:
            self.recalled += asks
        self._since = now
        self._asks_in_cell += asks
        self.show(self._cell.title if self._cell else "")

    def chunk(self, samples: int) -> None:
        self.samples_done += samples
        self.show(self._cell.title if self._cell else "")

    def cell_done(self, status: str, reason: str) -> None:
        cell, self._cell = self._cell, None
        if cell:
            self.cells_done += 1
            self._asks_left -= cell.asks
            self._asks_in_cell = 0
            end = f"{status}: {reason}" if reason else f"{len(cell.rows)} samples"
            self.say(f"[{self.cells_done}/{self.cells}] {cell.title}: {end}{self._left()}")

    @property
    def seconds_left(self) -> float | None:
        """Estimate for the replies left, None before the first reply."""
        if not self.asked:
            return None
        asks = self._asks_left - min(self._asks_in_cell, self._cell.asks if self._cell else 0)
        return max(asks, 0) * self._asking_s / self.asked

    def _left(self) -> str:
        seconds = self.seconds_left
        return f" (about {_clock(seconds)} left)" if seconds and self.cells_done < self.cells else ""

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
        print(text.encode(self.stream.encoding or "utf-8", "backslashreplace").decode(
            self.stream.encoding or "utf-8"), file=self.stream, flush=True)  # fmt: skip


class Bar(Progress):
    """A bar on a terminal: samples, cells and the time left; one line stays for every cell."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        super().__init__()
        self._bar: Any = RichProgress(
            BarColumn(bar_width=16, table_column=Column(min_width=16)),
            TextColumn(
                "{task.completed}/{task.total} samples, {task.fields[left]}{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            console=Console(file=stream, highlight=False),
            transient=True,
        )
        self._task = self._bar.add_task("", total=0, left="")
        self._bar.start()

    def show(self, text: str) -> None:
        seconds = self.seconds_left
        left = f"{_clock(seconds)} left, " if seconds is not None else ""
        cells = f"cell {min(self.cells_done + 1, self.cells)} of {self.cells}: "
        self._bar.update(
            self._task, total=self.samples, completed=self.samples_done, description=cells + text, left=left
        )

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


def watcher(wanted: bool) -> Progress:
    """A bar if standard error is a terminal, lines if not, silence if nothing is wanted."""
    if not wanted:
        return Progress()
    return Bar(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)


def _clock(seconds: float) -> str:
    """90 -> "1 min 30 s"."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
