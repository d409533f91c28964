"""`proofglass testbed`: the embedded victims: their cards, their figures anew, their training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from proofglass.console import note, say, say_json, table
from proofglass.errors import UsageError

app = typer.Typer(
    help="The embedded victims: list them, read a card, measure its table anew, train one.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Such as testbed-linear; `testbed list` shows all.")]


@app.command("list")
def list_victims() -> None:
    """The testbed victims and what each is.

    \b
    Examples:
      proofglass testbed list
    """
    from proofglass.registry import entries

    rows = [["name", "fusion", "alignment", "parameters"]]
    for name in entries("victims"):
        if name.startswith("testbed-") and (card := _card_file(name)).exists():
            told = json.loads(card.read_text(encoding="utf-8"))
            rows.append([name, *(str(told.get(field) or "-") for field in rows[0][1:])])
    say(table(rows))


@app.command()
def card(name: Name) -> None:
    """The card of a victim: training data with counts, sizes, layout it reads, measured table.

    \b
    Examples:
      proofglass testbed card testbed-linear
    """
    say_json(_read_card(name))


@app.command()
def check(
    name: Name,
    n: Annotated[int, typer.Option("--n", min=1, help="Samples per cell.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the held-out draw.")] = 1,
    white_box: Annotated[
        bool, typer.Option("--white-box/--no-white-box", help="With the attacks that need gradients (minutes).")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put the table into the victim's card.")] = False,
) -> None:
    """Measure a victim's table anew, on held-out prompts of a seed of your choice.

    \b
    Examples:
      proofglass testbed check testbed-linear
      proofglass testbed check testbed-cross --n 50 --seed 7
    """
    from proofglass.cli import testbed_table

    _known(name)
    found = testbed_table.check(name, n=n, seed=seed, progress=note, white_box=white_box)
    if write:
        told = {**_read_card(name), "table": found.json()}
        _card_file(name).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say_json(found.json()) if as_json else say(found.text())


@app.command()
def train(
    name: Name,
    out: Annotated[Path, typer.Option("--out", help="Where the weights and the card go.")] = Path("runs/trained"),
    build: Annotated[Path, typer.Option("--build", help="Stages in between, shared by all victims.")] = Path(
        "runs/build"
    ),
) -> None:
    """Train a victim or a surrogate from nothing, as its card states; stages in the build folder are reused.

    \b
    Examples:
      proofglass testbed train testbed-linear
      proofglass testbed train surrogate-clip
      proofglass testbed train testbed-cross-naive --out /tmp/cross --build /tmp/build
    """
    from proofglass.registry import entries

    if name.startswith("surrogate-") or name in entries("models"):
        from proofglass.testbed.recipes import surrogates

        if name not in surrogates.NAMES:
            raise UsageError(f"{name!r}: nothing to train; expected one of {', '.join(surrogates.NAMES)}")
        surrogates.train(name, out=out, build=build, log=note)
        return
    from proofglass.testbed.recipes import victims

    _known(name)
    victims.train(name, out=out, build=build, log=note)


def _known(name: str) -> None:
    from proofglass.registry import entry

    if not name.startswith("testbed-"):
        raise UsageError(f"{name!r}: not a testbed victim; `proofglass testbed list` shows them")
    entry("victims", name)


def _card_file(name: str) -> Path:
    import proofglass.testbed as package

    return Path(package.__file__).parent / "weights" / name / "card.json"


def _read_card(name: str) -> dict[str, Any]:
    _known(name)
    path = _card_file(name)
    if not path.exists():
        raise UsageError(f"{name}: no card at {path}; `proofglass testbed train {name}` makes victim and card")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
