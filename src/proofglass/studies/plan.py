"""What a study comes to: its cells, in order, with their samples, seeds and expected asks; and the manifest.

A cell's key holds everything that its numbers depend on: labels, plugs, the samples themselves, seed, settings
and chunk size. Seeds derive from names, never from order, so running cells in another order changes nothing. Of the
samples the plan keeps what names them (`studies.rows`), so that a million take little memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from proofglass.errors import UsageError
from proofglass.faults import one_line
from proofglass.interfaces import ACCESS, NEEDS, Attack, Dataset, Defense, Paper, Victim, WhiteBoxVictim, key_of
from proofglass.records.schema import SCHEMA_VERSION, plain
from proofglass.registry import Kind
from proofglass.studies.asks import asks_of, of_judge
from proofglass.studies.rows import Rows, read
from proofglass.studies.study import Item, Study, every_item


@dataclass(frozen=True)
class Cell:
    """One victim x attack x defense x data set. skip: why it cannot run, empty if it can.

    plug_keys: of victim, attack, defense and data set, as they were when the plan was made. seed: of the crafting.
    asks: how many asks of the victim its answers are expected to take, at most in most cases; helper_asks: and of the
    helpers of its attack and defense; judge_asks: and of the helpers of the study's judges, at most: an answer that two
    judges or two cells share is asked for once. adaptive: the attack is crafted through the defense where that opens
    itself.
    """

    key: str
    victim: Item[Victim]
    attack: Item[Attack]
    defense: Item[Defense]
    dataset: Item[Dataset]
    rows: Rows = field(repr=False)
    plug_keys: tuple[str, ...]
    seed: int
    asks: int
    skip: str = ""
    adaptive: bool = True
    helper_asks: int = 0
    judge_asks: int = 0

    @property
    def title(self) -> str:
        labels = (self.victim.label, self.attack.label, self.defense.label, self.dataset.label)
        return " x ".join(labels)

    @property
    def crafted_through(self) -> str:
        """Label of the defense that the crafting looks through, as far as a plan can tell; "" for the bare model."""
        plug = self.defense.plug.stands_for
        opens_itself = plug.name != "none" and type(plug).opened is not Defense.opened
        return self.defense.label if self.adaptive and looks_inside(self.attack.plug) and opens_itself else ""


@dataclass(frozen=True)
class Plan:
    """The cells of a study in order, victims outermost. limit: first samples of each data set, None for all."""

    study: Study
    cells: tuple[Cell, ...]
    limit: int | None = None

    @property
    def asks(self) -> int:
        """Expected asks of all cells that can run."""
        return sum(cell.asks for cell in self.cells if not cell.skip)

    @property
    def judge_asks(self) -> int:
        """Expected asks of the helpers of judges, at most, of all cells that can run."""
        return sum(cell.judge_asks for cell in self.cells if not cell.skip)


def expand(study: Study, limit: int | None = None) -> Plan:
    """The plan of `study`. Reads the data sets through once and keeps no large one; builds no model.

    Raises UsageError if a data set cannot be read, ValueError if limit < 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, found {limit}")
    keys = {(kind, item.label): _key(study, kind, item) for kind, item in every_item(study)}
    rows = {item.label: read(item.plug, item.label, study.source, limit, study.chunk) for item in study.datasets}
    judging = {
        label: found.good * sum(of_judge(judge.plug, found.samples()) for judge in study.judges)
        for label, found in rows.items()
    }
    cells = tuple(
        _cell(study, limit, victim, attack, defense, dataset, rows[dataset.label], keys, judging[dataset.label])
        for victim in study.victims
        for attack in study.attacks
        for defense in study.defenses
        for dataset in study.datasets
        if dataset.only is None or attack.label in dataset.only
    )
    if not cells:
        raise UsageError(f"{study.source}: no data set takes any of its attacks: nothing to run.")
    return Plan(study, cells, limit)


def _cell(
    study: Study,
    limit: int | None,
    victim: Item[Victim],
    attack: Item[Attack],
    defense: Item[Defense],
    dataset: Item[Dataset],
    rows: Rows,
    keys: Mapping[tuple[Kind, str], str],
    judge_asks: int,
) -> Cell:
    items: tuple[tuple[Kind, Item[Any]], ...] = (
        ("victims", victim), ("attacks", attack), ("defenses", defense), ("datasets", dataset),
    )  # fmt: skip
    named = [[item.label, keys[kind, item.label]] for kind, item in items]
    adaptive = study.adaptive if attack.adaptive is None else attack.adaptive
    budget = study.budget and study.budget.plain
    told = [named, rows.key, study.seed, study.settings.told(), study.chunk, budget, limit]
    if not adaptive and looks_inside(attack.plug):
        told.append("not adaptive")
    each = asks_of(attack.plug, defense.plug, rows.samples())
    return Cell(
        key=key_of(told),
        victim=victim,
        attack=attack,
        defense=defense,
        dataset=dataset,
        rows=rows,
        plug_keys=tuple(key for _, key in named),
        seed=derive(study.seed, "craft", attack.name, victim.name),
        asks=rows.good * each.victim,
        helper_asks=rows.good * each.helpers,
        judge_asks=judge_asks,
        skip=_skip(victim.plug, attack.plug, defense.plug),
        adaptive=adaptive,
    )


