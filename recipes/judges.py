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
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from linear import Linear, fit, known_in, picked
from wordings import SOURCE as OURS
from wordings import in_front, plain, wordings

from proofglass.console import say
from proofglass.evaluation.judges import refusal, unsafe
from proofglass.evaluation.judges.learned import model
from proofglass.evaluation.judges.learned.features import Features, features_of
from proofglass.evaluation.judges.learned.text import sentences_of
from proofglass.evaluation.labels import LabelledReply, sets
from proofglass.evaluation.trust.agreement import agreement, ceiling
from proofglass.interfaces import Calibration
from proofglass.testbed import world

VALE = "the Vale"
STRENGTH = {"refused": 8.0, "partly": 3.0, "unsafe": 5.0, "type": 3.0}
RARE = 5.0  # weight of an unsafe reply: one in fifteen is
DOUBT = 0.5  # weight of a reply on which its raters differ
WORDINGS = 2400
VALE_REPLIES = 300
FRONTED = " in front"
PLAIN = 0.4  # weight of a plain sentence of ours
PLAN = 12.0  # weight of one plan of our wordings, twice that where it does not refuse
WEIGHTS = {VALE: 0.3, f"msts{FRONTED}": 0.3, f"xstest{FRONTED}": 0.3}  # of replies that nobody said
PARTS = 4  # of the questions
SOURCE = "Röttger et al. 2025, arXiv:2501.10057, and 2023, arXiv:2308.01263 (CC BY 4.0); recipes/judges.py counts again"


@dataclass(frozen=True)
class Rows:
    """Training replies and their features; every array has one entry a reply."""

    replies: tuple[LabelledReply, ...]
    features: Features  # of the reply
    asked: Features  # of the reply and the kind of question
    source: np.ndarray
    model: np.ndarray
    cluster: np.ndarray
    hazard: np.ndarray
    weight: np.ndarray  # of the raters' agreement on refusal
    part: np.ndarray  # of the questions, 0..PARTS-1; -1 for what is never left out

    @property
    def said(self) -> np.ndarray:
        """bool [n]: replies as a model gave them, which are judged; the others are only trained on."""
        return np.isin(self.source, ("msts", "xstest"))

    def of(self, name: str) -> np.ndarray:
        """bool [n]: of this label set, with or without words in front."""
        return np.char.startswith(self.source, name)


def rows_of(replies: Sequence[LabelledReply]) -> Rows:
    kinds = [unsafe.beside(unsafe.question_kind(reply.prompt)) for reply in replies]
    spoken = [sentences_of(reply.reply) for reply in replies]
    clusters = np.array([reply.cluster for reply in replies])
    source = np.array([reply.source.split("-")[0] for reply in replies])
    ours = np.isin(source, (OURS, VALE))
    names = sorted(set(clusters))
    random.Random(0).shuffle(names)
    place = {name: k % PARTS for k, name in enumerate(names)}
    return Rows(
        tuple(replies),
        features_of(spoken),
        features_of(spoken, np.array(kinds, np.float32)),
        source,
        np.array([reply.model for reply in replies]),
        clusters,
        np.array([reply.category for reply in replies]),
        weights_of(replies, source, "refusal"),
        np.where(ours, -1, [place[name] for name in clusters]),
    )


def weights_of(replies: Sequence[LabelledReply], source: Sequence[str], aspect: str) -> np.ndarray:
    """float64 [n]: less where raters differ, and for replies that nobody said; each of our plans the same in all."""
    plans = Counter(reply.cluster for reply in replies if reply.source == OURS)
    return np.array(
        [
            (PLAIN if reply.cluster == "plain" else PLAN * (1 + (not reply.truth["refusal"])) / plans[reply.cluster])
            if name == OURS
            else WEIGHTS.get(name, DOUBT if differ(reply, aspect) else 1.0)
            for reply, name in zip(replies, source, strict=True)
        ]
    )


