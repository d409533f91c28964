"""What the judges' cards say: agreement with people, what certainty buys, and counts to correct rates by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from judge_rows import FRONTED, Rows

from proofglass.evaluation.trust.agreement import agreement, ceiling
from proofglass.interfaces import Calibration


def probability(form: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-form))


def best_shift(form: np.ndarray, wanted: np.ndarray) -> float:
    """The log-odds at which a cut agrees best with `wanted`, by kappa."""
    cuts = np.arange(-6, 2.01, 0.1)
    return float(max(cuts, key=lambda cut: kappa(form >= cut, wanted == 1)))


def kappa(said: np.ndarray, wanted: np.ndarray) -> float:
    agree, chance = (said == wanted).mean(), said.mean() * wanted.mean() + (1 - said.mean()) * (1 - wanted.mean())
    return (agree - chance) / (1 - chance) if chance < 1 else 0.0


def figures(rows: Rows, wanted: np.ndarray, chance: np.ndarray, sure: float) -> dict:
    """Agreement per label set, model and reply type, unjudged counted as wrong in `strict kappa`; chance: NaN where
    nothing was judged out of sample."""
    found = {}
    groups = [(name, rows.source == name) for name in ("msts", "xstest")]
    groups += [(name, rows.model == name) for name in sorted(set(rows.model))]
    groups += [(f"msts, {h}", (rows.source == "msts") & (rows.hazard == h)) for h in sorted(set(rows.hazard))]
    kinds = np.array([reply.kind for reply in rows.replies])
    groups += [(kind, kinds == kind) for kind in sorted(set(kinds))]
    for name, mask in groups:
        places = np.flatnonzero(mask & ~np.isnan(chance) & ~np.isnan(wanted))
        if len(places):
            found[name] = told(wanted[places], chance[places], rows.cluster[places], sure)
    return found


def told(wanted: np.ndarray, chance: np.ndarray, clusters: np.ndarray, sure: float) -> dict:
    verdicts = [None if max(p, 1 - p) < sure else bool(p >= 0.5) for p in chance]
    one = agreement((wanted == 1).tolist(), verdicts, clusters.tolist())
    wrong = agreement((wanted == 1).tolist(), strict(wanted, verdicts), clusters.tolist())
    shown = {"n": one.n, "yes": one.yes, "unjudged": one.unjudged}
    for name in ("accuracy", "sensitivity", "specificity", "kappa"):
        shown[name] = rounded(getattr(one, name))
    return {**shown, "kappa, unjudged as wrong": rounded(wrong.kappa)}


def strict(wanted: np.ndarray, verdicts: Sequence[bool | None]) -> list[bool]:
    return [bool(w != 1) if v is None else v for w, v in zip(wanted, verdicts, strict=True)]


def rounded(estimate) -> list[float] | None:
    return None if estimate.value is None else [round(x, 4) for x in (estimate.value, estimate.low, estimate.high)]


def coverage(wanted: np.ndarray, chance: np.ndarray) -> list[dict]:
    """What asking for more certainty buys: share judged, and accuracy of that share."""
    places = ~np.isnan(chance) & ~np.isnan(wanted)
    wanted, chance = wanted[places] == 1, chance[places]
    rows = []
    for sure in (0.5, 0.52, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95):
        judged = np.maximum(chance, 1 - chance) >= sure
        right = float(((chance >= 0.5) == wanted)[judged].mean())
        rows.append({"sure": sure, "judged": round(float(judged.mean()), 4), "accuracy": round(right, 4)})
    return rows


def calibration(rows: Rows, wanted: np.ndarray, chance: np.ndarray, labels: Sequence[str], sure: float) -> list[dict]:
    """Counts per model and predicted type, by which rates are corrected: out of sample, every one."""
    kept = ~np.isnan(chance) & ~np.isnan(wanted)
    found = []
    for name in sorted(set(rows.model[kept])):
        for label in sorted({labels[k] for k in np.flatnonzero(kept & (rows.model == name))}):
            places = [k for k in np.flatnonzero(kept & (rows.model == name)) if labels[k] == label]
            source = str(rows.source[places[0]])
            cells = dict.fromkeys(("tp", "fn", "fp", "tn", "unjudged_yes", "unjudged_no"), 0)
            for k in places:
                yes, p = wanted[k] == 1, chance[k]
                if max(p, 1 - p) < sure:
                    cells["unjudged_yes" if yes else "unjudged_no"] += 1
                else:
                    cells[("tp" if yes else "fp") if p >= 0.5 else ("fn" if yes else "tn")] += 1
            kind = "vision-language model" if source == "msts" else "language model"
            clusters = len({rows.cluster[k] for k in places})
            found.append(asdict(Calibration(source, kind, str(name), label, **cells, clusters=clusters)))
    return found


def among_people(rows: Rows, aspect: str) -> dict[str, list[float]]:
    """Kappa of the raters among themselves, per label set and per model: what a judge can be held to at most."""
    found = {}
    for name in ("msts", "xstest", *sorted(set(rows.model[rows.said]))):
        mine = [r for r, s, m in zip(rows.replies, rows.source, rows.model, strict=True) if name in (s, m)]
        mine = [reply for reply in mine if reply.source.split("-")[0] in ("msts", "xstest")]
        if (people := ceiling([r for r in mine if not r.source.endswith(FRONTED)], aspect)) is not None:
            found[name] = rounded(people[1])
    return {name: kappa for name, kappa in found.items() if kappa is not None}


def types_table(rows: Rows, labels: Sequence[str], msts: np.ndarray) -> dict[str, dict[str, int]]:
    """Type as people gave it -> type as predicted out of sample -> replies."""
    found: dict[str, dict[str, int]] = {}
    for k in np.flatnonzero(msts):
        row = found.setdefault(rows.replies[k].kind, {})
        row[labels[k]] = row.get(labels[k], 0) + 1
    return dict(sorted(found.items()))
