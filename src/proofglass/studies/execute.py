"""The executor of a cell: craft, ask, record. Whoever runs cells calls it: the local runner, a task, a table.

`run_chunk` is pure: it asks the victim that it is given and writes nothing. `run_cell` crafts, drives one chunk after
another, and leaves the pictures in a `Sink`. A failure costs its own sample.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from proofglass.attacks.crafting.apart import check_apart
from proofglass.engine.progress import watched_by
from proofglass.errors import ImageError, StoreError, is_environment
from proofglass.faults import one_line, stops_the_run, told
from proofglass.flow import AnswerOf, Driven, Flow, begun, drive
from proofglass.interfaces import Attack, Defense, Victim, opened_through, rebased
from proofglass.records.columns import of_reply, of_sample
from proofglass.records.crafts import Crafted
from proofglass.records.schema import Record, attempt_key, chat_to_json, utf8
from proofglass.studies.craft import craft
from proofglass.studies.plan import Cell, looks_inside
from proofglass.studies.progress import Progress
from proofglass.studies.rows import Row
from proofglass.studies.sink import Sink
from proofglass.types import Artefact, Ask, BadSample, Budget, Chat, Cost, Image, Reply, Sample, Settings

# What an attack was crafted on: nothing of any victim; this very victim, undefended; the bare victim, though a defense
# stands before it; the victim seen through its defense; another model.
Crafting = Literal["nothing", "direct", "static", "adaptive", "transfer"]


@dataclass(frozen=True)
class Target:
    """What an attack is crafted on. crafting: what that is to the cell, for an attack that looks into it."""

    victim: Victim
    crafting: Crafting


@dataclass(frozen=True)
class Trial:
    """What a cell measures. victim: the one that is asked, behind its defense. budget: of crafting one picture.
    answer_of: gives the answers of a helper that the attack asks, None: the helper's own."""

    cell: Cell
    victim: Victim
    target: Target
    settings: Settings
    budget: Budget | None = None
    answer_of: AnswerOf | None = None
    ready: Attack | None = None

    @property
    def attack(self) -> Attack:
        return self.ready or self.cell.attack.plug

    def crafting(self, bought: Sequence[Crafted]) -> Crafting:
        """What the cell's crafting looked at, by its first artefact."""
        first = next((artefact for crafted in bought for artefact in crafted.artefacts), None)
        return crafting_of(self.attack, self.target, first)


@dataclass(frozen=True)
class Ended:
    """How a row ended. chat: what was asked in the end; None if nothing was."""

    reply: Reply
    chat: Chat | None = None
    artefact: Artefact | None = None


@dataclass(frozen=True)
class Done:
    """A row that is through, and its record."""

    row: Row
    ended: Ended
    record: Record

    @property
    def pictures(self) -> tuple[Image, ...]:
        """Those that were shown."""
        return self.ended.chat.images if self.ended.chat else ()


@dataclass(frozen=True)
class Chunk:
    """What a chunk brought. rows: how many it had, those without a record included; bought: what serves it; shared:
    what was crafted once for all chunks before, None where nothing was."""

    rows: int
    done: tuple[Done, ...]
    bought: Crafted
    shared: Crafted | None = None

    @property
    def records(self) -> list[Record]:
        return [each.record for each in self.done]


def trial_of(
    cell: Cell,
    model: Victim,
    settings: Settings,
    budget: Budget | None = None,
    through: Callable[[Victim], Victim] = lambda victim: victim,
    answer_of: AnswerOf | None = None,
    defense: Defense | None = None,
) -> Trial:
    """`cell` on `model`. A defense gets the model itself; `through` (a journal) goes around what stands innermost in
    the finished stack: the model, or what the defense has put in its place. answer_of: gives the answers of the helpers
    of attack and defense (a journal's), None: their own. defense: that of the cell, fitted to `model`
    (`fitting.fitted`); None: as the cell has it."""
    defense = defense or cell.defense.plug
    with one_line("defense", defense, f"defense {cell.defense.label}"):
        stack = defense(model)
        target = target_of(cell.attack.plug, defense, model, cell.adaptive)
    return Trial(cell, rebased(stack, through, answer_of), target, settings, budget, answer_of)


def target_of(attack: Attack, defense: Defense, model: Victim, adaptive: bool = True) -> Target:
    """What `attack` is crafted on: `model` seen through `defense` where that opens itself, else the bare model."""
    seen = opened_through(defense, model) if looks_inside(attack) else None
    if defense.name == "none" or seen is model:
        return Target(model, "direct")
    return Target(seen, "adaptive") if adaptive and seen is not None else Target(model, "static")


