"""One data set, or several together, looked over: figures, and what a careful user should know before trusting them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from proofglass.evaluation.quality.duplicates import Pair, duplicates
from proofglass.evaluation.quality.prints import Print, prints, shingles
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Finding, Sample

SHOWN = 5  # pairs and reasons told of each kind


@dataclass
class Looked:
    """What was seen of one data set. bad: reason -> how many rows; categories, expected: how many samples of each;
    pictures: different ones; words: different ones among the questions (`distinct`: share of runs of three words that
    occur once); empty: ids of samples without a question; twice: ids that came twice."""

    label: str
    dataset: Dataset
    samples: int = 0
    crafting: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    unlabelled: int = 0
    pictures: int = 0
    with_pictures: int = 0
    distinct: float = 0.0


def look(
    sets: Mapping[str, Dataset], limit: int | None = None, heard: Callable[[int], None] = lambda n: None
) -> tuple[list[Looked], list[Pair]]:
    """Every sample of these data sets, judged and crafting, and the pairs among them that are the same or alike. limit:
    the first rows of each only. heard: called with the number of rows since the last call."""
    found, every, related = [], list[Print](), dict[str, set[str]]()
    for label, dataset in sets.items():
        looked = Looked(label, dataset)
        rows = [*islice(dataset, limit), *islice(dataset.crafting(), limit)]
        samples = [row for row in rows if isinstance(row, Sample)]
        looked.bad = Counter(row.reason for row in rows if isinstance(row, BadSample))
        for sample in samples:
            for group in (sample.group, sample.cluster if sample.cluster != sample.id else ""):
                if group:
                    related.setdefault(f"{label}/{group}", set()).add(f"{label}: {sample.id}")
        mine = []
        for each in prints(samples, label):
            mine.append(each)
            heard(1)
        _count(looked, samples, mine)
        found.append(looked)
        every += mine
    return found, duplicates(every, map(frozenset, related.values()))


def _count(looked: Looked, samples: Sequence[Sample], mine: Sequence[Print]) -> None:
    judged = [sample for sample in samples if sample.split != "craft"]
    looked.samples, looked.crafting = len(judged), len(samples) - len(judged)
    looked.categories = Counter(sample.category or "(none)" for sample in judged)
    looked.expected = Counter(sample.expected for sample in judged)
    looked.empty = [sample.id for sample in samples if not sample.chat.last_text.strip()]
    looked.unread = [each.unread for each in mine if each.unread]
    looked.twice = [name for name, n in Counter(sample.id for sample in samples).items() if n > 1]
    looked.unlabelled = sum(sample.expected == "label" and not sample.references for sample in judged)
    looked.pictures = len({sha for each in mine for sha in each.pictures})
    looked.with_pictures = sum(bool(each.pictures) for each in mine)
    runs = Counter(run for each in mine for run in shingles(each.words))
    looked.distinct = sum(n == 1 for n in runs.values()) / len(runs) if runs else 0.0


def findings(looked: Looked, pairs: Sequence[Pair]) -> list[Finding]:
    """What follows from it. ok None: nobody can say (a licence that is not stated)."""
    mine = [pair for pair in pairs if _is_of(looked, pair)]
    return [
        _finding(
            "there are judged samples", looked.samples > 0, "none", "nothing is measured, and nothing was checked"
        ),
        _finding(
            "rows can be used", not looked.bad, _told(looked.bad), "they are left out of every figure, and counted"
        ),
        _finding("ids are unique", not looked.twice, _list(looked.twice), "rows of one id cannot be told apart"),
        _finding("every sample asks something", not looked.empty, _list(looked.empty), "nothing is asked there"),
        _finding("pictures can be read", not looked.unread, _list(looked.unread), "their samples fail in every run"),
        _finding(
            "questions with a right answer have one",
            not looked.unlabelled,
            f"{looked.unlabelled} without a reference",
            "no judge can score them",
        ),
        _pairs("no sample twice", mine, "same sample", "it counts double; intervals are too narrow"),
        _pairs("no words twice", mine, "same words", _ASKED_AGAIN, looked.pictures),
        _pairs("no picture twice", mine, "same picture", "samples of one picture should share a cluster"),
        _pairs("no similar words", mine, "similar words", _NEAR, looked.pictures),
        _pairs("no similar pictures", mine, "similar picture", _NEAR),
        _contamination(mine, looked.pictures),
        _balance(looked),
        _finding(
            "licence is stated",
            True if looked.dataset.licence else None,
            looked.dataset.licence or "the loader states none",
            "ask its authors before you publish on it",
        ),
    ]


def _is_of(looked: Looked, pair: Pair) -> bool:
    return any(name.startswith(f"{looked.label}: ") for name in (pair.one, pair.other))


_ASKED_AGAIN = "samples of one question should share a cluster, unless their pictures ask it"
_NEAR = "near copies tell less than they seem to"


def _pairs(check: str, pairs: Sequence[Pair], kind: str, meaning: str, excused: int = 0) -> Finding:
    """excused: pictures, which may be what differs between samples that ask in the same words."""
    mine = [pair for pair in pairs if pair.kind == kind]
    told = "; ".join(f"{pair.one} = {pair.other}" for pair in mine[:SHOWN])
    more = f" and {len(mine) - SHOWN} more" if len(mine) > SHOWN else ""
    ok = True if not mine else None if excused else False
    return _finding(check, ok, f"{len(mine)} pairs: {told}{more}", meaning)


def _contamination(pairs: Sequence[Pair], pictures: int) -> Finding:
    """Of samples with pictures the same words alone make no other sample known."""
    shared = [pair for pair in pairs if pair.contaminates or not pair.within]
    mine = [pair for pair in shared if not (pictures and pair.kind in ("same words", "similar words"))]
    told = "; ".join(f"{pair.one} = {pair.other} ({pair.kind})" for pair in mine[:SHOWN])
    more = f" and {len(mine) - SHOWN} more" if len(mine) > SHOWN else ""
    meaning = "what was crafted on, or is in another set too, is no independent test"
    return _finding(
        "nothing shared with the crafting split or another set", not mine, f"{len(mine)}: {told}{more}", meaning
    )


def _balance(looked: Looked) -> Finding:
    sizes = list(looked.categories.values())
    if len(sizes) < 2:
        return Finding("categories are balanced", None, f"{len(sizes)} category", "nothing to compare")
    share = evenness(sizes)
    told = f"evenness {share:.2f}; {min(sizes)} to {max(sizes)} samples a category"
    return Finding(
        "categories are balanced",
        share >= 0.75,
        told,
        "a mean over all rows is a mean of the largest ones: tell rates per category",
    )


def evenness(sizes: Iterable[int]) -> float:
    """Entropy of the shares over its largest value: 1 where all are equal, 0 where one has all (Pielou 1966)."""
    counts = [size for size in sizes if size > 0]
    if len(counts) < 2:
        return 0.0
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts) / math.log(len(counts))


def _finding(check: str, ok: bool | None, measured: str, meaning: str) -> Finding:
    return Finding(check, ok, measured if ok is not True else "", "" if ok is True else meaning)


def _told(reasons: Counter[str]) -> str:
    return f"{sum(reasons.values())} rows cannot be used; " + "; ".join(
        f"{n} x {reason}" for reason, n in reasons.most_common(SHOWN)
    )


def _list(names: Sequence[str]) -> str:
    return f"{len(names)}: {'; '.join(names[:SHOWN])}" + (" ..." if len(names) > SHOWN else "")
