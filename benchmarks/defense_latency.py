"""What each defense of a study adds to the time of a reply.

    python benchmarks/defense_latency.py [--study defenses] [--victim testbed-linear] [--asks 16] [--repeats 5]

Every defense of the study stands before the same victim and answers the same harmless requests beside a picture, first
one after the other (what one user waits) and then all in one batch (what a server pays). CPU seconds on one thread, all
defenses in turn in each repeat, no defense among them; a ratio is that of one repeat, so what slows the machine slows
both sides. Printed are the median of the ratios and their range. Defenses that learn do so before, untimed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from proofglass.console import note, say
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Victim, fitted_in
from proofglass.registry import build
from proofglass.studies.study import load
from proofglass.types import Ask, Settings


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--study", default="defenses")
    take.add_argument("--victim", default="testbed-linear")
    take.add_argument("--asks", type=int, default=16)
    take.add_argument("--repeats", type=int, default=5)
    asked = take.parse_args()
    import torch

    torch.set_num_threads(1)
    model = build("victims", asked.victim, device="cpu")
    rows = list(TestbedData(part="benign-image", n=asked.asks, seed=3))
    asks = [Ask(row.chat, Settings(max_new_tokens=32)) for row in rows]
    study = load(asked.study)
    with tempfile.TemporaryDirectory() as folder:
        stacks = {each.label: fitted_in(each.plug, model, Path(folder))(model) for each in study.defenses}
        note(f"{len(stacks)} defenses, {asked.repeats} repeats of {len(asks)} asks")
        alone = rounds(stacks, lambda stack: [answered(stack, [ask]) for ask in asks], asked.repeats)
        together = rounds(stacks, lambda stack: answered(stack, asks), asked.repeats)
    base = statistics.median(alone["none"]) / len(asks)
    say(f"{asked.victim}, study {asked.study}: {1000 * base:.0f} ms a reply without a defense, one after the other\n")
    say("| defense | one after the other | in a batch |\n|---|---|---|")
    for label in stacks:
        say(f"| {label} | {against(alone[label], alone['none'])} | {against(together[label], together['none'])} |")


def answered(stack: Victim, asks: Sequence[Ask]) -> None:
    """Raises RuntimeError for an ask that failed: its time would be that of nothing."""
    failed = [reply.reason for reply in stack.reply(asks) if reply.outcome == "error"]
    if failed:
        raise RuntimeError(failed[0])


def rounds(stacks: dict[str, Victim], work: Callable[[Victim], object], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of `work` on each stack, once to warm up and then in each repeat."""
    found: dict[str, list[float]] = {label: [] for label in stacks}
    for stack in stacks.values():
        work(stack)
    for number in range(repeats):
        for label, stack in stacks.items():
            begun = time.process_time()
            work(stack)
            found[label].append(time.process_time() - begun)
        note(f"repeat {number + 1} of {repeats}")
    return found


def against(mine: Sequence[float], theirs: Sequence[float]) -> str:
    ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
