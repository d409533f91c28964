"""Is a victim's gradient worth following? What can be wrong with it looks like robustness in every table.

Seven checks in the manner of AutoAttack (Croce & Hein 2020, its flags for randomised defenses and vanishing gradients)
and of the signs of gradient masking in Athalye et al. 2018 (section 3.1) and Carlini et al. 2019 (section 5).
Departures: the loss is the teacher-forced cross-entropy of each sample's target, as all our attacks use it;
thresholds are ours and stand beside each check.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from proofglass.engine.gradients import vanished
from proofglass.engine.minimise import minimise
from proofglass.engine.pictures import start_pixels, target_pairs
from proofglass.engine.points import IMAGE, named
from proofglass.errors import ZeroGradient
from proofglass.images import read, write
from proofglass.interfaces import Victim, WhiteBoxVictim
from proofglass.types import Ask, Budget, Finding, Sample, Settings

if TYPE_CHECKING:
    import torch

    from proofglass.engine import Objective
    from proofglass.engine.steps import Step

ALIKE = 1e-5  # two looks at one loss may differ by this share of it: the order of sums on a GPU
ZEROS = 0.05  # share of exactly zero values in a gradient
MOVES = 1e-3  # share of the first loss by which a few steps must lower it
MASKED = 0.01  # share of the first loss by which a search without gradients may be the better one
SLOPE = 0.05  # relative error of a directional derivative
AS_FILE = 1e-3  # difference of the loss of a tensor and of the same picture read from a PNG


@dataclass(frozen=True)
class Probe:
    """What the checks look at: samples with their targets, their pictures x float32 [B, 3, H, W], their loss."""

    victim: WhiteBoxVictim
    samples: Sequence[Sample]
    x: torch.Tensor
    objective: Objective
    seed: int

    @property
    def seeds(self) -> list[int]:
        from proofglass.engine import seed_of

        return [seed_of(self.seed, sample.id) for sample in self.samples]


def examine(
    victim: Victim, samples: Sequence[Sample], *, seed: int = 0, epsilon: float = 16 / 255, budget: int = 90
) -> list[Finding]:
    """All checks on `samples`, which need targets; few are enough.

    epsilon: l-infinity radius of the short attacks, pixel units. budget: forward equivalents per picture that each of
    the three searches may spend. A victim that gives replies only is checked for randomness alone.
    Raises ValueError without samples, or for one without a target; UsageError for a victim that takes text only.
    """
    return list(examining(victim, samples, seed=seed, epsilon=epsilon, budget=budget))


def examining(
    victim: Victim, samples: Sequence[Sample], *, seed: int = 0, epsilon: float = 16 / 255, budget: int = 90
) -> Iterator[Finding]:
    """`examine`, one finding after another as it is made. What cannot be examined raises here, before the first."""
    from proofglass.engine import TargetNLL

    if not samples:
        raise ValueError("samples: expected at least one, found none")
    if not isinstance(victim, WhiteBoxVictim):
        return iter([answers_alike(victim, samples)])
    clean, x = start_pixels(victim, [sample.chat for sample in samples], None)
    probe = Probe(victim, samples, x, TargetNLL(victim, target_pairs(samples, clean)), seed)
    checks: list[Callable[[], Finding]] = [
        lambda: answers_alike(victim, samples),
        lambda: loss_repeats(probe),
        lambda: gradient_is_there(probe),
        lambda: slope_agrees(probe),
        lambda: loss_moves(probe, epsilon),
        lambda: gradient_wins(probe, epsilon, budget),
        lambda: file_is_what_was_optimised(probe, epsilon),
    ]
    return (check() for check in checks)


def answers_alike(victim: Victim, samples: Sequence[Sample]) -> Finding:
    """The same ask twice, at temperature 0."""
    asks = [Ask(sample.chat, Settings(max_new_tokens=24)) for sample in samples]
    first, again = victim.reply(asks), victim.reply(asks)
    unlike = sum((a.text, a.outcome) != (b.text, b.outcome) for a, b in zip(first, again, strict=True))
    failed = sum(reply.outcome == "error" for reply in first)
    measured = f"{len(asks)} asks, twice each: {unlike} answered otherwise" + (f", {failed} failed" if failed else "")
    if failed == len(asks):
        return Finding("replies repeat", None, measured, f"no ask was answered: {first[0].reason}")
    return _verdict(
        "replies repeat",
        not unlike,
        measured,
        "One reply per ask is enough.",
        "The victim is random at temperature 0: judge each sample several times.",
    )


def loss_repeats(probe: Probe) -> Finding:
    """The loss of the same picture twice."""
    one, other = (probe.objective(probe.x, 0, need_grad=False).loss for _ in range(2))
    gap = float(((one - other).abs() / one.abs().clamp_min(1e-12)).max())
    measured = f"two looks at {len(one)} losses differ by {gap:.1e} of the loss at most"
    return _verdict(
        "loss repeats",
        gap <= ALIKE,
        measured,
        "Losses of different steps can be compared.",
        "The victim is random: average its gradient over several draws at a step.",
    )


def gradient_is_there(probe: Probe) -> Finding:
    """Exact zeros, vanishing norms and values that are not finite, in the gradient at the clean picture."""
    import torch

    grad = _gradient(probe)
    zeros, length = float((grad == 0).float().mean()), grad.flatten(1).norm(dim=1)
    bad = int((~torch.isfinite(grad)).flatten(1).any(1).sum())
    measured = (
        f"{zeros:.1%} exact zeros, norm {float(length.min()):.1e} to {float(length.max()):.1e}, "
        f"{bad} of {len(grad)} not finite"
    )
    if bad:
        meaning = "Some gradients are not finite: their pictures cannot be attacked. Try float32 weights."
    elif bool(vanished(grad).any()):
        meaning = "The loss does not depend on the picture, as far as the gradient tells: a white-box attack is blind."
    elif zeros > ZEROS:
        meaning = "Many values never move: a step that rounds, clips or underflows stands before the model."
    else:
        return Finding("gradient is there", True, measured, "Every pixel gets a direction.")
    return Finding("gradient is there", False, measured, meaning)


def slope_agrees(probe: Probe) -> Finding:
    """The loss along the gradient's sign, by two looks, against what the gradient promises.

    Of several distances the best counts: near ones drown in rounding, far ones leave the tangent.
    """
    import torch

    x = probe.x.clamp(0.02, 0.98)  # so that no look leaves what a picture can hold
    grad = torch.nan_to_num(_gradient(probe, x), 0.0, 0.0, 0.0)
    draws = torch.Generator().manual_seed(probe.seed)
    random = (torch.randint(0, 2, grad.shape, generator=draws) * 2 - 1).to(grad)
    along = grad.sign().where(grad != 0, random)
    errors = []
    for h in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
        ahead, behind = (x + h * along, x - h * along)
        one, other = (probe.objective(y, 0, need_grad=False).loss.double() for y in (ahead, behind))
        promised = ((ahead - behind).double() * grad.double()).flatten(1).sum(1)
        larger = torch.maximum((one - other).abs(), promised.abs())
        seen = larger > 20 * 1.2e-7 * one.abs()  # the float32 rounding of a loss
        errors.append(((one - other - promised).abs() / larger).where(seen, torch.nan))
    best = torch.stack(errors).nan_to_num(math.inf).amin(0)
    known = best[best.isfinite()]
    if not len(known):
        return Finding(
            "slope agrees", None, "the loss moves less than its rounding", "Too flat to say; see the other checks."
        )
    worst = float(known.max())
    measured = f"directional derivative off by {worst:.1%} at most ({len(known)} of {len(best)} pictures)"
    return _verdict(
        "slope agrees",
        worst <= SLOPE,
        measured,
        "The gradient is that of the loss.",
        "The gradient is not that of the loss: a step in between is not differentiated.",
    )


def loss_moves(probe: Probe, epsilon: float, steps: int = 8) -> Finding:
    """A few sign steps must lower a loss whose gradient is not zero."""
    from proofglass.engine import LInf, Schedule, SignStep

    try:
        found = minimise(
            probe.objective,
            probe.x,
            constraint=LInf(epsilon),
            step=SignStep(max(epsilon / 4, 1 / 255)),
            schedule=Schedule(steps),
            seed=probe.seeds,
            select="best",
        )
    except ZeroGradient:
        return Finding("loss moves", None, "the gradient is zero", "There is nothing to follow.")
    first = [losses[0] for losses in found.losses]
    falls = [(a - min(losses)) / max(abs(a), 1e-12) for a, losses in zip(first, found.losses, strict=True)]
    moved, middle = sum(fall > MOVES for fall in falls), sorted(falls)[len(falls) // 2]
    return _verdict(
        "loss moves",
        moved == len(falls),
        f"{steps} steps lower {moved} of {len(falls)} losses, by {middle:.0%} in the middle",
        "An attack has something to follow.",
        "Steps along the gradient do not help: it is saturated or points elsewhere.",
    )


def gradient_wins(probe: Probe, epsilon: float, budget: int) -> Finding:
    """Searches that see losses only must not beat the one that sees gradients, at an equal budget per picture."""
    from proofglass.engine import Estimated, LInf, Schedule, SignStep, SquareStep

    start, seeds = probe.objective.value(probe.x).loss, probe.seeds

    def reached(objective: Objective, step: Step, steps: int, init: Literal["clean", "uniform"]) -> torch.Tensor:
        """The lowest loss of each picture; the one at the start where there is nothing to follow."""
        try:
            found = minimise(
                objective,
                probe.x,
                constraint=LInf(epsilon, init),
                step=step,
                schedule=Schedule(steps),
                seed=seeds,
                budget=Budget(budget),
                select="best",
            )
        except ZeroGradient:
            return start
        return found.loss.minimum(start)

    white = reached(probe.objective, SignStep(max(epsilon / 10, 1 / 255)), budget // 3, "uniform")
    square = reached(probe.objective, SquareStep(epsilon), budget - 1, "clean")
    estimated = Estimated(probe.objective, "rgf", max(epsilon / 4, 1 / 255), max(2, budget // 12), seeds)
    rgf = reached(estimated, SignStep(max(epsilon / 3, 1 / 255)), budget, "clean")
    black = square.minimum(rgf)
    beaten = int((black < white - MASKED * start.abs()).sum())
    measured = (
        f"mean loss {float(start.mean()):.3f} at the start; at {budget} forward equivalents: PGD "
        f"{float(white.mean()):.3f}, Square {float(square.mean()):.3f}, RGF {float(rgf.mean()):.3f}"
    )
    return _verdict(
        "gradient wins",
        not beaten,
        measured,
        "No sign of gradient masking.",
        f"Gradient masking on {beaten} of {len(black)}: report black-box attacks, or attack around the mask.",
    )


def file_is_what_was_optimised(probe: Probe, epsilon: float) -> Finding:
    """The loss of an 8-bit tensor, and of the same picture written as PNG and read again."""
    import torch

    from proofglass.engine import LInf, quantise
    from proofglass.engine.found import in_levels
    from proofglass.engine.rounding import nearest
    from proofglass.engine.seeds import uniform

    noisy = LInf(epsilon).begin(probe.x, uniform(probe.x, probe.seeds, "file"))
    rounded = in_levels(nearest(noisy).byte(), noisy)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{b}.png" for b in range(len(noisy))]
        for image, file in zip(quantise(noisy), files, strict=True):
            write(image, file)
        taken = torch.cat([probe.victim.pixels(read(file)) for file in files])
    name, good = "file is what was optimised", "A saved picture keeps its attack."
    if taken.shape != rounded.shape:
        measured = f"{list(rounded.shape[2:])} pixels optimised, {list(taken.shape[2:])} read from the file"
        return _verdict(name, False, measured, good, "Resizing would undo an attack: optimise at the size read.")
    taken = taken.to(rounded)
    one, other = (probe.objective.value(y).loss for y in (rounded, taken))
    gap, moved = float((one - other).abs().max()), float((taken - rounded).abs().max()) * 255
    measured = f"losses differ by {gap:.1e} at most, pixels by {moved:.2f} grey levels"
    bad = "The file is not what the gradient saw: it is resized or normalised in another way."
    return _verdict(name, gap <= AS_FILE, measured, good, bad)


def _verdict(check: str, ok: bool, measured: str, good: str, bad: str) -> Finding:
    return Finding(check, ok, measured, good if ok else bad)


def _gradient(probe: Probe, x: torch.Tensor | None = None) -> torch.Tensor:
    grad = probe.objective(probe.x if x is None else x, 0).grad
    assert grad is not None
    return named(grad)[IMAGE]
