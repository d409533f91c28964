"""How often our 95 % intervals hold the true rate, and how wide they are, where rows share questions.

    python scripts/interval_coverage.py            # the tables of docs/counting-rule.md; minutes on one core
    python scripts/interval_coverage.py --quick    # a corner of them, in seconds

Simulated: each cluster has its own rate from a beta distribution with a given mean and correlation between its rows;
2 to 100 clusters, 100 or 1,000 rows, even and uneven clusters. A figure is a share of --trials runs, the worst of all
true rates (2 to 50 %; above 50 % is the mirror image), correlations and n of its row. Beside it the percentile
bootstrap over clusters on the same data. Widths: multiples of the interval of someone who knows the correlation, mean
over the settings with a correlation of 0.2 and more, in brackets those with less.

Then the same with clusters of three kinds (always, never, sometimes), which no beta distribution looks like, and the
interval of a paired difference.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

import numpy as np

from proofglass.console import say
from proofglass.evaluation.metrics.compare import MARGIN
from proofglass.evaluation.statistics import clustered_rates, non_inferiority, paired_differences
from proofglass.evaluation.statistics.clusters import ClusterTotals, is_few
from proofglass.evaluation.statistics.rates import score_interval

RATES = (0.02, 0.05, 0.1, 0.2, 0.5)
CLUSTERS = (2, 3, 5, 8, 12, 20, 30, 40, 60, 100)
CORRELATIONS = (0.0, 0.05, 0.2, 0.5, 0.8)
ROWS = (100, 1000)
SHAPES = ("even", "one in four has 20 x", "geometric", "log-normal")
DRAWS = 300  # of the bootstrap


@dataclass(frozen=True)
class Point:
    """One setting and what came of it: shares of runs whose interval missed below (the rate looks too low, a model too
    safe) or above, mean widths of ours, of the bootstrap and with the correlation known."""

    n: int
    clusters: int
    shape: str
    rate: float
    correlation: float
    few: bool
    too_low: float
    too_high: float
    bootstrap: float
    width: float
    bootstrap_width: float
    known_width: float

    @property
    def coverage(self) -> float:
        return 1 - self.too_low - self.too_high


def sizes(shape: str, clusters: int, n: int) -> np.ndarray:
    """Rows of each cluster, at least one each, together n."""
    place = (np.arange(clusters) + 0.5) / clusters
    last_of_four = np.arange(clusters) % 4 == min(3, clusters - 1)
    weights = {
        "even": np.ones(clusters),
        "one in four has 20 x": np.where(last_of_four, 20.0, 1.0),
        "geometric": -np.log(1 - place),
        "log-normal": np.exp([NormalDist().inv_cdf(x) for x in place]),
    }[shape]
    exact = 1 + (n - clusters) * weights / weights.sum()
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: n - whole.sum()]] += 1
    return whole


def beta(rng: np.random.Generator, rate: float, correlation: float, shape: tuple[int, int]) -> np.ndarray:
    if correlation == 0 or rate in (0, 1):
        return np.full(shape, rate)
    strength = 1 / correlation - 1
    return rng.beta(rate * strength, (1 - rate) * strength, shape)


def three_kinds(rng: np.random.Generator, rate: float, correlation: float, shape: tuple[int, int]) -> np.ndarray:
    """A share `correlation` of the clusters is always or never, the rest has the rate."""
    kind = rng.random(shape)
    return np.where(kind < correlation * rate, 1.0, np.where(kind < correlation, 0.0, rate))


def points(trials: int, own_rate=beta, quick: bool = False) -> Iterator[Point]:
    rng = np.random.default_rng(0)
    chosen = ((5, 30), ("even", "log-normal")) if quick else (CLUSTERS, SHAPES)
    for n, clusters, shape, rate, correlation in product(ROWS, *chosen, RATES, CORRELATIONS):
        if clusters == n:
            continue
        counts = sizes(shape, clusters, n)
        hits = rng.binomial(counts, own_rate(rng, rate, correlation, (trials, clusters))).astype(float)
        found = clustered_rates(totals(hits, hits, counts))
        low, high = bootstrap(rng, hits, counts)
        known = score_interval(hits.sum(1) / n, n / (1 + ((counts**2).sum() / n - 1) * correlation))
        yield Point(
            n, clusters, shape, rate, correlation,
            is_few(n, clusters, found.effective_clusters[0]),
            too_low=float((found.high < rate).mean()),
            too_high=float((found.low > rate).mean()),
            bootstrap=float(((low <= rate) & (rate <= high)).mean()),
            width=float((found.high - found.low).mean()),
            bootstrap_width=float((high - low).mean()),
            known_width=float((known[1] - known[0]).mean()),
        )  # fmt: skip


def totals(sums: np.ndarray, squares: np.ndarray, counts: np.ndarray) -> ClusterTotals:
    """Each run a cell. sums, squares: [runs, clusters]; counts: [clusters]."""
    runs, clusters = sums.shape
    every = np.tile(counts, runs).astype(float)
    return ClusterTotals(np.repeat(np.arange(runs), clusters), sums.ravel(), squares.ravel(), every, runs)


def bootstrap(rng: np.random.Generator, hits: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval when whole clusters are drawn again; the same draws for all runs."""
    drawn = rng.multinomial(counts.size, np.full(counts.size, 1 / counts.size), DRAWS).astype(float)
    means = (hits @ drawn.T) / (drawn @ counts)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return low, high


