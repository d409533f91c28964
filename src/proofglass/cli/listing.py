"""`proofglass list`: what there is, from the registry and the classes themselves."""

from __future__ import annotations

import dataclasses
import inspect
import os
from enum import StrEnum
from typing import Annotated, Any, get_args

import typer

from proofglass.cli.meanings import description, meanings
from proofglass.console import columns, one_line, say, say_json, table, wrapped
from proofglass.errors import UsageError
from proofglass.faults import briefly
from proofglass.interfaces import NEEDS, Attack, Defense, Measured, access_of
from proofglass.interfaces.attacks import needs_of
from proofglass.interfaces.fields import hints, spelled
from proofglass.registry import Entry, Kind, entries, entry, unusable
from proofglass.studies.asks import of_attack


class Listed(StrEnum):
    """The kinds that can be listed; the plural words of the registry."""

    attacks = "attacks"
    defenses = "defenses"
    victims = "victims"
    datasets = "datasets"
    judges = "judges"
    metrics = "metrics"
    models = "models"


def list_plugs(
    kind: Annotated[Listed, typer.Argument(metavar="KIND", help=" | ".join(k.value for k in Listed))],
    name: Annotated[str | None, typer.Argument(help="One of them: its parameters and defaults.")] = None,
    replies_only: Annotated[
        bool,
        typer.Option("--replies-only", help="Attacks that an API can be asked: --opens nothing."),
    ] = False,
    opens: Annotated[
        str, typer.Option("--opens", metavar="WORD", help=f"Attacks that look so far: {', '.join(NEEDS)}.")
    ] = "",
    threat: Annotated[
        str, typer.Option("--threat", metavar="WHO", help="Attacks of a user, or of a 'third party'.")
    ] = "",
    needs: Annotated[
        str, typer.Option("--needs", metavar="WHAT", help="Attacks that need such a helper, or nothing.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What there is: attacks, defenses, victims, datasets, judges, metrics, models; with a NAME, its parameters.

    `access` says how far an attack looks into its victim: a black box needs replies alone, a score-based one the loss
    of a target, a grey box the vision encoder, a white box gradients. Plugs that other installed packages add (entry
    points `proofglass.attacks`, ...) are listed too.

    \b
    Examples:
      proofglass list attacks
      proofglass list attacks --opens nothing --needs nothing
      proofglass list attacks --threat "third party"
      proofglass list attacks qi2023
      proofglass list datasets --json
    """
    which: Kind = kind.value
    wanted = {"opens": "nothing" if replies_only else opens, "threat": threat, "needs": needs}
    wanted = {trait: word for trait, word in wanted.items() if word}
    if wanted and (kind is not Listed.attacks or name is not None):
        flag = "replies-only" if replies_only else next(iter(wanted))
        raise UsageError(f"--{flag}: chooses among all attacks; write `proofglass list attacks --{flag} ...`")
    if name is None:
        found = [describe(which, each) for each in (*entries(which).values(), *unusable(which))]
        found = _chosen(found, wanted)
        say_json(found) if as_json else say(_overview(which, found))
    else:
        one = describe(which, entry(which, name), deep=True)
        say_json(one) if as_json else say(_detail(one))


def _chosen(attacks: list[dict[str, Any]], wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Those that say of themselves what is `wanted`, trait by trait. Raises UsageError for a word that none says."""
    for trait, word in wanted.items():
        known = sorted({each for one in attacks if "error" not in one for each in _words_of(one[trait])})
        if word not in known:
            raise UsageError(f"--{trait}: found {word!r}. Expected one of {', '.join(known)}.")
    return [
        one
        for one in attacks
        if not wanted or ("error" not in one and all(word in _words_of(one[trait]) for trait, word in wanted.items()))
    ]


def _words_of(stated: str | list[str]) -> list[str]:
    """The words of a trait: each of a list ("nothing" for none), each side of an "or"."""
    return stated.split(" or ") if isinstance(stated, str) else list(stated) or ["nothing"]


def describe(kind: Kind, entry: Entry, *, deep: bool = False) -> dict[str, Any]:
    """What the class behind `entry` says about itself; `deep` adds the whole docstring and the parameters.

    A plug that cannot be loaded (an entry point of a broken package) is described by its error.
    """
    try:
        return _told_by(entry.load(), kind, entry, deep)
    except UsageError as error:
        return {"name": entry.name, "error": str(error).removeprefix(f"{entry.name}: ")}
    except Exception as error:  # a class may be odd in any way: a paper that is none, a default that cannot be made
        return {"name": entry.name, "error": f"{entry.target}: cannot be described: {briefly(error)}"}


def _told_by(plug: type, kind: Kind, entry: Entry, deep: bool) -> dict[str, Any]:
    text = inspect.getdoc(plug) or ""
    # Of a class that is many methods; a field of this name is a parameter of one.
    line = "" if "line" in getattr(plug, "__dataclass_fields__", {}) else stated(plug, "line", entry.defaults)
    told: dict[str, Any] = {"name": entry.name, "line": line or _first_line(text) + _stands_for(entry)}
    if kind == "attacks":
        told |= looks(plug, entry.defaults)
    told |= {
        trait: stated(plug, trait, entry.defaults, "by its fields")
        for trait in _TRAITS.get(kind, ())
        if hasattr(plug, trait)
    }
    if kind == "defenses":
        told |= _of_defense(plug)
    if kind == "datasets" and (origin := getattr(plug, "origin", None)) is not None:
        told["checked"] = CHECKED[origin.checked]
    if kind == "judges":
        told["measured"] = measured(plug, entry.defaults)
    paper = stated(plug, "paper", entry.defaults)
    told["paper"] = dataclasses.asdict(paper) if paper else None
    if deep:
        told |= {
            "text": text,
            "description": description(plug),
            "target": entry.target,
            "parameters": parameters(plug, entry.defaults),
        }
        told["reports"] = getattr(plug, "reports", "")
    return told


def _of_defense(defense: type[Defense]) -> dict[str, str]:
    """What it runs on, and the attack that knows it."""
    needs, adaptive = defense.needs_model, defense.adaptive
    if not (isinstance(needs, str) and isinstance(adaptive, str)):  # properties: one around another, whichever that is
        return {"runs on": "what its defense runs on", "adaptive": "that of its defense"}
    return {
        "runs on": f"a model that opens its {needs}" if needs else "any victim",
        "adaptive": "-" if defense.name == "none" else adaptive or "none exists yet",
    }


def looks(attack: type[Attack], defaults: dict[str, Any]) -> dict[str, Any]:
    """What an attack of this class, as its defaults make it, opens of its victim; the same in the words of the field;
    its scope; the helpers that it needs; how often it asks the victim about one sample, at most."""
    try:
        made = attack(**defaults)
    except (TypeError, ValueError):  # some field has no default: what the class itself says
        made = object.__new__(attack)
    stated = inspect.getattr_static(attack, "opens")
    varies = isinstance(stated, property) and stated is not inspect.getattr_static(Attack, "opens")
    words = access_of(made) + (" (other fields, other access)" if varies else "")
    return {
        "opens": made.opens,
        "access": words,
        "scope": made.scope,
        "needs": list(needs_of(attack, {**defaults, **vars(made)})),
        "queries": _queries(made),
    }


def _queries(attack: Attack) -> int | None:
    """None where a field that it lacks decides."""
    try:
        return attack.queries or of_attack(attack).victim
    except Exception:  # it is made of nothing yet, or somebody's class is odd: it is listed all the same
        return None


def measured(judge: type, defaults: dict[str, Any]) -> dict[str, str] | None:
    """How far a judge of this class, as its defaults make it, agrees with people; None if nobody measured."""
    try:
        found = judge(**defaults).measured
    except Exception:  # some field has no default, or somebody's class cannot be made here: it is listed all the same
        found = stated(judge, "measured", defaults)
    return dataclasses.asdict(found) if isinstance(found, Measured) else None


def stated(plug: type, trait: str, defaults: dict[str, Any], open_: str = "") -> Any:
    """What a class says of itself; where its fields decide, what it says with those that its name stands for. "" where
    it says nothing, `open_` where it needs more than these."""
    if not isinstance(inspect.getattr_static(plug, trait, None), property):
        return getattr(plug, trait, "")
    likeness: Any = object.__new__(plug)
    known = {f.name: f.default for f in dataclasses.fields(plug)} if dataclasses.is_dataclass(plug) else {}
    for name, value in {**known, **defaults}.items():
        if value is not dataclasses.MISSING:
            object.__setattr__(likeness, name, value)
    try:
        return getattr(likeness, trait)
    except Exception:  # it asks a field that is not there, or somebody's class is odd: it is listed all the same
        return open_


def parameters(plug: type, defaults: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, type, meaning and default of every field of a plug's constructor; `default` is absent where one is needed,
    `meaning` where the docstring says nothing."""
    if not dataclasses.is_dataclass(plug):
        return []
    found, known, told = [], hints(plug), meanings(plug)
    for field in dataclasses.fields(plug):
        if not field.init:
            continue
        is_known = field.name in known
        row: dict[str, Any] = {
            "name": field.name,
            "type": spelled(known[field.name]) if is_known else _type_name(field.type),
        }
        if field.name in told:
            row["meaning"] = told[field.name]
        if field.name in defaults:
            row["default"] = _shown(defaults[field.name])
        elif field.default is not dataclasses.MISSING:
            row["default"] = _shown(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            row["default"] = _shown(field.default_factory())
        found.append(row)
    return found


# How far a loader was held against what its authors publish.
CHECKED = {"data": "data-checked", "format": "format-checked, not data-checked"}
_TRAITS: dict[str, tuple[str, ...]] = {
    "attacks": ("threat", "changes"),
    "defenses": ("runs on", "adaptive"),
    "datasets": ("licence", "checked"),
    "judges": ("column", "aspect"),
    "metrics": ("by", "range", "better"),
}
_SHOWN = {**_TRAITS, "attacks": ("access", "threat", "changes", "scope", "needs", "queries")}
_EVERY_TRAIT = set(sum(_SHOWN.values(), ()))


def _overview(kind: Kind, found: list[dict[str, Any]]) -> str:
    if kind == "attacks":
        return _attacks(found)
    traits = _SHOWN.get(kind, ())
    rows = [["name", *traits, "paper", "what it is"]]
    for one in found:
        if "error" in one:
            rows.append([one["name"], *[""] * len(traits), "", f"broken: {one_line(one['error'])}"])
            continue
        paper = one["paper"]["short"] if one["paper"] else "-"
        line = one["line"] + (f". Measured: {told['agreement']}" if (told := one.get("measured")) else "")
        rows.append([one["name"], *[_cell(one.get(t, "")) for t in traits], paper, line])
    rows = _without_empty_columns(rows)
    return f"{table(rows, width=columns())}\n\n`proofglass list {kind} NAME` shows the parameters of one."


def _attacks(found: list[dict[str, Any]]) -> str:
    """Two lines or more an attack, none of them wider than the terminal, or than 80 columns where there is none."""
    width = (columns() or 80) - 2
    rows = [["name", "opens", "threat", "changes", "crafted for"]]
    below: list[list[str]] = [[]]
    for one in found:
        if "error" in one:
            rows.append([one["name"], "", "", "", ""])
            below.append(wrapped(f"broken: {one_line(one['error'])}", width))
            continue
        rows.append([one["name"], one["opens"], one["threat"], _cell(one["changes"]), _CRAFTED[one["scope"]]])
        paper = f"{one['paper']['short']}. " if one["paper"] else ""
        needs = f". Needs: {', '.join(one['needs'])}" if one["needs"] else ""
        below.append(wrapped(f"{paper}{one['line']}{needs}.", width))
    heads = table(rows).split("\n")
    lines = [line for head, more in zip(heads, below, strict=True) for line in (head, *(f"  {one}" for one in more))]
    said = "`proofglass list attacks NAME` shows the parameters of one; --opens, --threat and --needs choose."
    return "\n".join([*lines, "", *wrapped(said, width)])


_CRAFTED = {"none": "-", "universal": "all", "sample": "each"}


def _without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    kept = [k for k in range(len(rows[0])) if k == 0 or any(row[k] not in ("", "-") for row in rows[1:])]
    return [[row[k] for k in kept] for row in rows]


def _detail(one: dict[str, Any]) -> str:
    if "error" in one:
        raise UsageError(f"{one['name']}: {one['error']}")
    traits = [f"{trait}: {_cell(value)}" for trait, value in one.items() if trait in _EVERY_TRAIT]
    paper = one["paper"]
    blocks = [one["name"], one["text"]]
    if traits:
        blocks.append("\n".join(traits))
    if paper:
        blocks.append(f"paper: {paper['short']}, {paper['title']}, {paper['link']}")
    if told := one.get("measured"):
        blocks.append(f"measured: {told['agreement']}\n  on: {told['data']}\n  source: {told['source']}")
    if one["reports"]:
        blocks.append(f"what it reports: {one['reports']}")
    rows = [[f"  {p['name']}", p["type"], f"= {p['default']}" if "default" in p else "(needed)"]
            for p in one["parameters"]]  # fmt: skip
    blocks.append("parameters:\n" + table(rows, width=columns(), headed=False) if rows else "parameters: none")
    blocks.append(f"source: {one['target']}")
    return "\n\n".join(blocks)


def _first_line(text: str) -> str:
    """The first sentence or line of a docstring, without its full stop."""
    return text.strip().split("\n", 1)[0].rstrip(".")


def _stands_for(entry: Entry) -> str:
    """What a name fixes beyond its class, such as `(reader='truth')`; a default that repeats the name says nothing."""
    fixed = [f"{field}={value!r}" for field, value in entry.defaults.items() if value != entry.name]
    return f" ({', '.join(fixed)})" if fixed else ""


def _cell(value: Any) -> str:
    return ", ".join(map(str, value)) or "-" if isinstance(value, (tuple, list)) else str(value) or "-"


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, str):  # the usual case under `from __future__ import annotations`
        return annotation
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


def _shown(value: Any) -> str:
    """A default as a study file writes it: a float that is n/255 as that fraction, unless its decimals are shorter."""
    if isinstance(value, float) and 0 < value < 1 and abs(value * 255 - round(value * 255)) < 1e-9:
        return min(repr(value), f"{round(value * 255)}/255", key=len)
    if isinstance(value, os.PathLike):
        found: str = os.fspath(value)
        return found
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    return repr(value)
