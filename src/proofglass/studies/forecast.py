"""How long a run will still take, from what it took so far. An estimate says what it does not hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from proofglass.engine.progress import Pace
from proofglass.studies.plan import Cell


@dataclass
class _Sum:
    """Of what was counted, and of what it is counted against."""

    top: float = 0.0
    bottom: float = 0.0

    def add(self, top: float, bottom: float) -> None:
        self.top, self.bottom = self.top + top, self.bottom + bottom

    @property
    def ratio(self) -> float:
        return self.top / self.bottom if self.bottom else 1.0


@dataclass(frozen=True)
class Left:
    """seconds: what the rest takes at least. is_whole: nothing of unknown length is left out (crafting of an attack
    that has not crafted yet)."""

    seconds: float
    is_whole: bool


@dataclass
class Forecast:
    """Replies left at their victim's own rate, asks of judges at theirs, crafting left, and what stands between them
    (pictures, judges that ask nobody).

    The first batch is not in a rate: it holds the loading of weights. Replies recalled from the journal took no time
    and are not in it either. A defense asks less than its plan where a dialogue ends early, a judge where its models
    answer in form: the share seen in finished cells holds for the cells left. Crafting is bought once per victim,
    attack and data set, and once more for each defense that it looks through; an attack's price is what it took before
    in this run, or what its present optimisation tells.
    """

    todo: list[Cell] = field(default_factory=list)
    _began: float = 0.0
    _rates: dict[str, _Sum] = field(default_factory=dict)  # victim -> seconds per ask
    _shares: dict[str, _Sum] = field(default_factory=dict)  # defense -> asks heard per ask planned
    _judging: _Sum = field(default_factory=_Sum)  # seconds per ask of a judge
    _judged: _Sum = field(default_factory=_Sum)  # its asks per ask planned, of finished cells
    _judges_warm: bool = False
    _judged_now: int = 0  # asks of judges about the present cell
    _warm: set[str] = field(default_factory=set)
    _accounted: float = 0.0
    _prices: dict[str, list[float]] = field(default_factory=dict)  # attack -> seconds of each crafting
    _bought: set[tuple[str, ...]] = field(default_factory=set)
    _work: Work | None = None

    def begin(self, todo: Sequence[Cell]) -> None:
        self.todo, self._began = list(todo), time.perf_counter()

    def heard(self, cell: Cell, asks: int, seconds: float) -> None:
        """A batch was answered now."""
        self._accounted += seconds
        name = cell.victim.label
        if name in self._warm:
            self._rates.setdefault(name, _Sum()).add(seconds, asks)
        self._warm.add(name)

    def judged(self, asks: int, is_new: bool, seconds: float) -> None:
        """Judges asked about the present cell; seconds: what the answers took, now or when they were first given."""
        self._judged_now += asks
        if is_new:
            self._accounted += seconds
            if self._judges_warm:
                self._judging.add(seconds, asks)
            self._judges_warm = True

    def crafting(self, cell: Cell, pace: Pace) -> Work:
        if self._work is None or self._work.cell is not cell:
            self._work = Work(cell)
        self._work.see(pace)
        return self._work

    def crafted(self, cell: Cell, seconds: float) -> None:
        """Crafting for the whole cell is done; seconds: what it took, in this run or the one that bought it."""
        if cell.attack.plug.scope != "none":
            if _purchase(cell) not in self._bought and self._work is not None:
                self._accounted += seconds
            self._prices.setdefault(cell.attack.label, []).append(seconds)
            self._bought.add(_purchase(cell))
        self._work = None

    def done(self, cell: Cell, heard: int) -> None:
        """heard: asks of this cell, recalled ones too."""
        self.todo = [each for each in self.todo if each is not cell]
        self._work = None
        if heard:
            self._shares.setdefault(cell.defense.label, _Sum()).add(heard, cell.asks)
        if self._judged_now:
            self._judged.add(self._judged_now, cell.judge_asks)
        self._judged_now = 0

    def left(self, now: Cell | None, heard: int) -> Left | None:
        """What is left, the present cell included, of which `heard` asks are answered. None: too early to say."""
        if not self._rates:
            return None
        whole, seconds, paid = True, 0.0, set(self._bought)
        for cell in self.todo:
            asks = cell.asks * self._shares.get(cell.defense.label, _Sum()).ratio - (heard if cell is now else 0)
            seconds += max(asks, 0.0) * self._rate(cell)
            judging = cell.judge_asks * self._judged.ratio - (self._judged_now if cell is now else 0)
            if judging > 0:
                whole = whole and self._judging.bottom > 0
                seconds += judging * self._judging.top / max(self._judging.bottom, 1)
            if cell.attack.plug.scope != "none" and _purchase(cell) not in paid:
                paid.add(_purchase(cell))
                price = self._price(cell)
                whole, seconds = whole and price is not None, seconds + (price or 0.0)
        known = self._accounted + (self._work.spent if self._work else 0.0)
        between = max((time.perf_counter() - self._began) / known, 1.0) if known > 0 else 1.0
        return Left(seconds * between, whole)

    def _rate(self, cell: Cell) -> float:
        """Seconds per ask: of this victim, else of all."""
        known = self._rates.get(cell.victim.label)
        some = [known] if known else list(self._rates.values())
        return sum(each.top for each in some) / max(sum(each.bottom for each in some), 1)

    def _price(self, cell: Cell) -> float | None:
        if self._work is not None and self._work.cell is cell and (left := self._work.seconds_left) is not None:
            return left
        known = self._prices.get(cell.attack.label)
        return sum(known) / len(known) if known else None


class Work:
    """The crafting of one cell as its optimisations tell it: one after another, each of some pictures."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.pictures = 1 if cell.attack.plug.scope != "sample" else len(cell.rows)
        self.finished = 0  # pictures of the optimisations before this one
        self._pace: Pace | None = None
        self._began = time.perf_counter()

    def see(self, pace: Pace) -> None:
        if self._pace is not None and pace.step <= self._pace.step:
            self.finished += self._pace.pictures
        self._pace = pace

    @property
    def spent(self) -> float:
        return time.perf_counter() - self._began

    @property
    def seconds_left(self) -> float | None:
        """None where the attack optimises more often than it makes pictures, so that no end is in sight."""
        if self._pace is None or not self._pace.steps:
            return None
        share = (self.finished + self._pace.pictures * self._pace.step / self._pace.steps) / self.pictures
        return self.spent * (1 - share) / share if 0 < share <= 1 else None


def _purchase(cell: Cell) -> tuple[str, ...]:
    return cell.victim.label, cell.attack.label, cell.dataset.label, cell.crafted_through