def crafting_of(attack: Attack, target: Target, artefact: Artefact | None) -> Crafting:
    """The recorded fact. Replies that were asked for while crafting are a look into the victim, too."""
    if not looks_inside(attack) and not (artefact and artefact.cost.queries):
        return "nothing"
    if artefact and artefact.crafted_on not in ("", target.victim.key):
        return "transfer"
    return target.crafting


def craft_all(trial: Trial, sink: Sink) -> Iterator[Crafted]:
    """Craft for all chunks of a cell before any of its samples is asked. Raises what crafting raises."""
    if trial.attack.scope != "sample":
        yield craft_universal(trial, sink, Progress())
        return
    trial, _ = readied(trial, sink, Progress())
    for rows in trial.cell.rows.chunks():
        if samples := [row for row in rows if isinstance(row, Sample)]:
            yield _craft(trial, samples, sink)


def run_cell(trial: Trial, sink: Sink, watch: Progress | None = None) -> Iterator[Chunk]:
    """Craft, ask and record, chunk by chunk. Pictures are in `sink` before their chunk is handed out.

    Raises UsageError for a crafting split that cannot be used and for universal crafting that fails, StoreError where
    the sink cannot be written, and what stops a run (`faults.stops_the_run`).
    """
    watch = watch or Progress()
    universal = craft_universal(trial, sink, watch) if trial.attack.scope != "sample" else None
    trial, shared = readied(trial, sink, watch)
    seconds = shared.seconds if shared else 0.0
    watch.crafted(universal.seconds if universal else seconds)
    for number, rows in enumerate(trial.cell.rows.chunks()):
        faults = _broken_pictures(rows, sink)
        if universal:
            bought = universal
        else:
            bought, broke = craft_chunk(trial, rows, faults, sink, watch)
            seconds += bought.seconds
            faults |= broke
        done = tuple(_kept(each, trial, sink) for each in run_chunk(trial, rows, number, bought, faults))
        yield Chunk(len(rows), done, bought, shared)
    watch.crafted(seconds)


def readied(trial: Trial, sink: Sink, watch: Progress) -> tuple[Trial, Crafted | None]:
    """`trial` with what its attack crafts once for all samples, though it crafts for each, and that; None where it has
    nothing of the kind."""
    part = trial.attack.shared()
    if part is None:
        return trial, None
    shared = craft_universal(trial, sink, watch, part)
    return dataclasses.replace(trial, ready=trial.attack.after(shared.artefacts[0])), shared


def craft_universal(trial: Trial, sink: Sink, watch: Progress, part: Attack | None = None) -> Crafted:
    """The artefact that serves all samples, crafted on the crafting split, which holds none of them. part: of the
    attack, where not all of it is crafted so."""
    dataset, attack = trial.cell.dataset, part or trial.attack
    with one_line("dataset", dataset.plug, f"data set {dataset.label}: its crafting split"):
        crafting = tuple(dataset.plug.crafting())
        if odd := next((type(row).__name__ for row in crafting if not isinstance(row, Sample)), ""):
            raise TypeError(f"a {odd} among its samples, expected a Sample each")
    check_apart(crafting, trial.cell.rows.samples())
    with watched_by(watch.crafting), one_line("attack", attack, f"attack {attack.name}: crafting failed"):
        return _craft(trial, crafting, sink, attack)


def craft_chunk(
    trial: Trial, rows: Sequence[Row], faults: Mapping[str, str], sink: Sink, watch: Progress
) -> tuple[Crafted, dict[str, str]]:
    """What was crafted for the samples of a chunk that have no fault, and why none of it was where it broke: sample id
    -> reason. Other chunks craft their own."""
    samples = [row for row in rows if isinstance(row, Sample) and row.id not in faults]
    try:
        with watched_by(watch.crafting):
            return (_craft(trial, samples, sink) if samples else Crafted("", ())), {}
    except StoreError:
        raise
    except BaseException as error:
        if stops_the_run(error):
            raise
        reason = f"attack {trial.attack.name}: crafting failed: {told(error, 'attack', trial.attack)}"
        return Crafted("", ()), {sample.id: reason for sample in samples}


def _craft(trial: Trial, samples: Sequence[Sample], sink: Sink, attack: Attack | None = None) -> Crafted:
    seed, budget = trial.cell.seed, trial.budget
    return craft(attack or trial.attack, trial.target.victim, samples, seed=seed, budget=budget, sink=sink)


