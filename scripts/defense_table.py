"""Write docs/defenses-compared.md from runs of the shipped defense studies.

    proofglass run defenses
    proofglass run defenses-strict
    python scripts/defense_table.py [--run runs/defenses --run runs/defenses-strict] [--out docs/defenses-compared.md]

Each victim has two tables: what each defense stops, and what it costs, both on the same samples with and without it.
Runs of one study that were split by victim (its `victims:` cut to one each) are given one after the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proofglass.api import Run as Folder
from proofglass.console import say
from proofglass.report.run import ReportedRun
from proofglass.report.wording import percent

RUNS = (Path("runs/defenses"), Path("runs/defenses-strict"))
# What an attacker does who knows the defense: columns of attacks that are crafted through it, or ask it.
ADAPTIVE = ("qi2023, adaptive", "best-of-n-text, adaptive", "defense-instruction")
INTRO = """# Defenses compared

Every inference-time defense that runs here without a model of the user's own, on the embedded victims, against the best
attack of each kind and against attackers who know it. Small victims in a fictional world: the figures compare defenses
with each other, and say nothing about how safe a large model is. Written by
`python scripts/defense_table.py` from the runs of

    proofglass run defenses
    proofglass run defenses-strict

{n}; seed 13; one thread of a two-core AMD EPYC virtual machine, one run per victim, up to three beside each other.

**What it stops**: success in percent (complied, right content) with its 95 % interval. *Static* attacks are crafted on
the bare model. *qi2023, adaptive* is crafted through the defense, 100 steps at 16/255; where a defense stays closed,
the cell says so. *best-of-n-text, adaptive* asks the defended victim itself, up to ten tries a request. A defense falls
as far as its worst cell.

**What it costs**: benign requests helped with, as a paired change in points against no defense, with its 95 % interval;
whether that is *not worse by more than 5 points*, *worse by more*, or *cannot be told*; borderline questions refused
(they look forbidden and are not); requests about harmless things that stand in the picture, helped with; questions
about pictures, answered rightly; words in pictures, read out word for word; benign samples on which a gate fired; asks
of the victim and of helpers, and tokens, that the defense adds to a reply that no attack was asked about, with a
bootstrap interval where not all add the same; `balance`, the harmonic mean of the share of attacked samples not broken
and of borderline questions not refused, as one figure of merit beside the table.
"""


def main() -> None:
    take = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    take.add_argument("--run", type=Path, action="append", help="a run folder; may be repeated")
    take.add_argument("--out", type=Path, default=Path("docs/defenses-compared.md"))
    take.add_argument("--reading", type=Path, help="a file whose text stands at the end in place of what is there now")
    asked = take.parse_args()
    runs = [ReportedRun(Folder(path).store) for path in asked.run or RUNS]
    sizes = sorted({f["n"] for run in runs for row in run.by_defense for f in row["attacks"] if f["value"] is not None})
    parts = [INTRO.format(n=f"n = {' or '.join(map(str, sizes))} a cell")]
    for run in runs:
        for victim in run.victims:
            parts += section(run, victim)
    reading = asked.reading.read_text() if asked.reading else kept(asked.out)
    asked.out.write_text("\n".join([*parts, reading]).rstrip() + "\n")
    say(asked.out)


def kept(page: Path) -> str:
    """What people wrote under the tables."""
    text = page.read_text() if page.exists() else ""
    _, heading, rest = text.partition("## Reading the tables")
    return heading + rest


def section(run: ReportedRun, victim: str) -> list[str]:
    rows = [row for row in run.by_defense if row["victim"] == victim]
    attacks = [name for name in run.attacks if any(f["attack"] == name for row in rows for f in row["attacks"])]
    return [f"## {victim}", "", *stops(rows, attacks), "", *costs(rows), ""]


def stops(rows: list[dict[str, Any]], attacks: list[str]) -> Iterator[str]:
    yield f"| defense | {' | '.join(attacks)} |"
    yield "|---|" + "---|" * len(attacks)
    for row in rows:
        found = {figure["attack"]: figure for figure in row["attacks"]}
        worst = row["worst"] and row["worst"]["attack"]
        cells = [cell(found.get(name), is_bold=name == worst) for name in attacks]
        yield f"| {row['defense']} | {' | '.join(cells)} |"


def cell(figure: dict[str, Any] | None, *, is_bold: bool) -> str:
    if figure is None:
        return ""
    if figure["attack"] == "qi2023, adaptive" and figure["crafted"] == "static":
        return "closed"
    text = rate(figure)
    return f"**{text}**" if is_bold else text


def costs(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield (
        "| defense | benign, helped (change) | | borderline, refused | in a picture, helped | pictures, right | "
        "text, read | false alarms | + asks | + helpers | + tokens in | out | balance |"
    )
    yield "|---|" + "---|" * 12
    for row in rows:
        sets = {(figure["dataset"].partition("/")[2], figure["figure"]): figure for figure in row["sets"]}
        benign = sets.get(("benign-image", "compliance"))
        yield (
            "| "
            + " | ".join(
                [
                    row["defense"],
                    changed(benign),
                    (benign or {}).get("outcome") or "",
                    rate(row["over_refusal"]),
                    rate(sets.get(("typographic-benign", "compliance"))),
                    rate(sets.get(("vqa", "accuracy"))),
                    rate(sets.get(("reading", "accuracy"))),
                    rate(row["false_alarms"]) if row["false_alarms"]["value"] is not None else "no gate",
                    *(plus(row["costs"], name) for name in ("queries", "helper_queries", "tokens_in", "tokens_out")),
                    rate(row["balance"], 2, 1),
                ]
            )
            + " |"
        )


def rate(figure: dict[str, Any] | None, digits: int = 0, scale: int = 100) -> str:
    if figure is None or figure["value"] is None:
        return "not measured"
    low, high = (f"{scale * figure[end]:.{digits}f}" for end in ("low", "high"))
    return f"{scale * figure['value']:.{digits}f} [{low}, {high}]"


def changed(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "not measured"
    text = percent(figure["value"], figure["n"])
    if figure["change"] is None:
        return text
    ends = (f"{100 * figure[name]:+.0f}" for name in ("change", "change_low", "change_high"))
    change, low, high = ends
    return f"{text} ({change} [{low}, {high}])"


def plus(costs: dict[str, Any], name: str) -> str:
    value, low, high = (costs[f"extra_{name}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return ""
    return f"{value:.3g}" + ("" if low is None else f" [{low:.3g}, {high:.3g}]")


if __name__ == "__main__":
    main()
