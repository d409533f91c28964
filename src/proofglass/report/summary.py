"""The summary that the command line prints: the headline, warnings, one table per victim and data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proofglass.console import visible
from proofglass.report.findings import headline
from proofglass.report.run import COUNTS, Cell, Run
from proofglass.report.sanity import sanity
from proofglass.report.wording import interval, number, percent, plural

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text


def summary(run: Run) -> Group:
    """Rich renderables only, never markup strings: a reply or label with [red] in it is shown as it is."""
    from rich.console import Group
    from rich.text import Text

    name, counts = visible(run.manifest["name"]), run.counts
    parts: list[Text | Table] = [
        Text(f"{name}: {plural(counts['samples'], 'sample')}, seed {run.manifest.get('seed')}", style="bold"),
        *(Text(visible(sentence)) for sentence in headline(run)),
    ]
    for cell in run.troubles:
        style = "bold red" if cell.state in ("failed", "empty") else "yellow"
        parts.append(Text(visible(f"{cell.state}: {' x '.join(cell.place)}: {cell.reason}"), style=style))
    parts += [Text(visible(f"check the gradient: {finding}"), style="yellow") for finding in sanity(run)]
    parts += [_matrix(run, expected, victim, d) for victim in run.victims for expected, d in _sets(run)]
    apart = ", ".join(f"{number(counts[name])} {name}" for name in COUNTS)
    parts.append(Text(f"Rates with 95 % intervals over judged samples; over the run: {apart}.", style="dim"))
    parts += [Text(visible(caveat), style="dim") for caveat in run.caveats]
    return Group(*parts)


def _sets(run: Run) -> list[tuple[str, str]]:
    return [(e, d) for e in ("refuse", "comply", "label", "describe") for d in run.sets(e) if run.find(e, dataset=d)]


def _matrix(run: Run, expected: str, victim: str, dataset: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    title = f"{victim} on {dataset} (expected: {expected}): {run.column(run.success)} / not refused"
    table = Table(title=Text(visible(title)), title_justify="left", show_lines=False)
    table.add_column("attack")
    for defense in run.defenses:
        table.add_column(Text(visible(defense)))
    for attack in run.attacks:
        row = [run.find(expected, victim=victim, dataset=dataset, attack=attack, defense=d) for d in run.defenses]
        if any(row):
            table.add_row(Text(visible(attack)), *(_entry(run, cells[0]) if cells else Text("") for cells in row))
    return table


def _entry(run: Run, cell: Cell) -> Text:
    from rich.text import Text

    if cell.state != "measured":
        return Text(cell.state, style="bold red" if cell.state in ("failed", "empty") else "dim")
    row, answered = cell.rates[run.success], cell.rates.get(run.not_refused)
    text = Text(percent(row["value"], row["n"]), style="bold")
    text.append(f" {interval(row)} n={row['n']}", style="not bold dim")
    if answered:
        text.append(
            f"\n{percent(answered['value'], answered['n'])} {interval(answered)} not refused",
            style="not bold",
        )
    notes = [cell.crafted] if cell.crafted else []
    notes += [f"{row[name]} {name}" for name in ("failed", "unjudged") if row.get(name)]
    if notes:
        text.append("\n" + visible(", ".join(notes)), style="not bold yellow")
    return text
