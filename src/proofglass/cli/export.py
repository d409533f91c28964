"""`proofglass export`: a run in the format of another tool, or as pairs to tune with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proofglass.console import console_on, note, say
from proofglass.errors import UsageError

if TYPE_CHECKING:
    from proofglass.records.store import Store


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/quickstart.")],
    to: Annotated[
        Literal["inspect", "preferences"],
        typer.Option(
            "--to", help="The format: inspect, logs of Inspect AI; preferences, pairs of replies to tune with."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of the logs, file of the pairs. Default: RUN/inspect, RUN/preferences.jsonl."
        ),
    ] = None,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Put the pictures into the logs, for a log that you pass on.")
    ] = False,
    judge: Annotated[
        str,
        typer.Option("--judge", help="Of the pairs: label of the judge that divides them. Default: that of success."),
    ] = "",
) -> None:
    """Write a run, finished or not, as logs of Inspect AI, or its judged replies as pairs to tune with.

    Logs: one per cell, for `inspect view` and its other tools. The rates in a log are those of the report. Without
    --with-images a log names its pictures by their place in the run folder. Written again, a log replaces the one
    before. Needs inspect-ai.

    Pairs: of one dialogue, a reply that the judge calls good and one that it calls bad, from different attacks,
    defenses or victims of the run; the pictures and a card lie beside the file. The data set `preferences` reads it,
    and the defense `dpo` learns from that.

    \b
    Examples:
      proofglass export runs/demo --to inspect
      proofglass export runs/demo --to inspect --with-images --out /tmp/logs
      inspect view --log-dir runs/demo/inspect
      proofglass export runs/demo --to preferences --out pairs/demo.jsonl
    """
    if to == "preferences":
        _pairs(run, out or run / "preferences.jsonl", judge, with_images)
    else:
        _logs(run, out or run / "inspect", judge, with_images)


def _pairs(run: Path, out: Path, judge: str, with_images: bool) -> None:
    from proofglass import api
    from proofglass.evaluation.preferences import told

    if with_images:
        raise UsageError("--with-images: pairs have their pictures beside them; leave it out")
    written = api.write_preferences(run, out, judge)
    say(f"pairs: {written.pairs}, of {written.dialogues} dialogues with {written.replies} replies, in {out}")
    say(f"judge: {written.judge}; its agreement with people: {written.measured}")
    say(f"replies left out: {told(written.left_out)}")
    say(f"dialogues without a pair: {told(written.unpaired)}")
    say(f"card: {written.card}")
    say(f"learn from them: proofglass defend VICTIM --with dpo --data 'preferences: {{source: {out}}}' --out tuned")


def _logs(run: Path, folder: Path, judge: str, with_images: bool) -> None:
    from proofglass.inspect_ext import export as inspect_export
    from proofglass.inspect_ext import require
    from proofglass.records.store import Store

    if judge:
        raise UsageError("--judge: logs hold every judge; it divides the pairs of --to preferences")
    require()
    store = Store(run)
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
