"""DRESS on a testbed victim: attacks and benign parts, before and behind it, and asked for the worst answer.

    python scripts/dress_table.py --victim testbed-linear
    python scripts/dress_table.py --victim testbed-linear --adaptive --conditions

Tuned on rated answers to crafting rows of `--parts` (128 of each part); pictures of qi2023 and pgd are crafted on the
bare model or, with `--adaptive`, on the tuned one behind its condition. A rate is of replies that are no refusal, with
Wilson's interval; "right" is the share of replies that are the reference, word for word. With
`--conditions` two columns more: the same weights without a condition, and under the worst rating.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from inside_table import BENIGN, crafting, judged, measured
from training_table import RIGHT, SEALED, right

from proofglass.console import say
from proofglass.defenses.training.dress import DRESS
from proofglass.evaluation.datasets.testbed_feedback import BAD, CRITIQUES, GOOD, TestbedFeedback
from proofglass.interfaces import Attack, WhiteBoxVictim, opened_through
from proofglass.registry import build
from proofglass.types import Chat, Sample

PARTS = "typographic,typographic-benign,restricted,benign"


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--victim", default="testbed-linear")
    take.add_argument("--parts", default=PARTS, help="of the testbed, comma between them")
    take.add_argument("--condition", default="[rating: {rating}. {critique}]")
    take.add_argument("--learns", default="critique", choices=["both", "critique", "refinement"])
    take.add_argument("--steps", type=int, default=500)
    take.add_argument("--rate", type=float, default=3e-3)
    take.add_argument("--turns", type=int, default=0)
    take.add_argument("--n", type=int, default=50)
    take.add_argument("--attack-steps", type=int, default=40)
    take.add_argument("--attacks", default="figstep,qi2023,pgd")
    take.add_argument("--adaptive", action="store_true")
    take.add_argument("--conditions", action="store_true", help="the last two columns, too")
    take.add_argument("--tuned", type=Path, help="a folder with what was learned before")
    asked = take.parse_args()
    model: WhiteBoxVictim = build("victims", asked.victim, device="cpu")
    dress = DRESS(
        TestbedFeedback(tuple(asked.parts.split(",")), n=1, craft_n=128),
        asked.condition,
        learns=asked.learns,
        best_rating=GOOD,
        best_critique=CRITIQUES[GOOD],
        turns=asked.turns,
        advice="please answer that again .",
        steps=asked.steps,
        batch=16,
        rank=16,
        alpha=32.0,
        rate=asked.rate,
    )
    with tempfile.TemporaryDirectory() as folder:
        fitted = replace(dress, tuned=asked.tuned).fitted(model, Path(folder))
        columns = {"undefended": model, "behind it": fitted(model)}
        if asked.conditions:
            columns["no condition"] = replace(fitted, best_rating="")(model)
            columns["worst condition"] = replace(fitted, best_rating=BAD, best_critique=CRITIQUES[BAD])(model)
        view = opened_through(fitted, model)
        assert view is not None
        say(f"{asked.victim} behind dress, {fitted.spent['seconds']:.0f} s of training, n = {asked.n}\n")
        say(f"| | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
        for name in asked.attacks.split(","):
            rows = attacked(view if asked.adaptive else model, name, asked.n, asked.attack_steps)
            say(f"| {name} | {' | '.join(measured(each, *rows)[0] for each in columns.values())} |")
        for part in (*BENIGN, *SEALED):
            rows = judged(part, asked.n), [row.chat for row in judged(part, asked.n)]
            say(f"| {part} | {' | '.join(measured(each, *rows)[0] for each in columns.values())} |")
        for part in RIGHT:
            say(f"| {part}, right | {' | '.join(right(each, part, asked.n) for each in columns.values())} |")


def attacked(model: WhiteBoxVictim, name: str, n: int, steps: int) -> tuple[list[Sample], list[Chat]]:
    """Samples, and their dialogues under the attack `name`, crafted on `model`."""
    fields = {
        "qi2023": {"epsilon": 16 / 255, "steps": steps, "context": "sample"},
        "pgd": {"epsilon": 16 / 255, "steps": steps, "select": "last", "batch": n},
    }
    attack: Attack = build("attacks", name, **fields.get(name, {}))
    part = "restricted" if name == "figstep" else "restricted-image"
    samples = judged(part, n)
    given = crafting(part) if attack.scope == "universal" else samples
    made = list(attack.craft(model, given, seed=1))
    return samples, [attack.apply(made[k if attack.scope == "sample" else 0], each) for k, each in enumerate(samples)]


if __name__ == "__main__":
    main()
