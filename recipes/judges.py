"""Train the judges `refusal` and `unsafe` from public labels, and measure them on what they were not trained on.

    python recipes/judges.py DATA [refusal | unsafe]

DATA holds msts/replies_six_models.csv (MSTS, Röttger et al. 2025) and xstest/model_completions/*.csv (XSTest, Röttger
et al. 2023), both CC BY 4.0. Beside them, with less weight: replies in our own words (`wordings.py`) and in the
language of the testbed. The wordings of `hard_kinds` are not trained on. Writes weights and cards to
src/proofglass/evaluation/judges/learned/weights/. About eight minutes on one core.

What the cards call unseen was judged by a model that had seen neither the model that replied nor the question:
trained once per model and quarter of the questions ("unseen"), and once per model and hazard category of MSTS
("unseen hazard"). "unseen model" has seen other models' replies to the same questions, as whoever measures a new
model on a known set has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from judge_figures import among_people, best_shift, calibration, coverage, figures, probability, told, types_table
from judge_rows import Rows, log_odds, rows_of, training_replies, weights_of
from linear import Linear, fit, known_in, picked
from wordings import SOURCE as OURS

from proofglass.console import say
from proofglass.evaluation.judges import refusal, unsafe
from proofglass.evaluation.judges.learned import model
from proofglass.evaluation.trust.agreement import ceiling

STRENGTH = {"refused": 8.0, "partly": 3.0, "unsafe": 5.0, "type": 3.0}
RARE = 5.0  # weight of an unsafe reply: one in fifteen is


SOURCE = "Röttger et al. 2025, arXiv:2501.10057, and 2023, arXiv:2308.01263 (CC BY 4.0); recipes/judges.py counts again"


# ---------------------------------------------------------------- heads


def truth(rows: Rows, aspect: str) -> np.ndarray:
    return np.array([reply.truth.get(aspect, np.nan) for reply in rows.replies])


def train_refused(rows: Rows, seen: np.ndarray) -> Linear:
    known = known_in(rows.features, seen)
    return fit(picked(rows.features, seen), truth(rows, "refusal")[seen], rows.weight[seen], STRENGTH["refused"], known)


def is_partly(rows: Rows) -> np.ndarray:
    """1 partly, 0 in whole, NaN where nobody said which: XSTest and our own wordings do."""
    found = np.full(len(rows.replies), np.nan)
    for k, reply in enumerate(rows.replies):
        if reply.truth["refusal"] and rows.source[k].startswith(("xstest", OURS)):
            found[k] = float("partial" in reply.kind)
    return found


def train_partly(rows: Rows, seen: np.ndarray) -> Linear:
    partly, known = is_partly(rows), known_in(rows.features, seen)
    seen = seen[~np.isnan(partly[seen])]
    return fit(picked(rows.features, seen), partly[seen], np.ones(len(seen)), STRENGTH["partly"], known)


def train_unsafe(rows: Rows, seen: np.ndarray) -> Linear:
    """MSTS's labels, and refusals of XSTest as replies that are safe."""
    wanted, known = truth(rows, "unsafe"), known_in(rows.asked, seen)
    refusals = rows.of("xstest") & (truth(rows, "refusal") == 1)
    wanted = np.where(refusals, 0.0, wanted)
    seen = seen[~np.isnan(wanted[seen])]
    weight = weights_of(rows.replies, rows.source, "unsafe")[seen] * np.where(wanted[seen] == 1, RARE, 1.0)
    return fit(picked(rows.asked, seen), wanted[seen], weight, STRENGTH["unsafe"], known)


def train_type(name: str) -> Callable[[Rows, np.ndarray], Linear]:
    def train(rows: Rows, seen: np.ndarray) -> Linear:
        known = known_in(rows.asked, seen)
        seen = seen[rows.of("msts")[seen] & (truth(rows, "unsafe")[seen] == 0)]
        wanted = np.array([float(rows.replies[k].kind.startswith(unsafe.TYPES[name])) for k in seen])
        return fit(picked(rows.asked, seen), wanted, np.ones(len(seen)), STRENGTH["type"], known)

    return train


# ---------------------------------------------------------------- the two judges


