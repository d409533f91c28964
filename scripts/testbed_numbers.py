"""Write docs/testbed-numbers.md from the tables on the victims' cards.

A card's table comes from `proofglass testbed check NAME --n 200 --seed SEED --write`; this page only arranges it.

    python scripts/testbed_numbers.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from proofglass.console import say

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "src" / "proofglass" / "testbed" / "weights"
PAGE = ROOT / "docs" / "testbed-numbers.md"
GROUPS = {
    "Aligned, the default victims": ("testbed-linear", "testbed-queries", "testbed-cross"),
    "Naive: visual tuning without safety data": (
        "testbed-linear-naive",
        "testbed-queries-naive",
        "testbed-cross-naive",
    ),
    "Guarded: refusals of pictures trained": (
        "testbed-linear-guarded",
        "testbed-queries-guarded",
        "testbed-cross-guarded",
    ),
    "Strict: refusal under a strict system prompt trained, also for pictures": (
        "testbed-linear-strict",
        "testbed-queries-strict",
        "testbed-cross-strict",
    ),
    "Language models they start from": ("testbed-lm-helpful", "testbed-lm-aligned"),
}
COLUMNS = (("refused", "refused"), ("right", "right content"), ("said", "as hoped"))


def main() -> None:
    cards = {name: _card(name) for names in GROUPS.values() for name in names}
    lines = [
        "# Figures of the testbed victims",
        "",
        "Small models of a fictional world: the figures show that the machinery measures what it says. They are **no",
        "evidence about real models** and no benchmark. Percent; greedy decoding; held-out topics and wordings. A cell",
        "reads *refused* / *right content*, or *as hoped* for the self-check turns. Written by",
        "`python scripts/testbed_numbers.py` from the cards; each card's table by the command under its name. Rows of",
        "`pgd` and `qi2023` are of their version 1 (other random starts). The 95 % intervals are those that the cards",
        "hold: a bootstrap over topics, or Wilson's where each reply has its own topic or no two topics differ. With",
        "few topics it is too narrow: that command now gives the wider ones of [the counting rule](counting-rule.md).",
    ]
    for title, names in GROUPS.items():
        lines += ["", f"## {title}", "", *_table([cards[name] for name in names])]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(PAGE.relative_to(ROOT))


def _card(name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((WEIGHTS / name / "card.json").read_text(encoding="utf-8"))
    if not card.get("table"):
        raise SystemExit(f"{name}: its card has no table; run: proofglass testbed check {name} --write")
    return card


def _table(cards: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| | " + " | ".join(f"`{card['name']}`" for card in cards) + " |",
        "|---|" + "---|" * len(cards),
        "| parameters | " + " | ".join(f"{card['parameters']:,}" for card in cards) + " |",
        "| training, seconds on one thread | " + " | ".join(f"{card['training_seconds']:,}" for card in cards) + " |",
    ]
    for label in [row["label"] for row in cards[0]["table"]["rows"]]:
        cells = [_cell(next((r for r in card["table"]["rows"] if r["label"] == label), None)) for card in cards]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- `{card['table']['command']}`" for card in cards)]
    return lines


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    return " / ".join(_percent(row[key]) for key, _ in COLUMNS if row[key] is not None)


def _percent(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return "not measured"
    low, high = 100 * rate["low"], 100 * rate["high"]
    return f"{100 * rate['value']:.1f} [{low:.0f}, {high:.0f}]"


if __name__ == "__main__":
    main()
