"""`proofglass check`: does a plug of one's own keep the contract that studies rely on?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from proofglass.cli.build import Named, by_member, field_of, named, put_together
from proofglass.cli.listing import Listed
from proofglass.console import note, say, say_json, table
from proofglass.errors import UsageError
from proofglass.registry import Kind
from proofglass.types import Finding

MARKS = {True: "ok", False: "FAILED", None: "?"}


def check(
    kind: Annotated[Listed, typer.Argument(metavar="KIND", help=" | ".join(k.value for k in Listed))],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A registered name, or package.module:Class; of several, or with fields, as in a study.",
        ),
    ],
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the plug (MEMBER.FIELD of several); repeated."),
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
      proofglass check defenses 'jpeg + self-moderation' --set jpeg.quality=50 --off jpeg.quality=null \\
          --off self-moderation.rounds=0
      PYTHONPATH=. proofglass check defenses ask_twice:AskTwice
    """
    from proofglass.testing import suite

    which: Kind = kind.value
    line = named(which, name, f"check {which}", anywhere=True)
    fields = _fields(line, given or [], "--set")

    def make() -> Any:
        return put_together(which, line, fields)

    every = list(suite.findings(suite.cases(make, _switches(line, make, off or []))))
    if as_json:
        say_json({"kind": which, "name": name, "findings": [dataclasses.asdict(each) for each in every]})
    else:
        say("\n".join(line for each in every for line in _lines(each)))
    failed = [each.check for each in every if each.ok is False]
    if failed:
        note(f"{name}: {len(failed)} of {len(every)} checks failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _fields(line: Sequence[Named], given: Sequence[str], option: str) -> dict[str, list[str]]:
    """FIELD=VALUE by the plug that it is for: of one as they stand, of several by member. Raises UsageError."""
    if len(line) == 1:
        return {line[0].name: list(given)}
    names = [each.name for each in line]
    if whose := [each for each in given if not each.partition("=")[0].rpartition(".")[0]]:
        raise UsageError(f"{option} {whose[0]!r}: of which member? Expected MEMBER.FIELD=VALUE: {', '.join(names)}")
    return by_member(given, names, option)


def _switches(line: Sequence[Named], make: Callable[[], Any], off: Sequence[str]) -> dict[str, Any] | None:
    """The fields that switch the plug off: those of a stack are its members, each with its own. Raises UsageError."""
    if not off:
        return None
    found = {name: dict(map(field_of, own)) for name, own in _fields(line, off, "--off").items()}
    plug = make()
    try:
        if len(line) == 1:
            dataclasses.replace(plug, **found[line[0].name])
            return found[line[0].name]
        each = zip(line, plug.members, strict=True)
        return {"members": tuple(dataclasses.replace(member, **found.get(of.name, {})) for of, member in each)}
    except (TypeError, ValueError) as error:
        raise UsageError(f"--off: {error}") from error


def _lines(found: Finding) -> list[str]:
    """A check in a line; where it did not pass, what was found and what the plug should do."""
    head = table([[MARKS[found.ok], found.check]])
    return [head] if found.ok else [head, *(f"    {text}" for text in (found.measured, found.meaning) if text)]
