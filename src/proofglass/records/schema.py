"""What a run folder holds: one flat `Record` per sample and cell, how a chat is written, and the JSON form of settings.

Raise SCHEMA_VERSION when a column appears, goes or changes its meaning, or files another form. Folders of the versions
from OLDEST on are read, their missing columns as null (`records.older`); a run goes on in its own version only.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.interfaces import Plug, key_of
from proofglass.types import Chat, Image, Message, Part

if TYPE_CHECKING:
    import polars as pl

# 2: every line and file carries a checksum; a filtered reply may have text. 3: samples are a table of their own, an
# attempt has a key, scores name rater, time and source, many small files become one. 4: choices.
SCHEMA_VERSION = 4
OLDEST = 2

# Fields that may differ between two runs of the same study: leave them out to compare runs.
VOLATILE = ("seconds", "peak_bytes", "started", "run", "platform", "device", "threads", "versions")

# Whole words, so that keywords, tokenizer and max_new_tokens stay readable.
_SECRET = re.compile(
    r"(^|[_-])(api|auth|access)?[_-]?(keys?|token)($|[_-])|(api|auth|access)[_-]?tokens|secret|passw|credential"
)


@dataclass(frozen=True)
class Record:
    """One sample in one cell. Names are the labels of the study, keys say what stood behind them.

    clean_image, attacked_images: sha256 of pictures in the store. question: text before the attack, the last text of
    `asked`; attacked_text, attacked_images: the last user text and the pictures of `conversation`. finish: stop,
    length. crafted_on: key of the victim that the attack was crafted on; crafting: how that relates to the victim that
    answered. queries, tokens, money: of the victim, inner asks of a defense included; helpers: JSON, key of each helper
    that attack or defense asked -> what that cost (fields of `Cost`). Of the sample (`types.Sample`): its id, cluster,
    category, split, expected, group, target, references, `asked` (its chat before the attack), source (the name of its
    data set as it states it itself) and meta. Of the reply (`types.Reply`): outcome, finish, reason, decisions, fault,
    reasoning, choices. attempt: its key, of conversation and reply (`attempt_key`). decisions,
    conversation, asked, meta, settings, choices: JSON.
    """

    cell: str
    victim: str
    attack: str
    defense: str
    dataset: str
    victim_key: str
    attack_key: str
    defense_key: str
    dataset_key: str
    sample_id: str
    cluster: str
    category: str
    split: str
    expected: str
    question: str
    attacked_text: str
    clean_image: str | None
    attacked_images: list[str]
    reply: str
    outcome: str
    finish: str
    reason: str
    decisions: str
    crafted_on: str
    artefact: str | None
    queries: int
    tokens_in: int
    tokens_out: int
    money: float
    conversation: str
    settings: str
    seed: int
    chunk: int
    reasoning: str = ""
    crafting: str = ""
    helpers: str = "{}"
    fault: str = ""
    group: str = ""
    target: str = ""
    references: list[str] = field(default_factory=list)
    source: str = ""
    meta: str = "{}"
    asked: str = "[]"
    attempt: str = ""
    choices: str = "{}"
    schema_version: int = SCHEMA_VERSION


def record_schema() -> dict[str, pl.DataType]:
    """Column -> polars type of the frame of records."""
    import polars as pl

    types = {
        "str": pl.String(),
        "str | None": pl.String(),
        "int": pl.Int64(),
        "float": pl.Float64(),
        "list[str]": pl.List(pl.String()),
    }
    return {field.name: types[str(field.type)] for field in dataclasses.fields(Record)}


def score_schema() -> dict[str, pl.DataType]:
    """Column -> polars type of the table of scores; a value of null could not be judged. rater, time, source: see
    `types.Score`. attempt: the key of what was judged."""
    import polars as pl

    names = ("cell", "sample_id", "judge", "value", "label", "reason", "rater", "time", "source", "attempt")
    return {name: pl.Float64() if name == "value" else pl.String() for name in names}


def plain(value: Any, *, is_data: bool = False) -> Any:
    """`value` as JSON can hold it: images by sha256, plugs by name, key and settings, secrets as "***".

    Numbers that are not finite become null: strict JSON readers refuse NaN. is_data: rows of a data set, where a field
    called "key" holds no credential.
    """
    if isinstance(value, Plug):
        return {"name": value.name, "key": value.key, "settings": plain(value.settings())}
    if isinstance(value, Image):
        return value.sha256
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return plain(fields, is_data=is_data)
    if isinstance(value, Mapping):
        return {
            str(k): "***" if not is_data and is_secret(str(k), v) else plain(v, is_data=is_data)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(item, is_data=is_data) for item in value]
    if isinstance(value, (set, frozenset)):  # in one order, whatever the hashes of this process are
        return sorted(
            (plain(item, is_data=is_data) for item in value), key=lambda each: json.dumps(each, sort_keys=True)
        )
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Path):
        return str(value)
    return repr(value)


def is_secret(name: str, value: Any) -> bool:
    """Whether a field called `name` may hold a credential, which no file may ever hold."""
    return value not in (None, "") and not isinstance(value, bool) and bool(_SECRET.search(name.lower()))


def turns_of(chat: Chat) -> list[tuple[str, list[tuple[str, str]]]]:
    """Role and parts of every turn, a part as ("text", its text) or ("image", sha256): all that a model is shown."""
    return [
        (message.role, [("image", p.sha256) if isinstance(p, Image) else ("text", p) for p in message.parts])
        for message in chat.messages
    ]


def chat_to_json(chat: Chat) -> str:
    """Turns as [{"role", "parts": [[kind, text or sha256]]}]."""
    turns = [{"role": role, "parts": [[kind, utf8(p)] for kind, p in parts]} for role, parts in turns_of(chat)]
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


def chat_from_json(text: str, image: Callable[[str], Image]) -> Chat:
    """The chat of `chat_to_json`; image: sha256 -> Image."""

    def part(kind: str, content: str) -> Part:
        return image(content) if kind == "image" else content

    return Chat(tuple(Message(turn["role"], tuple(part(*p) for p in turn["parts"])) for turn in json.loads(text)))


def attempt_key(conversation: str, reply: str, outcome: str) -> str:
    """Names what a judge, or a person, looks at: the whole dialogue with its pictures (JSON of `chat_to_json`) and the
    reply, whichever study, cell and sample it stands in. The same dialogue with another reply has another key."""
    turns = [[turn["role"], turn["parts"]] for turn in json.loads(conversation)]
    return key_of([turns, reply, outcome])


def without_id(reason: str, sample_id: str) -> str:
    """`reason` without the id of the sample that it is about, which makes no other reason of it."""
    return reason.replace(sample_id, "…") if len(sample_id) > 1 else reason


def utf8(text: str) -> str:
    """`text` with lone surrogates replaced: a model may emit half a character, a file cannot hold one."""
    return text.encode("utf-8", "replace").decode("utf-8")
