"""What pixel attacks share: where they begin, and crafting picture by picture in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from proofglass.attacks.image.scored import check_sees
from proofglass.interfaces import Victim, WhiteBoxVictim
from proofglass.types import Artefact, Budget, Chat, Cost, Image, Sample

if TYPE_CHECKING:
    import torch

    from proofglass.engine import Check, Found, Objective, On
    from proofglass.engine.constraints import Constraint
    from proofglass.engine.steps import Step

    # Further variables of a search: their first values, a row per picture, and how they move.
    Others = Mapping[str, tuple[torch.Tensor, On]]

DISTANCES = ("linf_levels", "l2")


def start_pixels(victim: Victim, chats: Sequence[Chat], start: Image | None) -> tuple[list[Image], torch.Tensor]:
    """Clean pictures and float32 [B, 3, H, W] in [0, 1]: each chat's own picture, else `start`, else mid-grey.

    Pictures are taken at the size of the victim's tower, so that what is saved is what the model sees. Raises
    UsageError for a victim that takes text only.
    """
    import torch

    from proofglass.engine import quantise

    check_sees(victim)
    x = torch.cat([_pixels(victim, chat.images[0] if chat.images else start or grey(victim)) for chat in chats])
    return quantise(x), x


def grey(victim: Victim) -> Image:
    """A mid-grey picture at the victim's own size."""
    import numpy as np

    width, height = victim.image_size or (224, 224)
    return Image.from_array(np.full((height, width, 3), 128, np.uint8))


def _pixels(victim: Victim, image: Image) -> torch.Tensor:
    """`image` as the victim takes it. One that shows nothing of itself gets its stated size (bicubic, in 8 bit; the
    sides are not kept in proportion), or, where it states none, the picture as it is."""
    import numpy as np
    import torch
    from PIL import Image as Pillow

    if isinstance(victim, WhiteBoxVictim):
        return victim.pixels(image)
    levels = image.array()
    size = victim.image_size or (image.width, image.height)
    if size != (image.width, image.height):
        levels = np.asarray(Pillow.fromarray(levels).resize(size, Pillow.Resampling.BICUBIC))
    return torch.from_numpy(levels.transpose(2, 0, 1)[None].astype(np.float32) / 255)


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
    constraint, step: of the picture. others(objective): variables beside the picture, such as a second player's.
    check(part, clean): the check of these samples. run: schedule, budget, select of `minimise`.
    A sample's seed is drawn from `seed` and its id alone, so that order and batch change no draw.
    """
    from proofglass.engine import On, minimise, seed_of

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
        for b, (sample, before, after) in enumerate(zip(part, clean, found.images(), strict=True)):
            yield Artefact(
                sample.id,
                (after,),
                clean=before if keeps_clean else None,
                crafted_on=victim.key,
                cost=found.costs[b],
                trace=trace_of(found, victim, b, moved=keeps_clean),
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


def check_targets(samples: Sequence[Sample]) -> None:
    """Raises ValueError for a sample without a target: asked before the first batch is paid for."""
    for sample in samples:
        if not sample.target:
            raise ValueError(f"sample {sample.id!r}: target: the attack needs a text to teach, found none")


def target_pairs(part: Sequence[Sample], clean: Sequence[Image]) -> list[list[tuple[Chat, str]]]:
    """Each sample's own (chat, target); the picture in the chat is a place holder. Raises ValueError without one."""
    check_targets(part)
    return [[(s.chat.with_image(c), s.target)] for s, c in zip(part, clean, strict=True)]


def texts(field: str, value: Sequence[str]) -> tuple[str, ...]:
    """`value` as a tuple. Raises ValueError for a bare text, whose letters would pass for texts, and for empty ones."""
    if isinstance(value, str) or not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError(f"{field}: expected a list of texts, none of them empty, found {value!r}")
    return tuple(value)


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


def apart(one: Image, other: Image) -> dict[str, float]:
    """Distance of two pictures of one size: "linf_levels", in grey levels, and "l2", in [0, 1] units."""
    import numpy as np

    moved = one.array().astype(float) - other.array()
    return {"linf_levels": int(np.abs(moved).max()), "l2": float(np.linalg.norm(moved)) / 255}


def path_of(victim: Victim) -> dict[str, str]:
    """Part of a trace: how the victim computed its gradients, and why so; nothing for one that says nothing."""
    path = victim.gradient_path() if isinstance(victim, WhiteBoxVictim) else ""
    return {"gradient_path": path} if path else {}
