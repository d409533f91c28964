"""What a study comes to: its cells, in order, with their samples, seeds and expected asks; and the manifest.

A cell's key holds everything that its numbers depend on: labels, plugs, the samples themselves, seed, settings
and chunk size. Seeds derive from names, never from order, so running cells in another order changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any

from proofglass.errors import ProofglassError, UsageError
from proofglass.faults import one_line, stops_the_run, told
from proofglass.flow import begun, drive
from proofglass.interfaces import ACCESS, NEEDS, Attack, Dataset, Defense, Paper, Victim, WhiteBoxVictim, key_of
from proofglass.records.schema import SCHEMA_VERSION, plain
from proofglass.registry import Kind
from proofglass.studies.rows import Row, sound
from proofglass.studies.study import Item, Study, every_item
from proofglass.types import Ask, BadSample, Chat, Reply, Sample, Seconds

_ENDLESS = 64  # a defense that asks on and on is expected to ask so often


@dataclass(frozen=True)
class Cell:
    """One victim x attack x defense x data set. skip: why it cannot run, empty if it can.

    plug_keys: of victim, attack, defense and data set, as they were when the plan was made. seed: of the crafting.
    asks: how many asks its answers are expected to take, at most in most cases.
    """

    key: str
    victim: Item[Victim]
    attack: Item[Attack]
    defense: Item[Defense]
    dataset: Item[Dataset]
    rows: tuple[Row, ...] = field(repr=False)
    plug_keys: tuple[str, ...]
    seed: int
    asks: int
    skip: str = ""

    @property
    def title(self) -> str:
        labels = (self.victim.label, self.attack.label, self.defense.label, self.dataset.label)
        return " x ".join(labels)

    @property
    def expected(self) -> str:
        """What a row too bad to say so itself was expected to bring: what its data set's first sample is."""
        return next((row.expected for row in self.rows if isinstance(row, Sample)), "")

    def chunks(self, size: int) -> Iterator[tuple[Row, ...]]:
        """The rows in their fixed batches: the same after any resume."""
        for start in range(0, len(self.rows), size):
            yield self.rows[start : start + size]


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


def expand(study: Study, limit: int | None = None) -> Plan:
    """The plan of `study`. Reads the data sets; builds no model.

    Raises UsageError if a data set cannot be read, ValueError if limit < 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, found {limit}")
    keys = {(kind, item.label): _key(study, kind, item) for kind, item in every_item(study)}
    rows = {item.label: _read(study, item, limit) for item in study.datasets}
    names = {label: rows_key(found) for label, found in rows.items()}
    cells = tuple(
        _cell(study, limit, victim, attack, defense, dataset, rows[dataset.label], names[dataset.label], keys)
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
    rows: tuple[Row, ...],
    rows_name: str,
    keys: Mapping[tuple[Kind, str], str],
) -> Cell:
    items: tuple[tuple[Kind, Item[Any]], ...] = (
        ("victims", victim), ("attacks", attack), ("defenses", defense), ("datasets", dataset),
    )  # fmt: skip
    named = [[item.label, keys[kind, item.label]] for kind, item in items]
    key = key_of([named, rows_name, study.seed, asdict(study.settings), study.chunk, study.budget, limit])
    good = sum(isinstance(row, Sample) for row in rows)
    return Cell(
        key=key,
        victim=victim,
        attack=attack,
        defense=defense,
        dataset=dataset,
        rows=rows,
        plug_keys=tuple(key for _, key in named),
        seed=derive(study.seed, "craft", attack.name, victim.name),
        asks=good * asks_of(defense.plug),
        skip=_skip(victim.plug, attack.plug),
    )


def _key(study: Study, kind: Kind, item: Item[Any]) -> str:
    """The key of a plug, whose own code may raise anything; so may its settings, which the manifest holds as JSON."""
    with one_line(kind[:-1], item.plug, f"{study.source}: {kind[:-1]} {item.label}: its settings or key"):
        json.dumps(plain(item.plug.settings()))
        return str(item.plug.key)


def _read(study: Study, item: Item[Dataset], limit: int | None) -> tuple[Row, ...]:
    """The rows of a data set. What it raises, `SystemExit` included, is one line that names it and the row."""
    rows: list[Row] = []
    try:
        for row in islice(_rows(item.plug), limit):
            rows.append(row)
    except BaseException as error:
        if stops_the_run(error):
            raise
        known = isinstance(error, (ProofglassError, ValueError, OSError)) and not rows
        reason = str(error) if known else f"row {len(rows) + 1}: {told(error, 'dataset', item.plug)}"
        raise UsageError(f"{study.source}: data set {item.label}: {reason}") from error
    return tuple(rows)


def _rows(dataset: Dataset) -> Iterator[Row]:
    """The rows of a data set; one whose id was there before is a bad one. Raises TypeError for what is no row."""
    seen: set[str] = set()
    for given in dataset:
        if not isinstance(given, (Sample, BadSample)):
            raise TypeError(f"a {type(given).__name__}, expected a Sample or a BadSample")
        row = sound(given)
        if row.id in seen:
            name = next(n for k in range(2, len(seen) + 3) if (n := f"{row.id}#{k}") not in seen)
            row = BadSample(name, row.dataset, f"sample id {row.id!r} stands twice", row.category)
        seen.add(row.id)
        yield row


def _skip(victim: Victim, attack: Attack) -> str:
    if attack.opens != "nothing" and not isinstance(victim, WhiteBoxVictim):
        return f"{attack.name} needs {NEEDS[attack.opens]} ({ACCESS[attack.opens]}), this victim gives replies only"
    if "image" in attack.changes and not victim.sees_images:
        return f"{attack.name} changes the picture, this victim takes text only"
    return ""


def asks_of(defense: Defense) -> int:
    """How many asks one dialogue of `defense` takes if the victim never says anything."""
    asked = 0

    def silence(asks: Sequence[Ask]) -> list[Reply]:
        nonlocal asked
        asked += len(asks)
        if asked > _ENDLESS:
            raise _Endless
        return [Reply()] * len(asks)

    try:
        drive([begun(lambda: defense.flow(Ask(Chat.user(""))))], silence)
    except _Endless:
        return _ENDLESS
    return max(asked, 1)


class _Endless(Exception):
    pass


def derive(seed: int, *names: str) -> int:
    """A seed in 0..2^31-1 for what `names` say, from the study's seed."""
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def rows_key(rows: Sequence[Row]) -> str:
    """Names samples by all that they hold."""
    return key_of(
        [plain(replace(row, chat=Chat())) | {"chat": key_of(row.chat)} if isinstance(row, Sample) else plain(row)
         for row in rows]
    )  # fmt: skip


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
        "settings": asdict(study.settings),
        "chunk": study.chunk,
        "budget": repr(study.budget) if isinstance(study.budget, Seconds) else study.budget,
        "limit": plan.limit,
        "judges": [item.label for item in study.judges],
        "success": study.success,
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
        "datasets": ("licence",),
        "judges": ("column", "aspect", "valid_in", "measured"),
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
        "seed": cell.seed,
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
