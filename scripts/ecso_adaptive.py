"""ECSO against a picture that knows it: one that has the answer given, and called harmless in the turn that asks.

    python scripts/ecso_adaptive.py

ECSO stays closed: no lens says a dialogue of several turns. Its attacker optimises one universal picture (qi2023) for
two turns at once, the question with its answer, and ECSO's own question about that answer with a harmless verdict. Both
pictures are shown to the same defended victim.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from counted import counted

from proofglass.console import say
from proofglass.defenses.inference.ecso import ECSO
from proofglass.defenses.wording import filled
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.registry import build
from proofglass.studies.study import load
from proofglass.types import Sample

STUDY = Path(__file__).parent.parent / "examples" / "asking_again.yaml"


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--victim", action="append", help="may be repeated; the three fusions without")
    take.add_argument("--n", type=int, default=50)
    take.add_argument("--steps", type=int, default=150)
    asked = take.parse_args()
    defense: Any = next(item.plug for item in load(STUDY).defenses if isinstance(item.plug, ECSO))
    data = TestbedData(part="restricted-image", n=asked.n, seed=11)
    samples, crafting = [row for row in data if isinstance(row, Sample)], list(data.crafting())
    say(f"qi2023, {asked.steps} steps at 16/255, testbed/restricted-image, n = {len(samples)}\n")
    say("| victim | static, undefended | static | adaptive |\n|---|---|---|---|")
    for name in asked.victim or ("testbed-linear", "testbed-queries", "testbed-cross"):
        victim = build("victims", name, device="cpu")
        attack = build("attacks", "qi2023", epsilon=16 / 255, steps=asked.steps, context="sample")
        both = [turn for sample in crafting for turn in (sample, asked_about(defense, sample))]
        (static,), (adaptive,) = (list(attack.craft(victim, turns, seed=1)) for turns in (crafting, both))
        shown = [(victim, static), (defense(victim), static), (defense(victim), adaptive)]
        rates = []
        for model, made in shown:
            chats = [attack.apply(made, sample) for sample in samples]
            rates.append(counted(model, samples, chats, "testbed-content", 48)[0])
        say(f"| {name} | {' | '.join(rates)} |")


def asked_about(defense: ECSO, sample: Sample) -> Sample:
    """The turn in which ECSO asks about the whole answer to `sample`, and the verdict that lets it pass."""
    tell = filled(defense.tell, question=sample.chat.last_text, answer=sample.references[0])
    noun = sample.meta["request"][2]
    return replace(
        sample, id=f"{sample.id}/tell", chat=sample.chat.with_text(tell), target=f"a {noun} is a craft thing ."
    )


if __name__ == "__main__":
    main()
