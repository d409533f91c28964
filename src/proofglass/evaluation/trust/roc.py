"""A judge's probability against labels: how well any threshold could part yes from no, and what one costs.

Areas are over all rows. A threshold is never measured on the rows that chose it: the questions are drawn into two
halves, each half is judged by the threshold that the other chose, and the decisions on both are counted together. Rows
of one question (`cluster`) are in one half. The interval of such a rate is about the rows that were decided; it does
not know that another draw of the halves would choose other thresholds, which stand beside it.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.evaluation.statistics.clusters import numbered
from proofglass.evaluation.statistics.ranking import Ends, Ranked, auroc, average_precision
from proofglass.evaluation.trust.agreement import Estimate, rate

if TYPE_CHECKING:
    import numpy as np

RECALLS = (0.95,)
ALARMS = (0.01, 0.05)
Held = Literal["recall", "false alarms"]
NOTHING = Estimate(None, None, None, 0, 0)


@dataclass(frozen=True)
class Operating:
    """What a threshold costs. held: what was held at `at` (on the half that chose). thresholds: those that the first
    and the second half chose, None where none of theirs does it and nothing is flagged. recall, false_alarms: of the
    other half, both halves together. reason: why there is nothing; note: what the numbers cannot show."""

    held: Held
    at: float
    thresholds: tuple[float | None, float | None]
    recall: Estimate
    false_alarms: Estimate
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class Roc:
    """n: rows; yes: those whose label is yes; unjudged: rows without a probability, left out of all that follows.
    auroc, average_precision: areas with their intervals. curve: (threshold, false alarms, recall) where the curve
    turns, from the highest threshold down; a row is flagged from its threshold on. reason: why there is no curve."""

    n: int
    yes: int
    unjudged: int
    auroc: Estimate
    average_precision: Estimate
    curve: tuple[tuple[float, float, float], ...]
    operating: tuple[Operating, ...]
    reason: str = ""


def roc(
    truth: Sequence[bool],
    values: Sequence[float | None],
    clusters: Sequence[Hashable],
    *,
    recalls: Sequence[float] = RECALLS,
    alarms: Sequence[float] = ALARMS,
    seed: int = 0,
) -> Roc:
    """Of `values` (0..1, growing with how surely it is yes; None: unjudged) against `truth`, row by row; rows of one
    cluster share a question. seed: of the halves. Raises ValueError for different lengths, and for a value or share
    outside 0..1."""
    import numpy as np

    if odd := [share for share in (*recalls, *alarms) if not 0 <= share <= 1]:
        raise ValueError(f"recalls, alarms: expected shares in 0..1, found {odd[0]}")
    if odd := [value for value in values if value is not None and not 0 <= value <= 1]:
        raise ValueError(f"values: expected probabilities in 0..1 or None, found {odd[0]}")

    rows = [row for row in zip(truth, values, clusters, strict=True) if row[1] is not None]
    yes = sum(label for label, _, _ in rows)
    told = (len(truth), sum(truth), len(truth) - len(rows))
    if reason := _why_none(len(rows), yes):
        return Roc(*told, NOTHING, NOTHING, (), (), reason)
    label = np.array([row[0] for row in rows], bool)
    value = np.array([row[1] for row in rows], np.float64)
    cluster = numbered(row[2] for row in rows)
    half = halves(label, cluster, seed)
    held: list[tuple[Held, float]] = [("recall", at) for at in recalls]
    held += [("false alarms", at) for at in alarms]
    return Roc(
        *told,
        _estimate(*auroc(label, value, cluster.tolist()), cluster),
        _estimate(*average_precision(label, value, cluster.tolist()), cluster),
        Ranked.of(label, value).curve(),
        tuple(_operating(which, at, label, value, cluster, half) for which, at in held),
    )


def _why_none(judged: int, yes: int) -> str:
    if not judged:
        return "no row has a probability"
    if yes in (0, judged):
        return f"every label of the {judged} rows with a probability is {'yes' if yes else 'no'}"
    return ""


def _estimate(value: float, ends: Ends, cluster: np.ndarray) -> Estimate:
    low, high = ends or (None, None)
    return Estimate(value, low, high, len(cluster), len(set(cluster.tolist())))


def halves(label: np.ndarray, cluster: np.ndarray, seed: int) -> np.ndarray:
    """Which half each row is in, bool: its cluster drawn by `seed`, clusters that hold yes, no and both apart, so that
    no class is left to one half unless it has a single cluster."""
    import numpy as np

    k = int(cluster.max()) + 1
    has = np.stack([np.bincount(cluster[side], minlength=k) > 0 for side in (label, ~label)])
    half = np.zeros(k, bool)
    turn = 0
    for kind in ([True, False], [False, True], [True, True]):
        members = np.flatnonzero((has == np.array(kind)[:, None]).all(0)).tolist()
        random.Random(f"{seed}|{kind}").shuffle(members)
        for member in members:
            half[member], turn = bool(turn % 2), turn + 1
    found: np.ndarray = half[cluster]
    return found


def _operating(
    held: Held,
    at: float,
    label: np.ndarray,
    value: np.ndarray,
    cluster: np.ndarray,
    half: np.ndarray,
) -> Operating:
    import numpy as np

    for side in (False, True):
        for which, name in ((label, "yes"), (~label, "no")):
            if not (which & (half == side)).any():
                reason = f"questions labelled {name} are too few to stand in both halves"
                return Operating(held, at, (None, None), NOTHING, NOTHING, reason)
    choose = _at_recall if held == "recall" else _at_alarms
    chosen = [choose(label[half == side], value[half == side], at) for side in (False, True)]
    of_other = np.where(half, *(np.inf if each is None else each for each in chosen))  # a half is judged by the other
    flagged = value >= of_other
    return Operating(
        held,
        at,
        (chosen[0], chosen[1]),
        rate(flagged[label].tolist(), cluster[label].tolist()),
        rate(flagged[~label].tolist(), cluster[~label].tolist()),
        note=_too_coarse(held, at, label, half),
    )


def _too_coarse(held: str, at: float, label: np.ndarray, half: np.ndarray) -> str:
    """A share that a half has too few rows to hold: 1 % of 30."""
    side = label if held == "recall" else ~label
    fewest = min(int((side & (half == which)).sum()) for which in (False, True))
    spare = 1 - at if held == "recall" else at
    if spare * fewest >= 1 or spare == 0:
        return ""
    what = "missed" if held == "recall" else "flagged"
    return f"chosen on {fewest} rows, of which none may be {what}"


def _at_recall(label: np.ndarray, value: np.ndarray, at: float) -> float | None:
    """The highest threshold that finds at least this share of the yes."""
    import numpy as np

    found = np.sort(value[label])[::-1]
    return float(found[max(0, _least(at, len(found)) - 1)])


def _least(share: float, of: int) -> int:
    """The smallest count that is `share` of `of`; a share such as 0.95 of 20 is 19, whatever floats make of it."""
    import math

    return math.ceil(share * of - 1e-9)


def _at_alarms(label: np.ndarray, value: np.ndarray, at: float) -> float | None:
    """The lowest threshold, of the values seen, that flags at most this share of the no; None where each flags more."""
    import math

    import numpy as np

    alarms = np.sort(value[~label])[::-1]
    spare = math.floor(at * len(alarms) + 1e-9)
    candidates = np.unique(value)
    if spare < len(alarms):
        candidates = candidates[candidates > alarms[spare]]
    return float(candidates[0]) if candidates.size else None
