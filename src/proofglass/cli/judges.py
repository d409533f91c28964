"""`proofglass judges`: how far can a judge be trusted?"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proofglass.cli.build import as_in_study, built
from proofglass.cli.judge_tables import show_modes, show_trust
from proofglass.console import console_on, cut, note, one_line, say
from proofglass.errors import UsageError
from proofglass.faults import kept_by
from proofglass.faults import one_line as broken_as_line
from proofglass.records.schema import utf8
from proofglass.registry import Entry, entry

if TYPE_CHECKING:
    from proofglass.evaluation.labels import LabelSet
    from proofglass.evaluation.trust.check import Trust
    from proofglass.interfaces import Judge

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
    datasets: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="A data set as labels of prompts, as in a study: testbed, 'testbed: {n: 50}'; may be repeated.",
        ),
    ] = None,
    benign: Annotated[
        list[Path] | None,
        typer.Option("--benign", metavar="FOLDER", help="Benign pictures, for false alarms; may be repeated."),
    ] = None,
    aspect: Annotated[
        str,
        typer.Option(
            "--aspect",
            help='What its 1 means: refusal, unsafe, "unsafe prompt", "unsafe image", "not refusal". '
            "Default: what it says.",
        ),
    ] = "",
    modes: Annotated[bool, typer.Option("--modes", help="The judge in every mode that it has.")] = False,
    curve: Annotated[
        bool, typer.Option("--curve/--no-curve", help="Judge once more for probabilities, where the judge has them.")
    ] = True,
    recall: Annotated[
        list[float] | None,
        typer.Option("--recall", min=0, max=1, help="Recall at which false alarms are told; may be repeated."),
    ] = None,
    wrappers: Annotated[
        bool,
        typer.Option(
            "--wrappers",
            help="Also judge replies with disavowals, delimiters, verdicts around them, or in the picture.",
        ),
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
    themselves. What the judge called the replies. For a judge with probabilities the area under its ROC curve, and what
    a threshold costs that other questions chose. Stability: how many verdicts change though the reply says the same.
    Flip rate: how many change under text around the reply, or in the picture, that leaves its meaning. Without
    --labels, --dataset and --benign: every set that is there, the shipped `hard_kinds` always. Exit code 1 if the judge
    breaks or judges nothing.

    \b
    Examples:
      proofglass judges check not-refused
      proofglass judges check phrases --set rules=xstest --data /data/labels --wrappers
      proofglass judges check my_judges:Strict --aspect unsafe --labels my_labels.csv --json trust.json
      proofglass judges check my_judges:Guard --modes --dataset testbed --dataset 'testbed: {part: benign}'
    """
    if odd := [each for each in recall or () if not 0 <= each <= 1]:
        raise UsageError(f"--recall: expected a share in 0..1, found {odd[0]}")
    judge: Judge = built(Entry("judges", name, name) if ":" in name else entry("judges", name), given or [])
    found = _sets(labels or [], datasets or [], benign or [], data)
    title = " ".join([name, *(given or [])])
    with kept_by(_keep), _watched() as heard:
        with broken_as_line("judge", judge, f"judge {name}: has no key"):  # a helper is foreign code, too
            _ = judge.key
        checked = partial(
            _checked, sets=found, aspect=aspect, stability=stability, wrappers=wrappers, curve=curve,
            recalls=recall or None, most=most, seed=seed, heard=heard,
        )  # fmt: skip
        trusts, left_out = _in_modes(judge, checked) if modes else ({"": checked(judge)}, {})
    for mode, trust in trusts.items():
        _tell(trust, f"{title} mode={mode}" if mode else title, found)
    if modes:
        show_modes(trusts, name)
    for mode, reason in left_out.items():
        note(f"left out: mode {mode}: {one_line(reason)}")
    _tell_learned(name, judge, trusts.values())
    if json_file:
        _write(json_file, {"modes": trusts, "left_out": left_out} if modes else trusts[""])
    faults = {mode: trust.fault for mode, trust in trusts.items() if trust.fault}
    for mode, fault in faults.items():
        note(f"judge {name}{f' mode={mode}' if mode else ''}: {one_line(fault)}")
    if faults:
        raise typer.Exit(1)


def _checked(judge: Judge, recalls: list[float] | None, **asked: Any) -> Trust:
    from proofglass.evaluation.trust.check import check as checked
    from proofglass.evaluation.trust.roc import RECALLS

    return checked(judge, recalls=recalls or RECALLS, **asked)


def _in_modes(judge: Judge, checked: Callable[[Judge], Trust]) -> tuple[dict[str, Trust], dict[str, str]]:
    from proofglass.evaluation.trust.modes import in_every_mode

    return in_every_mode(judge, checked)


def _tell(trust: Trust, title: str, asked: list[LabelSet]) -> None:
    """Its tables, and what they leave out."""
    for each in sorted({each.name for each in asked} - {each.name for each in trust.sets}):
        note(f"left out: labels {each}: no label of {trust.aspect.removeprefix('not ')!r} in it")
    show_trust(trust, title)


def _tell_learned(name: str, judge: Judge, trusts: Iterable[Trust]) -> None:
    told = judge.measured
    learned = list(dict.fromkeys(each.name for trust in trusts for each in trust.sets if each.learned))
    if told and learned:
        note(
            f"{name} was trained on {', '.join(learned)}: the figures there measure nothing. Measured: {told.agreement}"
        )


def _write(file: Path, told: Any) -> None:
    """All figures as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # A name in a label file may hold half a character.
    text = utf8(json.dumps(_plain(told), indent=2, ensure_ascii=False))
    file.write_text(text, encoding="utf-8")
    say(f"all figures: {file}")


def _plain(told: Any) -> Any:
    if dataclasses.is_dataclass(told) and not isinstance(told, type):
        return dataclasses.asdict(told)
    return {name: _plain(each) for name, each in told.items()} if isinstance(told, Mapping) else told


def _sets(labels: list[str], datasets: list[str], benign: list[Path], data: Path | None) -> list[LabelSet]:
    """The sets that were asked for, or all that can be read, with a line on each that cannot."""
    from proofglass.evaluation.labels import asked, sets

    if data is not None and not data.is_dir():
        raise UsageError(f"--data: {data} is no folder")
    if labels or datasets or benign:
        found = [sets.read(each, data) for each in labels]
        found += [asked.of_dataset(as_in_study("datasets", each, "--dataset"), each) for each in datasets]
        found += [asked.benign(each) for each in benign]
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
