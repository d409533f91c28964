"""The tables of the benchmark, and the goals that its figures are held to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from attack_step_parts.cells import Cell
from attack_step_parts.steps import ONCE, OURS, PUBLISHED, SIDES

ONCE_GOALS = {8: 4.0, 16: 6.0}
MEMORY_GOALS = {8: 1 / 6, 16: 1 / 12, 64: 1 / 30}
GRADIENT_GOAL = 1e-5  # float32
REAL_GOALS = {1: 0.95, 8: 5.5, 16: 8.5, 64: 12.0}


def goal(value: float | None, wanted: float | None, at_most: bool = False) -> str:
    if wanted is None or value is None:
        return "–"
    met = value <= wanted if at_most else value >= wanted
    shown = f"1/{1 / wanted:.0f}" if at_most else f"{wanted:g}"
    return f"{'≤' if at_most else '≥'} {shown}: {'met' if met else '**missed**'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(cells: Sequence[Cell], clock: str) -> str:
    """Three Markdown tables per head: time, gradient and rate, memory."""
    parts = []
    for head in dict.fromkeys(cell.head for cell in cells):
        chosen = [cell for cell in cells if cell.head == head]
        parts += [
            f"### {head} head, {chosen[0].vocabulary:,} words",
            f"Time of a step ({clock}), medians; ratios of medians, in brackets quartiles of neighbouring repeats.",
            table(
                [
                    *("B", "repeats", *(f"{side}, s" for side in SIDES)),
                    *("published / ours", "goal", "encode-once / ours", "goal", "published / ours, wall"),
                ],
                [_times(cell) for cell in chosen],
            ),
            "Largest gradient difference to the published loop over its largest gradient "
            f"(goal in float32: ≤ {GRADIENT_GOAL:g}), cosine of the two, and the fraction reached of the rate of a "
            "square matrix product.",
            table(
                ["B", *(f"gradient, {side}" for side in SIDES[1:]), "cosine, ours", *(f"rate, {s}" for s in SIDES)],
                [_checks(cell) for cell in chosen],
            ),
        ]
        if any(cell.peaks for cell in chosen):
            parts.append("Peak memory over the loaded model in one step, whole batch, MiB.")
            parts.append(table(["B", *SIDES, "ours / published", "goal"], [_memory(cell) for cell in chosen]))
        notes = [f"B = {cell.size}: ours went {cell.path}" for cell in chosen]
        notes += [note for cell in chosen for note in cell.notes]
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts)


def _times(cell: Cell) -> list[str]:
    real = cell.head == "real"
    wall = statistics.median(cell.wall[PUBLISHED]) / statistics.median(cell.wall[OURS])
    row = [str(cell.size), str(len(cell.matmul))]
    row += _each({side: cell.median(side) for side in cell.seconds}, "{:.3g}")
    for slow, goals in ((PUBLISHED, REAL_GOALS), (ONCE, ONCE_GOALS)):
        low, high = cell.quartiles(slow)
        row.append(f"**{cell.ratio(slow):.2f}** ({low:.2f} to {high:.2f})")
        row.append(goal(cell.ratio(slow), goals.get(cell.size) if real else None))
    return [*row, f"{wall:.2f}"]


def _checks(cell: Cell) -> list[str]:
    gradients = _each(cell.differences, "{:.1e}")[1:]
    rates = _each({side: cell.rate(side) for side in cell.seconds}, "{:.2f}")
    return [str(cell.size), *gradients, f"{cell.cosines[OURS]:.6f}", *rates]


def _memory(cell: Cell) -> list[str]:
    row = [str(cell.size), *_each({side: peak / 2**20 for side, peak in cell.peaks.items()}, "{:,.0f}")]
    if not {OURS, PUBLISHED} <= set(cell.peaks):
        return [*row, "–", "–"]
    share = cell.peaks[OURS] / cell.peaks[PUBLISHED]
    return [*row, f"**1/{1 / share:.1f}**", goal(share, MEMORY_GOALS.get(cell.size), at_most=True)]


def _each(values: dict[str, float], form: str) -> list[str]:
    return [form.format(values[side]) if side in values else "–" for side in SIDES]
