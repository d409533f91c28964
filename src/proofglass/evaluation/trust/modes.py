"""A judge in every mode that it has: a guard that reads the reply, the prompt or the picture is another one in each."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Literal

from proofglass.errors import ProofglassError, UsageError
from proofglass.interfaces import Judge
from proofglass.interfaces.fields import hints

FIELD = "mode"


def modes_of(judge: Judge) -> dict[str, Judge | str]:
    """Mode -> the same judge in it, or why it cannot be made so. The modes are the values of its field `mode`, whose
    annotation is a `Literal`. Raises UsageError for a judge without such a field."""
    found: dict[str, Judge | str] = {}
    for value in _values(hints(type(judge)).get(FIELD)):
        try:
            found[str(value)] = dataclasses.replace(judge, **{FIELD: value})  # type: ignore[type-var]
        except (ValueError, TypeError, ProofglassError) as error:
            found[str(value)] = str(error)
    if not found:
        raise UsageError(f'judge {judge.name}: has no modes; expected a field {FIELD}: Literal["...", "..."]')
    return found


def in_every_mode(judge: Judge, checked: Callable[[Judge], object]) -> tuple[dict[str, typing.Any], dict[str, str]]:
    """Mode -> what `checked` says of the judge in it; and why nothing is said of each other mode. Raises UsageError
    where no mode can be checked."""
    found: dict[str, typing.Any] = {}
    left_out: dict[str, str] = {}
    for mode, made in modes_of(judge).items():
        if isinstance(made, str):
            left_out[mode] = made
            continue
        try:
            found[mode] = checked(made)
        except UsageError as error:  # no aspect in this mode, or no label of it
            left_out[mode] = str(error)
    if not found:
        told = "; ".join(f"{mode}: {reason}" for mode, reason in left_out.items())
        raise UsageError(f"judge {judge.name}: no mode can be checked: {told}")
    return found, left_out


def _values(hint: object) -> tuple[object, ...]:
    """The words of a Literal, also inside a union or an Annotated."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    return tuple(value for inner in typing.get_args(hint) for value in _values(inner))
