"""Edit distance and longest common subsequence, many cells at once in the bits of a number.

A reply of 100,000 characters costs seconds, not hours: a table of m x n cells is never made.
Sources: Myers 1999 and Hyyrö 2003 (distance), Crochemore et al. 2001 and Hyyrö 2004 (subsequence).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence


def levenshtein(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and substitutions, each of one item (of texts: one code point), that turn `one`
    into `other`. As Bailey et al. 2023 report it between reply and target."""
    if not one:
        return len(other)
    places, full = _places(one), (1 << len(one)) - 1
    last, distance = 1 << (len(one) - 1), len(one)
    up, down = full, 0  # where the column rises, and falls, by one
    for item in other:
        same = places.get(item, 0) | down
        diagonal = (((same & up) + up) ^ up) | same
        right, left = down | ~(up | diagonal) & full, up & diagonal
        distance += bool(right & last) - bool(left & last)
        right = (right << 1) | 1
        up, down = ((left << 1) | ~(right | diagonal)) & full, right & diagonal & full
    return distance


def common_length(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """The length of the longest subsequence of both."""
    length = 0
    for row in _rows(other, one):
        length = row.bit_count()
    return length


def common_places(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[int]:
    """The places in `one` of a longest common subsequence. Of several that one which is found from the end: an item
    that both share is taken, else `other` is shortened where that alone keeps the length, else `one`."""
    rows = list(_rows(one, other))
    i, j = len(one), len(other)
    here, above = rows[i].bit_count(), rows[i - 1].bit_count() if i else 0
    found: list[int] = []
    while i and j:
        if one[i - 1] == other[j - 1]:
            found.append(i - 1)
            i, j = i - 1, j - 1
        elif here - (rows[i] >> (j - 1) & 1) > above:
            here, above = here - (rows[i] >> (j - 1) & 1), above - (rows[i - 1] >> (j - 1) & 1)
            j -= 1
            continue
        else:
            i -= 1
        within = (1 << j) - 1
        here, above = (rows[i] & within).bit_count(), (rows[i - 1] & within).bit_count() if i else 0
    return found[::-1]


def _rows(one: Sequence[Hashable], other: Sequence[Hashable]) -> Iterator[int]:
    """Row i: bit j is set where the common length of one[:i] and other[:j + 1] is more than that with other[:j]."""
    places, full = _places(other), (1 << len(other)) - 1
    row = full
    yield 0
    for item in one:
        both = row & places.get(item, 0)
        row = ((row + both) | (row - both)) & full
        yield full & ~row


def _places(items: Sequence[Hashable]) -> dict[Hashable, int]:
    """Item -> a number with a bit at each of its places."""
    at: dict[Hashable, bytearray] = {}
    for k, item in enumerate(items):
        at.setdefault(item, bytearray())
        bits = at[item]
        bits.extend(bytes(k // 8 + 1 - len(bits)))
        bits[k // 8] |= 1 << k % 8
    return {item: int.from_bytes(bits, "little") for item, bits in at.items()}
