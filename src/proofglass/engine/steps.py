"""Step rules: from an iterate and its gradient to the next iterate. All rules descend.

A rule's state is a dict of tensors whose first axis is the batch: rows never mix, finished rows can be dropped, and a
checkpoint is the dict itself. Most rules move any variable, [B, ...]; "picture" below is one row of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from proofglass.engine.constraints import Constraint
from proofglass.engine.points import norm, wide

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class Iterate:
    """What a rule sees: x and the loss and gradient AT x.

    x, x0, grad: float32 [B, 3, H, W], or of another variable [B, ...]; loss: float [B]; step: 0-based; steps: in all
    (of a variable that does not always move: its own moves); scale: the schedule's factor on the step size, 0..1;
    seeds: one per picture. grad is zero where the constraint allows no change.
    """

    x: torch.Tensor
    x0: torch.Tensor
    loss: torch.Tensor
    grad: torch.Tensor
    constraint: Constraint
    step: int
    steps: int
    scale: float = 1.0
    seeds: tuple[int, ...] = ()

    def project(self, x: torch.Tensor) -> torch.Tensor:
        return self.constraint.project(x, self.x0)


class Step(Protocol):
    """`needs_grad` False: the rule lives on losses alone (random search)."""

    needs_grad: bool

    def init(self, x: torch.Tensor) -> State: ...

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        """Next iterate, inside the constraint, and the state after it."""


class Rule:
    """A rule without memory that takes gradients; subclasses write `__call__`."""

    needs_grad = True

    def init(self, x: torch.Tensor) -> State:
        return {}


def check_size(size: float, field: str = "step_size") -> None:
    """Raise ValueError unless `size` is one that pixels in [0, 1] can take. field: its name in the message."""
    if not 0 < size <= 1:
        hint = f"; write {size:g}/255?" if 1 < size <= 255 else ""
        raise ValueError(f"{field}: expected 0 < size <= 1 (pixels are in [0, 1]), found {size:g}{hint}")


@dataclass(frozen=True)
class SignStep(Rule):
    """x - size * sign(gradient), per value. size in pixel units, e.g. 1 / 255.

    A value whose gradient is exactly 0 stays. Source: Kurakin et al. 2017 (basic iterative method).
    """

    size: float

    def __post_init__(self) -> None:
        check_size(self.size)

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        return at.project(at.x - self.size * at.scale * at.grad.sign()), state


@dataclass(frozen=True)
class GradientStep(Rule):
    """x - size * gradient. max_norm: the gradient of a picture is scaled down to this l2 norm first, None = never.

    Source: plain descent in Fu et al. 2023; clipped in Bailey et al. 2023 (there over the whole batch; here per
    picture, so that a batch equals its single runs).
    """

    size: float
    max_norm: float | None = None

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise ValueError(f"step_size: expected more than 0, found {self.size:g}")
        if self.max_norm is not None and not self.max_norm > 0:
            raise ValueError(f"max_norm: expected more than 0 or None, found {self.max_norm:g}")

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        grad = at.grad
        if self.max_norm is not None:
            grad = grad * (self.max_norm / norm(grad).clamp_min(1e-12)).clamp_max(1)
        return at.project(at.x - self.size * at.scale * grad), state


@dataclass(frozen=True)
class NormalisedStep(Rule):
    """x - size * gradient / ||gradient||_2, per picture: every step has length `size` in [0, 1] units.

    Source: what Carlini et al. 2023's step of 0.2 must mean, judging by the distortions they report.
    """

    size: float

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise ValueError(f"step_size: expected more than 0, found {self.size:g}")

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        return at.project(at.x - self.size * at.scale * unit(at.grad)), state


@dataclass(frozen=True)
class MomentumStep:
    """A step along an accumulated gradient v; all norms are per picture.

    kind "l1": v <- decay v + g / ||g||_1, step along sign v (Dong et al. 2018, MI-FGSM, eq. 6; there decay 1).
    kind "sign": v <- sign(decay v + sign g), "unit": v <- u(decay v + u(g)) with u(a) = a / ||a||_2: RobustVLM's PGD
    for l-infinity and l2 (there decay 0.9). size: pixel units, for "unit" the l2 length of a step in [0, 1] units.
    """

    size: float
    decay: float = 0.9
    kind: Literal["l1", "sign", "unit"] = "l1"
    needs_grad = True

    def __post_init__(self) -> None:
        if self.kind not in ("l1", "sign", "unit"):
            raise ValueError(f"kind: expected l1, sign or unit, found {self.kind!r}")
        if not self.decay >= 0:
            raise ValueError(f"decay: expected 0 or more, found {self.decay:g}")
        if self.kind == "unit" and not self.size > 0:
            raise ValueError(f"step_size: expected more than 0, found {self.size:g}")
        if self.kind != "unit":
            check_size(self.size)

    def init(self, x: torch.Tensor) -> State:
        return {"velocity": x.new_zeros(x.shape)}

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        old, grad = self.decay * state["velocity"], at.grad
        if self.kind == "sign":
            along = velocity = (old + grad.sign()).sign()
        elif self.kind == "unit":
            along = velocity = unit(old + unit(grad))
        else:
            velocity = old + grad / wide(grad.abs().flatten(1).sum(1), grad).clamp_min(1e-12)
            along = velocity.sign()
        return at.project(at.x - self.size * at.scale * along), {"velocity": velocity}


@dataclass(frozen=True)
class Adam:
    """Adam on pixels. Source: Kingma & Ba 2015, algorithm 1. `size` is its learning rate."""

    size: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    needs_grad = True

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise ValueError(f"step_size: expected more than 0, found {self.size:g}")

    def init(self, x: torch.Tensor) -> State:
        return {"mean": x.new_zeros(x.shape), "square": x.new_zeros(x.shape)}

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        mean = self.beta1 * state["mean"] + (1 - self.beta1) * at.grad
        square = self.beta2 * state["square"] + (1 - self.beta2) * at.grad**2
        unbiased = mean / (1 - self.beta1 ** (at.step + 1))
        spread = (square / (1 - self.beta2 ** (at.step + 1))).sqrt()
        moved = at.x - self.size * at.scale * unbiased / (spread + self.eps)
        return at.project(moved), {"mean": mean, "square": square}


def unit(x: torch.Tensor) -> torch.Tensor:
    """Each picture divided by its Euclidean norm; a zero picture stays zero."""
    return x / norm(x).clamp_min(1e-12)
