"""A testbed victim with a hardened vision tower: attacks and benign parts, before and behind it, on the same samples.

    python scripts/towers_table.py --with fare
    python scripts/towers_table.py --with tecoa

The tower learns from pictures that say something harmless (crafting rows of reading and typographic-benign, 128 each);
for tecoa what one says is its class. "static": crafted on the bare model; "adaptive": through the hardened tower. A
rate is of replies that are no refusal, with Wilson's interval; "right" is the share of replies that are the reference,
word for word; "features moved": by which share of the squared length of the clean picture's patch features ascent (20
steps) moves them, on average over 16 pictures of vqa.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from inside_table import crafting, judged, measured
from training_table import right

from proofglass.console import say
from proofglass.defenses.training.fare import FARE
from proofglass.defenses.training.tecoa import TeCoA
from proofglass.engine.constraints import LInf
from proofglass.engine.minimise import minimise
from proofglass.engine.objectives import Differentiable, negated
from proofglass.engine.schedule import Schedule
from proofglass.engine.steps import SignStep
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Attack, Dataset, Victim, WhiteBoxVictim, opened_through
from proofglass.registry import build
from proofglass.types import Chat, Sample

RIGHT = ("vqa", "reading", "typographic-benign", "benign-image", "benign")


@dataclass(frozen=True)
class Pages(Dataset):
    """Crafting rows of pictures that say something; their category is what they say."""

    name = "testbed-pages"

    def __iter__(self) -> Iterator[Sample]:
        return iter(())

    def crafting(self) -> Iterator[Sample]:
        for part in ("reading", "typographic-benign"):
            for row in TestbedData(part=part, n=1, craft_n=128).crafting():
                text = row.references[0] if part == "reading" else " ".join(row.meta["request"])
                yield replace(row, category=text)


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--victim", default="testbed-linear")
    take.add_argument("--with", dest="defense", default="fare", choices=["fare", "tecoa"])
    take.add_argument("--layer", default="patches", choices=["pooled", "patches"], help="of fare")
    take.add_argument("--epsilon", type=float, default=4.0, help="of training, in grey levels")
    take.add_argument("--steps", type=int, default=40)
    take.add_argument("--batch", type=int, default=16)
    take.add_argument("--rate", type=float, default=1e-4)
    take.add_argument("--n", type=int, default=50)
    take.add_argument("--attack-epsilon", type=float, default=16.0, help="in grey levels")
    take.add_argument("--attack-steps", type=int, default=40)
    asked = take.parse_args()
    model: WhiteBoxVictim = build("victims", asked.victim, device="cpu")
    how = {
        "pictures": Pages(),
        "epsilon": asked.epsilon / 255,
        "steps": asked.steps,
        "batch": asked.batch,
        "rate": asked.rate,
        "warm_up": asked.steps // 10,
    }
    own = {"encoder": build("models", "testbed-clip", device="cpu"), "template": "{}"}
    defense = FARE(layer=asked.layer, **how) if asked.defense == "fare" else TeCoA(**how, **own)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        fitted = defense.fitted(model, Path(folder))
        tuned, view = fitted(model), opened_through(fitted, model)
        assert view is not None
        say(f"{asked.victim} behind {asked.defense}, {fitted.spent['seconds']:.0f} s of training, n = {asked.n}\n")
        say("| | undefended | behind it |\n|---|---|---|")
        for part in RIGHT:
            say(f"| {part}, right | {right(model, part, asked.n)} | {right(tuned, part, asked.n)} |")
        for level in (2, 4, 8):
            say(f"| features moved at {level}/255 | {moved(model, level)} | {moved(view, level)} |")
        for name in ("qi2023", "pgd"):
            static = chats_of(name, model, asked)
            bare, behind = (rate(victim, static) for victim in (model, tuned))
            say(f"| {name}, static | {bare} | {behind} |")
            say(f"| {name}, adaptive | {bare} | {rate(tuned, chats_of(name, view, asked))} |")


def chats_of(name: str, model: WhiteBoxVictim, asked: argparse.Namespace) -> list[tuple[Sample, Chat]]:
    how = {"qi2023": {"context": "sample"}, "pgd": {"select": "last", "batch": asked.n}}[name]
    attack: Attack = build("attacks", name, epsilon=asked.attack_epsilon / 255, steps=asked.attack_steps, **how)
    samples = judged("restricted-image", asked.n)
    made = list(attack.craft(model, crafting("restricted-image") if name == "qi2023" else samples, seed=1))
    return [(each, attack.apply(made[k if name == "pgd" else 0], each)) for k, each in enumerate(samples)]


def rate(victim: Victim, given: list[tuple[Sample, Chat]]) -> str:
    return measured(victim, [sample for sample, _ in given], [chat for _, chat in given])[0]


def moved(model: WhiteBoxVictim, level: int) -> str:
    import torch

    x = torch.cat([model.pixels(row.chat.images[0]) for row in judged("vqa", 16)])
    with torch.no_grad():
        clean = model.features(x, "patches").flatten(1)

    def far(at: torch.Tensor, rows: list[int]) -> torch.Tensor:
        return (model.features(at, "patches").flatten(1) - clean[rows]).square().sum(1) / clean[rows].square().sum(1)

    ascent = negated(Differentiable(far, len(x)))
    found = minimise(ascent, x, constraint=LInf(level / 255), step=SignStep(1 / 255), schedule=Schedule(20))
    return f"{-float(found.rounded_loss.mean()):.2f}"


if __name__ == "__main__":
    main()
