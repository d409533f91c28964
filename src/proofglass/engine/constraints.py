"""Where an attacked picture may lie. Pixels are float32 [B, 3, H, W] in [0, 1], before normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from proofglass.engine.points import norm, wide
from proofglass.engine.rounding import fitted, nearest, whole_levels

if TYPE_CHECKING:
    import torch

Start = Literal["clean", "uniform"]


def check_epsilon(epsilon: float, field: str = "epsilon") -> None:
    """Raise ValueError unless `epsilon` is an l-infinity radius that an 8-bit picture can use: 1/255 <= epsilon <= 1.

    field: its name in the message, which offers the likely reading of a number in grey levels (16: "write 16/255?").
    For the `__post_init__` of every attack that has a radius, so that a wrong one is told before anything is spent.
    """
    if not 0 < epsilon <= 1:
        hint = f"; write {epsilon:g}/255?" if 1 < epsilon <= 255 else ""
        raise ValueError(f"{field}: expected 0 < epsilon <= 1 (pixels are in [0, 1]), found {epsilon:g}{hint}")
    if whole_levels(epsilon) < 1:
        raise ValueError(_too_small(field, epsilon))


def check_radius(radius: float, field: str = "epsilon") -> None:
    """Raise ValueError unless `radius` is an l2 radius (norm of the whole difference, in [0, 1] units) that an 8-bit
    picture can use: 1/255 or more. field: its name in the message."""
    if not radius > 0:
        raise ValueError(f"{field}: expected more than 0 (l2 norm in [0, 1] units), found {radius:g}")
    if whole_levels(radius) < 1:
        raise ValueError(_too_small(field, radius))


def _too_small(field: str, radius: float) -> str:
    return (
        f"{field}: {radius:g} is {radius * 255:.3g} of a grey level, and the only 8-bit picture as near as this is the "
        "clean one; expected 1/255 or more"
    )


@runtime_checkable
class Rounds(Protocol):
    """A constraint with a rounding of its own. Without one, values go to the nearest level."""

    def rounded(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        """Grey levels, whole float64 of the shape of `x`, within the set around the 8-bit picture of `x0`: what is
        saved and judged of `x`. Each picture by itself, and the same whenever it is asked again."""


class Constraint(Protocol):
    """A set of pictures around a clean one. `Rounds` says how its pictures become 8-bit ones."""

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """First iterate, inside the set. noise: uniform in [0, 1), the shape of x0."""

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        """A picture of the set near `x`. Raises ValueError if the shapes differ."""

    def free(self, x0: torch.Tensor) -> torch.Tensor | None:
        """1 where values may move, 0 elsewhere, broadcastable to x0; None: everywhere. Gradients are masked by it
        before any norm is taken."""


@dataclass(frozen=True)
class LInf:
    """At most `epsilon` from the clean picture in every value, and inside [0, 1].

    start: "uniform" begins at a random point of the ball, "clean" at the picture itself, "face" at uniform noise
    scaled so that its largest value lies on the ball's face (Croce & Hein 2020's code).
    Rounded to the nearest level, and to the last whole one inside the ball where epsilon lies between two: 0.03 is 7.65
    levels, so that 7 are saved.
    Source: Madry et al. 2018, section 2.1; the clamp to [0, 1] is what a picture can hold. Ball-then-box and
    box-then-ball agree, since the clean picture lies in the box.
    """

    epsilon: float
    start: Start | Literal["face"] = "uniform"

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        _check_start(self.start, "clean", "uniform", "face")

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        if self.start == "clean":
            return x0.clone()
        moved = 2 * noise - 1
        if self.start == "face":
            moved = moved / wide(moved.abs().flatten(1).amax(1).clamp_min(1e-12), x0)
        return self.project(x0 + moved * self.epsilon, x0)

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        _check_shape(x, x0)
        return x.clamp(x0 - self.epsilon, x0 + self.epsilon).clamp(0, 1)

    def rounded(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        clean, most = nearest(x0), whole_levels(self.epsilon)
        return nearest(x).clamp(clean - most, clean + most)

    def free(self, x0: torch.Tensor) -> torch.Tensor | None:
        return None


@dataclass(frozen=True)
class L2:
    """At most `epsilon` from the clean picture in Euclidean norm per picture ([0, 1] units), and inside [0, 1].

    The difference is scaled first and then clipped; clipping moves towards the clean picture, so the result stays
    in the ball, and so does rounding (`rounding.fitted`). start: "uniform" begins at a random direction of length
    `epsilon`.
    """

    epsilon: float
    start: Start = "uniform"

    def __post_init__(self) -> None:
        check_radius(self.epsilon)
        _check_start(self.start, "clean", "uniform")

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        if self.start == "clean":
            return x0.clone()
        # The inverse normal of uniform noise: a Gaussian direction from the same stream as every other start.
        direction = ((2 * noise - 1).clamp(-0.999999, 0.999999)).erfinv()
        return (x0 + self.epsilon * direction / norm(direction).clamp_min(1e-12)).clamp(0, 1)

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        _check_shape(x, x0)
        delta = x - x0
        factor = (self.epsilon / norm(delta).clamp_min(1e-12)).clamp_max(1)
        return (x0 + delta * factor).clamp(0, 1)

    def rounded(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        return fitted(x, x0, self.epsilon, per="picture")

    def free(self, x0: torch.Tensor) -> torch.Tensor | None:
        return None


@dataclass(frozen=True)
class Box:
    """Any picture: values inside [0, 1]. start: "uniform" begins at noise, "clean" at the picture given."""

    start: Start = "uniform"

    def __post_init__(self) -> None:
        _check_start(self.start, "clean", "uniform")

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return x0.clone() if self.start == "clean" else noise.clone()

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        _check_shape(x, x0)
        return x.clamp(0, 1)

    def free(self, x0: torch.Tensor) -> torch.Tensor | None:
        return None


@dataclass(frozen=True)
class Between:
    """Every value in [low, high], whatever the variable: perturbations of embeddings, not pictures. Begins at x0.

    Raises ValueError unless low < high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low, high: expected low < high, found {self.low:g} and {self.high:g}")

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self.project(x0, x0)

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        _check_shape(x, x0)
        return x.clamp(self.low, self.high)

    def free(self, x0: torch.Tensor) -> torch.Tensor | None:
        return None


