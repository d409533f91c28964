"""Labels of some of the replies that were measured, spread over the others by the judge's verdict.

Among the replies that a judge flags the labelled ones say how many are rightly flagged, among the others how many it
missed: rate = sum over verdicts of (share of the verdict) x (labelled rate under it). No error rate is carried over
from anywhere, so a judge that is wrong in kinds does no harm. All that is needed is that the labelled replies are drawn
at random, from all replies or within each verdict.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.evaluation.correction.effects import design_effect
from proofglass.evaluation.correction.parts import combined, part_interval
from proofglass.evaluation.correction.result import WITHHELD, YES, Basis, Corrected, Verdict
from proofglass.evaluation.statistics.clusters import numbered

if TYPE_CHECKING:
    import numpy as np

FEWEST = 10  # labels below which no rate is stated
FEW = 5  # labels below which a kind of reply is put together with others
_BASIS: Basis = "labels of these replies"


@dataclass(frozen=True)
class _Estimate:
    method: str
    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


def from_labels(
    verdicts: Sequence[Verdict],
    labels: Sequence[float | None],
    *,
    kinds: Sequence[str] | None = None,
    clusters: Sequence[Hashable] | None = None,
    drawn: Sequence[Hashable] | None = None,
    withheld: float = 0.0,
    level: float = 0.95,
) -> Corrected:
    """The true rate of these replies, of which some are labelled.

    verdicts: of each reply, see `verdict_of`; a withheld reply needs no label, it counts as `withheld` says (1.0 where
    refusals are counted, else 0.0). labels: 1.0 yes, 0.0
    no, None where nobody looked. kinds: any grouping that was predicted without looking at the label. clusters: the
    question of each reply. drawn: within what each reply was drawn for labelling; None: from all at random.

    Of three intervals (labels alone; by verdict; by verdict and kind) the narrowest is taken, and `reason` says so.
    That choice looks at the labels; what it does to the coverage is measured (docs/judge-errors.md). A judge that the
    labels find no better than chance is not used. Raises ValueError for lengths that differ or other values.
    """
    import numpy as np

    n = len(verdicts)
    _check(n, verdicts=verdicts, labels=labels, kinds=kinds, clusters=clusters, drawn=drawn)
    truth = np.array([np.nan if label is None else label for label in labels], float)
    known = ~np.isnan(truth)
    if not np.isin(truth[known], (0.0, 1.0)).all():
        raise ValueError("labels: expected 1.0 (yes), 0.0 (no) or None (not labelled)")
    questions = None if clusters is None else numbered(clusters)
    told = np.array([verdict == WITHHELD for verdict in verdicts], bool)
    looked = known & ~told
    count = int(looked.sum())
    if n == 0 or count < min(FEWEST, int((~told).sum())):
        return Corrected.none(n, f"{count} labels of these replies; at least {FEWEST} are needed", count)
    truth[told] = withheld

    strata = list(zip(drawn or [""] * n, told.tolist(), strict=True))
    by_verdict = list(zip(strata, verdicts, strict=True))
    tries: list[tuple[str, Sequence[Hashable]]] = [("labels by verdict", by_verdict)]
    if kinds is not None:
        tries.append(("labels by verdict and kind", _merged(by_verdict, kinds, looked.tolist())))
    tries.append(("labels alone", strata))
    found = [_Estimate(name, *_estimate(numbered(groups), truth, questions, level)) for name, groups in tries]
    gain = _gain(np.array(verdicts), numbered(by_verdict), np.where(looked, truth, np.nan))
    chosen, reason = _chosen(found, gain, count)
    seen = count if questions is None else len(np.unique(questions[looked]))
    return Corrected(chosen.value, chosen.low, chosen.high, n, count, seen, _BASIS, chosen.method, reason)


def _chosen(found: Sequence[_Estimate], gain: float | None, count: int) -> tuple[_Estimate, str]:
    alone = found[-1]
    if gain is not None and gain <= 0:
        return alone, (
            f"the judge is not used: on {count} labels its sensitivity + specificity is {gain + 1:.2f}, "
            "no better than chance"
        )
    best = min(found, key=lambda estimate: estimate.width)
    if best is alone:
        return alone, "the judge's verdicts would make the interval no narrower"
    saved = round(100 * (1 - best.width / alone.width)) if alone.width else 0
    # None where the labels were drawn by this verdict: without it they are no sample.
    return best, f"{saved} % narrower than from the labels alone" if saved else ""


def _estimate(
    groups: np.ndarray, truth: np.ndarray, clusters: np.ndarray | None, level: float
) -> tuple[float, float, float]:
    """Value and ends of the rate, from the labels within each group. groups: int [rows], codes from 0; truth: float
    [rows], NaN where unknown."""
    import numpy as np

    n, many = len(groups), int(groups.max()) + 1
    known = ~np.isnan(truth)
    shares = np.bincount(groups, minlength=many) / n
    labels = np.bincount(groups[known], minlength=many)
    hits = np.bincount(groups[known], weights=truth[known], minlength=many)
    # A group without a label could be anything: its interval is [0, 1] around the rate of the others.
    rates = np.where(labels > 0, hits / np.maximum(labels, 1), hits.sum() / max(labels.sum(), 1))
    effect = 1.0
    if clusters is not None:
        rate = float((shares * rates).sum())
        influence = (rates[groups] - rate) / n
        scale = np.abs(influence)
        mine = groups[known]
        influence[known] += (shares[mine] / labels[mine]) * (truth[known] - rates[mine])
        guess = (hits + 1) / (labels + 2)  # a group without a positive label is not taken to have none
        scale[known] = np.hypot(scale[known], shares[mine] / labels[mine] * np.sqrt(guess * (1 - guess))[mine])
        effect = design_effect(influence, scale, clusters, rate, level)
    ends = [
        part_interval(rate, count / effect, level) for rate, count in zip(rates.tolist(), labels.tolist(), strict=True)
    ]
    return combined(shares.tolist(), rates.tolist(), ends, n / effect, level)


def _gain(verdicts: np.ndarray, groups: np.ndarray, truth: np.ndarray) -> float | None:
    """Sensitivity + specificity - 1 of the verdict "yes", estimated from the labels, each standing for the rows of its
    group; None where they hold no positive or no negative."""
    import numpy as np

    known = ~np.isnan(truth)
    sizes, labels = (np.bincount(each, minlength=int(groups.max()) + 1) for each in (groups, groups[known]))
    weight = np.where(known, (sizes / np.maximum(labels, 1))[groups], 0.0)
    positive, negative = weight * (truth == 1), weight * (truth == 0)
    if not positive.sum() or not negative.sum():
        return None
    flagged = verdicts == YES
    return float(positive[flagged].sum() / positive.sum() - negative[flagged].sum() / negative.sum())


def _merged(groups: Sequence[Hashable], kinds: Sequence[str], known: Sequence[bool]) -> list[Hashable]:
    """Each row's group and kind; the kinds of a group that hold fewer than `FEW` labels become one with the next."""
    counts: dict[Hashable, dict[str, int]] = {}
    for group, kind, is_known in zip(groups, kinds, known, strict=True):
        of_group = counts.setdefault(group, {})
        of_group[kind] = of_group.get(kind, 0) + is_known
    names: dict[tuple[Hashable, str], int] = {}
    for group, of_group in counts.items():
        part, held, left = 0, 0, sum(of_group.values())
        for kind in sorted(of_group, key=lambda each: (-of_group[each], each)):
            if held >= FEW and left >= FEW:
                part, held = part + 1, 0
            names[group, kind] = part
            held, left = held + of_group[kind], left - of_group[kind]
    return [(group, names[group, kind]) for group, kind in zip(groups, kinds, strict=True)]


def _check(n: int, **given: Sequence[object] | None) -> None:
    for name, values in given.items():
        if values is not None and len(values) != n:
            raise ValueError(f"{name}: expected one for each of {n} replies, found {len(values)}")
