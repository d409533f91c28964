"""Samples in a table of their own, texts once, and every column of a record read back from them."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proofglass.errors import StoreError
from proofglass.records import views
from proofglass.records.columns import attempt_of, of_reply, of_sample, reply_of, sample_of
from proofglass.records.schema import Record, attempt_key, chat_from_json, chat_to_json, record_schema
from proofglass.records.store import Store
from proofglass.report.run import frame_of
from proofglass.types import Attempt, Chat, Cost, Decision, Message, Reply, Sample
from records.test_store import DONE, manifest, picture, record

PICTURES = {image.sha256: image for image in map(picture, range(3))}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
parts = st.one_of(texts, st.sampled_from(list(PICTURES.values())))
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.lists(parts, max_size=3).map(tuple))
chats = st.lists(messages, max_size=4).map(lambda every: Chat(tuple(every)))
samples = st.builds(
    Sample,
    texts,
    texts,
    chats,
    target=texts,
    references=st.lists(texts, max_size=2).map(tuple),
    meta=st.dictionaries(texts, st.one_of(texts, st.integers(0, 9), st.lists(st.floats(0, 1), max_size=2)), max_size=2),
    group=texts,
)
replies = st.builds(
    Reply,
    texts,
    st.sampled_from(["ok", "filtered", "blocked"]),
    st.sampled_from(["stop", "length"]),
    texts,
    st.lists(st.builds(Decision, texts, st.booleans(), st.none() | st.floats(-1, 1)), max_size=2).map(tuple),
    st.builds(Cost, queries=st.integers(0, 9), tokens_out=st.integers(0, 9), money=st.floats(0, 1)),
    reasoning=texts,
    choices=st.dictionaries(texts, st.floats(0, 1), max_size=2),
)


def made(attempt: Attempt, **more: object) -> Record:
    chat = attempt.conversation
    shown = {"attacked_text": chat.last_text, "attacked_images": [image.sha256 for image in chat.images]}
    columns = {**of_sample(attempt.sample), **of_reply(attempt.reply), **shown, "conversation": chat_to_json(chat)}
    return record(**{**columns, "sample": attempt.sample.id, **more})


@settings(deadline=None, max_examples=60)
@example([Attempt(Sample("s", "d", Chat.user("q"), meta={"key": "0", "api_key": "1"}), Chat.user("q"), Reply("r"))])
@given(st.lists(st.builds(Attempt, samples, chats, replies), max_size=4))
def test_what_is_split_into_two_tables_comes_back_whole(attempts: list[Attempt]) -> None:
    records = [made(each) for each in attempts]
    samples, rows = views.split(records)
    frame = views.flat(rows.lazy(), samples.lazy()).collect()
    assert dict(frame.schema) == record_schema()
    for given_, row, attempt in zip(records, frame.to_dicts(), attempts, strict=True):
        key = attempt_key(given_.conversation, given_.reply, given_.outcome)
        assert row == {**dataclasses.asdict(given_), "attempt": key}
        sample = sample_of(row, PICTURES.__getitem__)
        assert attempt_of(row, sample, PICTURES.__getitem__) == dataclasses.replace(attempt, sample=sample)
        assert dataclasses.replace(sample, dataset=attempt.sample.dataset) == attempt.sample


def test_a_judge_gets_the_whole_reply() -> None:
    reply = Reply.error("too long", Cost(queries=2, tokens_in=7, money=0.5), fault="length")
    assert reply_of(vars(made(Attempt(Sample("s", "d", Chat.user("q")), Chat.user("q"), reply)))) == reply


def test_an_attempt_is_named_by_what_was_said_and_shown_and_by_nothing_else() -> None:
    chat = Chat.user(picture(1), "q")
    key = attempt_key(chat_to_json(chat), "yes", "ok")
    assert key == attempt_key(chat_to_json(chat_from_json(chat_to_json(chat), PICTURES.__getitem__)), "yes", "ok")
    others = [
        (Chat.user(picture(2), "q"), "yes", "ok"),
        (Chat.user("q", picture(1)), "yes", "ok"),
        (chat.with_system("be kind"), "yes", "ok"),
        (chat, "no", "ok"),
        (chat, "yes", "blocked"),
    ]
    assert len({key, *(attempt_key(chat_to_json(chat), *said) for chat, *said in others)}) == 1 + len(others)


def test_samples_stand_once_whatever_asks_about_them_and_can_be_read_by_themselves(tmp_path: Path) -> None:
    sample = Sample("s1", "own name", Chat.user("how?"), target="so", references=("a", "b"), meta={"n": 1}, group="g")
    asked = Attempt(sample, Chat.user("HOW?"), Reply("yes"))
    with Store.create(tmp_path, manifest()) as store:
        for cell in ("c1", "c2"):
            store.seal(cell, [made(asked, cell=cell)], DONE)
        store.seal("c2", [made(asked, cell="c2"), record("c2", "other")], DONE)
        (first, second) = store.samples().to_dicts()
        assert (first["sample_id"], first["question"], first["references"]) == ("s1", "how?", ["a", "b"])
        assert second["sample_id"] == "other"
        (key,) = store.frame("c1")["attempt"]
        assert store.attempts() == {key: asked}
    assert not {"question", "target", "references", "attacked_text"} & set(
        pl.read_parquet_schema(tmp_path / "cells/c1.parquet")
    )


def test_a_long_text_stands_once_among_many_rows(tmp_path: Path) -> None:
    system = " ".join(random.Random(0).choices([f"word{k}" for k in range(5000)], k=20_000))  # 170 kB, 60 kB packed
    talks = [chat_to_json(Chat.user(f"question {k}").with_system(system)) for k in range(300)]
    rows = [record("c1", f"s{k}", conversation=talk, attacked_text=f"question {k}") for k, talk in enumerate(talks)]
    with Store.create(tmp_path, manifest()) as store:
        store.seal("c1", rows, DONE)
    assert (tmp_path / "cells" / "c1.parquet").stat().st_size < len(system) + 50 * len(rows)
    # In memory too, as long as nobody asks for the whole dialogue.
    assert Store(tmp_path).scan().select("attacked_text").collect().estimated_size() < 100 * len(rows)
    assert json.loads(Store(tmp_path).frame()["conversation"][-1])[0]["parts"] == [["text", system]]


def test_samples_that_are_gone_are_told(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        store.seal("c1", [record()], DONE)
    (tmp_path / "samples" / "dk.parquet").unlink()
    with pytest.raises(StoreError, match=r"samples.*gone.*delete the folders samples, cells and sealed"):
        Store(tmp_path).frame()
    with pytest.raises(StoreError, match=r"samples.*gone"):  # a report reads lazily
        frame_of(Store(tmp_path))


def test_a_query_reads_what_it_needs_only_once_the_file_was_seen_to_fit(tmp_path: Path) -> None:
    with Store.create(tmp_path, manifest()) as store:
        store.seal("c1", [record(reply="yes")], DONE)
    store = Store(tmp_path)
    rows = store.scan().select("reply")
    path = tmp_path / "cells" / "c1.parquet"
    whole = path.read_bytes()
    assert rows.collect()["reply"].to_list() == ["yes"]
    path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    with pytest.raises(StoreError, match="not as it was written"):
        store.scan()
    path.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="not as it was written"):
        store.scan()
