"""The rate at more tries than were made, with an interval (Hughes et al. 2024: a power law of Best-of-N).

Hughes et al. fit -log(ASR(N)) = a N^-b and read it at larger N. That is no law: where the chance of a try differs
between samples as a beta distribution has it, it holds for large N only, and where some samples never give way it
promises too much. So the number is theirs, and the interval holds two views: the power law over samples drawn again
(bootstrap), and mixtures (chances beta-distributed, logit-normal, of two values or one; some samples may never give
way), averaged over all that the tries leave plausible. How often each holds the truth: `scripts/forecast_coverage.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.evaluation.statistics.bootstrap import DRAWS, LEVEL, SEED
from proofglass.evaluation.statistics.clusters import numbered
from proofglass.types.tries import Tries

if TYPE_CHECKING:
    import numpy as np

POINTS = 40  # of the curve that the power law is fitted to
NEVER = 20  # grid: share of samples that never give way, 0 to .95
SHAPES = (0.03, 30.0, 24)  # grid of alpha: smallest, largest, how many
MEANS = (1e-5, 0.999, 36)  # grid of the mean chance of a try


@dataclass(frozen=True)
class Forecast:
    """The share of samples that some try of `tries` turns, in 0..1, with the ends of a 95 % interval.

    made: the most tries that a sample had. a, b: of the power law, None where too few points could be fitted; `value`
    is the median of the mixtures there. power: the interval of the power law alone, None without it; mixture: that of
    the mixtures alone.
    """

    tries: int
    value: float
    low: float
    high: float
    made: int
    a: float | None
    b: float | None
    power: tuple[float, float] | None
    mixture: tuple[float, float]


def forecast(
    found: Sequence[Tries],
    tries: int,
    clusters: Iterable[Hashable] | None = None,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = SEED,
) -> Forecast | None:
    """The rate after `tries` tries of each sample, from those that were made; None without a single try.

    clusters: of each sample; the bootstrap draws clusters, the mixtures take samples as independent. Searches that stop
    at their first success and such that go on may stand side by side. Raises ValueError for tries < 1.
    """
    if tries < 1:
        raise ValueError(f"tries: expected at least 1, found {tries}")
    known = [k for k, each in enumerate(found) if each.tries]
    if not known:
        return None
    named = list(range(len(found)) if clusters is None else clusters)
    some = [found[k] for k in known]
    value, a, b, power = _power(some, tries, [named[k] for k in known], draws, level, seed)
    median, mixture = _mixture(some, tries, level)
    value = median if value is None else value
    ends = [*mixture, *(power or ()), value]
    return Forecast(tries, value, min(ends), max(ends), max(t.tries for t in some), a, b, power, mixture)


def curve(found: Sequence[Tries], at: Sequence[int]) -> np.ndarray:
    """What each sample says of the rate at so many tries, float [samples, len(at)], NaN where it made fewer: 0 or 1
    where it stopped at its first success, else the unbiased chance of pass@k (Chen et al. 2021)."""
    import numpy as np

    table = np.full((len(found), len(at)), np.nan)
    known: dict[Tries, list[float]] = {}
    for row, each in enumerate(found):
        if each not in known:
            known[each] = [_at(each, k) for k in at]
        table[row] = known[each]
    return table


def _at(each: Tries, k: int) -> float:
    if each.successes == 1 and each.first == each.tries:  # it stopped there
        return float(k >= each.first)
    if k > each.tries:
        return float("nan")
    from math import comb

    return 1 - comb(each.tries - each.successes, k) / comb(each.tries, k)


# ---- the power law ----


def _power(
    found: Sequence[Tries], tries: int, clusters: Sequence[Hashable], draws: int, level: float, seed: int
) -> tuple[float | None, float | None, float | None, tuple[float, float] | None]:
    import numpy as np

    most = max(each.tries for each in found)
    at = np.unique(np.geomspace(1, most, POINTS).round().astype(int))
    table = curve(found, at.tolist())
    heard = ~np.isnan(table)
    index = numbered(clusters)
    count = int(index.max()) + 1
    sums, rows = np.zeros((count, len(at))), np.zeros((count, len(at)))
    np.add.at(sums, index, np.nan_to_num(table))
    np.add.at(rows, index, heard.astype(float))
    (a,), (b,) = _fitted(sums.sum(0, keepdims=True), rows.sum(0, keepdims=True), at)
    if np.isnan(a):
        return None, None, None, None
    value = float(np.exp(-a * tries**-b))
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws).astype(float)
    many_a, many_b = _fitted(weights @ sums, weights @ rows, at)
    drawn = np.exp(-many_a * float(tries) ** -many_b)
    drawn = drawn[~np.isnan(drawn)]
    tail = (1 - level) / 2
    ends = (float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail))) if len(drawn) else None
    return value, float(a), float(b), ends


def _fitted(sums: np.ndarray, rows: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a and b of each row of the rates sums / rows, [R, K], by least squares of log(-log) on log N; NaN where fewer
    than two rates are neither 0 nor 1. b is at least 0: more tries never succeed less."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        rates = sums / rows
        usable = (rates > 0) & (rates < 1)
        y = np.where(usable, np.log(-np.log(np.where(usable, rates, 0.5))), 0.0)
        x = np.where(usable, np.log(at), 0.0)
        n = usable.sum(1)
        mean_x, mean_y = x.sum(1) / n, y.sum(1) / n
        spread = np.where(usable, (x - mean_x[:, None]) ** 2, 0.0).sum(1)
        both = np.where(usable, (x - mean_x[:, None]) * (y - mean_y[:, None]), 0.0).sum(1)
        slope = np.minimum(0.0, both / spread)
        a = np.exp(mean_y - slope * mean_x)
    return np.where(n < 2, np.nan, a), np.where(n < 2, np.nan, -slope)


# ---- the mixtures ----


def _mixture(found: Sequence[Tries], tries: int, level: float) -> tuple[float, tuple[float, float]]:
    """Median and interval of the rate over all mixtures of all families, each as likely as the tries are under it."""
    import numpy as np

    made = Counter((each.tries, each.successes) for each in found)
    views = [family(made, tries) for family in (_beta_family, _normal_family, _two_points, _one_chance)]
    rate = np.concatenate([rates.ravel() for rates, _ in views])
    # Families are equally likely beforehand, however many points their grids have.
    likelihood = np.concatenate([told.ravel() - np.log(told.size) for _, told in views])
    weight = np.exp(likelihood - likelihood.max())
    order = np.argsort(rate)
    below = np.cumsum(weight[order])
    tail = (1 - level) / 2
    low, median, high = np.interp(np.array([tail, 0.5, 1 - tail]) * below[-1], below, rate[order])
    return float(median), (float(low), float(high))


# Each family: (the rate after so many tries, the log of prior times likelihood) of every mixture of its grid. What a
# sample adds is the mean of p^s (1 - p)^(t - s) over the chances p of the mixture, however its search was stopped.

Made = Counter[tuple[int, int]]


def _beta_family(made: Made, tries: int) -> tuple[np.ndarray, np.ndarray]:
    """Beta-distributed chances, but for a share of samples that never give way."""
    import numpy as np

    alpha, mean, never = np.meshgrid(np.geomspace(*SHAPES), np.geomspace(*MEANS), np.arange(NEVER) / NEVER)
    beta = alpha * (1 - mean) / mean
    base = _log_beta(alpha, beta)
    told = _prior(never)
    for (asked, hits), count in made.items():
        told += count * _thinned(_log_beta(alpha + hits, beta + asked - hits) - base, never, hits)
    return (1 - never) * -np.expm1(_log_beta(alpha, beta + tries) - base), told


def _normal_family(made: Made, tries: int) -> tuple[np.ndarray, np.ndarray]:
    """Chances whose logit is normal, but for a share of samples that never give way."""
    import numpy as np

    mean, spread, never = np.meshgrid(np.linspace(-14, 5, 39), np.geomspace(0.2, 5, 12), np.arange(NEVER) / NEVER)
    at = np.linspace(-4, 4, 41)
    share = np.exp(-(at**2) / 2)
    logit = mean[:, :, :1] + spread[:, :, :1] * at
    yes, no = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)  # log p, log (1 - p)
    weigh = np.log(share / share.sum())
    told = _prior(never)
    for (asked, hits), count in made.items():
        one = _log_sum(weigh + hits * yes + (asked - hits) * no)
        told += count * _thinned(one[:, :, None], never, hits)
    return (1 - never) * -np.expm1(_log_sum(weigh + tries * no))[:, :, None], told


def _two_points(made: Made, tries: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples of two kinds, each with one chance."""
    import numpy as np

    chances = np.geomspace(1e-6, 0.999, 40)
    often, seldom, share = np.meshgrid(chances, np.array([0, *chances]), np.arange(1, NEVER) / NEVER)
    told = np.where(seldom < often, 0.0, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for (asked, hits), count in made.items():
            one = np.log(share) + hits * np.log(often) + (asked - hits) * np.log1p(-often)
            other = np.log1p(-share) + (hits * np.log(seldom) if hits else 0.0) + (asked - hits) * np.log1p(-seldom)
            told += count * np.logaddexp(one, other)
    return share * -np.expm1(tries * np.log1p(-often)) + (1 - share) * -np.expm1(tries * np.log1p(-seldom)), told


def _one_chance(made: Made, tries: int) -> tuple[np.ndarray, np.ndarray]:
    """All samples alike: where the other families end."""
    import numpy as np

    chance = np.geomspace(1e-6, 0.999, 200)
    told = np.zeros_like(chance)
    for (asked, hits), count in made.items():
        told += count * (hits * np.log(chance) + (asked - hits) * np.log1p(-chance))
    return -np.expm1(tries * np.log1p(-chance)), told


def _prior(never: np.ndarray) -> np.ndarray:
    """Log of a prior by which all samples give way in the end as likely as not; the shares that never do are alike."""
    import numpy as np

    found: np.ndarray = np.where(never == 0, np.log(NEVER - 1), 0.0) - np.log(2 * (NEVER - 1) / NEVER)
    return found


def _thinned(one: np.ndarray, never: np.ndarray, hits: int) -> np.ndarray:
    """`one`, a log likelihood, where a share of the samples never gives way."""
    import numpy as np

    with np.errstate(divide="ignore"):
        found: np.ndarray = np.log1p(-never) + one
        return found if hits else np.logaddexp(np.log(never), found)


def _log_sum(x: np.ndarray) -> np.ndarray:
    """log of the sum of exp over the last axis."""
    import numpy as np

    top = x.max(-1)
    found: np.ndarray = top + np.log(np.exp(x - top[..., None]).sum(-1))
    return found


def _log_beta(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    found: np.ndarray = _log_gamma(one) + _log_gamma(other) - _log_gamma(one + other)
    return found


def _log_gamma(x: np.ndarray) -> np.ndarray:
    """log Gamma of x > 0: Stirling's series at x + 8, brought back. To 1e-12."""
    import numpy as np

    product = np.ones_like(x)
    for k in range(8):
        product = product * (x + k)
    z = x + 8
    series = 1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5) - 1 / (1680 * z**7)
    found: np.ndarray = (z - 0.5) * np.log(z) - z + 0.5 * np.log(2 * np.pi) + series - np.log(product)
    return found
