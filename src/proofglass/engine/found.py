"""What an optimisation found, picture by picture, and its rounding to 8 bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.engine.course import Row
from proofglass.engine.points import IMAGE
from proofglass.engine.rounding import nearest
from proofglass.types import Cost, Image

if TYPE_CHECKING:
    import torch


@dataclass
class Found:
    """What `minimise` returns, picture by picture.

    values: every variable by name, not yet rounded, a row per picture; pictures: those of them that are pictures, as
    uint8 [B, 3, H, W], which lie in their sets around the 8-bit clean ones. x, levels: the same of "image", or of the
    first variable. loss: float [B], the objective at the values; rounded_loss: with the 8-bit pictures in place.
    (Of a sampled objective: the whole one. These two looks are our bookkeeping and no cost of the attack.)
    linf_levels[b], l2[b]: distance of the 8-bit pictures from the 8-bit clean ones, in grey levels and as Euclidean
    norm in [0, 1] units, over all pictures of a row.
    losses[b]: at each iterate of the run that counts, the start included (of a sampled objective: of that step's
    draw). plain_from[b]: number of the first of them that is the whole objective's, and no longer a draw's, with which
    it cannot be compared: 0 unless the objective is sampled, len(losses[b]) where none is. costs[b], steps[b]: spent on
    picture b. succeeded[b]: by the check, None without one. stopped[b]: why it ended before its schedule.
    nonfinite[b]: steps with a non-finite gradient. zeros[b]: share of exactly zero values in the first gradient.
    """

    values: dict[str, torch.Tensor]
    pictures: dict[str, torch.Tensor]
    loss: torch.Tensor
    rounded_loss: torch.Tensor
    linf_levels: list[int]
    l2: list[float]
    losses: list[list[float]]
    plain_from: list[int]
    costs: list[Cost]
    steps: list[int]
    succeeded: list[bool | None]
    stopped: list[str]
    nonfinite: list[int]
    zeros: list[float]
    seconds: float

    @property
    def x(self) -> torch.Tensor:
        return self.values[IMAGE] if IMAGE in self.values else next(iter(self.values.values()))

    @property
    def levels(self) -> torch.Tensor:
        return self.pictures[IMAGE] if IMAGE in self.pictures else next(iter(self.pictures.values()))

    def images(self, name: str = IMAGE) -> list[Image]:
        """The pictures found of this variable, 8-bit: what is saved and judged."""
        return as_images(self.pictures[name])

    @property
    def cost(self) -> Cost:
        """What the whole batch cost."""
        return sum(self.costs, Cost(seconds=self.seconds))

    def trace(self, b: int = 0) -> dict[str, Any]:
        """JSON-able summary of picture b, for an `Artefact`. "loss_plain_from", as `plain_from`, stands there if some
        of "loss" are draws of a sampled objective."""
        told: dict[str, Any] = {
            "loss": [round(value, 6) for value in self.losses[b]],
            "loss_before_rounding": float(self.loss[b]),
            "loss_after_rounding": float(self.rounded_loss[b]),
            "linf_levels": self.linf_levels[b],
            "l2": self.l2[b],
            "steps": self.steps[b],
            "nonfinite_steps": self.nonfinite[b],
            "zero_gradient_share": self.zeros[b],
            "succeeded": self.succeeded[b],
            "stopped": self.stopped[b],
        }
        return told | ({"loss_plain_from": self.plain_from[b]} if self.plain_from[b] else {})


def found_at(
    rows: Sequence[Row],
    values: dict[str, torch.Tensor],
    levels: dict[str, torch.Tensor],
    clean: Mapping[str, torch.Tensor],
    loss: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    plain: bool,
    seconds: float,
) -> Found:
    """The result at `values`. levels, clean: the 8-bit pictures and those around which they lie; loss: the whole
    objective, of variables by name; plain: whether the losses of steps were its own."""
    before = loss(values)
    rounded = {name: in_levels(picture, values[name]) for name, picture in levels.items()}
    after = loss(values | rounded) if rounded else before
    # Where losses do not decide, the loop spends no pass on its last iterate: this one is it.
    losses = [row.kept_losses + ([float(before[b])] if row.unseen_end else []) for b, row in enumerate(rows)]
    whole = [row.unseen_end or row.kept_judged for row in rows]  # the last of them is the whole objective's
    return Found(
        values,
        levels,
        before,
        after,
        *distances(levels, clean, len(rows)),
        losses,
        [0 if plain else len(seen) - last for seen, last in zip(losses, whole, strict=True)],
        [row.cost for row in rows],
        [row.steps for row in rows],
        [row.succeeded for row in rows],
        [row.stopped for row in rows],
        [row.nonfinite for row in rows],
        [row.zeros for row in rows],
        seconds,
    )


def quantise(x: torch.Tensor) -> list[Image]:
    """8-bit pictures of `x`, float [B, 3, H, W] in [0, 1]: floor(255 x + 0.5), clipped.

    Knows no ball: an epsilon between two levels may be passed by half a level. What `minimise` finds is rounded inside
    its constraint (`Found.images`).
    """
    return as_images(nearest(x).byte())


def as_images(levels: torch.Tensor) -> list[Image]:
    """Pictures of grey levels, uint8 [B, 3, H, W]."""
    return [Image.from_array(picture.permute(1, 2, 0).numpy()) for picture in levels]


def in_levels(levels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What reading the 8-bit pictures back gives: float32 in [0, 1], on the device of `like`."""
    return (levels.float() / 255).to(like.device)


def as_pictures(levels: Mapping[str, torch.Tensor]) -> list[Any]:
    """One entry per row: its picture, or all its pictures by name where there are several."""
    images = {name: as_images(picture) for name, picture in levels.items()}
    if len(images) == 1:
        return next(iter(images.values()))
    return [dict(zip(images, row, strict=True)) for row in zip(*images.values(), strict=True)]


def distances(
    levels: Mapping[str, torch.Tensor], clean: Mapping[str, torch.Tensor], count: int
) -> tuple[list[int], list[float]]:
    """Largest difference in grey levels, and Euclidean norm in [0, 1] units, of each row's pictures; uint8
    [B, 3, H, W]. 0 where there is no picture."""
    moved = [(levels[name].double() - clean[name].double()).flatten(1) for name in levels]
    most = [max((int(each[b].abs().max()) for each in moved), default=0) for b in range(count)]
    return most, [math.hypot(*(float(each[b].norm()) for each in moved)) / 255 for b in range(count)]