def _key(study: Study, kind: Kind, item: Item[Any]) -> str:
    """The key of a plug, whose own code may raise anything; so may its settings, which the manifest holds as JSON."""
    with one_line(kind[:-1], item.plug, f"{study.source}: {kind[:-1]} {item.label}: its settings or key"):
        json.dumps(plain(item.plug.settings()))
        return str(item.plug.key)


def looks_inside(attack: Attack) -> bool:
    """Whether crafting looks into the victim: its scores, its encoder, its gradients."""
    return attack.opens != "nothing"


def _skip(victim: Victim, attack: Attack, defense: Defense | None = None) -> str:
    for member in getattr(defense, "members", (defense,)):
        if member is not None and member.needs_model and not isinstance(victim, WhiteBoxVictim):
            return f"{member.name} needs the {member.needs_model} of a model, this victim gives replies only"
    if looks_inside(attack) and not isinstance(victim, WhiteBoxVictim):
        return f"{attack.name} needs {NEEDS[attack.opens]} ({ACCESS[attack.opens]}), this victim gives replies only"
    if "image" in attack.changes and not victim.sees_images:
        return f"{attack.name} changes the picture, this victim takes text only"
    return ""


def derive(seed: int, *names: str) -> int:
    """A seed in 0..2^31-1 for what `names` say, from the study's seed."""
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def manifest(plan: Plan) -> dict[str, Any]:
    """What the run folder says about itself (contract: `Store.manifest`)."""
    study = plan.study
    plugs: dict[str, dict[str, Any]] = {}
    for kind, item in every_item(study):
        plugs.setdefault(kind, {})[item.label] = describe(kind, item)
    return {
        "name": study.name,
        "schema_version": SCHEMA_VERSION,
        "seed": study.seed,
        "settings": study.settings.told(),
        "chunk": study.chunk,
        "budget": study.budget and study.budget.plain,
        "limit": plan.limit,
        "adaptive": study.adaptive,
        "judges": [item.label for item in study.judges],
        "success": study.success,
        "metrics": [item.label for item in study.metrics],
        "study_text": study.text,
        "plugs": plugs,
        "cards": {item.label: _card(item) for item in study.victims},
        "plan": [_planned(cell) for cell in plan.cells],
        "versions": {name: _version(name) for name in ("proofglass", "torch", "transformers", "numpy", "pillow")}
        | {"python": platform.python_version()},
        "platform": platform.platform(),
        **_machine(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _card(item: Item[Victim]) -> Any:
    with one_line("victim", item.plug, f"victim {item.label}: its card"):
        return plain(item.plug.card())


def describe(kind: str, item: Item[Any]) -> dict[str, Any]:
    """What the manifest says about a plug: name, key, version, settings without secrets, paper, and its kind's own."""
    own = {
        "victims": ("sees_images", "world"),
        "attacks": ("opens", "threat", "changes", "scope"),
        "datasets": ("licence", "judges", "borderline"),
        "judges": ("column", "aspect", "says", "valid_in", "measured", "reads_reasoning"),
        "metrics": ("column", "needs", "by", "range", "better"),
    }.get(kind, ())
    paper: Paper | None = item.plug.paper
    return {
        "name": item.name,
        "key": item.plug.key,
        "version": item.plug.version,
        "settings": plain(item.plug.settings()),
        "paper": asdict(paper) if paper else None,
        **{name: plain(getattr(item.plug, name)) for name in own},
    }


def _planned(cell: Cell) -> dict[str, Any]:
    return {
        "cell": cell.key,
        "victim": cell.victim.label,
        "attack": cell.attack.label,
        "defense": cell.defense.label,
        "dataset": cell.dataset.label,
        "planned": len(cell.rows),
        "asks": cell.asks,
        "helper_asks": cell.helper_asks,
        "judge_asks": cell.judge_asks,
        "seed": cell.seed,
        "adaptive": cell.adaptive,
        "skip": cell.skip,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        return {"device": "cpu", "threads": os.cpu_count()}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"device": device, "threads": torch.get_num_threads()}
