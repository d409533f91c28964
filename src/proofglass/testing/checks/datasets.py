"""What every data set promises."""

from __future__ import annotations

import json
from typing import get_args

from proofglass.interfaces import (
    Dataset,
    key_of,
)
from proofglass.testing.checks.plugs import is_8_bit
from proofglass.types import (
    BadSample,
    Expected,
    Sample,
)


def ids_are_unique(data: Dataset) -> None:
    ids = [row.id for row in data]
    assert ids, "no samples"
    assert len(set(ids)) == len(ids), "an id stands twice"


def iterates_alike_twice(data: Dataset) -> None:
    """The same rows in the same order, crafting split included."""
    for rows in (data.__iter__, data.crafting):
        assert [_named(row) for row in rows()] == [_named(row) for row in rows()]


def crafting_is_disjoint(data: Dataset) -> None:
    """No judged id and no judged question is in the crafting split, and its samples say where they belong."""
    judged = [row for row in data if isinstance(row, Sample)]
    crafting = list(data.crafting())
    assert not {s.id for s in judged} & {s.id for s in crafting}, "an id is in both splits"
    assert not {s.chat for s in judged} & {s.chat for s in crafting}, "a question is in both splits"
    assert all(s.split == "craft" for s in crafting), "a crafting sample does not say so"


def samples_are_whole(data: Dataset) -> None:
    """Every sample asks something, expects a known answer, and its pictures are 8-bit. The data has a licence.

    A sample says of which data set it is: of this one, or of one that this one is made of.
    """
    assert data.licence, "no licence"
    known = {data.name, *(value.name for value in data.settings().values() if isinstance(value, Dataset))}
    for row in data:
        assert row.dataset in known, f"{row.id} says it is of {row.dataset}"
        if isinstance(row, BadSample):
            assert row.reason, f"{row.id} does not say why it is bad"
            continue
        assert row.chat.last_text.strip(), f"{row.id} asks nothing"
        assert row.expected in get_args(Expected), row.expected
        json.dumps(dict(row.meta))
        for image in row.chat.images:
            is_8_bit(image)


def _named(row: Sample | BadSample) -> str:
    return key_of(row)
