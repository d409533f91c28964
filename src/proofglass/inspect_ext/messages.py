"""Our nouns as Inspect's, and back: chats and messages, replies and outputs, settings.

What Inspect has no field for (outcome, decisions of defenses, queries) travels in the metadata of an output under
the name `proofglass`, so that a reply comes back as it was.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from proofglass import images
from proofglass.errors import ImageError
from proofglass.records.schema import utf8
from proofglass.types import Chat, Cost, Decision, Image, Message, Outcome, Part, Reply, Score, Settings
from proofglass.victims.api.provider import data_uri, said_in

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, Content, GenerateConfig, ModelOutput, ModelUsage
    from inspect_ai.scorer import Score as InspectScore

OURS = "proofglass"
_LONGEST = 200  # bytes of an id: a file system takes 255 in a name, Inspect adds to it
_CUT = ("max_tokens", "model_length")
_WHY = {
    "refused": "refused by the provider",
    "filtered": "filtered by the provider",
    "blocked": "blocked by a defense",
}


def inspect_id(name: str) -> str:
    """The sample id `name` as a log can hold it: Inspect names a member of its archive by it. What would end a name
    early (a control character) becomes %XX, and so do a backslash and %, and the slashes of an id that would lead out
    of `samples/`. A long id is cut and closed by its hash. The id itself stands in the metadata, as `sample_id`."""
    strays = any(part in ("", ".", "..") for part in name.split("/"))
    odd = r"[%\\\x00-\x1f\x7f-\x9f/]" if strays else r"[%\\\x00-\x1f\x7f-\x9f]"
    told = re.sub(odd, lambda found: f"%{ord(found[0]):02X}", name)
    if len(told.encode()) <= _LONGEST:
        return told
    return f"{told[: _LONGEST // 4 - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def messages_of(chat: Chat, picture: Callable[[Image], str] = data_uri) -> list[ChatMessage]:
    """`chat` as Inspect's messages. picture: what stands for an image, a data URI or a reference. Raises ImageError."""
    from inspect_ai.model import (
        ChatMessageAssistant,
        ChatMessageSystem,
        ChatMessageUser,
        ContentImage,
        ContentText,
    )

    def content(parts: Sequence[Part]) -> str | list[Content]:
        if len(parts) == 1 and isinstance(parts[0], str):
            return utf8(parts[0])
        return [ContentText(text=utf8(p)) if isinstance(p, str) else ContentImage(image=picture(p)) for p in parts]

    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    return [kinds[message.role](content=content(message.parts)) for message in chat.messages]


def chat_of(messages: Sequence[ChatMessage] | str) -> Chat:
    """Inspect's messages as a chat. Raises ValueError for what a chat cannot hold (tools, sound, remote pictures),
    ImageError for a picture that cannot be read."""
    if isinstance(messages, str):
        return Chat.user(messages)
    return Chat(tuple(_message(message) for message in messages))


def _message(message: ChatMessage) -> Message:
    if message.role == "tool":
        raise ValueError("message: expected system, user or assistant, found the result of a tool")
    if isinstance(message.content, str):
        return Message(message.role, (message.content,))
    return Message(message.role, tuple(_part(part) for part in message.content))


def _part(part: Content) -> Part:
    if part.type == "text":
        return part.text
    if part.type == "image":
        return _image(part.image)
    raise ValueError(f"message: expected text and pictures, found {part.type}")


def _image(source: str) -> Image:
    """A picture in a data URI or a local file, guarded as every picture is; nothing is fetched. One of an exported log,
    which is named by its sha256, is read once it is looked at: a judge of texts needs no run folder."""
    if named := re.fullmatch(r"artefacts/[0-9a-f]{2}/([0-9a-f]{64})\.png", source):
        return Image(named[1], 0, 0, lambda: images.read(source).array())
    if not source.startswith("data:"):
        if "://" in source:
            raise ValueError(f"picture: expected a data URI or a local file, found the address {source[:80]!r}")
        return images.read(source)
    head, _, body = source.partition(",")
    if not head.endswith(";base64"):
        raise ImageError(f"picture: expected a base64 data URI, found {head[:40]!r}")
    try:
        return images.decode(base64.b64decode(body, validate=True), "picture in a data URI")
    except binascii.Error as error:
        raise ImageError(f"picture: broken base64 in a data URI: {error}") from error


