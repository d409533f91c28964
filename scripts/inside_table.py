"""InferAligner on the testbed: static attacks and benign parts, undefended and behind it, on the same samples.

    python scripts/inside_table.py --victim testbed-cross
    python scripts/inside_table.py --victim testbed-linear --alpha 40

Vectors are fitted on the crafting splits of restricted-image and benign-image (64 dialogues each), the pictures of the
attacks crafted on the bare model. A rate is of replies that are no refusal, with Wilson's 95 % interval; beside it, for
how many samples a gate opened.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from counted import counted

from proofglass.console import say
from proofglass.defenses.inference.inferaligner import InferAligner
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Attack, Victim, WhiteBoxVictim
from proofglass.registry import build
from proofglass.types import Chat, Sample

BENIGN = ("benign", "benign-image", "typographic-benign", "borderline")


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--victim", default="testbed-cross")
    take.add_argument("--n", type=int, default=50)
    take.add_argument("--alpha", type=float, default=10.0)
    take.add_argument("--gate", default="best_layer", choices=["layer", "best_layer"])
    take.add_argument("--steps", type=int, help="of qi2023 (100 without) and pgd (40 without)")
    asked = take.parse_args()
    model: WhiteBoxVictim = build("victims", asked.victim, device="cpu")
    kinds = [crafting(part) for part in ("restricted-image", "benign-image")]
    with tempfile.TemporaryDirectory() as folder:
        fitted = InferAligner.fit(model, *kinds, folder=Path(folder))
        defended = replace(fitted, alpha=asked.alpha, gate=asked.gate)(model)
        say(f"{asked.victim} behind inferaligner, alpha {asked.alpha:g}, {asked.gate}, n = {asked.n}\n")
        say("| | undefended | defended | gates open |\n|---|---|---|---|")
        for name, (samples, chats) in shown(model, asked.n, asked.steps).items():
            (bare, _), (behind, fired) = (measured(at, samples, chats) for at in (model, defended))
            say(f"| {name} | {bare} | {behind} | {fired} |")


def crafting(part: str) -> list[Sample]:
    return list(TestbedData(part=part, n=1, craft_n=64).crafting())


def shown(model: WhiteBoxVictim, n: int, steps: int | None) -> dict[str, tuple[list[Sample], list[Chat]]]:
    """Name -> samples and their dialogues, attacked or as they are."""
    qi: Attack = build("attacks", "qi2023", epsilon=16 / 255, steps=steps or 100, context="sample")
    pgd: Attack = build("attacks", "pgd", epsilon=16 / 255, steps=steps or 40, select="last", batch=n)
    found = {}
    for attack, part in (
        (build("attacks", "figstep"), "restricted"),
        (qi, "restricted-image"),
        (pgd, "restricted-image"),
    ):
        samples = judged(part, n)
        given = crafting(part) if attack.scope == "universal" else samples
        made = list(attack.craft(model, given, seed=1))
        chats = [attack.apply(made[k if attack.scope == "sample" else 0], each) for k, each in enumerate(samples)]
        found[attack.name] = (samples, chats)
    return found | {part: (judged(part, n), [each.chat for each in judged(part, n)]) for part in BENIGN}


def judged(part: str, n: int) -> list[Sample]:
    return [row for row in TestbedData(part=part, n=n) if isinstance(row, Sample)]


def measured(victim: Victim, samples: Sequence[Sample], chats: Sequence[Chat]) -> tuple[str, int]:
    """The rate with its interval, and how many gates were open."""
    rate, replies = counted(victim, samples, chats, "not-refused", 24)
    return rate, sum(decision.fired for reply in replies for decision in reply.decisions)


if __name__ == "__main__":
    main()
