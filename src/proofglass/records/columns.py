"""Between objects and columns: what a record holds of a sample and of a reply, and both read back from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from proofglass.records.schema import chat_from_json, chat_to_json, plain, utf8
from proofglass.types import Attempt, Cost, Decision, Image, Reply, Sample

Row = Mapping[str, Any]  # column -> value, of `Record`; a folder of an older version has null for what it did not know


def of_sample(sample: Sample) -> dict[str, Any]:
    """The columns of a sample; `clean_image` and what the attack made of it are not among them."""
    return {
        "sample_id": sample.id,
        "cluster": sample.cluster,
        "category": sample.category,
        "split": sample.split,
        "expected": sample.expected,
        "group": sample.group,
        "target": sample.target,
        "references": list(sample.references),
        "source": sample.dataset,
        "meta": utf8(json.dumps(plain(sample.meta, is_data=True), ensure_ascii=False)),
        "question": utf8(sample.chat.last_text),
        "asked": chat_to_json(sample.chat),
    }


def of_reply(reply: Reply) -> dict[str, Any]:
    """The columns of a reply."""
    return {
        "reply": utf8(reply.text),
        "outcome": reply.outcome,
        "finish": reply.finish,
        "reason": utf8(reply.reason),
        "reasoning": utf8(reply.reasoning),
        "fault": reply.fault,
        "decisions": utf8(json.dumps([dataclasses.asdict(decision) for decision in reply.decisions])),
        "queries": reply.cost.queries,
        "tokens_in": reply.cost.tokens_in,
        "tokens_out": reply.cost.tokens_out,
        "money": reply.cost.money,
        "choices": json.dumps(dict(reply.choices)),
        "helpers": json.dumps({key: dataclasses.asdict(cost) for key, cost in reply.helpers.items()}),
    }


def sample_of(row: Row, image: Callable[[str], Image]) -> Sample:
    """The sample of a record. image: sha256 -> Image. Its meta is what JSON holds of it (a tuple comes back a list)."""
    return Sample(
        id=row["sample_id"],
        dataset=row["source"] or row["dataset"],
        chat=chat_from_json(row["asked"] or "[]", image),
        split=row["split"],
        cluster=row["cluster"],
        category=row["category"],
        expected=row["expected"],
        target=row["target"] or "",
        references=tuple(row["references"] or ()),
        meta=json.loads(row["meta"] or "{}"),
        group=row["group"] or "",
    )


def reply_of(row: Row) -> Reply:
    """The whole reply of a record: decisions of defenses, cost, reasoning and what an error is owed to included."""
    return Reply(
        text=row["reply"],
        outcome=row["outcome"],
        finish=row["finish"] or "stop",
        reason=row["reason"],
        decisions=tuple(Decision(**decision) for decision in json.loads(row["decisions"] or "[]")),
        cost=Cost(**{name: row[name] for name in ("queries", "tokens_in", "tokens_out", "money")}),
        fault=row["fault"] or "",
        reasoning=row["reasoning"] or "",
        choices=json.loads(row["choices"] or "{}"),
        helpers={key: Cost(**cost) for key, cost in json.loads(row["helpers"] or "{}").items()},
    )


def attempt_of(row: Row, sample: Sample, image: Callable[[str], Image]) -> Attempt:
    """What a judge sees, from a record: at the end of a run and years later alike."""
    return Attempt(sample, chat_from_json(row["conversation"] or "[]", image), reply_of(row))
