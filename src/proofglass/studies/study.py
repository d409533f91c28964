"""A study: victims x attacks x defenses x data sets, and judges, as read from YAML.

The only place that reads configuration. Every fault is a UsageError that names file, line, field, what was
expected and the nearest name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from proofglass import interfaces, registry
from proofglass.errors import UsageError
from proofglass.interfaces import Attack, Dataset, Defense, Judge, Metric, Plug, Victim
from proofglass.records.schema import utf8
from proofglass.registry import Kind
from proofglass.studies import located
from proofglass.studies.combined import made
from proofglass.studies.configure import construct, parameters
from proofglass.studies.located import Located, nearest
from proofglass.studies.metrics import needed_judges, unmet, usual_metrics
from proofglass.types import Budget, Settings
from proofglass.types.budget import EXAMPLES

P = TypeVar("P", bound=Plug)

SHIPPED = Path(__file__).parent / "shipped"
ALWAYS = "not-refused"  # the judge whose column stands beside the success judge's in every table

_SIBLINGS: dict[Kind, tuple[str, ...]] = {"attacks": ("adaptive",), "datasets": ("attacks",)}  # beside `label`
_FIELDS = (
    "name", "seed", "settings", "chunk", "budget", "adaptive",
    "victims", "attacks", "defenses", "datasets", "judges", "success", "metrics",
)  # fmt: skip


@dataclass(frozen=True)
class Item(Generic[P]):
    """One line of a list of the study: a plug, under its label.

    name: as registered. only: of a data set, labels of the attacks that run on it, None for all. adaptive: of an
    attack, whether it is crafted through a defense that opens itself, None as the study says.
    """

    name: str
    label: str
    plug: P
    make: Callable[..., P] = field(repr=False)
    values: dict[str, Any] = field(repr=False)
    only: tuple[str, ...] | None = None
    adaptive: bool | None = None

    def build(self) -> P:
        """A fresh plug: what it loads is freed with it."""
        return self.make(**self.values)


def in_run(item: Item[P], folder: Path, run: str) -> Item[P]:
    """`item` whose victims, or helpers, know the run that asks them (`Victim.in_run`)."""

    def make(**values: Any) -> P:
        return interfaces.in_run(item.make(**values), folder, run)

    return replace(item, plug=interfaces.in_run(item.plug, folder, run), make=make)


@dataclass(frozen=True)
class Study:
    """What to measure. success: label of the judge whose mean score is the success rate. metrics: what is told of the
    scored rows. chunk: samples per batch. budget: cap on what crafting one picture may spend, such as 200 forward
    equivalents. text: the YAML, secrets masked. adaptive: attacks are crafted through the defenses that open
    themselves; False: on the bare victim, as if it stood alone.
    """

    name: str
    source: str
    text: str = field(repr=False)
    seed: int
    settings: Settings
    chunk: int
    budget: Budget | None
    victims: tuple[Item[Victim], ...]
    attacks: tuple[Item[Attack], ...]
    defenses: tuple[Item[Defense], ...]
    datasets: tuple[Item[Dataset], ...]
    judges: tuple[Item[Judge], ...]
    success: str
    adaptive: bool = True
    metrics: tuple[Item[Metric], ...] = ()


def shipped() -> list[str]:
    """Names of the studies that come with Proofglass."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(path_or_name: Path | str) -> Study:
    """The study in a YAML file, or a shipped one by its bare name. Raises UsageError."""
    path = Path(path_or_name)
    if (path.is_dir() or not path.exists()) and str(path_or_name) in shipped():  # a folder is no study
        path = SHIPPED / f"{path_or_name}.yaml"
    if path.is_dir():
        raise UsageError(f"{path}: is a folder. Expected the YAML file of a study.")
    if not path.exists():
        near = nearest(str(path_or_name), shipped())
        raise UsageError(f"{path}: no such file. Expected a YAML file, or one of {', '.join(shipped())}.{near}")
    return parse(located.read(path))


