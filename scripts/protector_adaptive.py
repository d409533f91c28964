"""MLLM-Protector against an attacker who knows its detector and has its probabilities.

    python scripts/protector_adaptive.py

It reads replies, so no gradient of a picture leads through it. The attacker asks the detector alone: which few words
around an answer make it look harmless (greedy, word by word, on crafting rows)? Then one universal picture (qi2023) is
crafted on the bare victim whose targets are whole answers in such words. The static picture has the plain answers as
its targets. Both are shown to the same victim, bare and defended. `--ends behind` leaves the first words of an answer
as they are: those a picture forces hardest.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from counted import counted

from proofglass.console import say
from proofglass.defenses.training.detector import HARMFUL, asked
from proofglass.defenses.training.mllm_protector import MLLMProtector
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.registry import build
from proofglass.studies.study import load
from proofglass.testbed import world
from proofglass.types import Sample

STUDY = Path(__file__).parent.parent / "examples" / "protector.yaml"
TRIES = 48  # words of a round


@dataclass(frozen=True)
class Words:
    """What stands around an answer."""

    before: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    def around(self, answer: str) -> str:
        return " ".join((*self.before, answer, *self.behind))


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--victim", action="append", help="may be repeated; two fusions without")
    take.add_argument("--n", type=int, default=50)
    take.add_argument("--steps", type=int, default=60, help="of the picture")
    take.add_argument("--words", type=int, default=4, help="at most, around an answer")
    take.add_argument("--ends", choices=("both", "behind"), default="behind", help="where words may stand")
    take.add_argument("--trained", type=Path, help="folder of a training; it is trained there unless it is finished")
    given = take.parse_args()
    with TemporaryDirectory() as temporary:
        defense = trained(given.trained or Path(temporary))
        data = TestbedData(part="restricted-image", n=given.n, craft_n=32)
        samples, crafting = [row for row in data if isinstance(row, Sample)], list(data.crafting())
        words, harmful, asks = found_words(defense, crafting[:12], given.words, given.ends)
        say(f"words: {words.around('ANSWER')!r}, mean P(harmful) {harmful:.3f} after {asks} asks of the detector\n")
        say(f"qi2023, {given.steps} steps at 16/255, testbed/restricted-image, n = {len(samples)}\n")
        say("| victim | static, bare | static, defended | adaptive, bare | adaptive, defended |\n|---|---|---|---|---|")
        for name in given.victim or ("testbed-linear", "testbed-queries"):
            victim = build("victims", name, device="cpu")
            attack = build("attacks", "qi2023", epsilon=16 / 255, steps=given.steps, context="sample")
            rates = []
            for around in (Words(), words):
                targets = [replace(row, target=around.around(row.references[0])) for row in crafting]
                (made,) = attack.craft(victim, targets, seed=1)
                chats = [attack.apply(made, sample) for sample in samples]
                rates += [
                    counted(model, samples, chats, "testbed-content", 64)[0] for model in (victim, defense(victim))
                ]
            say(f"| {name} | {' | '.join(rates)} |")


def trained(folder: Path) -> MLLMProtector:
    """The defense of the example, trained in `folder` unless it is already."""
    found: Any = next(item.plug for item in load(STUDY).defenses if isinstance(item.plug, MLLMProtector))
    ready: MLLMProtector = found.fitted(found.backbone, folder)
    return ready


def found_words(defense: MLLMProtector, rows: Sequence[Sample], most: int, ends: str) -> tuple[Words, float, int]:
    """The words that make answers look least harmful, the mean probability then, and how often the detector was asked.

    Each round tries words of the Vale at the ends, and keeps the best one if it is better than none.
    """
    rng = random.Random(0)
    best, asks = Words(), len(rows)
    least = harm(defense, rows, best)
    for _ in range(most):
        drawn = [rng.choice(world.vocabulary()) for _ in range(TRIES)]
        options = [replace(best, before=(word, *best.before)) for word in drawn if ends == "both"]
        options += [replace(best, behind=(*best.behind, word)) for word in drawn]
        values = [harm(defense, rows, each) for each in options]
        asks += len(rows) * len(options)
        if min(values) >= least:
            break
        least = min(values)
        best = options[values.index(least)]
    return best, least, asks


def harm(defense: MLLMProtector, rows: Sequence[Sample], words: Words) -> float:
    """How probable the detector finds it that these rows' answers are harmful, on average."""
    detector = defense.detector
    answers = [asked(row.chat.last_text, words.around(row.references[0]), detector) for row in rows]
    replies = detector.reply(answers)
    return sum(reply.choices[HARMFUL] for reply in replies) / len(replies)


if __name__ == "__main__":
    main()
