"""The study behind a leak score: one data set, shown whole and with less, to some victims."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from proofglass.evaluation import leak
from proofglass.evaluation.datasets.shown import WAYS, How, Shown
from proofglass.evaluation.metrics.rows import scored_rows
from proofglass.interfaces import SUCCESS, Dataset
from proofglass.studies.study import Item, Study
from proofglass.types import BadSample

if TYPE_CHECKING:
    from proofglass.records.store import Store


LOOKED_AT = 50  # samples by which is known whether a data set can be shown in some way at all


def shown_study(
    study: Study, ways: Sequence[How] = WAYS, *, caption: str = "description", words: str = ""
) -> tuple[Study, dict[str, str]]:
    """`study`, of one data set, with that data set whole and in each of these ways (labels are the ways); and the ways
    in which none of its first samples can be shown, with the reason. caption, words: see `Shown`."""
    (item,) = study.datasets
    plugs = [Shown(item.plug, how, caption, words) for how in dict.fromkeys(("all", *ways))]
    left_out: dict[str, str] = {plug.how: why for plug in plugs if plug.how != "all" and (why := _why_not(plug))}
    datasets = [_item(plug) for plug in plugs if plug.how not in left_out]
    return dataclasses.replace(study, datasets=tuple(datasets), metrics=()), left_out


def _why_not(plug: Shown) -> str:
    """Why no sample can be shown so, judged by the first ones; "" if one can."""
    first = list(islice(plug, LOOKED_AT))
    bad = [row.reason for row in first if isinstance(row, BadSample)]
    return bad[0].removeprefix(f"{plug.how}: ") if bad and len(bad) == len(first) else ""


def _item(plug: Shown) -> Item[Dataset]:
    return Item(plug.name, plug.how, plug, lambda: plug, {})


def leaks_in(store: Store) -> list[leak.Leak]:
    """The leaks of a run of `shown_study`, per victim and way."""
    frame = store.frame()
    rows = scored_rows(frame, store.scores(), {SUCCESS: store.manifest()["success"]})
    ways = [how for how in frame["dataset"].unique(maintain_order=True) if how != leak.WHOLE]
    return leak.leaks(rows, f"score:{SUCCESS}", ways)
