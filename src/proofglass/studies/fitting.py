"""Fitting: what a defense learns about a victim before it stands before it. Learned once, kept in the run, reused."""

from __future__ import annotations

from typing import Any

from proofglass.attacks.crafting.apart import check_apart
from proofglass.engine.progress import watched_by
from proofglass.faults import one_line
from proofglass.interfaces import Defense, Stack, Victim, fitted_in, learned_from
from proofglass.studies.plan import Cell
from proofglass.studies.progress import Progress
from proofglass.studies.sink import Sink
from proofglass.types import Sample


def fitted(cell: Cell, model: Victim, sink: Sink, watch: Progress) -> Defense:
    """The defense of `cell`, with all that it learns about `model` learned.

    Raises UsageError for rows that are learned from and judged too, and for what fitting raises.
    """
    defense = cell.defense.plug
    for dataset in defense.fits_on:
        learned = [row for row in learned_from(dataset) if isinstance(row, Sample)]
        check_apart(learned, cell.rows.samples(), "learned from")
    if not defense.fits_on:
        return defense
    with (
        watched_by(watch.fitting(cell)),
        one_line("defense", defense, f"defense {cell.defense.label}: fitting failed"),
    ):
        return fitted_in(defense, model, sink.fits)


def spent(defense: Defense) -> dict[str, dict[str, Any]] | None:
    """Member -> what fitting it cost; None where nothing was fitted."""
    members = defense.members if isinstance(defense, Stack) else (defense,)
    return {member.name: dict(member.spent) for member in members if member.spent} or None
