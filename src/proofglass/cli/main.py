"""The command line. Nothing heavy is imported here: `proofglass --help` answers at once.

Exit codes: 0 done; 1 a cell of the study measured nothing, a judge broke or a check failed; 2 the request cannot be
done as asked, or the machine failed (one line on standard error says why, and how to go on); 130 stopped with Ctrl-C
(the same command goes on from there).
"""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from proofglass import __version__
from proofglass.cli import (
    building,
    check,
    datasets,
    defend,
    doctor,
    export,
    judges,
    labels,
    listing,
    serve,
    testbed,
    victims,
)
from proofglass.console import note, one_line, own_the_process, say, show
from proofglass.errors import NothingMeasured, ProofglassError, is_environment, remedy

if TYPE_CHECKING:
    from proofglass import api

app = typer.Typer(
    name="proofglass",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
app.add_typer(testbed.app, name="testbed")
app.add_typer(victims.app, name="victims")
datasets.app.command("build")(building.build)
app.add_typer(datasets.app, name="datasets")
app.add_typer(judges.app, name="judges")
app.add_typer(labels.app, name="labels")
app.command("list")(listing.list_plugs)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("export")(export.export)
app.command("defend")(defend.defend)
app.command("serve")(serve.serve)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A YAML file, or the name of a shipped study.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder. Default: runs/<name of the study>.")]


def main() -> None:
    """Run a command; every expected error becomes one line, never a traceback. Whatever is printed is made safe."""
    own_the_process()
    try:
        code = app(prog_name="proofglass", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except TyperException as error:  # a wrong word on the command line: the usage, and what is wrong
        with contextlib.redirect_stderr(io.StringIO()) as told:
            error.show()  # type: ignore[attr-defined]
        note(told.getvalue().rstrip())
        sys.exit(error.exit_code)
    except NothingMeasured as error:
        note(f"proofglass: {one_line(str(error))}")
        sys.exit(1)
    except ProofglassError as error:
        note(f"proofglass: {one_line(str(error))}")
        sys.exit(2)
    except OSError as error:  # a disk that is full or a folder that is read-only, outside the run folder too
        place = f"{error.filename}: " if error.filename else ""
        note(f"proofglass: {one_line(place + (error.strerror or str(error)))}")
        sys.exit(2)
    except Exception as error:
        if is_environment(error):  # out of memory
            note(f"proofglass: {one_line(remedy(error) or str(error))}")
            sys.exit(2)
        note(traceback.format_exc().rstrip())  # a fault of ours: Python would print its message as it is
        sys.exit(1)


def _version(asked: bool) -> None:
    if asked:
        say(f"proofglass {__version__}")
        raise typer.Exit


@app.callback()
def proofglass(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Measure, attack and harden multimodal large language models.

    A study crosses victims x attacks x defenses x data sets; judges score the replies; a report states every
    rate with its interval.

    \b
    Begin here:
      proofglass demo                    one small table, offline, in seconds
      proofglass run quickstart          four victims, four attacks, three defenses
      proofglass list attacks            what there is
      proofglass doctor                  what is installed, and what is missing
    """


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/demo"),
) -> None:
    """One victim, attacked and defended, offline, in seconds.

    A victim of the testbed answers plain requests and requests drawn into a picture (FigStep), without a
    defense and under Self-Moderation. Samples are few, so intervals are wide: it shows the way, it is no
    measurement.

    \b
    Examples:
      proofglass demo
      proofglass demo --out /tmp/demo
    """
    _run("demo", out)


@app.command()
def run(
    study: StudyName,
    out: Out = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first N samples of each data set, into OUT/limit-N."),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not write the report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no table.")] = False,
) -> None:
    """Run a study, go on with one that was stopped, and write its report.

    Everything answered is in the run folder before it is judged: after a crash the same command goes on and
    asks nothing twice. Exit code 1 if some cell measured nothing.

    An attack that looks into its victim is crafted through the defenses that open themselves (adaptive); `adaptive:
    false` in the study, or beside one of its attacks, crafts it on the bare victim (static).

    \b
    Examples:
      proofglass run quickstart
      proofglass run my_study.yaml --limit 20
      proofglass run my_study.yaml --out runs/second-try --quiet
    """
    _run(study, out, limit=limit, with_report=not no_report, quiet=quiet)


@app.command()
def curve(
    study: StudyName,
    budgets: Annotated[
        list[str],
        typer.Option(
            "--budget", help="Per picture; several times, increasing: 60 (forward equivalents), '500 queries', '60 s'."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder. Default: runs/<name of the study>-curve.")] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first N samples of each data set, into OUT/limit-N."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Success against budget: all attacks of a study on the same samples, once per budget, as a figure.

    A budget caps what an attack may spend on one picture: 60 forward equivalents (forward + 2 x backward passes +
    queries), '500 queries' (forward passes + queries), '60 s', '10000 tokens' or '2.5 USD' of replies. The page shows
    success with its interval against what was really spent, and against seconds. Stopped, the same command goes on.

    \b
    Examples:
      proofglass curve attacks-jailbreak --budget 15 --budget 60 --budget 240
      proofglass curve my_study.yaml --budget 30 --budget 300 --limit 40 --out runs/curve
    """
    from proofglass import api

    say(f"figure: {api.curve(study, budgets, out, limit, progress=not quiet)}")


@app.command()
def judge(study: StudyName, out: Out = None) -> None:
    """Score a finished run anew with the judges that the study names now; no victim is asked again.

    Add a judge to the study file, then judge: the recorded replies are scored, the report is written anew.

    \b
    Examples:
      proofglass judge my_study.yaml
      proofglass judge my_study.yaml --out runs/second-try
    """
    from proofglass import api

    try:
        api.judge_study(study, out=out)
    except NothingMeasured:
        _show(api.Run(api.folder_of(study, out)), with_report=True, quiet=False)
        raise
    _show(api.Run(api.folder_of(study, out)), with_report=True, quiet=False)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/quickstart.")],
) -> None:
    """Write the report of a run: index.html, report.json and a CSV of each table.

    \b
    Examples:
      proofglass report runs/quickstart
    """
    from proofglass import api

    _show(api.Run(run), with_report=True, quiet=False)


def _run(
    study: str, out: Path | None, *, limit: int | None = None, with_report: bool = True, quiet: bool = False
) -> None:
    """Run a study and show it; a cell that measured nothing is in the report before it ends the command."""
    from proofglass import api

    try:
        api.run(study, api.folder_of(study, out), limit, progress=not quiet)
    except NothingMeasured:
        _show(api.Run(api.folder_of(study, out, limit)), with_report=with_report, quiet=quiet)
        raise
    _show(api.Run(api.folder_of(study, out, limit)), with_report=with_report, quiet=quiet)


def _show(run: api.Run, *, with_report: bool, quiet: bool) -> None:
    """The table of a run, and the place of its report."""
    if not quiet:
        show(run.summary())
    if with_report:
        say(f"report: {run.report()}")
