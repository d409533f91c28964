"""`proofglass labels`: people's labels for replies of a run, by which its rates are corrected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proofglass.console import note, say

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/quickstart.")]


@app.callback()
def labels() -> None:
    """People's labels for replies of a run: which to label, and taking them back.

    A judge errs, so a rate by it is off. Labels of a few hundred of its replies correct it, without bias however bad
    the judge is; the better it is, the narrower the interval for the same number of labels.

    \b
    The whole way:
      proofglass labels plan RUN --judge unsafe --budget 300    a first sheet: the pilot
      (fill in its last column: 1 or 0)
      proofglass labels add RUN RUN/labels/unsafe.csv
      proofglass labels plan RUN --judge unsafe --budget 300    the rest, split by what the pilot says
      proofglass labels add RUN RUN/labels/unsafe.csv
      proofglass report RUN                                     the section "Corrected for judge error"
    """


@app.command()
def plan(
    run: RunFolder,
    judge: Annotated[
        str,
        typer.Option("--judge", help="Label of the judge whose rates are to be corrected. Default: that of success."),
    ] = "",
    budget: Annotated[
        int, typer.Option("--budget", min=1, help="How many labels in all, those that are there included.")
    ] = 300,
    cells: Annotated[
        list[str] | None, typer.Option("--cell", help="Only this cell: its key or the beginning; may be repeated.")
    ] = None,
    victims: Annotated[
        list[str] | None, typer.Option("--victim", help="Only cells of this victim; may be repeated.")
    ] = None,
    no_pilot: Annotated[bool, typer.Option("--no-pilot", help="Ask for the whole budget at once.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="The sheet. Default: RUN/labels/<aspect>.csv.")] = None,
) -> None:
    """Say which replies people should label, what interval that buys, and write the sheet to fill in.

    The budget is split evenly over the cells, then over the judge's verdicts: most labels where most is left open. The
    best split depends on what the labels will say, so a quarter comes first, as a pilot; added, the same command asks
    for the rest. Within a verdict replies are drawn at random: label all of a sheet, or its first rows, but pick none.

    The sheet is blind. It holds question, pictures and reply, and no verdict, attack or victim. Whoever labels should
    not read the report first. Two people and a third for ties are better than one.

    \b
    Examples:
      proofglass labels plan runs/mine --budget 300
      proofglass labels plan runs/mine --judge unsafe --victim gpt-4o --budget 200 --out sheet.csv
      proofglass labels plan runs/mine --judge unsafe --cell 3fa9 --no-pilot
    """
    from proofglass import api

    sheet = api.plan_labels(
        run, judge, budget, cells=cells or (), victims=victims or (), pilot=not no_pilot, seed=seed, out=out
    )
    for cell in sheet.cells:
        say(f"{cell.place} (cell {cell.key})")
        for verdict, size in cell.sizes.items():
            asked = cell.full.labels.get(verdict)
            if asked is None:
                say(f"  {verdict}: {size} replies, nothing to label")
                continue
            first = f", {cell.now.labels[verdict]} of them now" if sheet.pilot else ""
            say(f"  {verdict}: {size} replies, {asked} labels{first}, {cell.labels.get(verdict, 0)} are there")
        say(
            f"  to expect with {sum(cell.full.labels.values())} labels: {100 * cell.full.rate:.1f} % "
            f"[{100 * cell.full.low:.1f}, {100 * cell.full.high:.1f}], {100 * cell.full.width:.1f} points wide "
            f"(as many labels without the judge: {100 * cell.full.alone:.1f})"
        )
    say(f"shares behind this: from {sheet.rates}")
    if not sheet.rows:
        say("nothing to label: every reply of this plan has its label")
        return
    say(
        f"sheet: {sheet.file}, {sheet.rows} rows; write 1 into its column {sheet.aspect!r} for: {sheet.meaning}; else 0"
    )
    say(f"then: proofglass labels add {run} {sheet.file}" + (", and plan again" if sheet.pilot else ""))


@app.command()
def add(
    run: RunFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sheet of `proofglass labels plan`, filled in.")],
) -> None:
    """Take the labels of a sheet into the run folder, where every later report finds them.

    1, yes or true; 0, no or false; an empty field is a reply not labelled yet. A row that is not right is named with
    file and line and costs itself only (exit code 1). A label given again replaces the one before. Nobody is asked
    anew, and a rerun of the study keeps the labels.

    \b
    Examples:
      proofglass labels add runs/mine runs/mine/labels/unsafe.csv
    """
    from proofglass import api

    added = api.add_labels(run, file)
    for fault in added.faults:
        note(fault)
    changed = f", {added.changed} of them changed" if added.taken else ""
    say(f"{added.aspect}: {added.taken} labels taken{changed}; {added.empty} rows are still empty")
    if added.faults:
        note(f"{len(added.faults)} rows were not taken")
        raise typer.Exit(1)
    say(f"corrected rates: proofglass report {run}")
