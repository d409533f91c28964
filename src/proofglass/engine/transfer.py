"""What makes pictures transfer between models: spectrum simulation and the common-weakness step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from proofglass.engine.memory import NOTHING, Memory
from proofglass.engine.objectives import Evaluation, Objective
from proofglass.engine.points import IMAGE, Point, named, norm, shaped
from proofglass.engine.steps import Iterate, State
from proofglass.types import Cost

if TYPE_CHECKING:
    import torch


@cache
def dct_matrix(n: int) -> torch.Tensor:
    """Orthonormal DCT-II as a matrix, float32 [n, n]: coefficients = D @ signal; its transpose is the inverse."""
    import math

    import torch

    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    matrix = torch.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def dct(x: torch.Tensor) -> torch.Tensor:
    """2-D orthonormal DCT-II over the last two axes."""
    return dct_matrix(x.shape[-2]).to(x) @ x @ dct_matrix(x.shape[-1]).to(x).T


def idct(x: torch.Tensor) -> torch.Tensor:
    """Inverse of `dct`."""
    return dct_matrix(x.shape[-2]).to(x).T @ x @ dct_matrix(x.shape[-1]).to(x)


@dataclass(frozen=True)
class Spectrum:
    """Spectrum simulation: IDCT(M * DCT(x + n)), M ~ U(1 - rho, 1 + rho) per coefficient, n ~ N(0, sigma^2).

    rho: without unit; sigma: pixel units of [0, 1]. The map x -> IDCT(M * DCT(x)) is its own adjoint.
    Source: Long et al. 2022 (SSA), as used by Dong et al. 2023: rho 0.5, sigma 16/255, 20 draws.
    """

    rho: float = 0.5
    sigma: float = 16 / 255

    def draw(self, like: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        noise = torch.randn(like.shape, generator=generator) * self.sigma
        mask = 1 + (torch.rand(like.shape, generator=generator) * 2 - 1) * self.rho
        return mask.to(like), noise.to(like)

    def apply(self, x: torch.Tensor, drawn: Any) -> torch.Tensor:
        mask, noise = drawn
        return idct(mask * dct(x + noise))

    def adjoint(self, grad: torch.Tensor, drawn: Any) -> torch.Tensor:
        return idct(drawn[0] * dct(grad))


def resized(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pictures at `size` (height, width), antialiased bilinear, differentiable; `x` itself where they have it."""
    import torch.nn.functional as F

    return x if tuple(x.shape[-2:]) == size else F.interpolate(x, size, mode="bilinear", antialias=True).clamp(0, 1)


@dataclass
class Resized(Objective):
    """`objective` of the picture at `size` (height, width), its gradient pulled back to the picture's own size.

    For a surrogate that takes another size than the victim; it may live on another device too. of: the variable.
    """

    objective: Objective
    size: tuple[int, int]
    of: str = IMAGE
    fixed: bool = field(init=False)

    def __post_init__(self) -> None:
        self.fixed = self.objective.fixed

    def __call__(self, x: Point, step: int, *, need_grad: bool = True, memory: Memory = NOTHING) -> Evaluation:
        return self._seen(x, lambda small: self.objective(small, step, need_grad=need_grad, memory=memory))

    def value(self, x: Point) -> Evaluation:
        return self._seen(x, self.objective.value)

    def rows(self, picks: Sequence[int]) -> Self:
        return dataclasses.replace(self, objective=self.objective.rows(picks))

    def price(self, need_grad: bool) -> Cost:
        return self.objective.price(need_grad)

    def memory(self) -> Memory:
        return self.objective.memory()

    def _seen(self, x: Point, objective: Callable[[Point], Evaluation]) -> Evaluation:
        import torch

        point = named(x)
        large = point[self.of].detach().requires_grad_(True)
        small = resized(large, self.size)
        seen = objective(shaped(point | {self.of: small.detach()}, x))
        loss = seen.loss.to(large.device)
        if seen.grad is None:
            return dataclasses.replace(seen, loss=loss)
        grads = named(seen.grad)
        (grad,) = torch.autograd.grad(small, large, grads[self.of].to(small))
        return dataclasses.replace(seen, loss=loss, grad=shaped(grads | {self.of: grad}, x))


@dataclass(frozen=True)
class CommonWeakness:
    """CWA as released: momentum inside over the surrogates, momentum outside over the rounds.

    Step i sees surrogate i mod `surrogates` (the objective must be a `Cycle`). Inside: m_in <- mu m_in +
    g / (||g||_2 + 1e-5), x <- P(x - beta m_in). After the last surrogate of a round: D = x - x_round; m_out <-
    mu m_out + D / ||D||_1; x <- P(x_round + xi sign m_out). Both momenta persist over rounds. Norms are per picture
    (the code takes ||D||_1 over the batch), and D = 0 leaves m_out as it is (the code divides by zero).
    The reverse step of the paper's algorithm is left out, as it is commented out in the code.
    Source: Chen et al. 2023 (CWA, algorithm 1) and Dong et al. 2023's code: mu 1, beta 250, xi = 16/255/5.
    """

    surrogates: int
    xi: float = 16 / 255 / 5
    beta: float = 250.0
    mu: float = 1.0
    needs_grad = True

    def __post_init__(self) -> None:
        if self.surrogates < 1:
            raise ValueError(f"surrogates: expected at least 1, found {self.surrogates}")

    def init(self, x: torch.Tensor) -> State:
        import torch

        return {"round": x.clone(), "inner": torch.zeros_like(x), "outer": torch.zeros_like(x)}

    def __call__(self, at: Iterate, state: State) -> tuple[torch.Tensor, State]:
        inner = self.mu * state["inner"] + at.grad / (norm(at.grad) + 1e-5)
        x = at.project(at.x - self.beta * inner)
        if (at.step + 1) % self.surrogates:
            return x, state | {"inner": inner}
        moved = x - state["round"]
        length = moved.abs().flatten(1).sum(1)[:, None, None, None]
        outer = self.mu * state["outer"] + (moved / length.clamp_min(1e-30)).where(length > 0, 0 * moved)
        x = at.project(state["round"] + self.xi * at.scale * outer.sign())
        return x, {"round": x, "inner": inner, "outer": outer}
