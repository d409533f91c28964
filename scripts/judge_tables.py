"""The tables of docs/judges.md: every judge that says what it measures, against people and under wrappers.

    python scripts/judge_tables.py DATA

DATA: the folder of `proofglass judges check --data`. A judge with a list of phrases is there once per list.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from proofglass.console import note, say
from proofglass.evaluation.judges import refusal, unsafe
from proofglass.evaluation.judges.learned import model
from proofglass.evaluation.judges.phrase_lists import LISTS
from proofglass.evaluation.judges.phrases import Phrases
from proofglass.evaluation.labels import sets
from proofglass.evaluation.trust.agreement import Estimate, cohen_kappa
from proofglass.evaluation.trust.check import Trust, check
from proofglass.interfaces import Judge
from proofglass.registry import build, entries

SCHEMES = {
    "unseen model": "model",
    "unseen": "model, question",
    "unseen hazard": "model, hazard category",
    "partly, unseen": "model, question (partly refused, among refusals)",
}
RATES = ("sensitivity", "specificity", "kappa, unjudged as wrong")
HEAD = ("judge", "labels", "n", "labelled yes", "unjudged", "accuracy", "sensitivity", "specificity", "kappa")


def judges() -> Iterator[tuple[str, Judge]]:
    """Every shipped judge with an aspect, as its defaults make it, and the phrase lists."""
    for name in LISTS:
        yield f"phrases, {name}", Phrases(name)
    for name in entries("judges"):
        judge = build("judges", name)
        if judge.aspect and not (isinstance(judge, Phrases) and judge.rules in LISTS):
            yield name, judge


def unseen() -> Iterator[str]:
    """The learned judges on what they were not trained on, from their cards; kappa with what is unjudged as wrong."""
    yield row(["judge", "not trained on", "replies", "n", "labelled yes", "unjudged", *RATES, "people's kappa"])
    yield row(["---"] * 10)
    for name, weights in (("refusal", refusal.WEIGHTS), ("unsafe", unsafe.WEIGHTS)):
        card = model.card_of(weights)
        for scheme, meaning in SCHEMES.items():
            for group, one in card.get(scheme, {}).items():
                if group[0].isdigit() and scheme != "unseen":
                    continue  # reply types once
                counts = (f"{one[count]:,}" for count in ("n", "yes", "unjudged"))
                rates = [interval(one[rate]) for rate in RATES]
                if one["yes"] in (0, one["n"]):
                    rates[-1] = "-"  # there is no agreement by chance to correct for
                yield row(
                    [
                        name,
                        meaning,
                        group,
                        *counts,
                        *rates,
                        interval(card["people"].get(group) if scheme != "partly, unseen" else None),
                    ]
                )


def not_refused_is_not_unsafe(folder: Path) -> str:
    """What a perfect judge of refusal would say about harm, on all of MSTS's 4,000 labels."""
    with (folder / "msts" / "labels_english_multimodal.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answered = [not row["final_taxonomy"].startswith(("1.1", "1.2")) for row in rows]
    harmful = [row["final_label"].startswith("2") for row in rows]
    shares = f"{sum(answered) / len(rows):.1%} do not refuse, {sum(harmful) / len(rows):.1%} are unsafe"
    return f"of {len(rows):,} replies {shares}; kappa of the two {cohen_kappa(answered, harmful):.2f}"


def types() -> Iterator[str]:
    """What people called a reply, and what `unsafe` called it, out of sample."""
    found = model.card_of(unsafe.WEIGHTS)["types"]
    names = (*unsafe.TYPES, unsafe.UNSAFE, "unjudged")
    yield row(["type by people", *names])
    yield row(["---"] * (len(names) + 1))
    for kind, said in found.items():
        yield row([kind, *(f"{said.get(name, 0):,}" for name in names)])


def certainty() -> Iterator[str]:
    """What asking for more certainty costs and buys, out of sample."""
    cards = {name: model.card_of(name)["coverage"] for name in (refusal.WEIGHTS, unsafe.WEIGHTS)}
    yield row(["sure", *(f"{name.partition('-')[0]}: {what}" for name in cards for what in ("judged", "right"))])
    yield row(["---"] * 5)
    for rows in zip(*cards.values(), strict=True):
        yield row([str(rows[0]["sure"]), *(f"{one[what]:.3f}" for one in rows for what in ("judged", "accuracy"))])


def interval(found: list[float] | None) -> str:
    return "-" if found is None else f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"


def told(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def row(cells: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def against_people(found: dict[str, Trust]) -> Iterator[str]:
    yield row(HEAD)
    yield row(["---"] * len(HEAD))
    for name, trust in found.items():
        for each in trust.sets:
            one = each.overall
            counts = (f"{one.n:,}", f"{one.yes:,}", f"{one.unjudged:,}")
            yield row(
                [
                    name,
                    f"{each.name} (trained on it)" if each.learned else each.name,
                    *counts,
                    *map(told, (one.accuracy, one.sensitivity, one.specificity, one.kappa)),
                ]
            )


def changes(found: dict[str, Trust], which: str) -> Iterator[str]:
    """One line per wrapper or spelling, one column per judge; n is that of the first judge."""
    yield row(["what changes", "n", *found])
    yield row(["---"] * (len(found) + 2))
    every = [getattr(trust, which) for trust in found.values()]
    yield row(["*replies with a verdict, at most*", "", *(f"{max(each.rate.n for each in one):,}" for one in every)])
    for flips in zip(*every, strict=True):
        yield row([flips[0].name, f"{flips[0].rate.n:,}", *(told(each.rate) for each in flips)])


def main(folder: Path) -> None:
    labels, absent = sets.readable(folder)
    for reason in absent.values():
        note(f"left out: {reason}")
    found = {name: check(judge, labels, wrappers=True) for name, judge in judges()}
    tables = (
        *(unseen(), certainty(), types()),
        *(against_people(found), changes(found, "wrappers"), changes(found, "stability")),
    )
    say(not_refused_is_not_unsafe(folder))
    say()
    for lines in tables:
        say("\n".join(lines))
        say()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
