"""How often the forecast of Best-of-N at ten times the tries holds the true rate, and how wide it is.

    python scripts/forecast_coverage.py [REPEATS]      # 100: some minutes on one core

Planted: how the chance of one try differs between samples. Each run draws samples, lets each try until its first
success or N times ("going on": all N times), and forecasts the rate at 10 N, whose truth is known. Beside ours the
power law and the mixtures alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from proofglass.console import say
from proofglass.evaluation.statistics.forecast import Forecast, forecast
from proofglass.types.tries import Tries

TIMES = 10
SIZES = ((50, 30, False), (50, 100, False), (150, 100, False), (50, 30, True), (150, 300, False))  # samples, N, go on
HEAD = "| planted | truth at 10 N | covers | width | power law covers | width | mixtures cover | width | error |"
MANY = 400_000  # samples that stand for the truth

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class World:
    """How chances of a try are planted. draw: so many of them."""

    name: str
    draw: Draw


def beta(alpha: float, mean: float, never: float = 0.0) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        return np.where(rng.random(n) < never, 0.0, rng.beta(alpha, alpha * (1 - mean) / mean, n))

    return draw


def log_normal(median: float, spread: float) -> Draw:
    return lambda rng, n: np.minimum(0.9, median * np.exp(spread * rng.standard_normal(n)))


def two_points(one: float, other: float, share: float) -> Draw:
    return lambda rng, n: np.where(rng.random(n) < share, one, other)


WORLDS = (
    World("beta, alpha .2, mean .02", beta(0.2, 0.02)),
    World("beta, alpha .5, mean .005", beta(0.5, 0.005)),
    World("beta, alpha 1, mean .02", beta(1.0, 0.02)),
    World("beta, alpha .3, mean .001", beta(0.3, 0.001)),
    World("beta, a third never", beta(0.5, 0.02, 1 / 3)),
    World("beta, two thirds never", beta(1.0, 0.01, 2 / 3)),
    World("log-normal, .003, spread 2", log_normal(0.003, 2.0)),
    World("log-normal, .02, spread 1", log_normal(0.02, 1.0)),
    World("two points, .05 and .0005", two_points(0.05, 0.0005, 0.4)),
)
LAWS = ((3.0, 0.3), (5.0, 0.5), (2.0, 0.15))  # a, b of planted power laws


def tried(chance: np.ndarray, n: int, go_on: bool, rng: np.random.Generator) -> list[Tries]:
    if go_on:
        hits = rng.random((len(chance), n)) < chance[:, None]
        return [Tries(n, int(row.sum()), int(row.argmax()) + 1 if row.any() else 0) for row in hits]
    first = np.where(chance > 0, rng.geometric(np.maximum(chance, 1e-12)), n + 1)
    return [Tries(int(k), 1, int(k)) if k <= n else Tries(n) for k in first]


def by_law(a: float, b: float, samples: int, n: int, rng: np.random.Generator) -> list[Tries]:
    """First successes so that the rate at k is exp(-a k^-b) exactly."""
    u = rng.random(samples)
    first = np.ceil((a / -np.log(u)) ** (1 / b))
    return [Tries(int(k), 1, int(k)) if k <= n else Tries(n) for k in first]


def row(name: str, truth: float, found: list[Forecast | None]) -> tuple[str, float]:
    kept = [each for each in found if each is not None]
    views = [
        [(each.low, each.high) for each in kept],
        [each.power for each in kept if each.power],
        [each.mixture for each in kept],
    ]
    told = []
    for ends in views:
        covered = sum(low <= truth <= high for low, high in ends) / len(found)
        told.append(f"{covered:.2f} | {sum(high - low for low, high in ends) / max(1, len(ends)):.2f}")
    ours = sum(low <= truth <= high for low, high in views[0]) / len(found)
    error = sum(abs(each.value - truth) for each in kept) / max(1, len(kept))
    return f"| {name} | {truth:.3f} | {' | '.join(told)} | {error:.3f} |", ours


def main(repeats: int) -> None:
    shares = []
    for samples, n, go_on in SIZES:
        how = "going on" if go_on else "until the first success"
        say(f"\n{samples} samples, N = {n}, {how}; {repeats} runs each\n")
        say(HEAD)
        say("|---|---|---|---|---|---|---|---|---|")
        for k, world in enumerate(WORLDS):
            rng = np.random.default_rng([k, samples, n])
            many = world.draw(rng, MANY)
            truth = float(-np.expm1(TIMES * n * np.log1p(-many)).mean())
            found = [
                forecast(tried(world.draw(rng, samples), n, go_on, rng), TIMES * n, draws=300) for _ in range(repeats)
            ]
            line, ours = row(world.name, truth, found)
            shares.append(ours)
            say(line)
        for k, (a, b) in enumerate(() if go_on else LAWS):
            rng = np.random.default_rng([99, k, samples, n])
            truth = float(np.exp(-a * (TIMES * n) ** -b))
            found = [forecast(by_law(a, b, samples, n, rng), TIMES * n, draws=300) for _ in range(repeats)]
            line, ours = row(f"power law, a {a:g}, b {b:g}", truth, found)
            shares.append(ours)
            say(line)
    runs = repeats * len(shares)
    held = sum(shares) / len(shares)
    say(f"\nThe truth was held in {held:.3f} of {runs:,} runs; in the worst case {min(shares):.2f}.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
