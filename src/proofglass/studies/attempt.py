"""One chunk of one cell: attack -> ask -> record, and judging. A failure costs its own sample."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from proofglass.console import REASON, cut
from proofglass.errors import ImageError, StoreError, is_environment
from proofglass.evaluation.metrics.answers import is_withheld
from proofglass.faults import stops_the_run, told
from proofglass.flow import Driven, Flow, begun, drive
from proofglass.interfaces import Attack, Victim
from proofglass.records.columns import attempt_of, of_reply, of_sample
from proofglass.records.crafts import Crafted
from proofglass.records.schema import Record, chat_to_json, utf8, without_id
from proofglass.records.store import Store
from proofglass.studies.craft import craft
from proofglass.studies.plan import Cell
from proofglass.studies.rows import Row
from proofglass.types import Artefact, Ask, Attempt, BadSample, Chat, Cost, Reply, Sample, Score, Settings


@dataclass(frozen=True)
class Trial:
    """What the chunks of one cell share. victim: behind its defense, asks journaled; model: what is attacked."""

    cell: Cell
    attack: Attack
    victim: Victim
    model: Victim
    settings: Settings
    budget: float | None
    store: Store


@dataclass(frozen=True)
class Ended:
    """How one row ended. chat: what was asked in the end; None if nothing was asked. An unsent reply: it did not end,
    and is not recorded."""

    reply: Reply
    chat: Chat | None = None
    artefact: Artefact | None = None


def attempt(trial: Trial, rows: Sequence[Row], chunk: int, universal: Crafted | None) -> tuple[list[Record], Crafted]:
    """The records of one chunk, and what was bought for it (`universal` where that was given).

    A row of which an ask could not be sent (a budget is spent) has no record: it is not failed, it is still to do.
    """
    unsent = set()
    ended: dict[str, Ended] = {}
    samples = []
    for row in rows:
        reason = _fault(row, trial.store)
        if reason:
            ended[row.id] = Ended(Reply.error(reason, Cost()))
        elif isinstance(row, Sample):
            samples.append(row)
    try:
        bought = universal or (buy(trial, samples) if samples else Crafted("", ()))
    except StoreError:
        raise
    except BaseException as error:  # this chunk's crafting failed; the other chunks buy their own
        if stops_the_run(error):
            raise
        bought = Crafted("", ())
        reason = f"attack {trial.attack.name}: crafting failed: {told(error, 'attack', trial.attack)}"
        ended |= {sample.id: Ended(Reply.error(reason, Cost())) for sample in samples}
    else:
        asked = ask(trial, samples, bought)
        unsent = {sample.id for sample in samples if sample.id not in asked}
        ended |= asked
    return [record(trial, row, chunk, ended[row.id], bought.key) for row in rows if row.id not in unsent], bought


def _fault(row: Row, store: Store) -> str:
    """Why a row cannot be used; keeps its pictures otherwise."""
    if not isinstance(row, Sample):
        return row.reason
    try:
        for image in row.chat.images:
            store.put_image(image)
    except ImageError as error:
        if is_environment(error):
            raise
        return str(error)
    return ""


def buy(trial: Trial, samples: Sequence[Sample]) -> Crafted:
    """Craft on `samples`. Raises what crafting raises."""
    return craft(
        trial.attack,
        trial.model,
        samples,
        seed=trial.cell.seed,
        budget=trial.budget,
        store=trial.store,
    )


def ask(trial: Trial, samples: Sequence[Sample], bought: Crafted) -> dict[str, Ended]:
    """Drive the dialogues of all samples together, one batch per round. Samples with an unsent ask are left out."""
    ended: dict[str, Ended] = {}
    flows: list[Flow[tuple[Chat, Reply]]] = []
    asked: list[tuple[Sample, Artefact]] = []
    for sample in samples:
        artefact = bought.of(sample.id)
        if artefact is None:
            reason = f"attack {trial.attack.name}: crafted nothing for this sample"
            ended[sample.id] = Ended(Reply.error(reason, Cost()))
        else:
            asked.append((sample, artefact))
            first = Ask(sample.chat, trial.settings)
            flows.append(begun(partial(trial.attack.converse, artefact, sample, first)))
    for (sample, artefact), end in zip(asked, drive(flows, trial.victim.reply), strict=True):
        if not end.unsent:
            ended[sample.id] = _ended(trial.attack, artefact, end)
    return ended


def _ended(attack: Attack, artefact: Artefact, end: Driven[tuple[Chat, Reply]]) -> Ended:
    if end.error is not None:
        reason = told(end.error, "attack", attack)
        return Ended(Reply.error(f"attack {attack.name}: {reason}", end.cost), None, artefact)
    match end.value:
        case (Chat() as chat, Reply() as reply):
            return Ended(dataclasses.replace(reply, cost=end.cost), chat, artefact)
    reason = f"its dialogue returned a {type(end.value).__name__}, expected the last chat and its reply"
    return Ended(Reply.error(f"attack {attack.name}: {reason}", end.cost), None, artefact)


def record(trial: Trial, row: Row, chunk: int, end: Ended, artefact_key: str) -> Record:
    """One flat row; the pictures it names are in the store when it is made."""
    cell, sample, reply = trial.cell, row if isinstance(row, Sample) else None, end.reply
    chat = end.chat or Chat()
    try:
        attacked = [trial.store.put_image(image) for image in chat.images]
    except ImageError as error:
        if is_environment(error):
            raise
        reply, chat, attacked = Reply.error(str(error), reply.cost), Chat(), []
    clean = sample.chat.images[0] if sample and sample.chat.images else None
    if clean is None and end.artefact and end.artefact.clean:
        clean = end.artefact.clean
    victim, attack, defense, dataset = cell.plug_keys
    return Record(
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
        attacked_images=attacked,
        **of_reply(reply),
        crafted_on=end.artefact.crafted_on if end.artefact else "",
        artefact=artefact_key or None,
        conversation=chat_to_json(chat),
        settings=json.dumps(dataclasses.asdict(trial.settings)),
        seed=cell.seed,
        chunk=chunk,
    )


def _of_bad(row: BadSample, cell: Cell) -> dict[str, Any]:
    """The columns of a row that is no sample."""
    names = {"sample_id": row.id, "cluster": row.id, "category": row.category, "source": row.dataset}
    return {**names, "split": "", "expected": cell.expected, "question": ""}


def attempts_of(rows: Sequence[Mapping[str, Any]], samples: Mapping[str, Row], store: Store) -> dict[str, Attempt]:
    """Sample id -> what a judge sees, from the records of a cell: at the end of a run and years later alike.

    Raises StoreError if a record names a sample that the data set does not hold.
    """
    attempts = {}
    for row in rows:
        sample = samples.get(row["sample_id"])
        if sample is None:
            raise StoreError(f"{store.path}: sample {row['sample_id']!r} is not in the data set {row['dataset']!r}.")
        if isinstance(sample, Sample):
            attempts[sample.id] = attempt_of(row, sample, store.image)
    return attempts


def nothing_measured(rows: Sequence[Mapping[str, Any]], success: Mapping[str, Score]) -> str:
    """Why a cell has no sample that counts, empty if it has one. success: scores of the success judge."""
    if not rows:
        return "the data set has no samples"
    for row in rows:
        score = success.get(row["sample_id"])
        if is_withheld(row) or (score is not None and score.value is not None):
            return ""
    reasons = Counter(_why(row, success) for row in rows)
    reason, count = reasons.most_common(1)[0]
    return f"none of {len(rows)} samples could be judged; {count} x {cut(reason, REASON)}"


def _why(row: Mapping[str, Any], success: Mapping[str, Score]) -> str:
    """Why a row does not count."""
    reason = row["reason"] if row["outcome"] == "error" else success[row["sample_id"]].reason
    return without_id(reason, row["sample_id"])
