"""The same samples under two systems: did it change, and by how much? Pairs of one cluster move together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, erfc
from typing import TYPE_CHECKING, Literal

from proofglass.evaluation.statistics.quantiles import binomial_tail, chi_squared_tail, normal_quantile

if TYPE_CHECKING:
    import numpy as np

    from proofglass.evaluation.statistics.clusters import ClusterTotals

ENUMERATED = 14  # clusters whose 2^k signs are all tried where sums are not whole
EXACT = 50_000  # sum of whole cluster sums up to which the exact distribution is computed
SCALES = (1, 2, 4, 5, 10, 20, 100)  # sums that are whole times one of these count as whole: scores of 0.5, of 0.1


def mcnemar(gained: int, lost: int, form: Literal["exact", "mid-p", "chi2", "chi2-corrected"] = "exact") -> float:
    """Two-sided p value that as many pairs changed one way (`gained`) as the other (`lost`); 1 if none changed.

    exact: binomial; mid-p: half of the observed table's weight, closer to its level; chi2: without and with Edwards'
    correction. Sources: McNemar 1947; Lancaster 1961 (mid-p). Equal to statsmodels' `mcnemar`. Pairs that share
    clusters need `sign_flip`.
    """
    changed = gained + lost
    if gained < 0 or lost < 0:
        raise ValueError(f"gained, lost: expected counts of at least 0, found {gained} and {lost}")
    if changed == 0:
        return 1.0
    if form in ("exact", "mid-p"):
        least = max(gained, lost)
        p = min(1.0, 2 * binomial_tail(least, changed, 0.5))
        if form == "exact":
            return p
        observed = comb(changed, least) / 2**changed
        found: float = 1.0 - observed if gained == lost else p - observed
        return found
    if form in ("chi2", "chi2-corrected"):
        apart = max(0, abs(gained - lost) - (form == "chi2-corrected"))
        return chi_squared_tail(apart**2 / changed, 1)
    raise ValueError(f"form: expected exact, mid-p, chi2 or chi2-corrected, found {form!r}")


def sign_flip(sums: Sequence[float] | np.ndarray) -> float:
    """Two-sided p value that differences are as likely to be positive as negative, when whole clusters change sign.

    sums: the sum of the differences of each cluster. Exact where the sums are whole (`SCALES`; clusters of one pair
    then give McNemar's exact test) and where at most `ENUMERATED` are not 0; else by a saddlepoint, within some per
    cent of the exact value, so that no seed is needed. Raises ValueError for sums that are not finite. Sources: Fisher
    1935; by cluster as in Gail, Mark, Carroll, Green & Pee 1996; saddlepoint: Robinson 1982, with Lugannani & Rice
    1980.
    """
    import numpy as np

    sums = np.asarray(sums, np.float64)
    if not np.isfinite(sums).all():
        raise ValueError(f"sums: expected finite numbers, found {sums[~np.isfinite(sums)][0]}")
    size = np.abs(sums[sums != 0])
    if size.size == 0:
        return 1.0
    observed = abs(float(sums.sum()))
    for scale in SCALES:
        whole = np.round(scale * size)
        if whole.sum() <= EXACT and np.abs(scale * size - whole).max() < 1e-9:
            return _whole(whole.astype(np.int64), round(scale * observed))
    if size.size <= ENUMERATED:
        signs = 1.0 - 2 * (np.arange(2**size.size)[:, None] >> np.arange(size.size) & 1)
        near = observed - 1e-9 * float(size.sum())  # sums in another order differ in the last bits
        return float((np.abs(signs @ size) >= near).mean())
    return _saddlepoint(size / float(size.max()), observed / float(size.max()))


def _whole(size: np.ndarray, observed: int) -> float:
    """P(|sum of +-size| >= observed), exact: the distribution from its characteristic function, product of cosines."""
    import numpy as np

    total = int(size.sum())
    length = 2 ** (2 * total + 1).bit_length()
    angles = 2 * np.pi * np.arange(length // 2 + 1) / length
    product = np.ones_like(angles)
    for value, times in zip(*np.unique(size, return_counts=True), strict=True):
        product *= np.cos(value * angles) ** times
    weights = np.fft.irfft(product, length)  # weights[s] = P(sum = s), s modulo length
    inside = 0.0 if observed == 0 else weights[0] + 2 * weights[1:observed].sum()
    # Rounding leaves 1e-16; the observed signs and their opposite are two of 2^k.
    return float(min(1.0, max(1.0 - inside, 2.0 ** (1 - size.size))))


def _saddlepoint(size: np.ndarray, observed: float) -> float:
    """P(|sum of +-size| >= observed) from the cumulant generating function, sum of log cosh(t size)."""
    import numpy as np

    least = 2.0 ** (1 - size.size)  # the observed signs and their opposite, of 2^k
    if observed >= size.sum() * (1 - 1e-9):
        return least
    t = observed / float((size**2).sum())
    for _ in range(100):  # Newton from the left of a concave function: never past the root
        pull = np.tanh(t * size)
        curvature = float((size**2 * (1 - pull**2)).sum())
        step = (observed - float((size * pull).sum())) / curvature
        t += step
        if step <= 1e-10 * t:
            break
    w = np.sqrt(max(0.0, 2 * (t * observed - float(np.log(np.cosh(t * size)).sum()))))
    u = t * np.sqrt(curvature)
    if w < 1e-3:
        return 1.0
    density = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
    return float(min(1.0, max(least, erfc(w / np.sqrt(2)) + 2 * density * (1 / u - 1 / w))))


def cochran_q(values: Sequence[Sequence[float]] | np.ndarray) -> tuple[float, float]:
    """Q and its p value for more than two systems on the same samples: 0/1 values [samples, systems].

    0, 1.0 where no sample tells systems apart. Source: Cochran 1950; equal to statsmodels' `cochrans_q`.
    """
    import numpy as np

    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isin(table, (0, 1)).all():
        raise ValueError(f"values: expected 0 and 1, [samples, at least 2 systems], found shape {table.shape}")
    systems, by_system, by_sample = table.shape[1], table.sum(0), table.sum(1)
    below = systems * by_sample.sum() - (by_sample**2).sum()
    if below == 0:
        return 0.0, 1.0
    q = (systems - 1) * (systems * (by_system**2).sum() - by_system.sum() ** 2) / below
    return float(q), chi_squared_tail(float(q), systems - 1)


@dataclass(frozen=True)
class PairedDifferences:
    """Arrays, one entry per comparison: mean difference in -1..1, its interval, pairs, clusters (as they are, and as
    how many equal ones they count); centre, error: what the interval is built on, centre +- z error; rows: independent
    pairs that these are worth, gained and lost: how many of them changed either way."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    clusters: np.ndarray
    effective_clusters: np.ndarray
    centre: np.ndarray
    error: np.ndarray
    rows: np.ndarray
    gained: np.ndarray
    lost: np.ndarray


def paired_differences(totals: ClusterTotals, level: float = 0.95) -> PairedDifferences:
    """Mean differences of many comparisons at once. totals: of the differences of each pair, each in -1..1.

    Bonett & Price 2012 (one more pair gained and one lost, so that it is never [0, 0]) on the number of independent
    pairs that clustered ones are worth (`clusters.effective_rows`). NaN where there is no pair.
    """
    import numpy as np

    from proofglass.evaluation.statistics.clusters import effective_rows

    z = normal_quantile(level)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = totals.sum / totals.n
        square = totals.per_cell(totals.squares) / totals.n
        rows = effective_rows(totals, value, square - value**2, level)
        centre = value * rows / (rows + 2)
        error = np.sqrt(np.maximum((square * rows + 2) / (rows + 2) - centre**2, 0) / (rows + 2))
        low = np.minimum(np.maximum(centre - z * error, -1), value)
        high = np.maximum(np.minimum(centre + z * error, 1), value)
        gained, lost = rows * (square + value) / 2, rows * (square - value) / 2
    clusters = totals.clusters, totals.effective
    return PairedDifferences(value, low, high, totals.n, *clusters, centre, error, rows, gained, lost)
