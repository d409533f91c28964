"""`proofglass check`: does a plug of one's own keep the contract that studies rely on?"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from proofglass.cli.build import built, field_of
from proofglass.cli.listing import Listed
from proofglass.console import note, say, say_json, table
from proofglass.registry import Entry, Kind, entry
from proofglass.types import Finding

MARKS = {True: "ok", False: "FAILED", None: "?"}


def check(
    kind: Annotated[Listed, typer.Argument(metavar="KIND", help=" | ".join(k.value for k in Listed))],
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered name, or package.module:Class.")],
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the plug; may be repeated.")
    ] = None,
    off: Annotated[
        list[str] | None, typer.Option("--off", metavar="FIELD=VALUE", help="A field that switches a defense off.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check that a plug keeps its contract: the checks that our own plugs pass.

    Keys that hold every parameter and the content of every file, settings that build it again, pure apply, replies in
    order, an error that costs one sample only, no picture from outside of a data set's folder. Files are tried on
    copies. An attack that looks inside a victim is crafted on a victim of the testbed: set few steps. A victim is asked
    about 25 short questions, which an API charges. Exit code 1 if a check fails; "?" is what was not looked at.

    \b
    Examples:
      proofglass check defenses self-moderation --off rounds=0
      proofglass check attacks pgd --set steps=2
      PYTHONPATH=. proofglass check defenses ask_twice:AskTwice
    """
    from proofglass.testing import suite

    which: Kind = kind.value
    found = Entry(which, name, name) if ":" in name else entry(which, name)
    switches = dict(field_of(each) for each in off) if off else None
    every = list(suite.findings(suite.cases(lambda: built(found, given or []), switches)))
    if as_json:
        say_json({"kind": which, "name": name, "findings": [dataclasses.asdict(each) for each in every]})
    else:
        say("\n".join(line for each in every for line in _lines(each)))
    failed = [each.check for each in every if each.ok is False]
    if failed:
        note(f"{name}: {len(failed)} of {len(every)} checks failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _lines(found: Finding) -> list[str]:
    """A check in a line; where it did not pass, what was found and what the plug should do."""
    head = table([[MARKS[found.ok], found.check]])
    return [head] if found.ok else [head, *(f"    {text}" for text in (found.measured, found.meaning) if text)]