def run_chunk(
    trial: Trial, rows: Sequence[Row], number: int, bought: Crafted, faults: Mapping[str, str] | None = None
) -> list[Done]:
    """Drive the dialogues of all samples together, one batch per round, and record how they ended.

    number: of the chunk. faults: row id -> why it is not asked. A row of which an ask could not be sent (a budget is
    spent) is left out: it is not failed, it is still to do. Raises what the victim's `reply` raises.
    """
    faults, ended = faults or {}, dict[str, Ended]()
    flows: list[Flow[tuple[Chat, Reply]]] = []
    asked: list[tuple[Sample, Artefact]] = []
    for row in rows:
        artefact = bought.of(row.id)
        if isinstance(row, BadSample):
            ended[row.id] = _failed(row.reason)
        elif row.id in faults:
            ended[row.id] = _failed(faults[row.id])
        elif artefact is None:
            ended[row.id] = _failed(f"attack {trial.attack.name}: crafted nothing for this sample")
        else:
            asked.append((row, artefact))
            first = Ask(row.chat, trial.settings)
            flows.append(begun(partial(trial.attack.converse, artefact, row, first)))
    for (sample, artefact), end in zip(asked, drive(flows, trial.victim.reply, trial.answer_of), strict=True):
        if not end.unsent:
            ended[sample.id] = _ended(trial.attack, artefact, end)
    return [_done(trial, row, number, ended[row.id], bought.key) for row in rows if row.id in ended]


def _failed(reason: str) -> Ended:
    return Ended(Reply.error(reason, Cost()))


def _ended(attack: Attack, artefact: Artefact, end: Driven[tuple[Chat, Reply]]) -> Ended:
    if end.error is not None:
        return Ended(_broke(attack, told(end.error, "attack", attack), end), None, artefact)
    match end.value:
        case (Chat() as chat, Reply() as reply):
            return Ended(dataclasses.replace(reply, cost=end.cost, helpers=end.helpers), chat, artefact)
    reason = f"its dialogue returned a {type(end.value).__name__}, expected the last chat and its reply"
    return Ended(_broke(attack, reason, end), None, artefact)


def _broke(attack: Attack, reason: str, end: Driven[tuple[Chat, Reply]]) -> Reply:
    failed = Reply.error(f"attack {attack.name}: {reason}", end.cost)
    return dataclasses.replace(failed, helpers=end.helpers)


def _broken_pictures(rows: Sequence[Row], sink: Sink) -> dict[str, str]:
    """Sample id -> why a picture of it cannot be read; the others are in `sink` then."""
    return {row.id: reason for row in rows if isinstance(row, Sample) and (reason := _put(row.chat.images, sink))}


def _put(pictures: Sequence[Image], sink: Sink) -> str:
    """Keep `pictures`; why one of them cannot be read, empty if all can."""
    try:
        for picture in pictures:
            sink.put_image(picture)
    except ImageError as error:
        if is_environment(error):
            raise
        return str(error)
    return ""


def _kept(done: Done, trial: Trial, sink: Sink) -> Done:
    """`done`, its pictures in `sink`; failed where one of them cannot be read."""
    if reason := _put(done.pictures, sink):
        failed = dataclasses.replace(Reply.error(reason, done.ended.reply.cost), helpers=done.ended.reply.helpers)
        ended = dataclasses.replace(done.ended, reply=failed, chat=None)
        return _done(trial, done.row, done.record.chunk, ended, done.record.artefact or "")
    return done


def _done(trial: Trial, row: Row, chunk: int, ended: Ended, artefact_key: str) -> Done:
    """With its flat record."""
    cell, sample, reply = trial.cell, row if isinstance(row, Sample) else None, ended.reply
    chat = ended.chat or Chat()
    clean = sample.chat.images[0] if sample and sample.chat.images else None
    if clean is None and ended.artefact and ended.artefact.clean:
        clean = ended.artefact.clean
    victim, attack, defense, dataset = cell.plug_keys
    conversation = chat_to_json(chat)
    record = Record(
        cell=cell.key,
        victim=cell.victim.label,
        attack=cell.attack.label,
        defense=cell.defense.label,
        dataset=cell.dataset.label,
        victim_key=victim,
        attack_key=attack,
        defense_key=defense,
        dataset_key=dataset,
        **(of_sample(row) if isinstance(row, Sample) else _of_bad(row, cell)),
        attacked_text=utf8(chat.last_text),
        clean_image=clean.sha256 if clean else None,
        attacked_images=[image.sha256 for image in chat.images],
        **of_reply(reply),
        crafted_on=ended.artefact.crafted_on if ended.artefact else "",
        artefact=artefact_key or None,
        conversation=conversation,
        attempt=attempt_key(conversation, utf8(reply.text), reply.outcome),
        settings=json.dumps(trial.settings.told()),
        seed=cell.seed,
        chunk=chunk,
        crafting=crafting_of(trial.attack, trial.target, ended.artefact),
    )
    return Done(row, ended, record)


def _of_bad(row: BadSample, cell: Cell) -> dict[str, Any]:
    """The columns of a row that is no sample."""
    names = {"sample_id": row.id, "cluster": row.id, "category": row.category, "source": row.dataset}
    return {**names, "split": "", "expected": cell.rows.expected, "question": ""}