def output_of(reply: Reply, model: str) -> ModelOutput:
    """`reply` as what a model put out; an error has no choice, so nothing can take it for an answer.

    Stop reasons: an answer "stop" or "max_tokens"; refused, filtered and blocked "content_filter", told apart by the
    category of their stop details: "refused by the provider" (type "refusal"), "filtered by the provider" or "blocked
    by a defense". What the model thought is a part of its message, beside the text.
    """
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ContentReasoning,
        ContentText,
        ModelOutput,
        StopDetails,
    )

    told = {
        "outcome": reply.outcome,
        "reason": utf8(reply.reason),
        "queries": reply.cost.queries,
        "decisions": [dataclasses.asdict(decision) for decision in reply.decisions],
        "helpers": {key: dataclasses.asdict(cost) for key, cost in reply.helpers.items()},
    }
    why = _WHY.get(reply.outcome)
    kind = "refusal" if reply.outcome == "refused" else None
    text = utf8(reply.text)
    thought: list[Content] = [ContentReasoning(reasoning=utf8(reply.reasoning)), ContentText(text=text)]
    choice = ChatCompletionChoice(
        message=ChatMessageAssistant(content=thought if reply.reasoning else text, model=model, source="generate"),
        stop_reason="content_filter" if why else "max_tokens" if reply.finish == "length" else "stop",
        stop_details=StopDetails(type=kind, category=why, explanation=utf8(reply.reason) or None) if why else None,
    )
    failed = reply.outcome == "error"
    return ModelOutput(
        model=model,
        choices=[] if failed else [choice],
        usage=usage_of(reply.cost),
        error=utf8(reply.reason) if failed else None,
        metadata={OURS: told},
    )


def reply_of(output: ModelOutput) -> Reply:
    """What a model put out as a reply: our own as it was, any other by its stop reason. Of a filtered one without a
    count of tokens nothing was delivered: its text is an error that Inspect words as an answer, and no refusal."""
    usage, told = output.usage, (output.metadata or {}).get(OURS) or {}
    cost = Cost(
        queries=told.get("queries", 1),
        tokens_in=usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
        if usage
        else 0,
        tokens_out=usage.output_tokens if usage else 0,
        money=(usage.total_cost or 0.0) if usage else 0.0,
    )
    if not output.choices:
        return Reply.error(told.get("reason") or output.error or "the model returned no choice", cost)
    choice = output.choices[0]
    details = choice.stop_details
    said = said_in(choice, tags=not told)
    is_error = choice.stop_reason == "content_filter" and usage is None and not told
    foreign: Outcome = "filtered" if choice.stop_reason == "content_filter" else "ok"
    outcome: Outcome = told.get("outcome") or ("refused" if said.is_refused and not is_error else foreign)
    return Reply(
        text="" if outcome == "filtered" and usage is None else said.text,
        outcome=outcome,
        finish="length" if choice.stop_reason in _CUT else "stop",
        reason=told.get("reason") or said.refusal or (details and details.explanation) or output.error or "",
        decisions=tuple(Decision(**decision) for decision in told.get("decisions", ())),
        cost=cost,
        reasoning=said.reasoning,
        helpers={key: Cost(**spent) for key, spent in told.get("helpers", {}).items()},
    )


def score_of(score: Score, reply: Reply, *, of_thoughts: bool = False, of_refusals: bool = False) -> InspectScore:
    """What a sample counts as by our counting rule. Unjudged: NaN with a reason, which Inspect's metrics leave out.
    of_thoughts: of a judge that reads them, whose score stands where the answer was withheld. of_refusals: of one whose
    1 says "refused", which an answer that was withheld is."""
    from inspect_ai.scorer import Score as InspectScore

    if reply.is_withheld and not (of_thoughts and score.value is not None):
        value = float(of_refusals)
        return InspectScore(value=value, answer=reply.outcome, reason=reply.outcome, explanation=reply.reason or None)
    if score.value is None:
        return InspectScore.unscored(reason="unjudged", explanation=score.reason)
    return InspectScore(value=score.value, answer=score.label or None, explanation=score.reason or None)


def usage_of(cost: Cost) -> ModelUsage:
    """Tokens and money of `cost`; money of 0 is not stated, it may be unknown."""
    from inspect_ai.model import ModelUsage

    return ModelUsage(
        input_tokens=cost.tokens_in,
        output_tokens=cost.tokens_out,
        total_tokens=cost.tokens_in + cost.tokens_out,
        total_cost=cost.money or None,
    )


def config_of(settings: Settings) -> GenerateConfig:
    """`settings` as Inspect's; a draw other than the first becomes the seed."""
    from inspect_ai.model import GenerateConfig

    return GenerateConfig(**_told(settings))


def config_of_changes(settings: Settings, base: Settings) -> GenerateConfig:
    """Only what `settings` changes in `base`: the rest stays as the task, the model or the command line set it."""
    from inspect_ai.model import GenerateConfig

    before = _told(base)
    return GenerateConfig(**{name: value for name, value in _told(settings).items() if value != before[name]})


def settings_of(config: GenerateConfig) -> Settings:
    """Inspect's settings as ours: what it leaves open is our default (greedy), its seed is the draw."""
    given: dict[str, Any] = {
        "max_new_tokens": config.max_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "stop": tuple(config.stop_seqs) if config.stop_seqs else None,
        "draw": config.seed,
    }
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _told(settings: Settings) -> dict[str, Any]:
    return {
        "max_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p if settings.top_p < 1 else None,
        "stop_seqs": list(settings.stop) or None,
        "seed": settings.draw or None,
    }
