"""Crafting by `minimise`: a picture for each sample, in batches, or one for all; and what their traces say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from proofglass.engine import On, minimise, seed_of
from proofglass.engine.pictures import start_pixels
from proofglass.interfaces import Victim, WhiteBoxVictim
from proofglass.types import Artefact, Budget, Chat, Cost, Image, Sample

if TYPE_CHECKING:
    import torch

    from proofglass.engine import Check, Found, Objective
    from proofglass.engine.constraints import Constraint
    from proofglass.engine.steps import Step

    # Further variables of a search: their first values, a row per picture, and how they move.
    Others = Mapping[str, tuple[torch.Tensor, On]]

DISTANCES = ("linf_levels", "l2")


def craft_each(
    victim: Victim,
    samples: Sequence[Sample],
    objective: Callable[[Sequence[Sample], list[Image], torch.Tensor, list[int]], Objective],
    *,
    seed: int,
    batch: int,
    start: Image | None = None,
    keeps_clean: bool = True,
    constraint: Constraint,
    step: Step,
    others: Callable[[Any], Others] | None = None,
    check: Callable[[Sequence[Sample], list[Image]], Check | None] | None = None,
    **run: Any,
) -> Iterator[Artefact]:
    """One artefact per sample: `minimise` on `batch` pictures at a time, each as if it ran alone.

    objective(part, clean, x0, seeds): the objective of these samples, whose clean pictures (8-bit, and float32
    [B, 3, H, W]) and seeds stand in the same order. keeps_clean: False for attacks that know no clean picture.
    constraint, step: of the picture. others(objective): variables beside the picture, such as a second player's. Those
    that are pictures ("image2", ...) follow it in the artefact.
    check(part, clean): the check of these samples. run: schedule, budget, select of `minimise`.
    A sample's seed is drawn from `seed` and its id alone, so that order and batch change no draw.
    """
    for part in alike(victim, samples, batch):
        clean, x0 = start_pixels(victim, [s.chat for s in part], start)
        seeds = [seed_of(seed, sample.id) for sample in part]
        of_part = objective(part, clean, x0, seeds)
        looks = check(part, clean) if check else None
        if others is None:
            found = minimise(of_part, x0, constraint=constraint, step=step, seed=seeds, check=looks, **run)
        else:
            more = others(of_part)
            values = {"image": x0} | {name: first for name, (first, _) in more.items()}
            moves = {"image": On(constraint, step)} | {name: on for name, (_, on) in more.items()}
            found = minimise(of_part, values, moves, seed=seeds, check=looks, **run)
        pictures = zip(*(found.images(name) for name in found.pictures), strict=True)
        for b, (sample, before, after) in enumerate(zip(part, clean, pictures, strict=True)):
            yield Artefact(
                sample.id,
                after,
                clean=before if keeps_clean else None,
                crafted_on=victim.key,
                cost=found.costs[b],
                trace=trace_of(found, victim, b, moved=keeps_clean),
            )


def first_picture(victim: Victim, samples: Sequence[Sample], start: Image | None) -> tuple[Image, torch.Tensor]:
    """Where a universal picture begins, 8-bit and float32 [1, 3, H, W]: `start`, else the picture of the first sample
    that has one, else mid-grey."""
    shown = next((s.chat for s in samples if s.chat.images), Chat.user(""))
    (clean,), x0 = start_pixels(victim, [Chat.user("") if start else shown], start)
    return clean, x0


def craft_one(
    victim: Victim,
    objective: Objective,
    clean: Image | None,
    x0: torch.Tensor,
    *,
    asked: Cost | None = None,
    **run: Any,
) -> Artefact:
    """One artefact that serves all samples: `minimise` from x0, float32 [1, 3, H, W].

    clean: None for attacks that know no clean picture. asked: what was spent before. run: as for `minimise`.
    """
    found = minimise(objective, x0, **run)
    return Artefact(
        images=tuple(found.images()),
        clean=clean,
        crafted_on=victim.key,
        cost=found.cost + (asked or Cost()),
        trace=trace_of(found, victim, moved=clean is not None),
    )


def alike(victim: Victim, samples: Sequence[Sample], batch: int) -> Iterator[list[Sample]]:
    """Samples in order, at most `batch` at a time. A victim without a size of its own takes each picture at a size that
    depends on it: only pictures of one size make a batch then."""

    def size(sample: Sample) -> tuple[int, int] | None:
        if victim.image_size or not sample.chat.images:
            return None
        return sample.chat.images[0].width, sample.chat.images[0].height

    for _, group in groupby(samples, size):
        while part := list(islice(group, batch)):
            yield part


def left_of(budget: Budget | None, spent: Cost, began: float) -> Budget | None:
    """What a first phase leaves of one budget. spent: what it cost a picture; began: its `time.perf_counter()`."""
    return None if budget is None else budget.left(spent, time.perf_counter() - began)


def by_id(samples: Sequence[Sample]) -> list[Sample]:
    """Samples in the order of their ids. A draw is the number of a sample: in this order it names the same one in
    whatever order a data set gives them."""
    return sorted(samples, key=lambda sample: sample.id)


def trace_of(found: Found, victim: Victim, b: int = 0, *, moved: bool = True) -> dict[str, Any]:
    """The trace of picture b. moved: whether there is a clean picture from which its distances were taken."""
    told = found.trace(b) | path_of(victim)
    return told if moved else {name: value for name, value in told.items() if name not in DISTANCES}


def distances(one: Image, other: Image) -> dict[str, float]:
    """Distance of two pictures of one size: "linf_levels", in grey levels, and "l2", in [0, 1] units."""
    import numpy as np

    moved = one.array().astype(float) - other.array()
    return {"linf_levels": int(np.abs(moved).max()), "l2": float(np.linalg.norm(moved)) / 255}


def path_of(victim: Victim) -> dict[str, str]:
    """Part of a trace: how the victim computed its gradients, and why so; nothing for one that says nothing."""
    path = victim.gradient_path() if isinstance(victim, WhiteBoxVictim) else ""
    return {"gradient_path": path} if path else {}
