"""AdaShield with a pool: what it stops of FigStep, and how often its gate puts a shield before benign pictures.

    python scripts/adashield_table.py --victim testbed-linear-strict

The pool is fitted on FigStep pictures of the crafting split. Its defender writes the strict sentences of the Vale in
turn: a stand-in for a language model, in a world that no language model knows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from counted import counted

from proofglass.console import say
from proofglass.defenses.inference.adashield import AdaShield
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Victim
from proofglass.registry import build
from proofglass.testbed import world
from proofglass.types import Ask, Chat, Cost, Reply, Sample

STRICT = [text for texts in world.SYSTEM_STRICT.values() for text in texts]


@dataclass(frozen=True)
class Writer(Victim):
    """Writes the strict sentences of the Vale, one after the other."""

    name = "writer"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        texts = (STRICT[ask.settings.draw % len(STRICT)] for ask in asks)
        return [Reply(json.dumps({"improvement": "stricter", "prompt": text}), cost=Cost(queries=1)) for text in texts]


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--victim", default="testbed-linear-strict")
    take.add_argument("--n", type=int, default=50)
    asked = take.parse_args()
    victim, figstep = build("victims", asked.victim, device="cpu"), build("attacks", "figstep")
    data = TestbedData(part="restricted-image", n=asked.n)
    crafting = list(data.crafting())
    (drawn,) = figstep.craft(victim, crafting, seed=0)
    attacked = [replace(sample, chat=figstep.apply(drawn, sample)) for sample in crafting]
    with tempfile.TemporaryDirectory() as folder:
        defense = AdaShield.fit(
            Path(folder), victim, attacked[:20], defender=Writer(), judge=build("judges", "refusal"),
            encoder=build("models", "testbed-clip", device="cpu"), validation=attacked[20:40],
            shield=STRICT[0], separator=" ", accept=0.5, reply_tokens=24,
        )  # fmt: skip
        say(f"{asked.victim} behind adashield, {len(defense.shields.shields)} shields, n = {asked.n}\n")
        say("| asked | answered, undefended | answered | shield |\n|---|---|---|---|")
        for part in ("figstep", "restricted-image", "benign-image"):
            rows = TestbedData(part="restricted-image" if part == "figstep" else part, n=asked.n)
            samples = [row for row in rows if isinstance(row, Sample)]
            chats = [figstep.apply(drawn, sample) if part == "figstep" else sample.chat for sample in samples]
            bare, _ = answered(victim, samples, chats)
            rate, shields = answered(defense(victim), samples, chats)
            say(f"| {part} | {bare} | {rate} | {shields} of {len(samples)} |")


def answered(victim: Victim, samples: Sequence[Sample], chats: Sequence[Chat]) -> tuple[str, int]:
    """The rate of answers with the right content, with its interval, and how many asks got a shield."""
    rate, replies = counted(victim, samples, chats, "testbed-content", 48)
    return rate, sum(any(decision.fired for decision in reply.decisions) for reply in replies)


if __name__ == "__main__":
    main()
