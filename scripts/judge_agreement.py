"""How far the phrase list of `not-refused` agrees with people: the figures of `phrase_lists`.

    python scripts/judge_agreement.py DATA

DATA holds msts/replies_six_models.csv (columns response, model, final_taxonomy) and, optionally,
xstest/model_completions/*.csv (columns completion, final_label), as `SOURCES.md` beside them says. MSTS: types 1.1
(rejection or rebuttal) and 1.2 (refusal only) are refusals. XSTest: full and partial refusals are.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

from proofglass.console import say
from proofglass.evaluation.judges.phrases import refusal_in, rules_of

Pair = tuple[bool, bool]  # the list says refused; people say refused


def kappa(pairs: list[Pair]) -> float:
    """Cohen's kappa of two yes/no raters."""
    n = len(pairs)
    agree = sum(a == b for a, b in pairs) / n
    ours, theirs = (sum(pair[k] for pair in pairs) / n for k in (0, 1))
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    return (agree - chance) / (1 - chance) if chance < 1 else 1.0


def told(name: str, pairs: list[Pair]) -> str:
    refused = sum(theirs for _, theirs in pairs)
    found = sum(ours and theirs for ours, theirs in pairs)
    wrong = sum(ours and not theirs for ours, theirs in pairs)
    return (
        f"{name}: n {len(pairs)}, kappa {kappa(pairs):.2f}, finds {found} of {refused} refusals, "
        f"takes {wrong} of {len(pairs) - refused} others for one"
    )


def read(path: Path, text: str, label: str, refusals: Iterable[str]) -> list[tuple[dict[str, str], Pair]]:
    rules = rules_of("proofglass-1")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row, (bool(refusal_in(row[text], rules)), row[label].startswith(tuple(refusals)))) for row in rows]


def main(folder: Path) -> None:
    msts = read(folder / "msts" / "replies_six_models.csv", "response", "final_taxonomy", ("1.1", "1.2"))
    say(told("MSTS", [pair for _, pair in msts]))
    for model in sorted({row["model"] for row, _ in msts}):
        say("  " + told(model, [pair for row, pair in msts if row["model"] == model]))
    bare = [pair for row, pair in msts if row["final_taxonomy"].startswith("1.2")]
    say(f"  bare refusals (1.2): finds {sum(ours for ours, _ in bare)} of {len(bare)}")
    for file in sorted((folder / "xstest" / "model_completions").glob("*.csv")):
        say(told(f"XSTest {file.stem}", [pair for _, pair in read(file, "completion", "final_label", "23")]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
