"""One cell of the benchmark, a head and a number of pairs: times, gradients and arithmetic of every side."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attack_step_parts.model import Shape
from attack_step_parts.steps import ONCE, OURS, PUBLISHED, TEXT_BEFORE, TORCHATTACKS, Case, step_of
from proofglass.victims.llava import Llava


def flops(side: str, shape: Shape, vocabulary: int, given: Case, micro: int | None) -> float:
    """Matrix products of one step: forward and the gradient to the inputs, 4 per weight and token, none for weights.

    Attention: 14 x layers x width x (query, key) pairs: scores and values forward (4) and a backward of 2.5 forwards.
    A padded batch runs the full square T^2, one row without padding half of it. Ours: the picture's tokens once, with
    keys and values only in the last layer; every suffix once; the head at target positions; the text before the
    picture is not run. One pair is one plain row with the head at target positions.
    """
    layers, width, _ = shape.vision
    used, seen = layers - 1, shape.image_tokens + 1  # the last tower layer is not looked at; the class token is
    tower = used * 12 * width**2 + 3 * shape.patch**2 * width
    vision: float = 4 * tower * seen + 14 * used * width * seen**2
    layers, d, _ = shape.text
    vision += 4 * (width * d + d * d) * shape.image_tokens  # the projector
    body = layers * (4 * d * d + 3 * d * shape.ffn)
    if side == OURS:
        before, picture = TEXT_BEFORE, shape.image_tokens
        suffixes = [len(p) + len(t) - before - picture for p, t in given.pairs]
        head = 4 * d * vocabulary * sum(len(t) for _, t in given.pairs)
        if len(suffixes) == 1:
            row = before + picture + suffixes[0]
            return vision + head + 4 * body * row + 14 * layers * d * row**2 / 2
        prefix: float = 4 * (body - 2 * d * d - 3 * d * shape.ffn) * picture
        prefix += 14 * (layers - 1) * d * (before * picture + picture**2 / 2)
        square = sum(s * (before + picture + s) for s in suffixes)
        return vision + head + prefix + 4 * body * sum(suffixes) + 14 * layers * d * square
    total = vision if side == ONCE else 0.0
    for batch, _ in given.batches(None if side == TORCHATTACKS else micro):
        rows, longest = batch["labels"].shape
        covered = longest**2 / (2 if bool(batch["attention_mask"].all()) else 1)
        one = 4 * (body + d * vocabulary) * longest + 14 * layers * d * covered
        total += rows * (one + (0 if side == ONCE else vision))
    return total


@dataclass
class Clock:
    """CPU time of the process and wall time, in seconds; on a GPU both wait for it."""

    device: str

    def __call__(self, work: Callable[[], Any]) -> tuple[float, float]:
        self._wait()
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        self._wait()
        return time.process_time() - cpu, time.perf_counter() - wall

    def _wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()


@dataclass
class Cell:
    """What was measured. seconds: on the clock that counts (CPU time; wall time on a GPU); differences: largest
    gradient difference to the published loop over its largest gradient; cosines: of the two gradients; peaks: bytes."""

    head: str
    vocabulary: int
    size: int
    micro: int | None
    path: str = ""  # which way `ours` went, and what its own check found
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    cosines: dict[str, float] = field(default_factory=dict)
    flops: dict[str, float] = field(default_factory=dict)
    matmul: list[float] = field(default_factory=list)  # FLOP/s
    peaks: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def median(self, side: str) -> float:
        return statistics.median(self.seconds[side])

    def ratio(self, slow: str, fast: str = OURS) -> float:
        return self.median(slow) / self.median(fast)

    def quartiles(self, slow: str, fast: str = OURS) -> tuple[float, float]:
        """Of the ratios of neighbours in time."""
        pairs = [a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        if len(pairs) < 2:
            return pairs[0], pairs[0]
        low, _, high = statistics.quantiles(pairs, n=4, method="inclusive")
        return low, high

    def rate(self, side: str) -> float:
        """Fraction of the square matrix product's rate that the step reached."""
        return self.flops[side] / self.median(side) / statistics.median(self.matmul)

    def line(self) -> str:
        took = ", ".join(f"{side} {self.median(side):.3g} s" for side in self.seconds)
        low, high = self.quartiles(PUBLISHED)
        return (
            f"{self.head} head, B = {self.size}: {took}; published / ours {self.ratio(PUBLISHED):.2f} "
            f"({low:.2f} to {high:.2f}), gradient {self.differences[OURS]:.1e}"
        )


def measure(
    head: str,
    shape: Shape,
    vocabulary: int,
    victim: Llava,
    given: Case,
    micro: int,
    repeats: int,
    sides: Sequence[str],
) -> Cell:
    """Times, gradients and rates of one cell; the first call of every side is not timed."""
    size, device = len(given.pairs), victim.model.device.type
    cell = Cell(head, vocabulary, size, micro if size > micro else None)
    gradients: dict[str, Tensor] = {}
    for side in sides:
        if side in (PUBLISHED, ONCE):
            gradients[side], cell.micro = _fitting(side, victim, given, cell.micro)
        elif side == TORCHATTACKS and cell.micro:
            cell.notes.append(f"B = {size}: torchattacks not run, PGD cannot split its batch")
        else:
            gradients[side] = step_of(side, victim, given, None)()
    cell.path = victim.gradient_path()
    if cell.micro:
        cell.notes.append(f"B = {size}: published and encode-once ran in micro-batches of {cell.micro}")
    reference = gradients[PUBLISHED].double().flatten()
    for side, found in gradients.items():
        gradient = found.double().flatten()
        cell.differences[side] = float((gradient - reference).abs().max() / reference.abs().max())
        cell.cosines[side] = float(torch.nn.functional.cosine_similarity(gradient, reference, dim=0))
        cell.flops[side] = flops(side, shape, vocabulary, given, cell.micro)
        cell.seconds[side], cell.wall[side] = [], []
    steps = {side: step_of(side, victim, given, cell.micro) for side in gradients}
    clock, counts = Clock(device), int(device != "cpu")  # CPU time, or wall time on a GPU
    square = torch.randn(shape.square, shape.square, device=device, dtype=victim.model.model.dtype)
    for _ in range(repeats):
        cell.matmul.append(8 * 2 * shape.square**3 / clock(lambda: [square @ square for _ in range(8)])[counts])
        for side, step in steps.items():
            taken = clock(step)
            cell.seconds[side].append(taken[counts])
            cell.wall[side].append(taken[1])
            gc.collect()
    return cell


def _fitting(side: str, victim: Llava, given: Case, micro: int | None) -> tuple[Tensor, int | None]:
    """The gradient, in micro-batches that are halved until they fit into a GPU's memory."""
    while True:
        with contextlib.suppress(torch.OutOfMemoryError):
            return step_of(side, victim, given, micro)(), micro
        torch.cuda.empty_cache()
        if micro == 1:
            raise SystemExit(f"{side}: not even one pair fits into the GPU's memory")
        micro = (micro or len(given.pairs)) // 2
