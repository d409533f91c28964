"""The section "Defenses" as tables and as a block of the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from proofglass.console import cut, visible
from proofglass.report.defended import COSTS
from proofglass.report.defenses import CHANGE, FIGURE
from proofglass.report.run import ReportedRun
from proofglass.report.tables import LENGTH, Table
from proofglass.report.wording import changed, interval, number, percent, signed

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

STRONGEST = ("worst", "worst_static", "worst_adaptive")
PAIRED = ("compliance", "over_refusal", "refusals", "accuracy")
ALONE = ("false_alarms", "groups", "protection", "balance")
ENDS = ("value", "low", "high", "n")
SHOWN = 16  # rows in the terminal, then a pointer to the table


def defenses(run: ReportedRun) -> Table:
    """One row per victim and defense: the figures over all data sets of a kind."""
    rows = []
    for row in run.by_defense:
        told = {name: row[name] for name in ("victim", "defense", "versus", "left_out", "unmeasured", "margin")}
        for name in STRONGEST:
            told |= {f"{name}_{each}": (row[name] or {}).get(each) for each in _ATTACK}
        for name in (*PAIRED, *ALONE):
            told |= {f"{name}_{each}": _short(row[name][each]) for each in _columns(name)}
        rows.append(told | row["costs"])
    columns = (
        *("victim", "defense", "versus", "left_out", "unmeasured", "margin"),
        *(f"{name}_{each}" for name in STRONGEST for each in _ATTACK),
        *(f"{name}_{each}" for name in (*PAIRED, *ALONE) for each in _columns(name)),
        *COSTS,
        *(f"extra_{name}{end}" for name in COSTS for end in ("", "_low", "_high")),
        *("n", "pairs"),
    )
    return Table("defenses", "What each defense stops and costs, on the same samples", columns, rows)


_ATTACK = ("attack", "dataset", "crafted", "value", "low", "high", "n", "without")


def _columns(name: str) -> tuple[str, ...]:
    return (*ENDS, *(CHANGE if name in PAIRED else ()), "reason")


def figures(run: ReportedRun) -> Table:
    """Long form: one row per figure, attack and data set."""
    rows = [
        {"victim": row["victim"], "defense": row["defense"], "versus": row["versus"]}
        | {name: _short(figure[name]) for name in FIGURE}
        | {"is_worst": figure is row["worst"]}
        for row in run.by_defense
        for figure in (*row["attacks"], *row["sets"])
    ]
    columns = ("victim", "defense", "versus", *FIGURE, "is_worst")
    return Table("defense_figures", "The same per attack and data set", columns, rows)


def seconds(run: ReportedRun) -> Table:
    """Wall time of the victims' models a reply; equal runs differ here."""
    columns = ("victim", "defense", "versus", "seconds", "without", "ratio")
    rows = [{name: row[name] for name in columns[:3]} | row["seconds"] for row in run.by_defense]
    return Table("defense_seconds", "Seconds a reply behind each defense", columns, rows, volatile=True)


def _short(value: Any) -> Any:
    return cut(value, LENGTH) if isinstance(value, str) else value


def block(run: ReportedRun) -> list[Text | RichTable]:
    """A row per victim and defense, the first `SHOWN`; nothing in a study without defenses."""
    from rich.table import Table as RichTable
    from rich.text import Text

    if not any(row["is_other"] for row in run.by_defense):
        return []
    margin, versus = run.by_defense[0]["margin"], run.by_defense[0]["versus"]
    title = f"defenses beside {versus}, on the same samples (change: paired, in points; margin {100 * margin:.3g})"
    table = RichTable(show_lines=False)
    heads = ("victim", "defense", "strongest attack", "over-refusal", "benign compliance", "false alarms", "calls")
    for head in (*heads, "balance"):
        table.add_column(head)
    for row in run.by_defense[:SHOWN]:
        table.add_row(*(Text(visible(entry)) for entry in _entries(row)))
    more = len(run.by_defense) - SHOWN
    rest = [Text(f"{more} more rows: tables/defenses.csv of the report")] if more > 0 else []
    return [Text(visible(title), style="italic"), table, *rest]


def _entries(row: dict[str, Any]) -> Iterator[str]:
    worst, useful, extra = row["worst"], row["compliance"], row["costs"]["extra_queries"]
    yield row["victim"]
    yield row["defense"]
    how = f" ({worst['crafted']})" if worst and worst["crafted"] else ""
    yield f"{_rate(worst)}\n{worst['attack']}{how}" if worst else "not measured"
    yield _rate(row["over_refusal"])
    yield _rate(useful) + (f"\n{changed(useful)}: {useful['outcome']}" if useful["outcome"] else "")
    yield _rate(row["false_alarms"])
    if not row["is_other"]:
        yield "" if row["costs"]["queries"] is None else number(row["costs"]["queries"])
    else:
        yield "not measured" if extra is None else signed(extra)
    yield _balance(row["balance"])


def _rate(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "not measured"
    return f"{percent(figure['value'], figure['n'])} {interval(figure)} n={figure['n']}"


def _balance(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "not measured"
    ends = "" if figure["low"] is None else f" [{number(figure['low'], 2)}, {number(figure['high'], 2)}]"
    return f"{number(figure['value'], 2)}{ends} n={figure['n']}"
