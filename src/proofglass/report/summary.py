"""The summary that the command line prints: the headline, warnings, one table per victim and data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.console import cut, visible
from proofglass.evaluation.metrics.kinds import ORDER
from proofglass.evaluation.metrics.success import few_clusters
from proofglass.report.defense_tables import block
from proofglass.report.differences import sentences
from proofglass.report.findings import cautions, headline
from proofglass.report.judging import judging
from proofglass.report.measures import shown
from proofglass.report.reasons import gathered
from proofglass.report.run import REFUSED, ReportedCell, ReportedRun
from proofglass.report.sanity import sanity
from proofglass.report.wording import (
    bounds,
    interval,
    measure,
    measure_interval,
    money,
    number,
    percent,
    plural,
)
from proofglass.report.wording import judging as judged

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

REASONS = 8  # lines of reasons, then a pointer to the table
METRICS = 12  # lines of metrics, then a pointer to the table
LENGTH = 300  # characters of a reason on a line


def summary(run: ReportedRun) -> Group:
    """Rich renderables only, never markup strings: a reply or label with [red] in it is shown as it is."""
    from rich.console import Group
    from rich.text import Text

    def line(text: str, style: str = "") -> Text:
        return Text(visible(text), style=style)

    name, counts = run.manifest["name"], run.counts
    parts: list[Text | Table] = [
        line(f"{name}: {plural(counts['samples'], 'sample')}, seed {run.manifest.get('seed')}", "bold"),
        *(line(sentence) for sentence in headline(run)),
        *(line(text, "bold red") for text in _broken_judges(run)),
        *(line(text, style) for text, style in _troubles(run)),
        *(line(text, style) for text, style in _reasons(run)),
        *(line(f"check the gradient: {finding}", "yellow") for finding in sanity(run)),
        *(part for victim in run.victims for expected, d in _sets(run) for part in _matrix(run, expected, victim, d)),
    ]
    apart = ", ".join(f"{number(count)} {name}" for name, count in run.shown_counts.items())
    waiting = f", {number(counts['unsent'])} asks not sent yet" if counts["unsent"] else ""
    parts.append(line(f"Rates with 95 % intervals over judged samples; over the run: {apart}{waiting}.", "dim"))
    parts += block(run)
    parts += [line(text) for text in sentences(run)]
    parts += [line(text) for text in _metrics(run)]
    parts += [line(text, "yellow") for text in cautions(run)]
    parts += [line(f"money, {told['victim']}: {money(told)}") for told in run.money]
    parts += [line(f"judging: {judged(told)}", "dim") for told in judging(run)]
    parts += [line(caveat, "dim") for caveat in run.caveats]
    return Group(*parts)


def _broken_judges(run: ReportedRun) -> list[str]:
    return [
        f"judge {fault['judge']} broke on {fault['replies']} of {plural(fault['of'], 'reply', 'replies')}: "
        + fault["reason"].removeprefix(f"judge {fault['judge']}: ")
        for fault in run.broken_judges
    ]


def _troubles(run: ReportedRun) -> list[tuple[str, str]]:
    """Cells without a number, one line per state and reason: the tables show where they all are."""
    styles = {"failed": "bold red", "empty": "bold red", "pending": "yellow", "skipped": "dim"}
    groups: dict[tuple[str, str], list[ReportedCell]] = {}
    for state in styles:
        for cell in run.cells:
            if cell.state == state:
                groups.setdefault((state, cell.reason), []).append(cell)
    found = []
    for (state, reason), cells in groups.items():
        more = f" and {plural(len(cells) - 1, 'more cell')}" if len(cells) > 1 else ""
        found.append((f"{state}: {' x '.join(cells[0].place)}{more}: {cut(reason, LENGTH)}", styles[state]))
    return found


def _reasons(run: ReportedRun) -> list[tuple[str, str]]:
    rows = gathered(run.reasons)
    found = []
    for row in rows[:REASONS]:
        kind = row["kind"] + (f" by {row['judge']}" if row["judge"] else "")
        where = f"{row['victim']} x {row['attack']} x {row['defense']} x {row['dataset']}"
        more = f" and {row['cells'] - 1} more" if row["cells"] > 1 else ""
        style = "dim" if row["kind"] == "noted" else "yellow"
        text = f"{number(row['count'])} {kind}: {row['reason']} ({row['sample_id']} in {where}{more})"
        found.append((text, style))
    if len(rows) > REASONS:
        found.append((f"{len(rows) - REASONS} more reasons: tables/reasons.csv of the report", "yellow"))
    return found


def _sets(run: ReportedRun) -> list[tuple[str, str]]:
    return [(e, d) for e in ORDER for d in run.sets(e) if run.find(e, dataset=d)]


def _matrix(run: ReportedRun, expected: str, victim: str, dataset: str) -> list[Text | Table]:
    from rich.table import Table
    from rich.text import Text

    first, second = run.columns(victim, expected, dataset)
    heading = first if run.judge_of(victim, dataset, expected)[1] else f"{first} (no success rate)"
    title = f"{victim} on {dataset} (expected: {expected}): {heading}{f' / {second}' if second else ''}"
    table = Table(show_lines=False)
    table.add_column("attack")
    for defense in run.defenses:
        table.add_column(Text(visible(defense)))
    for attack in run.attacks:
        row = [run.at(expected, victim, attack, d, dataset) for d in run.defenses]
        if any(row):
            table.add_row(Text(visible(attack)), *(_entry(run, cell) if cell else Text("") for cell in row))
    # A line of its own: a table would break its title to its own width.
    return [Text(visible(title), style="italic"), table] if table.row_count else []


def _metrics(run: ReportedRun) -> list[str]:
    """A line per group of the first metrics, each with its interval; the tables have the rest."""
    found = []
    for told in shown(run):
        for row in told["rows"]:
            where = " x ".join(row[name] for name in told["by"] if row[name])
            value = f"{measure(row, told['is_share'])} {measure_interval(row, told['is_share'])}".rstrip()
            said = f"{value} n={row['n']}" if row["value"] is not None else cut(row["reason"], LENGTH)
            found.append(f"{told['column']}, {where}: {said}")
    more = [f"{len(found) - METRICS} more numbers: tables/metrics.csv of the report"] if len(found) > METRICS else []
    return found[:METRICS] + more


def _corrected(run: ReportedRun, cell: ReportedCell) -> str:
    """The rate of a cell, corrected for its judge's error, or that there is none; "" for a judge that cannot err."""
    row = run.corrected_at.get((*cell.place, cell.expected, cell.judge))
    if row is None:
        return ""
    if row["corrected"] is None:
        if "refused as a basis" in row["reason"]:
            return "not corrected: the judge is no basis"
        return "not corrected: no calibration" if not row["labels"] else "not corrected: too few labels"
    ends = {"value": row["corrected"], "low": row["corrected_low"], "high": row["corrected_high"]}
    whose = " of other replies" if row["basis"] == "labels of other replies" else ""
    return f"corrected {percent(row['corrected'], row['replies'])} {interval(ends)} by {row['labels']:,} labels{whose}"


def _entry(run: ReportedRun, cell: ReportedCell) -> Text:
    from rich.text import Text

    if cell.state != "measured":
        return Text(cell.state, style="bold red" if cell.state in ("failed", "empty") else "dim")
    row = cell.rate
    answered = cell.rates.get(run.not_refused) if cell.judge != run.not_refused else None
    text = Text(percent(row["value"], row["n"]), style="bold")
    text.append(f" {interval(row)} n={row['n']}", style="not bold dim")
    if told := _corrected(run, cell):
        text.append(f"\n{told}", style="not bold")
    if answered:
        text.append(
            f"\n{percent(answered['value'], answered['n'])} {interval(answered)} not refused",
            style="not bold",
        )
    notes = [cell.crafted] if cell.crafted else []
    notes += [f"{row[name]} {name}" for name in ("failed", "unjudged", "filtered") if row.get(name)]
    notes += [f"{row['refused']} {REFUSED}"] if row.get("refused") else []
    if bounds(row):
        notes.append(f"{bounds(row)} with these")
    if few_clusters(row):
        notes.append(f"only {row['clusters']} questions")
    if notes:
        text.append("\n" + visible(", ".join(notes)), style="not bold yellow")
    return text
