"""The body of a chat completion request, read strictly: what cannot be honoured is refused, never dropped.

Facts about the fields: OpenAI's API reference, "Create chat completion".
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proofglass.serve.limits import Limits
from proofglass.serve.problems import bad, shown
from proofglass.types import Chat, Image, Message, Role, Settings

# What is read below.
_READ = {
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream",
    "stream_options",
}  # fmt: skip
# Labels for the provider's own books, and hints to models that reason or write at length: OpenAI takes them, and what
# is asked stays the same without them.
_IGNORED = {
    "user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "store",
    "reasoning_effort", "verbosity",
}  # fmt: skip
# What this endpoint cannot do, and the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
# Of a message: what is a label or asks for nothing. "name" tells callers of one role apart, annotations are sources of
# an earlier answer: no template here shows either.
_LABELS = {"name", "annotations"}
_EMPTY: dict[str, tuple[Any, ...]] = {"tool_calls": ([],)}
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True)
class Link:
    """A picture of a request that is not read yet. where: its place in the request, for errors."""

    url: str
    where: str


@dataclass(frozen=True)
class Wanted:
    """A request that was understood. turns: role and parts, pictures still as links."""

    model: str
    turns: tuple[tuple[Role, tuple[str | Link, ...]], ...]
    settings: Settings
    stream: bool
    include_usage: bool

    @property
    def links(self) -> tuple[Link, ...]:
        return tuple(part for _, parts in self.turns for part in parts if isinstance(part, Link))

    def chat(self, pictures: Mapping[Link, Image]) -> Chat:
        """The dialogue, every link replaced by its picture."""
        return Chat(
            tuple(
                Message(role, tuple(part if isinstance(part, str) else pictures[part] for part in parts))
                for role, parts in self.turns
            )
        )


def read_request(body: bytes, limits: Limits) -> Wanted:
    """The request in `body` (JSON). Raises Problem, which names the field."""
    told = _object(_json(body), "")
    for field, value in told.items():
        if value is None or field in _READ or field in _IGNORED:
            continue
        if field not in _NEUTRAL:
            raise bad(shown(field)[1:-1], "this endpoint knows no such parameter", "unknown_parameter")
        if value not in _NEUTRAL[field]:
            raise bad(field, f"{shown(value)} is not supported by this endpoint", "unsupported_value")
    model = told.get("model")
    if not isinstance(model, str):
        raise bad("model", f"expected a name, found {shown(model)}")
    stream = _flag(told.get("stream"), "stream")
    options: dict[str, Any] = {}
    if (given := told.get("stream_options")) is not None:
        options = _object(given, "stream_options", {"include_usage", "include_obfuscation"})
        if not stream:
            raise bad("stream_options", "only with stream=true")
    return Wanted(
        model,
        _turns(told.get("messages"), limits),
        _settings(told, limits),
        stream,
        _flag(options.get("include_usage"), "stream_options.include_usage"),
    )


def _json(body: bytes) -> Any:
    def no_number(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):  # a filter on the way may read the first where we read the last
            raise ValueError("an object names a field twice")
        return found

    try:
        return json.loads(body.decode("utf-8"), parse_constant=no_number, object_pairs_hook=once)
    except UnicodeDecodeError as error:
        raise bad("", f"the body is not UTF-8 (byte {error.start})", "invalid_json") from None
    except RecursionError:
        raise bad("", "the body is nested too deeply", "invalid_json") from None
    except json.JSONDecodeError as error:
        raise bad("", f"the body is not JSON: {error.msg} at character {error.pos}", "invalid_json") from None
    except ValueError as error:  # NaN, or a number of thousands of digits
        raise bad("", f"the body is not JSON: {error}", "invalid_json") from None


# ---------------------------------------------------------------------------------------------------------- dialogue


def _turns(told: Any, limits: Limits) -> tuple[tuple[Role, tuple[str | Link, ...]], ...]:
    messages = _list(told, "messages")
    if not messages:
        raise bad("messages", "expected at least one message, found none")
    if len(messages) > limits.messages:
        raise bad("messages", f"expected at most {limits.messages}, found {len(messages)}", "too_many_messages")
    turns = [_turn(each, f"messages[{k}]") for k, each in enumerate(messages)]
    heads = next((k for k, (role, _) in enumerate(turns) if role != "system"), len(turns))
    late = next((k for k in range(heads, len(turns)) if turns[k][0] == "system"), None)
    if late is not None:
        # Defenses read and replace the system prompt at the head of a dialogue: a later one would slip past them.
        raise bad(f"messages[{late}].role", "a system message stands in front of all others here", "unsupported_value")
    if not turns or turns[-1][0] != "user":
        raise bad(f"messages[{len(turns) - 1}].role", "the last message is to be the user's: it is what is answered")
    if heads > 1:
        whole = "\n\n".join("\n".join(str(part) for part in parts) for _, parts in turns[:heads])
        turns = [("system", (whole,)), *turns[heads:]]
    _check_amounts(turns, limits)
    return tuple(turns)


def _check_amounts(turns: list[tuple[Role, tuple[str | Link, ...]]], limits: Limits) -> None:
    parts = [part for _, several in turns for part in several]
    texts = sum(len(part) for part in parts if isinstance(part, str))
    if texts > limits.text_chars:
        raise bad("messages", f"{texts} characters of text, at most {limits.text_chars}", "text_too_long", 413)
    links = sum(isinstance(part, Link) for part in parts)
    if links > limits.images:
        raise bad("messages", f"{links} images, at most {limits.images}", "too_many_images")


def _turn(told: Any, where: str) -> tuple[Role, tuple[str | Link, ...]]:
    message = _object(told, where)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise bad(f"{where}.role", f"expected one of {', '.join(_ROLES)}, found {shown(role)}")
    content = _content(message, role, where)
    if isinstance(content, str):
        return _ROLES[role], (_text(content, f"{where}.content"),)
    parts = _list(content, f"{where}.content", "a string or a list of parts")
    if not parts:
        raise bad(f"{where}.content", "expected at least one part, found none")
    return _ROLES[role], tuple(_part(each, role, f"{where}.content[{k}]") for k, each in enumerate(parts))


def _content(message: dict[str, Any], role: str, where: str) -> Any:
    """Content of `message`; of an assistant's turn that was a refusal, the refusal. A key that would change what is
    asked is refused."""
    known = {"role", "content", "refusal"} if role == "assistant" else {"role", "content"}
    rest = {key: value for key, value in message.items() if key not in _LABELS and value not in _EMPTY.get(key, ())}
    _object(rest, where, known)
    content, refusal = message.get("content"), message.get("refusal")
    if role != "assistant" or refusal is None:
        return content
    if content:
        raise bad(f"{where}.refusal", "a message has content or a refusal, not both")
    return _text(refusal, f"{where}.refusal")


def _part(told: Any, role: str, where: str) -> str | Link:
    part = _object(told, where, {"type", "text", "image_url", *(("refusal",) if role == "assistant" else ())})
    kind = part.get("type")
    if kind == "refusal" and role == "assistant":
        return _text(part.get("refusal"), f"{where}.refusal")
    if kind in ("text", "image_url") and any(part.get(other) is not None for other in {"text", "image_url"} - {kind}):
        raise bad(where, "holds a text and an image; each is a part of its own")
    if kind == "text":
        return _text(part.get("text"), f"{where}.text")
    if kind != "image_url":
        raise bad(f"{where}.type", f"expected 'text' or 'image_url', found {shown(kind)}", "unsupported_value")
    if role != "user":
        raise bad(f"{where}.type", "an image stands in a user message only", "unsupported_value")
    link = _object(part.get("image_url"), f"{where}.image_url", {"url", "detail"})
    if link.get("detail") not in (None, "auto", "low", "high"):
        raise bad(f"{where}.image_url.detail", f"expected auto, low or high, found {shown(link['detail'])}")
    url = link.get("url")
    if not isinstance(url, str):
        raise bad(f"{where}.image_url.url", f"expected a data: URL, found {shown(url)}")
    return Link(url, f"{where}.image_url.url")


def _text(told: Any, where: str) -> str:
    if not isinstance(told, str):
        raise bad(where, f"expected a string, found {shown(told)}")
    try:
        told.encode()
    except UnicodeEncodeError as error:
        raise bad(where, f"character {error.start} is half of a surrogate pair, which no text holds") from None
    return told


# ---------------------------------------------------------------------------------------------------------- settings


def _settings(told: Mapping[str, Any], limits: Limits) -> Settings:
    temperature = _number(told.get("temperature"), "temperature", 0, 2, 0.0)
    top_p = _number(told.get("top_p"), "top_p", 0, 1, 1.0)
    if top_p == 0:
        raise bad("top_p", "expected more than 0, found 0")
    seed = told.get("seed")
    if seed is not None:
        seed = _integer(seed, "seed", -(2**63), 2**63 - 1)
    elif temperature > 0:
        seed = secrets.randbelow(2**31)  # who asks again without a seed wants another sample
    return Settings(_new_tokens(told, limits), temperature, top_p, _stops(told.get("stop")), seed or 0)


def _new_tokens(told: Mapping[str, Any], limits: Limits) -> int:
    given = {
        field: _integer(told[field], field, 1, limits.new_tokens)
        for field in ("max_tokens", "max_completion_tokens")
        if told.get(field) is not None
    }
    if len(set(given.values())) > 1:
        raise bad("max_tokens", "differs from max_completion_tokens; give one of them")
    return next(iter(given.values()), limits.default_new_tokens)


def _stops(told: Any) -> tuple[str, ...]:
    if told is None:
        return ()
    stops = [told] if isinstance(told, str) else _list(told, "stop", "a string or a list of strings")
    if len(stops) > 4:
        raise bad("stop", f"expected at most 4, found {len(stops)}")
    for each in stops:
        if not _text(each, "stop") or len(each) > 200:
            raise bad("stop", f"expected texts of 1 to 200 characters, found one of {len(each)}")
    return tuple(stops)


# ------------------------------------------------------------------------------------------------------------- values


def _object(told: Any, where: str, known: set[str] | None = None) -> dict[str, Any]:
    """`told` as an object; a key outside `known` is refused unless it is null (clients send back what they got)."""
    if not isinstance(told, dict):
        raise bad(where, f"expected an object, found {shown(told)}")
    if known is not None:
        for key, value in told.items():
            if key not in known and value is not None:
                raise bad(f"{where}.{shown(key)[1:-1]}", "not supported by this endpoint", "unknown_parameter")
    return told


def _list(told: Any, where: str, expected: str = "a list") -> list[Any]:
    if not isinstance(told, list):
        raise bad(where, f"expected {expected}, found {shown(told)}")
    return told


def _flag(told: Any, where: str) -> bool:
    if told is not None and not isinstance(told, bool):
        raise bad(where, f"expected true or false, found {shown(told)}")
    return bool(told)


def _integer(told: Any, where: str, low: int, high: int) -> int:
    if isinstance(told, bool) or not isinstance(told, int):
        raise bad(where, f"expected a whole number, found {shown(told)}")
    if not low <= told <= high:
        raise bad(where, f"expected {low} to {high}, found {shown(told)}")
    return told


def _number(told: Any, where: str, low: float, high: float, default: float) -> float:
    if told is None:
        return default
    if isinstance(told, bool) or not isinstance(told, (int, float)):
        raise bad(where, f"expected a number, found {shown(told)}")
    if not low <= told <= high:
        raise bad(where, f"expected {low:g} to {high:g}, found {shown(told)}")
    return float(told)
