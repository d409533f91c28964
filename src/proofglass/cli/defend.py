"""`proofglass defend`: a defense learns about a victim, before anything is measured."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_origin

import typer

from proofglass.cli.build import as_in_study, built, plug
from proofglass.console import note, say
from proofglass.errors import UsageError
from proofglass.registry import entry

if TYPE_CHECKING:
    from proofglass.engine.progress import Pace, Watcher
    from proofglass.interfaces import Defense

EVERY_S = 5.0


def defend(
    victim: Annotated[str, typer.Argument(metavar="VICTIM", help="A victim; `proofglass list victims` shows all.")],
    name: Annotated[str, typer.Option("--with", metavar="NAME", help="A defense that is fitted or trained.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where what it learns goes.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="DATASET",
            help="As in a study, 'testbed: {part: benign}', for the next field that takes one; or FIELD=DATASET.",
        ),
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A field of the defense; may be repeated.")
    ] = None,
    victim_fields: Annotated[
        list[str] | None, typer.Option("--victim-set", metavar="FIELD=VALUE", help="A field of the victim.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Fit or train a defense on a victim: vectors, thresholds, adapters, into a folder.

    It learns from the crafting rows of the data sets named, never from what a study judges; a data set without such
    rows is learned from as a whole. Stopped, the same command goes on. A study does the same by itself where a defense
    names data sets instead of a folder; what it learned then lies in the run folder.

    \b
    Examples:
      proofglass defend testbed-cross --with inferaligner --data 'testbed: {part: restricted-image, craft_n: 64}' \\
          --data 'testbed: {part: benign-image, craft_n: 64}' --out vectors
      proofglass defend hf --victim-set path=models/my-llava --with calibrated --set 'defense={guard-output: {judge: \\
          llama-guard-4}}' --data 'own: {path: benign.jsonl}' --out threshold
    """
    from proofglass.engine.progress import watched_by
    from proofglass.interfaces import Defense

    found = entry("defenses", name)
    cls = found.load()
    if not issubclass(cls, Defense) or not cls.learned_in:
        raise UsageError(f"{name}: learns nothing about a victim; a study takes it as it is")
    sets = datasets_of(found.name, cls, data or [])
    defense: Defense = built(found, given or [], sets)
    if not defense.fits_on:
        raise UsageError(f"{name}: names what it has learned already; leave that out to learn it anew")
    model = plug("victims", victim, victim_fields or [])
    note(f"{name}: learning about {victim}")
    with watched_by((lambda pace: None) if quiet else watcher(name)):
        fitted = defense.fitted(model, out)
    cost = ", ".join(f"{value:g} {what}" for what, value in fitted.spent.items())
    say(f"{name} fitted to {victim}: {out}" + (f" ({cost})" if cost else ""))
    say(f"in a study:\n  - {line_of(name, given or [], defense, fitted)}")


def datasets_of(name: str, cls: type, given: list[str]) -> dict[str, Any]:
    """Field -> the data set that it takes: FIELD=DATASET, or the next field that takes one and has none; a field of
    several takes as many as come."""
    from proofglass.interfaces import Dataset
    from proofglass.interfaces.fields import classes_in, hints

    takes = {f: hint for f, hint in hints(cls).items() if any(issubclass(c, Dataset) for c in classes_in(hint))}
    several = {field for field, hint in takes.items() if get_origin(hint) is tuple}
    found: dict[str, Any] = {}
    for each in given:
        match = re.match(r"(\w+)=(.*)", each, re.DOTALL)
        free = [field for field in takes if field not in found or field in several]
        field, text = (match[1], match[2]) if match else (free[0] if free else "", each)
        if field not in takes or (field in found and field not in several):
            wanted = f"FIELD=DATASET with one of {', '.join(takes)}" if takes else "none"
            raise UsageError(f"{name}: --data {each!r}: expected {wanted}, each once")
        made = as_in_study("datasets", text, f"--data {field}")
        found[field] = (*found.get(field, ()), made) if field in several else made
    return found


def line_of(name: str, given: list[str], before: Defense, after: Defense) -> str:
    """How a study names `after`: what was set, and the folders that learning filled."""
    import yaml

    def read(text: str) -> Any:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text

    told = {field: read(value) for field, _, value in (each.partition("=") for each in given)}
    for field in dataclasses.fields(after):  # type: ignore[arg-type]
        value = getattr(after, field.name)
        if isinstance(value, Path) and getattr(before, field.name) != value:
            told[field.name] = str(value)
    text: str = yaml.safe_dump({name: told}, default_flow_style=True, sort_keys=False, width=10**6)
    return text.strip().removeprefix("{").removesuffix("}")


def watcher(name: str) -> Watcher:
    """Says every few seconds where the training stands."""
    said = time.monotonic()

    def told(pace: Pace) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY_S:
            said = time.monotonic()
            left = f", about {pace.seconds_left:.0f} s left" if pace.seconds_left else ""
            note(f"{name}: step {pace.step} of {pace.steps}, loss {pace.loss:.3f}{left}")

    return told