def parse(source: Located) -> Study:
    """The study that a YAML document describes. Raises UsageError with file and line."""
    values = source.values
    if not isinstance(values, dict):
        raise source.error((), f"found a {type(values).__name__}. Expected fields: {', '.join(_FIELDS)}.")
    for name in values:
        if name not in _FIELDS:
            raise source.error((name,), f"no such field. A study takes {', '.join(_FIELDS)}.{nearest(name, _FIELDS)}")
    attacks = _items(source, "attacks", default=["no-attack"])
    victims = _items(source, "victims")
    datasets = _items(source, "datasets", attacks=[item.label for item in attacks])
    metrics = _items(source, "metrics", default=usual_metrics(item.plug for item in datasets))
    usual = default_judges([item.plug for item in victims], [item.plug for item in datasets])
    needed = needed_judges(item.plug for item in metrics)
    judges = _with_always(source, _items(source, "judges", default=list(dict.fromkeys([*usual, *needed]))))
    return Study(
        name=_name(source),
        source=source.file,
        text=source.public,
        seed=_whole(source, "seed", 0, least=None),
        settings=construct(
            Settings,
            parameters(Settings, values.get("settings"), source, ("settings",)),
            source,
            ("settings",),
        ),
        chunk=_whole(source, "chunk", 100),
        budget=_budget(source),
        victims=victims,
        attacks=attacks,
        defenses=_items(source, "defenses", default=["none"]),
        datasets=datasets,
        judges=judges,
        success=_success(source, judges, usual if "judges" not in values else []),
        adaptive=_yes_or_no(source, ("adaptive",), values.get("adaptive", True)),
        metrics=_met(source, metrics, judges),
    )


def _items(
    source: Located, kind: Kind, default: list[str] | None = None, attacks: list[str] | None = None
) -> tuple[Item[Any], ...]:
    """The list `kind` of the study. default: when the study has none. attacks: labels a data set may choose."""
    listed = source.values.get(kind, default)
    if listed is None:
        raise source.error((), f"{kind}: missing. Expected a list such as `{kind}: [...]`.")
    if not isinstance(listed, list) or not listed:
        raise source.error((kind,), f"found {listed!r}. Expected a list with at least one name.")
    items: list[Item[Any]] = []
    for k, entry in enumerate(listed):
        item = _item(source, kind, k, entry, attacks)
        for earlier, other in enumerate(items):
            if other.label == item.label:
                line = source.lines.get((kind, earlier), 1)
                raise source.error(
                    (kind, k),
                    f"label {item.label!r} stands twice, first in line {line}. Give one a `label:` of its own.",
                )
        items.append(item)
    return tuple(items)


def _item(source: Located, kind: Kind, k: int, entry: Any, attacks: list[str] | None) -> Item[Any]:
    place: located.Place = (kind, k)
    siblings = ("label", *_SIBLINGS.get(kind, ()))
    if isinstance(entry, str):
        entry = {entry: None}
    if not isinstance(entry, dict):
        raise source.error(place, f"found {entry!r}. Expected a name, or `name: {{parameter: value}}`.")
    names = [name for name in entry if name not in siblings]
    if len(names) != 1:
        hint = f" Indent {names[1]!r} below {names[0]!r} if it is its parameter." if names else ""
        raise source.error(place, f"found {len(names)} names. Expected one with its parameters.{hint}")
    name = names[0]
    make, values, plug = made(source, kind, place, name, entry[name])
    label = entry.get("label", _default_label(kind, name, plug))
    if not isinstance(label, str) or not label.strip() or utf8(label) != label:
        raise source.error((*place, "label"), f"found {label!r}. Expected a text.")
    only = _only(source, (*place, "attacks"), entry["attacks"], attacks) if attacks and "attacks" in entry else None
    has_own = kind == "attacks" and "adaptive" in entry
    adaptive = _yes_or_no(source, (*place, "adaptive"), entry["adaptive"]) if has_own else None
    return Item(name, label, plug, make, values, only, adaptive)


def _yes_or_no(source: Located, place: located.Place, given: Any) -> bool:
    if not isinstance(given, bool):
        wanted = "true (crafted through a defense that opens itself) or false (on the bare victim)"
        raise source.error(place, f"found {given!r}. Expected {wanted}.")
    return given


def _default_label(kind: Kind, name: str, plug: Plug) -> str:
    part = plug.settings().get("part") if kind == "datasets" else None
    return f"{name}/{part}" if isinstance(part, str) and part else name


def _only(source: Located, place: located.Place, chosen: Any, attacks: list[str]) -> tuple[str, ...]:
    """The attacks that run on one data set."""
    if not isinstance(chosen, list) or not chosen:
        raise source.error(place, f"found {chosen!r}. Expected a list of attacks of this study.")
    for k, label in enumerate(chosen):
        if label not in attacks:
            raise source.error(
                (*place, k),
                f"found {label!r}. Expected one of {', '.join(attacks)}.{nearest(label, attacks)}",
            )
    return tuple(chosen)