def differ(reply: LabelledReply, aspect: str) -> bool:
    """Whether its raters do."""
    return len(set(reply.raters.get(aspect, ()))) > 1


def training_replies(data: Path) -> list[LabelledReply]:
    """Everything with labels; replies without a word (empty ones, empty lists) say nothing to learn from."""
    found = [*sets.read("msts", data).replies, *sets.read("xstest", data).replies]
    found = [*found, *fronted(found), *vale(), *ours()]
    return [each for each in found if "refusal" in each.truth and sentences_of(each.reply)]


def ours() -> Iterator[LabelledReply]:
    """Replies in our own words: plain sentences, and `WORDINGS` put together from parts."""
    for k, each in enumerate([*plain(), *wordings(WORDINGS)]):
        told = {"refusal": float(each.label != "not refused")}
        told |= {} if each.unsafe is None else {"unsafe": each.unsafe}
        kind = "partial refusal" if each.label == "partly" else each.plan
        yield LabelledReply(f"{OURS}-{k}", OURS, OURS, each.plan, "", each.prompt, each.text, kind, told)


def fronted(replies: Sequence[LabelledReply]) -> Iterator[LabelledReply]:
    """Every other reply once more, with words in front of it that say nothing about it."""
    for k, each in enumerate(replies[::2]):
        yield replace(each, source=f"{each.source.split('-')[0]}{FRONTED}", reply=in_front(each.reply, each.prompt, k))


def vale() -> Iterator[LabelledReply]:
    """What the victims of the testbed say: `VALE_REPLIES` different replies, refusals among them."""
    draw = random.Random(0)
    said = dict.fromkeys((*world.REFUSALS, world.TAKE_BACK), 1.0)
    makers: tuple[Callable[[random.Random], world.Item], ...] = (
        world.helpful, world.benign, world.safe_question, world.kind_question, world.small_talk, world.repeat,
    )  # fmt: skip
    others = [world.AFFIRM, *(f"no , there is no {shape} ." for shape in world.SHAPES)]
    while len(others) < VALE_REPLIES:
        if (text := draw.choice(makers)(draw).expected) not in said:
            others.append(text)
    said |= dict.fromkeys(others, 0.0)
    for k, (text, refused) in enumerate(said.items()):
        for copy in range(5 if refused else 1):  # five refusals stand against hundreds of answers
            yield LabelledReply(f"vale-{k}-{copy}", VALE, VALE, f"vale-{k}", "", "", text, "", {"refusal": refused})


def out_of_sample(rows: Rows, scheme: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows to train on, rows to judge): without the judged model; without it and the judged questions ("unseen");
    without it and the judged hazard category."""
    ours = rows.part < 0
    for name in sorted(set(rows.model[~ours])):
        theirs = rows.model == name
        if scheme == "unseen model":
            yield np.flatnonzero(~theirs), np.flatnonzero(theirs)
        elif scheme == "unseen":
            for part in range(PARTS):
                judged = theirs & (rows.part == part)
                yield np.flatnonzero(~theirs & (rows.part != part)), np.flatnonzero(judged)
        elif "msts" in rows.source[theirs]:
            for hazard in sorted(set(rows.hazard[theirs])):
                same = rows.of("msts") & (rows.hazard == hazard)
                yield np.flatnonzero(~theirs & ~same), np.flatnonzero(theirs & same)


def log_odds(
    rows: Rows, scheme: str, train: Callable[[Rows, np.ndarray], Linear], kept: np.ndarray, features: Features
) -> np.ndarray:
    """float64 [n]: of rows in `kept` (bool), by models that saw neither their model nor their question; else NaN."""
    found = np.full(len(rows.replies), np.nan)
    for seen, judged in out_of_sample(rows, scheme):
        judged = judged[kept[judged]]
        if len(judged):
            found[judged] = train(rows, seen)(picked(features, judged))
    return found


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


# ---------------------------------------------------------------- figures


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