@dataclass(frozen=True)
class Pairs:
    """A setting of two systems: how often the interval of their difference lies below and above it; passed: how often
    a difference of -MARGIN is taken for less of a loss than that (None: another difference)."""

    clusters: int
    few: bool
    below: float
    above: float
    passed: float | None


def paired(trials: int, quick: bool = False) -> Iterator[Pairs]:
    """Two systems whose rates in a cluster are alike half of the time (one beta draw, scaled), and whose answers to a
    sample are drawn apart."""
    rng = np.random.default_rng(1)
    chosen = ((5, 30), ("even",)) if quick else (CLUSTERS, SHAPES)
    pairs = [(0.1, 0.1), (0.05, 0.02), (0.3, 0.1), (0.5, 0.5), (0.9, 0.4), (0.05, 0.001)]
    pairs += [(loss, loss + MARGIN) for loss in (0.0, 0.001, 0.05, 0.25, 0.45, 0.7, 0.95)]
    for n, clusters, shape, (rate, other), correlation in product(ROWS, *chosen, pairs, CORRELATIONS):
        if clusters == n:
            continue
        counts = sizes(shape, clusters, n)
        ours = beta(rng, rate, correlation, (trials, clusters))
        theirs = beta(rng, other, correlation, (trials, clusters))
        same = ours * other / rate if rate > other else 1 - (1 - ours) * (1 - other) / (1 - rate)
        theirs = np.where(rng.random(theirs.shape) < 0.5, theirs, same)
        gained = rng.binomial(counts, ours * (1 - theirs))
        lost = rng.binomial(counts - gained, (1 - ours) * theirs / (1 - ours * (1 - theirs)).clip(1e-12))
        found = paired_differences(totals(gained - lost + 0.0, gained + lost + 0.0, counts))
        few = is_few(n, clusters, found.effective_clusters[0])
        below, above = float((found.high < rate - other).mean()), float((found.low > rate - other).mean())
        is_margin = abs(other - rate - MARGIN) < 1e-9
        passed = float((np.array(non_inferiority(found, MARGIN)) < 0.025).mean()) if is_margin else None
        yield Pairs(clusters, few, below, above, passed)


def table(found: list[Point]) -> None:
    heads = "clusters | warned | covers at least | where | too low / too high there | width | bootstrap | its width"
    say(f"| {heads} |\n{'|---' * 8}|")
    for clusters, few in product(dict.fromkeys(point.clusters for point in found), (True, False)):
        mine = [point for point in found if (point.clusters, point.few) == (clusters, few)]
        if not mine:
            continue
        worst = min(mine, key=lambda point: point.coverage)
        columns = (
            str(clusters),
            "yes" if few else "no",
            f"{100 * worst.coverage:.1f} %",
            f"{worst.shape}, n {worst.n}, rate {100 * worst.rate:.0f} %, correlation {worst.correlation}",
            f"{100 * worst.too_low:.1f} / {100 * worst.too_high:.1f} %",
            widths(mine, "width"),
            f"{100 * min(point.bootstrap for point in mine):.0f} %",
            widths(mine, "bootstrap_width"),
        )
        say(f"| {' | '.join(columns)} |")


def widths(found: list[Point], name: str) -> str:
    """Mean width as a multiple of the known one, at correlations from 0.2 up, and in brackets below."""
    ratios = {
        low: np.mean([getattr(p, name) / p.known_width for p in found if (p.correlation < 0.2) == low])
        for low in (False, True)
    }
    return f"{ratios[False]:.2f} ({ratios[True]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    trials = 200 if given.quick else given.trials
    found = list(points(trials, quick=given.quick))
    say(f"{len(found)} settings, {trials} runs each\n")
    table(found)
    for few, said in ((True, "with"), (False, "without")):
        mine = [point.coverage for point in found if point.few == few]
        told = f"lowest {100 * min(mine):.1f} %, mean {100 * np.mean(mine):.1f} %"
        say(f"\n{said} a warning: {len(mine)} settings, {told}")
    say("\nClusters of three kinds:\n")
    table(list(points(trials, three_kinds, given.quick)))
    say("\nPaired differences:\n")
    heads = "clusters | warned | covers at least | below at most | above at most | a loss of the margin passes at most"
    say(f"| {heads} |\n{'|---' * 6}|")
    groups: dict[tuple[int, bool], list[Pairs]] = {}
    for each in paired(trials, given.quick):
        groups.setdefault((each.clusters, bool(each.few)), []).append(each)
    for (clusters, few), mine in sorted(groups.items()):
        shares = (
            1 - max(each.below + each.above for each in mine),
            max(each.below for each in mine),
            max(each.above for each in mine),
            max(each.passed for each in mine if each.passed is not None),
        )
        say(f"| {clusters} | {'yes' if few else 'no'} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")


if __name__ == "__main__":
    main()
