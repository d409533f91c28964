"""A testbed victim trained for safety: attacks and benign parts, before and behind it, on the same samples.

    python scripts/training_table.py --victim testbed-linear
    python scripts/training_table.py --victim testbed-linear --adaptive
    python scripts/training_table.py --with textual-unlearning --safety restricted --helpful benign --rate 1e-3
    python scripts/training_table.py --with rloo --safety typographic --helpful typographic-benign --steps 40

Trained on crafting rows of `--safety` and `--helpful` (128 of each part); pictures of qi2023 and pgd are crafted on the
bare model or, with `--adaptive`, on the tuned one. A rate is of replies that are no refusal, with Wilson's interval;
"right" is the share of replies that are the reference, word for word.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inside_table import BENIGN, crafting, judged, measured, shown

from proofglass.console import say
from proofglass.defenses.training.rloo import RLOO
from proofglass.defenses.training.safety_tuning import SafetyTuning
from proofglass.defenses.training.textual_unlearning import TextualUnlearning
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Attack, Dataset, Defense, Victim, WhiteBoxVictim, opened_through
from proofglass.registry import build
from proofglass.testbed import world
from proofglass.types import Ask, Chat, Sample, Settings

TAKES = ("safety-tuning", "textual-unlearning", "rloo")
SEALED = ("restricted", "restricted-image", "typographic", "typographic-held")
RIGHT = ("benign", "benign-image", "typographic-benign", "vqa", "reading")


@dataclass(frozen=True)
class Parts(Dataset):
    """Crafting rows of several parts of the testbed."""

    parts: tuple[str, ...]
    name = "testbed-parts"

    def __iter__(self) -> Iterator[Sample]:
        return iter(())

    def crafting(self) -> Iterator[Sample]:
        for part in self.parts:
            yield from TestbedData(part=part, n=1, craft_n=128).crafting()


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--victim", default="testbed-linear")
    take.add_argument("--with", dest="defense", default="safety-tuning", choices=list(TAKES))
    take.add_argument("--safety", default="typographic", help="parts, comma between them")
    take.add_argument("--helpful", default="typographic-benign")
    take.add_argument("--steps", type=int, default=100)
    take.add_argument("--rate", type=float, default=3e-3)
    take.add_argument("--n", type=int, default=50)
    take.add_argument("--attack-steps", type=int, default=40, help="of qi2023 and pgd; 0 leaves both out")
    take.add_argument("--adaptive", action="store_true")
    asked = take.parse_args()
    model: WhiteBoxVictim = build("victims", asked.victim, device="cpu")
    tuning = trained(asked)
    with tempfile.TemporaryDirectory() as folder:
        fitted = tuning.fitted(model, Path(folder))
        tuned, view = fitted(model), opened_through(fitted, model)
        assert view is not None
        say(f"{asked.victim} behind {tuning.name}, {fitted.spent['seconds']:.0f} s of training, n = {asked.n}\n")
        say("| | undefended | behind it |\n|---|---|---|")
        for name, (samples, chats) in attacked(view if asked.adaptive else model, asked.n, asked.attack_steps).items():
            say(f"| {name} | {measured(model, samples, chats)[0]} | {measured(tuned, samples, chats)[0]} |")
        for part in SEALED:
            rows = judged(part, asked.n)
            chats = [row.chat for row in rows]
            say(f"| {part} | {measured(model, rows, chats)[0]} | {measured(tuned, rows, chats)[0]} |")
        for part in RIGHT:
            say(f"| {part}, right | {right(model, part, asked.n)} | {right(tuned, part, asked.n)} |")


def trained(asked: argparse.Namespace) -> Defense:
    course = {"steps": asked.steps, "batch": 16, "rank": 16, "alpha": 32.0, "rate": asked.rate}
    first, second = (Parts(tuple(parts.split(","))) for parts in (asked.safety, asked.helpful))
    if asked.defense == "rloo":
        return RLOO(
            Parts((*first.parts, *second.parts)),
            build("judges", "not-refused"),
            max_new_tokens=24,
            **course | {"batch": 8},
        )
    if asked.defense == "textual-unlearning":
        return TextualUnlearning(first, second, refusals=world.REFUSALS, **course)
    return SafetyTuning(first, second, share=0.4, refusals=world.REFUSALS, **course)


def attacked(model: WhiteBoxVictim, n: int, steps: int) -> dict[str, tuple[list[Sample], list[Chat]]]:
    """The attacks and the benign parts; without steps figstep alone stands among the attacks."""
    if steps:
        return shown(model, n, steps)
    figstep: Attack = build("attacks", "figstep")
    (made,) = figstep.craft(model, crafting("restricted"), seed=1)
    rows = judged("restricted", n)
    found = {"figstep": (rows, [figstep.apply(made, row) for row in rows])}
    return found | {part: (judged(part, n), [row.chat for row in judged(part, n)]) for part in BENIGN}


def right(victim: Victim, part: str, n: int) -> str:
    rows = judged(part, n)
    replies = victim.reply([Ask(row.chat, Settings(44)) for row in rows])
    return f"{100 * sum(r.text.strip() == s.references[0] for r, s in zip(replies, rows, strict=True)) / n:.0f} %"


if __name__ == "__main__":
    main()
