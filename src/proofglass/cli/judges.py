"""`proofglass judges`: how far can a judge be trusted?"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proofglass.cli.build import built
from proofglass.console import console_on, cut, note, one_line, say, show
from proofglass.errors import UsageError
from proofglass.faults import kept_by
from proofglass.records.schema import utf8
from proofglass.registry import Entry, entry

if TYPE_CHECKING:
    from rich.table import Table

    from proofglass.evaluation.labels import LabelSet
    from proofglass.evaluation.trust.agreement import Agreement, Estimate
    from proofglass.evaluation.trust.check import Trust
    from proofglass.evaluation.trust.flips import Flips

DATA = "PROOFGLASS_REALDATA"
FAULTS = Path("runs/judges-check")

app = typer.Typer(
    help="The judges: how often they are right, measured against people.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def judges() -> None:
    """The judges: how often they are right, measured against people."""


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="JUDGE", help="A registered name, or package.module:Class.")],
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the judge; may be repeated.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels", metavar="NAME|FILE", help="A label set, or a CSV or JSON Lines file; may be repeated."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar=DATA, help="Folder with the label sets of others (msts, xstest, pyrit)."),
    ] = None,
    aspect: Annotated[
        str, typer.Option("--aspect", help='What its 1 means: refusal, unsafe, "not refusal". Default: what it says.')
    ] = "",
    wrappers: Annotated[
        bool, typer.Option("--wrappers", help="Also judge replies with disavowals, delimiters, verdicts around them.")
    ] = False,
    stability: Annotated[
        bool, typer.Option("--stability/--no-stability", help="Judge again, in other orders and spellings.")
    ] = True,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Replies that stability and wrappers look at, drawn at random.")
    ] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Of that draw and of the wordings of wrappers.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there, by category too.")
    ] = None,
) -> None:
    """Check a judge against replies that people have labelled, before you believe its rates.

    Accuracy, sensitivity (share of the labelled yes that it finds), specificity, Cohen's kappa: overall, per reply type
    and per model, with 95 % intervals that know which replies share a question; beside them the agreement of the people
    themselves. Stability: how many verdicts change though the reply says the same. Flip rate: how many change under
    text around the reply that leaves its meaning. Without --labels: every set that is there, the shipped `hard_kinds`
    always. Exit code 1 if the judge breaks or judges nothing.

    \b
    Examples:
      proofglass judges check not-refused
      proofglass judges check phrases --set rules=xstest --data /data/labels --wrappers
      proofglass judges check my_judges:Strict --aspect unsafe --labels my_labels.csv --json trust.json
    """
    from proofglass.evaluation.trust.check import check as checked

    judge = built(Entry("judges", name, name) if ":" in name else entry("judges", name), given or [])
    found = _sets(labels or [], data)
    with kept_by(_keep), _watched() as heard:
        trust = checked(judge, found, aspect, stability=stability, wrappers=wrappers, most=most, seed=seed, heard=heard)
    for each in sorted({each.name for each in found} - {each.name for each in trust.sets}):
        note(f"left out: labels {each}: no label of {trust.aspect.removeprefix('not ')!r} in it")
    _show(trust, " ".join([name, *(given or [])]))
    told = judge.measured
    if told and (learned := [each.name for each in trust.sets if each.learned]):
        note(
            f"{name} was trained on {', '.join(learned)}: the figures there measure nothing. Measured: {told.agreement}"
        )
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        # A name in a label file may hold half a character.
        text = utf8(json.dumps(dataclasses.asdict(trust), indent=2, ensure_ascii=False))
        json_file.write_text(text, encoding="utf-8")
        say(f"all figures: {json_file}")
    if trust.fault:
        note(f"judge {name}: {one_line(trust.fault)}")
        raise typer.Exit(1)


def _sets(labels: list[str], data: Path | None) -> list[LabelSet]:
    """The sets that were asked for, or all that can be read, with a line on each that cannot."""
    from proofglass.evaluation.labels import sets

    if data is not None and not data.is_dir():
        raise UsageError(f"--data: {data} is no folder")
    if labels:
        found = [sets.read(each, data) for each in labels]
    else:
        found, absent = sets.readable(data)
        for reason in absent.values():
            note(f"left out: {reason}; --data FOLDER or {DATA} names it")
    for each in found:
        if each.bad:
            first = cut(each.bad[0], 300, "in the file")
            note(f"labels {each.name}: {len(each.bad)} rows cannot be used; the first: {first}")
    return found


def _keep(name: str, text: str) -> str:
    """Where a traceback of the judge is kept."""
    FAULTS.mkdir(parents=True, exist_ok=True)
    (FAULTS / name).write_text(text, encoding="utf-8")
    return str(FAULTS / name)


@contextmanager
def _watched() -> Iterator[Callable[[int], None]]:
    """A running count of judged replies on a terminal; elsewhere nothing."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    shown = (TextColumn("judged"), TextColumn("{task.completed:,.0f} replies"), TimeElapsedColumn())
    with Progress(*shown, console=console_on(sys.stderr), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda n: bar.update(task, advance=n)


# ---------------------------------------------------------------- tables


def _show(trust: Trust, judge: str) -> None:
    show(_overall(trust, judge))
    for title, which in (("Per reply type", "kind"), ("Per model", "model")):
        rows = [(each.name, name, one) for each in trust.sets for name, one in each.slices[which].items()]
        if rows:
            show(_sliced(title, which, rows))
    if trust.stability:
        show(_flips("Stability: verdicts that change though the reply says the same", trust.stability))
    if trust.wrappers:
        show(_flips("Wrappers: verdicts that change under text around the reply", trust.wrappers))


def _overall(trust: Trust, judge: str) -> Table:
    table = _table(
        f"Judge {judge} ({trust.aspect}) against people, 95 % intervals",
        ("labels", "n", "yes", "unjudged", "accuracy", "sensitivity", "specificity", "kappa", "people's kappa"),
    )
    for each in trust.sets:
        one = each.overall
        table.add_row(
            f"{each.name} (trained on it)" if each.learned else each.name,
            f"{one.n:,}",
            f"{one.yes:,}",
            f"{one.unjudged:,}" + (f", counted as wrong: accuracy {_told(one.strict)}" if one.unjudged else ""),
            *(_told(part) for part in (one.accuracy, one.sensitivity, one.specificity, one.kappa)),
            _told(each.raters[1]) if each.raters else "-",
        )
    return table


def _sliced(title: str, which: str, rows: list[tuple[str, str, Agreement]]) -> Table:
    table = _table(title, ("labels", which, "n", "yes", "unjudged", "right", "sensitivity", "specificity"))
    for labels, name, one in rows:
        told = (_told(one.accuracy), _told(one.sensitivity), _told(one.specificity))
        table.add_row(
            labels, cut(name, 60, "in the label file"), f"{one.n:,}", f"{one.yes:,}", f"{one.unjudged:,}", *told
        )
    return table


def _flips(title: str, found: tuple[Flips, ...]) -> Table:
    table = _table(title, ("what changes", "n", "changed", "to yes", "to no", "lost", "gained"))
    for each in found:
        turned = (each.to_yes, each.to_no, each.lost, each.gained)
        table.add_row(each.name, f"{each.rate.n:,}", _told(each.rate), *(f"{count:,}" for count in turned))
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 or column in ("kind", "model") else "right")
    return table


def _told(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
