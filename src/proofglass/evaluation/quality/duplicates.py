"""Pairs of samples that are the same, or nearly: within a data set, across several, and between crafting and test.

A sample is the same as another if words and pictures are; alike if its words or one of its pictures nearly are. Sets of
controls share pictures or questions on purpose (a question and its twin): those of one cluster or group are not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.evaluation.quality.prints import PERMUTATIONS, Print, minhash, shingles

Kind = Literal["same sample", "same words", "similar words", "same picture", "similar picture"]
BITS = 6  # of 64 in which hashes of pictures that look alike may differ
ALIKE = 0.8  # of the runs of three words that similar texts share (Jaccard)
_BANDS, _BAND = 8, 8  # two hashes that differ in fewer than 8 bits agree in one of 8 bytes


@dataclass(frozen=True)
class Pair:
    """Two samples that are the same in some way. one, other: "data set: id"; far: bits in which their pictures'
    hashes differ, or 1 - the share of runs of words that they have in common; 0 for what is the same."""

    kind: Kind
    one: str
    other: str
    within: bool
    contaminates: bool
    far: float = 0.0


def duplicates(prints: Sequence[Print], related: Iterable[frozenset[str]] = ()) -> list[Pair]:
    """Every pair that is the same or alike, each once, by its strongest kind. related: groups of samples ("data set:
    id") that belong together, such as a question and its twin, whose pairs are not told."""
    groups: dict[str, set[int]] = {}  # of each sample; never its pairs, of which a large group has millions
    for number, group in enumerate(related):
        for name in group:
            groups.setdefault(name, set()).add(number)
    found: dict[tuple[str, str], Pair] = {}
    for kind, a, b, far in _pairs(prints):
        one, other = sorted((_name(a), _name(b)))
        if (one, other) in found or one == other:
            continue
        crafted = "craft" in (a.split, b.split) and a.split != b.split
        if not crafted and not groups.get(one, set()).isdisjoint(groups.get(other, ())):
            continue
        found[one, other] = Pair(kind, one, other, a.dataset == b.dataset, crafted, far)
    return list(found.values())


def _pairs(prints: Sequence[Print]) -> Iterator[tuple[Kind, Print, Print, float]]:
    for a, b in _equal(prints, lambda each: (each.words, each.pictures) if each.words or each.pictures else None):
        yield "same sample", a, b, 0.0
    for a, b in _equal(prints, lambda each: each.words or None):
        yield "same words", a, b, 0.0
    by_picture: dict[str, list[Print]] = {}
    for each in prints:
        for sha in set(each.pictures):
            by_picture.setdefault(sha, []).append(each)
    for same in by_picture.values():
        for a, b in _first_with_each(same):
            yield "same picture", a, b, 0.0
    yield from _similar_words(prints)
    yield from _similar_pictures(prints)


def _equal(prints: Sequence[Print], key: object) -> Iterator[tuple[Print, Print]]:
    groups: dict[object, list[Print]] = {}
    for each in prints:
        name = key(each)  # type: ignore[operator]
        if name is not None:
            groups.setdefault(name, []).append(each)
    for same in groups.values():
        yield from _first_with_each(same)


def _first_with_each(same: Sequence[Print]) -> Iterator[tuple[Print, Print]]:
    """Of n that are all the same n - 1 pairs say so: the first with each other."""
    return ((same[0], each) for each in same[1:])


def _similar_words(prints: Sequence[Print]) -> Iterator[tuple[Kind, Print, Print, float]]:
    from datasketch import MinHashLSH

    first: dict[str, Print] = {}
    for each in prints:
        if each.words:
            first.setdefault(each.words, each)
    index = MinHashLSH(threshold=ALIKE, num_perm=PERMUTATIONS)
    for words, each in first.items():
        hashed = minhash(words)
        for near in index.query(hashed):
            mine, theirs = shingles(words), shingles(near)
            share = len(mine & theirs) / len(mine | theirs)
            if share >= ALIKE:
                yield "similar words", first[near], each, round(1 - share, 3)
        index.insert(words, hashed)


def _similar_pictures(prints: Sequence[Print]) -> Iterator[tuple[Kind, Print, Print, float]]:
    """Pictures whose hashes differ in at most BITS bits: looked for among those that agree in one byte of eight."""
    first: dict[str, tuple[int, Print]] = {}
    for each in prints:
        for sha, look in zip(each.pictures, each.looks, strict=True):
            first.setdefault(sha, (look, each))
    bands: dict[tuple[int, int], list[str]] = {}
    for sha, (look, each) in first.items():
        near: set[str] = set()
        for band in range(_BANDS):
            place = (band, look >> (_BAND * band) & 0xFF)
            near.update(bands.get(place, ()))
            bands.setdefault(place, []).append(sha)
        for other in sorted(near):
            far = (look ^ first[other][0]).bit_count()
            if far <= BITS:
                yield "similar picture", first[other][1], each, float(far)


def _name(each: Print) -> str:
    return f"{each.dataset}: {each.id}"
