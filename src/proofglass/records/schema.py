"""What a run folder holds: one flat `Record` per sample and cell, and the JSON form of settings.

Raise SCHEMA_VERSION when a column appears, goes or changes its meaning, or files another form: a folder of another
version is refused.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.interfaces import Plug
from proofglass.types import Chat, Image, Message, Part

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 2  # 2: every line and file carries a checksum; a filtered reply may have text

# Fields that may differ between two runs of the same study: leave them out to compare runs.
VOLATILE = ("seconds", "peak_bytes", "started", "run", "platform", "device", "threads", "versions")

# Whole words, so that keywords, tokenizer and max_new_tokens stay readable.
_SECRET = re.compile(
    r"(^|[_-])(api|auth|access)?[_-]?(keys?|token)($|[_-])|(api|auth|access)[_-]?tokens|secret|passw|credential"
)


@dataclass(frozen=True)
class Record:
    """One sample in one cell. Names are the labels of the study, keys say what stood behind them.

    clean_image, attacked_images: sha256 of pictures in the store. expected: `types.Expected`.
    question: text before the attack; attacked_text: the whole last user text. outcome: ok, refused,
    filtered, blocked, error; finish: stop, length. decisions, conversation, settings: JSON. crafted_on: key of the
    victim that the attack was crafted on. queries, tokens, money: of the victim, inner asks of a defense included.
    reasoning: what the model thought before it answered. helpers: JSON, key of each helper that attack or defense
    asked -> what that cost (fields of `Cost`).
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
    """Column -> polars type of the table of scores; a value of null could not be judged."""
    import polars as pl

    texts = ("cell", "sample_id", "judge", "label", "reason")
    return {name: pl.String() for name in texts[:3]} | {
        "value": pl.Float64(),
        "label": pl.String(),
        "reason": pl.String(),
    }


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: images by sha256, plugs by name, key and settings, secrets as "***".

    Numbers that are not finite become null: strict JSON readers refuse NaN.
    """
    if isinstance(value, Plug):
        return {"name": value.name, "key": value.key, "settings": plain(value.settings())}
    if isinstance(value, Image):
        return value.sha256
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(k): "***" if is_secret(str(k), v) else plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):  # in one order, whatever the hashes of this process are
        return sorted((plain(item) for item in value), key=lambda each: json.dumps(each, sort_keys=True))
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


def chat_to_json(chat: Chat) -> str:
    """Turns as [{"role", "text", "images": [sha256], "parts": [[kind, text or sha256]]}].

    `parts` keeps the order of text and pictures, so that the chat can be read back as it was.
    """
    return json.dumps(
        [
            {
                "role": message.role,
                "text": utf8(message.text),
                "images": [image.sha256 for image in message.images],
                "parts": [
                    ["image", part.sha256] if isinstance(part, Image) else ["text", utf8(part)]
                    for part in message.parts
                ],
            }
            for message in chat.messages
        ]
    )


def chat_from_json(text: str, image: Any) -> Chat:
    """The chat of `chat_to_json`; `image`: sha256 -> Image."""

    def part(kind: str, content: str) -> Part:
        return image(content) if kind == "image" else content

    return Chat(tuple(Message(turn["role"], tuple(part(*p) for p in turn["parts"])) for turn in json.loads(text)))


def without_id(reason: str, sample_id: str) -> str:
    """`reason` without the id of the sample that it is about, which makes no other reason of it."""
    return reason.replace(sample_id, "…") if len(sample_id) > 1 else reason


def utf8(text: str) -> str:
    """`text` with lone surrogates replaced: a model may emit half a character, a file cannot hold one."""
    return text.encode("utf-8", "replace").decode("utf-8")