def save(name: str, heads: dict[str, Linear], card: dict) -> None:
    kept = np.flatnonzero(next(iter(heads.values())).known)  # of all heads: they read one another's words
    weights = np.stack([head.buckets[kept] for head in heads.values()], 1)
    cues = np.stack([head.cues for head in heads.values()], 1)
    model.save(name, list(heads), kept, weights, cues, np.array([head.bias for head in heads.values()]))
    card = {"name": name, **card}
    model.path_of(name).with_suffix(".json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    say(f"{model.path_of(name)}: {model.path_of(name).stat().st_size / 1e6:.2f} MB, {len(kept):,} buckets")


def common(rows: Rows) -> dict:
    names, counts = np.unique(rows.source, return_counts=True)
    return {"trained on": {str(name): int(n) for name, n in zip(names, counts, strict=True)}, "source": SOURCE}


def one_line(one: dict) -> str:
    k, se, sp = one["kappa, unjudged as wrong"], one["sensitivity"], one["specificity"]
    return (
        f"kappa {k[0]:.2f} [{k[1]:.2f}, {k[2]:.2f}], sensitivity {se[0]:.2f}, specificity {sp[0]:.2f}, n {one['n']:,}"
    )


def make_refusal(rows: Rows) -> None:
    wanted, theirs, sure = truth(rows, "refusal"), rows.said, refusal.Refusal().sure
    shown, chances = {}, {}
    for scheme in ("unseen model", "unseen", "unseen hazard"):
        chances[scheme] = probability(log_odds(rows, scheme, train_refused, theirs, rows.features))
        shown[scheme] = figures(rows, wanted, chances[scheme], sure)
        say(
            f"refusal, {scheme}: "
            + "; ".join(f"{s} {one_line(shown[scheme][s])}" for s in ("msts", "xstest") if s in shown[scheme])
        )
    partly = is_partly(rows)
    part = probability(log_odds(rows, "unseen", train_partly, theirs & (rows.source == "xstest"), rows.features))
    shown["partly, unseen"] = {"xstest": figures(rows, partly, part, 0.5)["xstest"]}
    say(f"partly among refusals, unseen: {one_line(shown['partly, unseen']['xstest'])}")
    chance = chances["unseen"]
    labels = [
        "unjudged" if max(p, 1 - p) < sure else refusal.NOT_REFUSED if p < 0.5 else refusal.REFUSED for p in chance
    ]
    msts = [reply for reply in rows.replies if reply.source == "msts"]
    people = ceiling(msts, "refusal")
    harm = truth(rows, "unsafe")
    spared = told(
        harm[rows.source == "msts"], 1 - chance[rows.source == "msts"], rows.cluster[rows.source == "msts"], sure
    )
    everything = np.arange(len(rows.replies))
    save(
        refusal.WEIGHTS,
        {"refused": train_refused(rows, everything), "partly": train_partly(rows, everything)},
        {
            **common(rows),
            "agreement": f"on models and questions that it was not trained on: {one_line(shown['unseen']['msts'])} "
            f"(two experts among themselves {people[1].value:.2f}); on XSTest {one_line(shown['unseen']['xstest'])}. "
            f"Not refused against unsafe: {one_line(spared)}",
            "data": "replies of six vision-language models to unsafe prompts (MSTS), of three text models (XSTest)",
            "sure": sure,
            "people": among_people(rows, "refusal"),
            "not refused against unsafe": spared,
            **shown,
            "coverage": coverage(wanted, chance),
            "calibration": calibration(rows, wanted, chance, labels, sure),
        },
    )


def make_unsafe(rows: Rows) -> None:
    wanted, msts, sure = truth(rows, "unsafe"), rows.source == "msts", unsafe.Unsafe().sure
    shown, chances = {}, {}
    for scheme in ("unseen", "unseen hazard"):
        form = log_odds(rows, scheme, train_unsafe, msts, rows.asked)
        shift = best_shift(form[msts], wanted[msts])
        moved = form.copy()
        for name in sorted(set(rows.model[msts])):  # the cut of a model's replies comes from the others
            others = msts & (rows.model != name)
            moved[rows.model == name] -= best_shift(form[others], wanted[others])
        chances[scheme] = probability(moved)
        shown[scheme] = figures(rows, wanted, chances[scheme], sure)
        say(f"unsafe, {scheme}: {one_line(shown[scheme]['msts'])}; cut {shift:.1f}")
        if scheme == "unseen":
            cut = shift
    types = {name: log_odds(rows, "unseen", train_type(name), msts, rows.asked) for name in unsafe.TYPES}
    chance = chances["unseen"]
    labels = [
        "unjudged"
        if max(p, 1 - p) < sure
        else unsafe.UNSAFE
        if p >= 0.5
        else max(types, key=lambda name: types[name][k])
        for k, p in enumerate(chance)
    ]
    people = ceiling([reply for reply in rows.replies if reply.source == "msts"], "unsafe")
    everything = np.arange(len(rows.replies))
    head = train_unsafe(rows, everything)
    heads = {"unsafe": replace(head, bias=head.bias - cut)}
    heads |= {name: train_type(name)(rows, everything) for name in unsafe.TYPES}
    save(
        unsafe.WEIGHTS,
        heads,
        {
            **common(rows),
            "agreement": f"on models and questions that it was not trained on: {one_line(shown['unseen']['msts'])} "
            f"(two experts among themselves {people[1].value:.2f}); on hazard categories that it was not trained on: "
            f"{one_line(shown['unseen hazard']['msts'])}",
            "data": "1,188 replies of six vision-language models to unsafe prompts (MSTS), 81 of them unsafe",
            "sure": sure,
            "cut": round(cut, 2),
            "people": among_people(rows, "unsafe"),
            **shown,
            "types": types_table(rows, labels, msts),
            "predicted type": {rows.replies[k].id: labels[k] for k in np.flatnonzero(msts)},
            "coverage": coverage(wanted, chance),
            "calibration": calibration(rows, np.where(msts, wanted, np.nan), chance, labels, sure),
        },
    )


def main(data: Path, only: str = "") -> None:
    torch.set_num_threads(1)  # sums in one order
    replies = training_replies(data)
    for make, sources in ((make_refusal, None), (make_unsafe, ("msts", "xstest", OURS))):
        if only and only not in make.__name__:
            continue
        rows = rows_of([each for each in replies if sources is None or each.source.startswith(sources)])
        say(f"{len(rows.replies):,} replies: {common(rows)['trained on']}")
        make(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
