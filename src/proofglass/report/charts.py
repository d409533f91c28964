"""Geometry of the charts; `templates/charts.html.j2` draws it as SVG.

Static SVG, not a plotting script: the page then needs no script at all, follows the colour scheme through CSS, and
every mark carries its numbers as a native tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proofglass.report.run import ReportedRun
from proofglass.report.tables import crafts, numbers, scalar
from proofglass.report.wording import number

COLOURS = 8  # as many as style.css defines: .ink0 to .ink7
SHAPES = (
    "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",  # disc
    "M-4.5,-4.5h9v9h-9Z",  # square
    "M0,-6L5.8,4.5H-5.8Z",  # triangle
    "M0,-6.2L6.2,0L0,6.2L-6.2,0Z",  # diamond
    "M0,6L5.8,-4.5H-5.8Z",  # triangle, point down
    "M-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4Z",  # cross
    "M0,-6.4L1.9,-2L6.1,-2L2.8,1.1L4,5.6L0,3L-4,5.6L-2.8,1.1L-6.1,-2L-1.9,-2Z",  # star
)
CURVE_POINTS = 240  # more cannot be told apart at this size


@dataclass(frozen=True)
class Frame:
    """A plot area inside its picture, in px; maps data to it. y grows upwards."""

    width: int = 380
    height: int = 300
    left: int = 54
    right: int = 18
    top: int = 14
    bottom: int = 42
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)

    def at_x(self, value: float) -> float:
        return round(self.left + _share(value, self.x) * (self.width - self.left - self.right), 1)

    def at_y(self, value: float) -> float:
        return round(self.height - self.bottom - _share(value, self.y) * (self.height - self.top - self.bottom), 1)


def mark(run: ReportedRun, defense: str) -> dict[str, Any]:
    """Colour and shape of a defense, the same in every chart; both differ between neighbours."""
    k = run.defenses.index(defense)
    return {"name": defense, "ink": k % COLOURS, "shape": SHAPES[k % len(SHAPES)]}


def loss_curves(run: ReportedRun) -> list[dict[str, Any]]:
    """One chart per crafted artefact whose trace holds a loss."""
    found = []
    for craft in crafts(run):
        trace = craft.get("trace") or {}
        losses = numbers(trace.get("loss"))
        finite = [loss for loss in losses if loss is not None]
        if len(finite) < 2:
            continue
        before, after = (scalar(trace.get(f"loss_{when}_rounding")) for when in ("before", "after"))
        plain_from = scalar(trace.get("loss_plain_from"))
        ticks = _ticks(min(*finite, *_known(before, after)), max(*finite, *_known(before, after)))
        frame = Frame(height=220, y=(ticks[0], ticks[-1]), x=(0, len(losses) - 1))
        steps = [step for step in _ticks(0, len(losses) - 1) if step <= len(losses) - 1]
        found.append(
            {
                "victim": craft["victim"],
                "attack": craft["attack"],
                "dataset": craft["dataset"] if craft.get("scope") == "sample" else "",
                "artefacts": craft.get("artefacts") or 1,
                "frame": frame,
                "paths": _paths(frame, losses),
                "xs": [(frame.at_x(step), number(step)) for step in steps],
                "ys": [(frame.at_y(value), number(value)) for value in ticks],
                "before": before,
                "after": after,
                "after_y": None if after is None else frame.at_y(after),
                "plain_from": None if plain_from is None or plain_from > len(losses) - 1 else round(plain_from),
                "plain_x": None if plain_from is None else frame.at_x(plain_from - 0.5),
                "first": finite[0],
                "last": finite[-1],
                "stopped": trace.get("stopped") or "",
                "nonfinite": trace.get("nonfinite_steps") or 0,
                "path": trace.get("gradient_path") or "",
                "alt": f"Loss of {craft['attack']} on {craft['victim']} over {len(losses) - 1} steps, from "
                f"{number(finite[0])} to {number(finite[-1])}",
            }
        )
    return found


def _known(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _paths(frame: Frame, losses: Sequence[float | None]) -> list[str]:
    """SVG paths of the finite stretches. Thinned to lowest and highest of each stretch of steps: no spike is lost."""
    points = [(step, loss) for step, loss in enumerate(losses) if loss is not None]
    width = max(1, math.ceil(2 * len(points) / CURVE_POINTS))
    kept: set[int] = {points[0][0], points[-1][0]}
    for k in range(0, len(points), width):
        part = points[k : k + width]
        kept |= {min(part, key=lambda p: p[1])[0], max(part, key=lambda p: p[1])[0]}
    paths: list[str] = []
    open_ = False
    for step, loss in enumerate(losses):
        if loss is None:
            open_ = False
        elif step in kept:
            place = f"{frame.at_x(step)},{frame.at_y(loss)}"
            if open_:
                paths[-1] += f"L{place}"
            else:
                paths.append(f"M{place}")
                open_ = True
    return paths


def _ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that enclose [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _share(value: float, span: tuple[float, float]) -> float:
    return (value - span[0]) / (span[1] - span[0]) if span[1] > span[0] else 0.5
