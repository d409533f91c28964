"""The same replies judged again: as they are, in other spellings, and with text around them or in their pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from math import ceil

from proofglass.errors import ImageError
from proofglass.evaluation.labels import LabelledReply
from proofglass.evaluation.picture_wrappers import PICTURE_WRAPPERS, PictureWrapper
from proofglass.evaluation.trust.agreement import Verdict
from proofglass.evaluation.trust.flips import VARIANTS, Flips, flips
from proofglass.evaluation.trust.panel import Panel, attempt_of, with_pictures
from proofglass.evaluation.wrappers import Wrapper
from proofglass.types import Attempt

OTHER_BATCH = 7
PICTURES = 32  # wrapped pictures at a time
WANTED = 200  # pairs that a flip rate should rest on


def drawn(said: Sequence[Verdict], most: int, seed: int) -> list[int]:
    """Places of `most` replies, drawn at random; and more that were judged, until `WANTED` of them were."""
    order = random.Random(seed).sample(range(len(said)), len(said))
    drawn, others = order[:most], [k for k in order[most:] if said[k] is not None]
    missing = min(most, WANTED) - sum(said[k] is not None for k in drawn)
    return sorted(drawn + others[: max(0, missing)])


def stability_of(panel: Panel, rows: Sequence[LabelledReply], before: Sequence[Verdict]) -> list[Flips]:
    """The same replies again, in other company, and in other spellings."""
    where = [row.cluster for row in rows]
    found = [
        flips("again", "same text", before, panel.verdicts(rows), where),
        flips("in another order", "same text", before, panel.verdicts(rows[::-1])[::-1], where),
        flips(f"{OTHER_BATCH} at a time", "same text", before, panel.verdicts(rows, batch=OTHER_BATCH), where),
    ]
    for name, change in VARIANTS.items() if panel.judged else ():
        changed = [
            (row, old, new)
            for row, old in zip(rows, before, strict=True)
            if (new := change(panel.text_of(row))) != panel.text_of(row)
        ]
        after = panel.verdicts([row for row, _, _ in changed], [new for _, _, new in changed])
        found.append(
            flips(name, "same words", [old for _, old, _ in changed], after, [row.cluster for row, _, _ in changed])
        )
    return found


def wrapped(
    panel: Panel, wrapper: Wrapper, rows: Sequence[LabelledReply], before: Sequence[Verdict], seed: int
) -> Flips:
    """Text around the reply; around the prompt where the verdict is about that, which no question stands before."""
    pairs = [
        (row, old)
        for row, old in zip(rows, before, strict=True)
        if not wrapper.needs_question or (row.prompt and panel.judged == "reply")
    ]
    every = [(row, old, draw) for draw in range(_draws(len(pairs), len(wrapper.wordings))) for row, old in pairs]
    texts = [wrapper(panel.text_of(row), row.prompt, seed=seed, draw=draw) for row, _, draw in every]
    after = panel.verdicts([row for row, _, _ in every], texts)
    where = [row.cluster for row, _, _ in every]
    return flips(wrapper.name, wrapper.family, [old for _, old, _ in every], after, where)


def in_pictures(
    panel: Panel, rows: Sequence[LabelledReply], first: Sequence[Verdict], most: int, seed: int
) -> list[Flips]:
    """The same replies, and text in every picture that was shown with them."""
    pictured = [k for k, row in enumerate(rows) if row.images]
    chosen = [pictured[k] for k in drawn([first[k] for k in pictured], most, seed)]
    return [_pictured(panel, each, [(rows[k], first[k]) for k in chosen], seed) for each in PICTURE_WRAPPERS]


def _pictured(
    panel: Panel, wrapper: PictureWrapper, pairs: Sequence[tuple[LabelledReply, Verdict]], seed: int
) -> Flips:
    every = [(row, old, draw) for draw in range(_draws(len(pairs), wrapper.ways)) for row, old in pairs]
    after: list[Verdict] = []
    for start in range(0, len(every), PICTURES):  # some at a time: they are held in memory
        attempts = [_changed(wrapper, row, seed, draw) for row, _, draw in every[start : start + PICTURES]]
        said = iter(panel.scores([each for each in attempts if each is not None]))
        after += [None if each is None else panel.verdict(next(said)) for each in attempts]
    return flips(
        wrapper.name, wrapper.family, [old for _, old, _ in every], after, [row.cluster for row, _, _ in every]
    )


def _changed(wrapper: PictureWrapper, row: LabelledReply, seed: int, draw: int) -> Attempt | None:
    """None for a picture whose file is gone since it was read."""
    try:
        return with_pictures(attempt_of(row), partial(wrapper, seed=seed, draw=draw))
    except ImageError:
        return None


def _draws(pairs: int, ways: int) -> int:
    return min(ways, ceil(WANTED / max(1, pairs)))