class Region(Protocol):
    """A set of pixels, the same in all pictures of a batch."""

    def mask(self, height: int, width: int) -> torch.Tensor:
        """bool [H, W], True inside."""


@dataclass(frozen=True)
class Patch:
    """A rectangle. row, column: its centre as a share of height and width; height, width: pixels.

    The top left corner is (int(row H) - height // 2, int(column W) - width // 2), moved into the picture where it
    would leave it. Source: Bailey et al. 2023's code.
    """

    height: int
    width: int
    row: float = 0.5
    column: float = 0.5

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Top left corner in a picture of `height` x `width`. Raises ValueError if the patch does not fit."""
        if not (0 < self.height <= height and 0 < self.width <= width):
            raise ValueError(
                f"patch: expected at most the picture's {height} x {width} pixels, found {self.height} x {self.width}"
            )
        top = int(self.row * height) - self.height // 2
        left = int(self.column * width) - self.width // 2
        return min(max(top, 0), height - self.height), min(max(left, 0), width - self.width)

    def mask(self, height: int, width: int) -> torch.Tensor:
        import torch

        top, left = self.corner(height, width)
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[top : top + self.height, left : left + self.width] = True
        return inside


@dataclass(frozen=True)
class Border:
    """The outermost `width` pixels on all four sides."""

    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: expected at least 1 pixel, found {self.width}")

    def mask(self, height: int, width: int) -> torch.Tensor:
        import torch

        inside = torch.ones(height, width, dtype=torch.bool)
        inside[self.width : height - self.width, self.width : width - self.width] = False
        return inside


@dataclass(frozen=True)
class Rows:
    """The top `rows` rows of pixels (Bagdasaryan et al. 2023)."""

    rows: int

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"rows: expected at least 1 row of pixels, found {self.rows}")

    def mask(self, height: int, width: int) -> torch.Tensor:
        import torch

        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[: self.rows] = True
        return inside


@dataclass(frozen=True)
class Within:
    """`inner` inside a region; every pixel outside it equals the clean picture bit for bit."""

    inner: Constraint
    region: Region

    def begin(self, x0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self._inside(self.inner.begin(x0, noise), x0)

    def project(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        _check_shape(x, x0)
        return self._inside(self.inner.project(self._inside(x, x0), x0), x0)

    def rounded(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        inner = self.inner.rounded(x, x0) if isinstance(self.inner, Rounds) else nearest(x)
        return self._inside(inner, nearest(x0))

    def free(self, x0: torch.Tensor) -> torch.Tensor | None:
        return self.region.mask(*x0.shape[-2:]).to(x0)

    def _inside(self, x: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        return x.where(self.region.mask(*x0.shape[-2:]).to(x0.device), x0)


def _check_start(start: str, *known: str) -> None:
    if start not in known:
        raise ValueError(f"start: expected {' or '.join(known)}, found {start!r}")


def _check_shape(x: torch.Tensor, x0: torch.Tensor) -> None:
    if x.shape != x0.shape:
        raise ValueError(f"x: expected the shape of x0 {list(x0.shape)}, found {list(x.shape)}")
