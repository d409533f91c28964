"""Error rates of a judge, measured on other replies, carried over to the replies at hand.

The assumption is that of Rogan and Gladen: of replies that are truly positive (and of those that are not) the judge
says yes as often here as there. Between models it does not. So the calibration counts each model apart, how much they
differ is estimated, and the interval is one for a *new* model; from one or two models that cannot be known, and
`reason` says so. Kinds of reply are corrected each with its own rates and added up.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from proofglass.evaluation.correction.calibration import Rate, Table
from proofglass.evaluation.correction.effects import design_effect
from proofglass.evaluation.correction.parts import combined, part_interval
from proofglass.evaluation.correction.result import WITHHELD, YES, Corrected, Verdict
from proofglass.evaluation.statistics.clusters import numbered
from proofglass.evaluation.statistics.quantiles import normal_quantile
from proofglass.interfaces import Calibration


@dataclass(frozen=True)
class _Stratum:
    """yes: share of "yes" among `rows` replies, fewer where these share questions; se, sp: sensitivity, specificity."""

    yes: float
    rows: float
    se: Rate
    sp: Rate

    @property
    def rate(self) -> float:
        """Rogan and Gladen's, clipped."""
        false, right = 1 - self.sp.right, self.se.right
        return min(1.0, max(0.0, (self.yes - false) / (right - false))) if right > false else 0.5

    def ends(self, z: float) -> tuple[float, float]:
        """Every rate r that a test at `z` does not reject: with smoothed error rates a = 1 - sp and b = se,
        (yes - a - r (b - a))^2 <= z^2 (m (1 - m) / rows + (1 - r)^2 Var a + r^2 Var b), where m = a + r (b - a).

        A share of "yes" outside [a, b] counts as the nearer of the two, so that some rate is always left.
        """
        se, sp = self.se.smoothed, self.sp.smoothed
        a, gain = 1 - sp.right, se.right + sp.right - 1
        va, vb = sp.variance / sp.rows + sp.between, se.variance / se.rows + se.between
        above = min(max(self.yes - a, 0.0), gain)  # how much more "yes" than false alarms alone would give
        square = gain**2 * (1 + z * z / self.rows) - z * z * (va + vb)
        if gain <= 0 or square <= 0:
            return 0.0, 1.0  # the verdict says nothing: no rate can be rejected
        linear = -2 * gain * above - z * z * (gain * (1 - 2 * a) / self.rows - 2 * va)
        constant = above**2 - z * z * (a * (1 - a) / self.rows + va)
        root = sqrt(max(0.0, linear**2 - 4 * square * constant))
        low, high = ((-linear + sign * root) / (2 * square) for sign in (-1, 1))
        return max(0.0, min(low, self.rate)), min(1.0, max(high, self.rate))


def from_calibration(
    verdicts: Sequence[Verdict],
    calibration: Iterable[Calibration],
    *,
    kinds: Sequence[str] | None = None,
    clusters: Sequence[Hashable] | None = None,
    withheld: float = 0.0,
    level: float = 0.95,
) -> Corrected:
    """The true rate of these replies if the judge errs on them as on those of `calibration`.

    verdicts, clusters, withheld: as in `from_labels`; unjudged replies are no "yes", here as there. kinds: of each
    reply, as the counts name them (predicted, never a person's own: that fixes the label); None, or counts without
    these kinds: one stratum. The point is Rogan and Gladen's. The interval holds every rate that a test does not reject
    (Fieller 1954), with the error rates smoothed as Lee et al. 2025 (arXiv:2511.21140) do; it stays honest where the
    judge says little, where their delta method does not. What models differ by is added as the variance of a new one
    (random effects), clusters divide the rows by their design effect, strata are summed by `parts.combined`.

    There is no rate, and `reason` says why, with too few labels (`calibration.FEWEST`, `FEW`), and for a judge whose
    sensitivity + specificity is not clearly above 1 (one-sided, 95 %).
    """
    n = len(verdicts)
    table = Table.of(calibration, level)
    if table.refusal or not n:
        return Corrected.none(n, table.refusal or "no replies", table.labels)
    heard = [k for k, verdict in enumerate(verdicts) if verdict != WITHHELD]
    mine = [float(verdicts[k] == YES) for k in heard]
    named = table.known([kinds[k] for k in heard] if kinds is not None else [""] * len(heard))
    effect = _effect(mine, named, [clusters[k] for k in heard], level) if clusters is not None else 1.0
    silent = n - len(heard)
    shares, strata = [silent / n], []
    for kind in dict.fromkeys(named):
        said = [yes for yes, name in zip(mine, named, strict=True) if name == kind]
        shares.append(len(said) / n)
        rates = table.rate(True, kind), table.rate(False, kind)
        strata.append(_Stratum(sum(said) / len(said), len(said) / effect, *rates))
    points = [withheld, *(stratum.rate for stratum in strata)]
    ends = [
        part_interval(withheld, silent / effect, level),
        *(stratum.ends(normal_quantile(level)) for stratum in strata),
    ]
    value, low, high = combined(shares, points, ends, n / effect, level)
    method = "error rates by kind" if len(strata) > 1 else "error rates"
    return Corrected(value, low, high, n, table.labels, table.questions, "labels of other replies", method, table.doubt)


def _effect(yes: Sequence[float], named: Sequence[str], clusters: Sequence[Hashable], level: float) -> float:
    """The design effect of the share of "yes" within its strata."""
    import numpy as np

    kind, said = numbered(named), np.asarray(yes)
    if not len(said):
        return 1.0
    means = np.bincount(kind, weights=said) / np.bincount(kind)
    return design_effect(said - means[kind], np.ones_like(said), numbered(clusters), float(said.mean()), level)
