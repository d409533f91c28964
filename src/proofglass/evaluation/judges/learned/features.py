"""Replies as numbers: words and pairs of words, hashed (no phrase of a data set is kept), and cues.

Both are counted apart in the whole reply and in its first, second and last sentence: the same words refuse in one place
and warn in another. A value is 1 + log(count), and those of one view have length 1 (times the view's weight). Pairs of
words did as well as runs of three or four on questions that were not trained on.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from proofglass.evaluation.judges.learned.cues import WIDTH, cues_of
from proofglass.evaluation.judges.learned.text import Sentence

if TYPE_CHECKING:
    import numpy as np

BITS = 20  # 1,048,576 buckets
LONGEST = 2  # words of a run
VIEWS = {"all": 1.8, "first": 1.2, "second": 0.8, "last": 0.6}
CUES = 0.3  # weight of the cues beside the words


@dataclass(frozen=True)
class Features:
    """A batch of n replies: entry e says that `bucket[e]` of reply `row[e]` has `value[e]` in `view[e]` (a place in
    `VIEWS`); cues: float32 [n, c]."""

    row: np.ndarray
    bucket: np.ndarray
    value: np.ndarray
    view: np.ndarray
    cues: np.ndarray

    @property
    def n(self) -> int:
        return len(self.cues)

    def known(self, buckets: np.ndarray) -> Features:
        """Only the entries in `buckets` (bool [2**BITS]), those of one view and reply at the view's length: words that
        the model never saw neither speak nor make the others quieter."""
        import numpy as np

        kept = buckets[self.bucket]
        row, bucket, value, view = (each[kept] for each in (self.row, self.bucket, self.value, self.view))
        place = row * len(VIEWS) + view
        norm = np.sqrt(np.bincount(place, value * value, self.n * len(VIEWS)))
        return Features(row, bucket, np.array(list(VIEWS.values()))[view] * value / norm[place], view, self.cues)

    def dot(self, buckets: np.ndarray, cues: np.ndarray) -> np.ndarray:
        """float64 [n]: the linear form with these weights, float [2**BITS] and float [c]."""
        import numpy as np

        found: np.ndarray = np.bincount(self.row, buckets[self.bucket] * self.value, self.n) + self.cues @ cues
        return found


def features_of(replies: Sequence[Sequence[Sentence]], beside: np.ndarray | None = None) -> Features:
    """Of replies as `sentences_of` gives them, each with at least one sentence. beside: float32 [n, e], columns that
    follow the cues."""
    import numpy as np

    parts = [_view(replies, k, name) for k, name in enumerate(VIEWS)]
    cues = np.array([cues_of(reply) for reply in replies], np.float32).reshape(-1, WIDTH) * np.float32(CUES)
    if beside is not None:
        cues = np.hstack([cues, beside])
    row, bucket, value, view = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Features(row, bucket, value, view, cues)


def _seen(reply: Sequence[Sentence], view: str) -> list[Sentence]:
    if view == "all":
        return list(reply)
    if view == "first":
        return [reply[0]]
    if view == "second":
        return list(reply[1:2])
    return [reply[-1]] if len(reply) > 1 else []


def _view(replies: Sequence[Sequence[Sentence]], seed: int, name: str) -> tuple[np.ndarray, ...]:
    """Rows, buckets, values and place of one view. Runs go over sentences, whose ends are words of their own."""
    import numpy as np

    hashes: list[int] = []
    rows: list[int] = []
    for row, reply in enumerate(replies):
        before = len(hashes)
        for sentence in _seen(reply, name):
            hashes.extend(map(_hash, sentence))
        hashes.extend((0, 0))  # no run goes over the end of a reply
        rows.extend([row] * (len(hashes) - before))
    word, owner = np.array(hashes, np.uint64), np.array(rows, np.int64)
    keys = []
    run = word * np.uint64(_PRIME) + np.uint64(seed)
    for length in range(1, LONGEST + 1):
        if length > 1:
            run = (run[:-1] * np.uint64(_PRIME)) ^ word[length - 1 :]
        whole = np.ones(len(run), bool)
        for k in range(length):
            whole &= word[k : len(run) + k] != 0
        mixed = (run * np.uint64(_MIX)) >> np.uint64(64 - BITS)
        keys.append((owner[: len(run)] << BITS | mixed.astype(np.int64))[whole])
    key, count = np.unique(np.concatenate(keys), return_counts=True)
    return key >> BITS, key & ((1 << BITS) - 1), 1 + np.log(count), np.full(len(key), seed)


_PRIME, _MIX = 0x100000001B3, 0x9E3779B97F4A7C15


@lru_cache(maxsize=65_536)
def _hash(word: str) -> int:
    return (zlib.crc32(word.encode()) << 1) | 1
