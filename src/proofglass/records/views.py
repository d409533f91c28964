"""Flat records on one side, two tables on the other: samples, each once, and attempts, which name their sample.

A chat is a nested column, a list of turns of parts (a text or the sha256 of a picture), whose texts are categories:
among the rows that a file holds together (`tables.GROUP`) each different text stands once, on disk and in memory,
however many rows say it. What can be read off a chat (question, attacked text, attacked pictures) is not written.
`flat` brings back every column of `Record`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from proofglass.interfaces import key_of
from proofglass.records.schema import Record, attempt_key, record_schema

if TYPE_CHECKING:
    import polars as pl

OF_SAMPLE = (
    *("sample_id", "cluster", "category", "split", "expected", "group", "target", "references"),
    *("source", "meta", "asked"),
)
_DERIVED = ("question", "attacked_text", "attacked_images")  # read off `asked` and `conversation`
# Different in most rows: no categories.
_UNIQUE = ("sample_id", "cluster", "meta", "reply", "reasoning", "reason", "decisions", "attempt", "clean_image")
_BATCH = 10_000  # rows held as Python objects at a time


def sample_schema() -> dict[str, Any]:
    """Column -> polars type of the table of samples on disk. sample: the key of all the others."""
    return {"sample": _types()["sample_id"], **{name: _types()[name] for name in OF_SAMPLE}}


def attempt_schema() -> dict[str, Any]:
    """Column -> polars type of the table of attempts on disk: of a record what is not its sample's, and the name of
    that."""
    left_out = {*OF_SAMPLE, *_DERIVED} - {"sample_id"}
    own = {name: kind for name, kind in _types().items() if name not in left_out}
    return {"sample": own["sample_id"], **own}


def _types() -> dict[str, Any]:
    import polars as pl

    part = pl.Struct({"text": pl.Categorical(), "image": pl.String()})
    chat = pl.List(pl.Struct({"role": pl.Categorical(), "parts": pl.List(part)}))
    return {
        name: chat
        if name in ("asked", "conversation")
        else pl.Categorical()
        if kind == pl.String() and name not in _UNIQUE
        else kind
        for name, kind in record_schema().items()
    }


def split(records: Iterable[Record]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The samples of these records, each once, and their attempts in order, as they stand on disk."""
    import polars as pl

    schemas = sample_schema(), attempt_schema()
    tables = [[pl.DataFrame(schema=schema)] for schema in schemas]
    left = iter(records)
    while rows := [_row(record) for record in islice(left, _BATCH)]:
        for table, schema in zip(tables, schemas, strict=True):
            table.append(pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema))
    samples, attempts = map(pl.concat, tables)
    return samples.unique("sample", keep="first", maintain_order=True), attempts


def _row(record: Record) -> dict[str, Any]:
    row = dict(vars(record))
    row["sample"] = key_of({name: row[name] for name in OF_SAMPLE})
    row["attempt"] = row["attempt"] or attempt_key(record.conversation, record.reply, record.outcome)
    return {**row, **{name: _nested(row[name]) for name in ("asked", "conversation")}}


def _nested(chat: str) -> list[dict[str, Any]]:
    return [
        {"role": turn["role"], "parts": [{kind: content} for kind, content in turn["parts"]]}
        for turn in json.loads(chat)
    ]


def flat(attempts: pl.LazyFrame, samples: pl.LazyFrame) -> pl.LazyFrame:
    """The columns of `Record`, from both tables, in the order of the attempts; null where files of an older version
    have none."""
    import polars as pl

    both = attempts.join(samples.drop("sample_id"), on="sample", how="left", maintain_order="left")
    there = {*both.collect_schema().names(), *_DERIVED}
    return both.select(
        (_flat(name) if name in there else pl.lit(None)).cast(kind).alias(name)
        for name, kind in record_schema().items()
    )


def flat_samples(samples: pl.LazyFrame) -> pl.LazyFrame:
    """The samples with their question, chats as JSON, in columns named as those of `Record`."""
    names = [name for name in record_schema() if name in (*OF_SAMPLE, "question")]
    return samples.select(_flat(name).cast(record_schema()[name]).alias(name) for name in names)


def pictures(attempts: pl.LazyFrame, samples: pl.LazyFrame) -> set[str]:
    """The sha256 of every picture that they name."""
    import polars as pl

    columns = [
        attempts.select(_images(pl.col("conversation")).explode(empty_as_null=False).alias("sha")),
        attempts.select(pl.col("clean_image").alias("sha")),
        samples.select(_images(pl.col("asked")).explode(empty_as_null=False).alias("sha")),
    ]
    return set(pl.concat(columns).unique().drop_nulls().collect()["sha"])


def _flat(name: str) -> pl.Expr:
    import polars as pl

    asked, conversation = pl.col("asked"), pl.col("conversation")
    derived = {
        "question": _last_text(asked),
        "attacked_text": _last_text(conversation),
        "attacked_images": _images(conversation),
        "asked": _as_json(asked),
        "conversation": _as_json(conversation),
    }
    return derived.get(name, pl.col(name))


def _last_text(chat: pl.Expr) -> pl.Expr:
    """`Chat.last_text` of a nested column."""
    import polars as pl

    is_user = pl.element().struct.field("role").cast(pl.String()) == "user"
    parts = chat.list.filter(is_user).list.last().struct.field("parts")
    return parts.list.eval(_part("text").drop_nulls()).list.join("\n").fill_null("")


def _images(chat: pl.Expr) -> pl.Expr:
    """`Chat.images` of a nested column, as hashes."""
    import polars as pl

    parts = pl.element().struct.field("parts").explode(empty_as_null=False)
    return chat.list.eval(parts.struct.field("image").drop_nulls())


def _as_json(chat: pl.Expr) -> pl.Expr:
    """`chat_to_json` of a nested column."""
    import polars as pl

    pair = (
        pl.when(_part("image").is_null())
        .then(pl.concat_list(pl.lit("text"), _part("text")))
        .otherwise(pl.concat_list(pl.lit("image"), _part("image")))
    )
    turn = pl.element().struct
    turns = chat.list.eval(
        pl.struct(role=turn.field("role").cast(pl.String()), parts=turn.field("parts").list.eval(pair))
    )
    return pl.struct(chat=turns).struct.json_encode().str.strip_prefix('{"chat":').str.head(-1)


def _part(name: str) -> pl.Expr:
    import polars as pl

    return pl.element().struct.field(name).cast(pl.String())
