"""What a search knows of each picture beside tensors, and where it stands: plain values, as a checkpoint keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field

from proofglass.engine.schedule import Look
from proofglass.types import Cost
from proofglass.types.budget import Unit, counted

PASSES = ("forward", "backward")
ASKED = ("queries", "tokens_in", "tokens_out", "money")


@dataclass
class Row:
    """One picture. Its share of a batch's passes may be no whole number.

    spent: in the unit of the budget; dearest: of its looks so far, in that unit. strikes: non-finite gradients in a
    row. losses: of this restart; kept_losses: of the one that counts. score: the best look of this restart.
    judged: the last of the losses is the whole objective's; unseen_end: the loop took no loss of the last iterate.
    """

    spent: float = 0.0
    dearest: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    queries: float = 0.0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    money: float = 0.0
    steps: int = 0
    strikes: int = 0
    nonfinite: int = 0
    zeros: float = 0.0
    losses: list[float] = field(default_factory=list)
    kept_losses: list[float] = field(default_factory=list)
    stopped: str = ""
    succeeded: bool | None = None
    score: float = -1.0
    unseen_end: bool = False
    judged: bool = False
    kept_judged: bool = False

    def restart(self) -> None:
        self.losses, self.strikes, self.score, self.judged = [], 0, -1.0, False

    def passed(self, forward: int, backward: int, among: int, unit: Unit) -> float:
        """Note a share of passes that `among` pictures made together; what it comes to in `unit`."""
        self.forward += forward / among
        self.backward += backward / among
        price = counted(unit, Cost(forward=forward, backward=backward)) / among
        self.spent += price
        return price

    def looked(self, look: Look, unit: Unit) -> float:
        """Note what a look cost; its score."""
        for name in (*PASSES, *ASKED):
            setattr(self, name, getattr(self, name) + getattr(look.cost, name))
        price = counted(unit, look.cost)
        self.spent += price
        self.dearest = max(self.dearest, price)
        return float(look.score)

    @property
    def cost(self) -> Cost:
        return Cost(
            forward=round(self.forward),
            backward=round(self.backward),
            queries=round(self.queries),
            tokens_in=round(self.tokens_in),
            tokens_out=round(self.tokens_out),
            money=self.money,
        )


@dataclass
class Course:
    """Where the search stands. running: rows that are not finished; price: what the last step cost a picture, in the
    unit of the budget; elapsed: seconds, those before a resume included."""

    restart: int = 0
    step: int = 0
    running: list[int] = field(default_factory=list)
    price: float = 0.0
    elapsed: float = 0.0
    over: bool = False
