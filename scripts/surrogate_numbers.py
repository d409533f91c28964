"""Measure the surrogate models anew and print the table of docs/surrogates.md; minutes on one thread.

python scripts/surrogate_numbers.py
python scripts/surrogate_numbers.py surrogate-clip testbed-detector
"""

from __future__ import annotations

import sys
from typing import Any

from proofglass.console import say
from proofglass.evaluation.statistics import wilson
from proofglass.testbed import surrogate_nets
from proofglass.testbed.recipes import captioner, surrogate_figures, surrogates

WORDS = {
    "noun_probe": "noun read off the mean patch token",
    "noun_probe_class_token": "noun read off the class token",
    "top1_requests": "text finds its request picture",
    "top1_scenes": "caption finds its scene",
    "exact": "whole caption right",
    "words": "content words named",
}


def main(names: list[str]) -> None:
    say("| model | parameters | training, s | figure | share, % | n |\n|---|---|---|---|---|---|")
    for name in names or surrogates.NAMES:
        card = surrogate_nets.read_card(name)
        head = f"| `{name}` | {card['parameters']:,} | {card['training_seconds']:,}"
        for label, value, n in _figures(name):
            say(f"{head} | {label} | {_percent(value, n)} | {n} |")
            head = "| | |"


def _figures(name: str) -> list[tuple[str, float, int]]:
    if name == captioner.NAME:
        found: dict[str, Any] = captioner.measure(surrogate_nets.WEIGHTS / name)
        return [(WORDS[key], found[key], found["n"]) for key in ("exact", "words")]
    return [
        (WORDS.get(key, f"{key}: right"), row["right"] if "right" in row else row["value"], row["n"])
        for key, row in surrogate_figures.measure(name).items()
    ]


def _percent(value: float, n: int) -> str:
    low, high = wilson(value * n, n)
    return f"{100 * value:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


if __name__ == "__main__":
    main(sys.argv[1:])
