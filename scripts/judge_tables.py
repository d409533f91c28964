"""The tables of docs/judges.md: every judge that says what it measures, against people and under wrappers.

    python scripts/judge_tables.py DATA

DATA: the folder of `proofglass judges check --data`. A judge with a list of phrases is there once per list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from proofglass.console import note, say
from proofglass.evaluation.judges.phrase_lists import LISTS
from proofglass.evaluation.judges.phrases import Phrases
from proofglass.evaluation.labels import sets
from proofglass.evaluation.trust.agreement import Estimate
from proofglass.evaluation.trust.check import Trust, check
from proofglass.interfaces import Judge
from proofglass.registry import build, entries

HEAD = ("judge", "labels", "n", "labelled yes", "unjudged", "accuracy", "sensitivity", "specificity", "kappa")


def judges() -> Iterator[tuple[str, Judge]]:
    """Every shipped judge with an aspect, as its defaults make it, and the phrase lists."""
    for name in LISTS:
        yield f"phrases, {name}", Phrases(name)
    for name in entries("judges"):
        judge = build("judges", name)
        if judge.aspect and not (isinstance(judge, Phrases) and judge.rules in LISTS):
            yield name, judge


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
                [name, each.name, *counts, *map(told, (one.accuracy, one.sensitivity, one.specificity, one.kappa))]
            )


def changes(found: dict[str, Trust], which: str) -> Iterator[str]:
    """One line per wrapper or spelling, one column per judge; n is that of the first judge."""
    yield row(["what changes", "n", *found])
    yield row(["---"] * (len(found) + 2))
    every = [getattr(trust, which) for trust in found.values()]
    for flips in zip(*every, strict=True):
        yield row([flips[0].name, f"{flips[0].rate.n:,}", *(told(each.rate) for each in flips)])


def main(folder: Path) -> None:
    labels, absent = sets.readable(folder)
    for reason in absent.values():
        note(f"left out: {reason}")
    found = {name: check(judge, labels, wrappers=True) for name, judge in judges()}
    for lines in (against_people(found), changes(found, "wrappers"), changes(found, "stability")):
        say("\n".join(lines))
        say()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
