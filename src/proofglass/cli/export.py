"""`proofglass export`: a run in the format of another tool."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proofglass.console import console_on, note, say

if TYPE_CHECKING:
    from proofglass.records.store import Store


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/quickstart.")],
    to: Annotated[Literal["inspect"], typer.Option("--to", help="The format: inspect, logs of Inspect AI.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the logs. Default: RUN/inspect.")] = None,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Put the pictures into the logs, for a log that you pass on.")
    ] = False,
) -> None:
    """Write a run, finished or not, as logs of Inspect AI: one per cell, for `inspect view` and its other tools.

    The rates in a log are those of the report. Without --with-images a log names its pictures by their place in the
    run folder. Written again, a log replaces the one before. Needs inspect-ai.

    \b
    Examples:
      proofglass export runs/demo --to inspect
      proofglass export runs/demo --to inspect --with-images --out /tmp/logs
      inspect view --log-dir runs/demo/inspect
    """
    from proofglass.inspect_ext import export as inspect_export
    from proofglass.inspect_ext import require
    from proofglass.records.store import Store

    require()
    store = Store(run)
    folder = out or run / "inspect"
    with _watched(store) as heard:
        written = inspect_export.export(store, folder, with_images=with_images, heard=heard)
    say(f"logs: {len(written.logs)}, samples: {written.samples}, in {folder}")
    if written.skipped:
        say(f"without a log, since they cannot run: {written.skipped} of {len(store.cells())} cells")
    if written.lost:
        note(f"pictures that are gone and are only named: {len(written.lost)}, the first is {written.lost[0]}")
    say(f"open them: inspect view --log-dir {folder}")


@contextmanager
def _watched(store: Store) -> Iterator[Callable[[int], None]]:
    """A bar of samples on a terminal; elsewhere nothing, an export is short."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("samples"), BarColumn(bar_width=32), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console_on(sys.stderr), transient=True, disable=not sys.stderr.isatty())
    total = sum(cell["planned"] for cell in store.cells() if cell["status"] in ("done", "failed"))
    with bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