def _with_always(source: Located, judges: tuple[Item[Judge], ...]) -> tuple[Item[Judge], ...]:
    """Every study has the judge `not-refused`: one column alone can hide what the other shows."""
    if any(item.name == ALWAYS for item in judges):
        return judges
    return (_item(source, "judges", 0, ALWAYS, None), *judges)


def default_judges(victims: Sequence[Victim], datasets: Sequence[Dataset]) -> list[str]:
    """The judges of success of a study that names none: of each data set the first one that it names and that is valid
    for every victim. Only `not-refused` where a data set has none, since no judge is right about all."""
    worlds = {victim.world for victim in victims}
    chosen = [next((name for name in dataset.judges if _is_valid(name, worlds)), ALWAYS) for dataset in datasets]
    return [ALWAYS] if ALWAYS in chosen else list(dict.fromkeys(chosen))


def _is_valid(judge: str, worlds: set[str]) -> bool:
    valid_in = registry.entry("judges", judge).load().valid_in  # type: ignore[attr-defined]
    return valid_in is None or worlds <= set(valid_in)


def _met(
    source: Located, metrics: tuple[Item[Metric], ...], judges: tuple[Item[Judge], ...]
) -> tuple[Item[Metric], ...]:
    """The metrics whose judges the study has. One that only a data set names is left out where they are missing."""
    missing = {k: lacking for k, item in enumerate(metrics) if (lacking := unmet(item.plug, judges))}
    if "metrics" in source.values:
        for k, lacking in missing.items():
            known = ", ".join(item.label for item in judges)
            raise source.error(
                ("metrics", k), f"needs the judge {lacking[0]}. Expected it among `judges:`; found {known}."
            )
    return tuple(item for k, item in enumerate(metrics) if k not in missing)


def _success(source: Located, items: Sequence[Item[Judge]], usual: list[str]) -> str:
    """usual: what `default_judges` chose, where it did. A judge whose 1 says that the victim refused decides none:
    its rate would be called a success of the attack."""
    judges = [item.label for item in items if item.plug.says != "refused"]
    others = usual or [label for label in judges if label != ALWAYS] or judges
    chosen = source.values.get("success", others[0] if len(others) == 1 else None)
    if chosen is None:
        raise source.error(
            (), f"success: missing. Expected the judge that decides success, one of {', '.join(judges)}."
        )
    if chosen in [item.label for item in items if item.plug.says == "refused"]:
        raise source.error(
            ("success",),
            f"found {chosen!r}, whose 1 says that the victim refused: no success of an attack. Expected one of "
            f"{', '.join(judges)}; {ALWAYS} is the complement of refusal.",
        )
    if chosen not in judges:
        raise source.error(
            ("success",), f"found {chosen!r}. Expected one of {', '.join(judges)}.{nearest(chosen, judges)}"
        )
    return str(chosen)


def _name(source: Located) -> str:
    name = source.values.get("name", Path(source.file).stem)
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise source.error(("name",), f"found {name!r}. Expected letters, digits, dots, dashes and underscores.")
    return name


def _whole(source: Located, name: str, default: int, least: int | None = 1) -> int:
    value = source.values.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        wanted = "a whole number" + (f", at least {least}" if least is not None else "")
        raise source.error((name,), f"found {value!r}. Expected {wanted}.")
    return value


def _budget(source: Located) -> Budget | None:
    """`budget: 200`, `budget: 60 s`, ...; None where the study has none."""
    value = source.values.get("budget")
    if value is None:
        return None
    try:
        budget = Budget.read(value)
    except ValueError:
        budget = Budget(0)
    if not budget.amount:
        raise source.error(("budget",), f"found {value!r}. Expected {EXAMPLES}.")
    return budget


def every_item(study: Study) -> Iterator[tuple[Kind, Item[Any]]]:
    """All items of the study with their kind."""
    for item in study.victims:
        yield "victims", item
    for attack in study.attacks:
        yield "attacks", attack
    for defense in study.defenses:
        yield "defenses", defense
    for dataset in study.datasets:
        yield "datasets", dataset
    for judge in study.judges:
        yield "judges", judge
    for metric in study.metrics:
        yield "metrics", metric
