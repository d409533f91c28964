"""One attempt at one provider, through Inspect AI's model classes. The only module that imports `inspect_ai`.

Inspect knows how each vendor takes pictures, system prompts and settings, and how it words its refusals. We take that
and nothing else: its retries, its concurrency, its cache and its memoised models stay out, and so do the retries and
redirects of the vendor's client, so that one call here is one request to one address.
"""

from __future__ import annotations

import base64
import contextlib
import math
import os
import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from proofglass import images
from proofglass.errors import MissingExtra, UsageError, is_environment
from proofglass.records.schema import utf8
from proofglass.types import Ask, Chat, Image, Message, Settings
from proofglass.victims.api import loop
from proofglass.victims.api.chances import asked_for, chances_in
from proofglass.victims.api.faults import Fault, Secrets, fault_of

if TYPE_CHECKING:
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessage,
        GenerateConfig,
        Model,
        ModelCall,
        ModelOutput,
        ModelUsage,
    )

# Servers that the user runs: any address, a key only if the server wants one. Inspect's own `vllm` and `sglang` would
# start a server where none is named, and keep one address per model name.
OWN_SERVERS = ("openai-compatible", "vllm", "sglang")
_TOO_MANY = 10**9  # tokens of one call: more is no count


@dataclass(frozen=True)
class Answer:
    """What the API said. model: as it calls itself. stop: "stop", "max_tokens", "content_filter", ...; note: what it
    says about a stop. tokens: as it counted them, None if it did not: at the full rate, out, cache read, cache
    written; money: USD, if the API itself states it. blocked: `proofglass serve` says that a defense gave this text.
    refused: the provider says that this is a refusal. reasoning: what the model thought, as far as it is shown.
    choices: see `Reply.choices`."""

    text: str
    model: str
    stop: str
    note: str = ""
    tokens: tuple[int, int, int, int] | None = None
    money: float | None = None
    blocked: bool = False
    refused: bool = False
    reasoning: str = ""
    choices: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """An ask as the provider takes it. estimate: tokens in, at the most. choices: texts whose chances are asked for."""

    messages: list[ChatMessage]
    config: GenerateConfig
    estimate: int
    choices: tuple[str, ...] = ()


class Provider:
    """The model behind `name` ("openai/gpt-4o"), opened. timeout_s: per attempt.

    Raises MissingExtra if a package is absent, UsageError for an unknown provider, a missing key or address.
    """

    def __init__(
        self, name: str, base_url: str, auth_env: str, options: Mapping[str, Any], timeout_s: float, image_tokens: int
    ) -> None:
        self.name, self.timeout_s, self.image_tokens = name, timeout_s, image_tokens
        self.options = dict(options)
        self.is_own = name.partition("/")[0] in OWN_SERVERS
        self.model = _open(name, base_url, auth_env)
        variables = [each for each in (auth_env, *getattr(self.model.api, "api_key_vars", ())) if each]
        keys = (getattr(self.model.api, "api_key", None), *(os.environ.get(each) for each in variables))
        self.secrets = Secrets(tuple(dict.fromkeys(key for key in keys if key)))
        if any(not (key.isascii() and key.isprintable()) for key in self.secrets.known):
            raise UsageError(f"{name}: no header holds this API key. {variables[0]}: expected ASCII, no line breaks.")
        weakref.finalize(self, _close, self.model).atexit = False

    @property
    def address(self) -> str:
        """Where requests go, as far as the vendor's client tells."""
        client = getattr(self.model.api, "client", None)
        return str(getattr(client, "base_url", None) or self.model.api.base_url or "")

    def request(self, ask: Ask) -> Request:
        """`ask`, ready to be sent. Raises ImageError for a picture that cannot be read."""
        chat = merged(ask.chat) if self.model.api.collapse_user_messages() else ask.chat
        messages = [_message(message) for message in chat.messages]
        config = _config(ask.settings, self.options, self.is_own)
        return Request(messages, config, estimate(chat, self.image_tokens), ask.settings.choices)

    async def ask(self, request: Request) -> Answer | Fault:
        """One request. Raises nothing but what cancels it, and faults of this machine."""
        import asyncio

        try:
            async with asyncio.timeout(self.timeout_s):
                got = await self.model.api.generate(request.messages, [], "none", request.config)
            output, call = got if isinstance(got, tuple) else (got, None)
            if isinstance(output, Exception):
                raise output
            return self._answer(output, call, request.choices)
        except Exception as error:
            if is_environment(error):  # of this machine: no file handle for a connection, no memory for an answer
                raise
            fault = fault_of(error, self._retry_after(error), self.timeout_s)
            return Fault(**{**vars(fault), "reason": self.secrets.reason(fault.reason)})

    def _answer(self, output: ModelOutput, call: ModelCall | None, choices: tuple[str, ...]) -> Answer:
        choice, usage = output.choices[0], output.usage
        own = _own_words(call) if self.is_own else {}
        blocked_by = _blocked_by(own)
        said = said_in(choice)
        note = blocked_by or said.refusal or (choice.stop_details and choice.stop_details.explanation) or output.error
        text, refused = said.text, said.is_refused or own.get("outcome") == "refused" or _stopped_by_refusal(call)
        if usage is None and choice.stop_reason in ("content_filter", "model_length") and not _has_choices(call):
            note, text, refused = note or text, "", False  # an error that Inspect words as an answer
        return Answer(
            text=self.secrets.hide(text),
            model=self.secrets.hide(output.model),
            stop=choice.stop_reason,
            note=self.secrets.reason(note or ""),
            tokens=_counted(usage) if usage else None,
            money=usage.total_cost if usage and 0 <= (usage.total_cost or 0) < math.inf else None,
            blocked=blocked_by is not None,
            refused=refused,
            reasoning=self.secrets.hide(said.reasoning),
            choices=chances_in(choice, choices),
        )

    def _retry_after(self, error: BaseException) -> float | None:
        decision = self.model.api.should_retry(error) if isinstance(error, Exception) else False
        return getattr(decision, "retry_after", None)


@dataclass(frozen=True)
class Said:
    """What a model put out, taken apart. text: its answer; reasoning: its thought; refusal: how the provider words a
    refusal that it keeps apart from answers; is_refused: whether the provider says that this is one."""

    text: str
    reasoning: str = ""
    refusal: str = ""
    is_refused: bool = False


def said_in(choice: ChatCompletionChoice, tags: bool = True) -> Said:
    """The parts of what Inspect hands over. tags: a thought may stand in the text, between tags."""
    from inspect_ai.model import ContentText

    content = choice.message.content
    parts = [ContentText(text=content)] if isinstance(content, str) else content
    text = "\n".join(part.text for part in parts if part.type == "text" and not part.refusal)
    thought, text = thought_apart(text) if tags else ("", text)
    thoughts = [(p.summary or "") if p.redacted else p.reasoning for p in parts if p.type == "reasoning"]
    refusals = [part.text for part in parts if part.type == "text" and part.refusal]
    reasoning = "\n".join(filter(None, [*thoughts, thought]))
    return Said(text, reasoning, "\n".join(refusals), bool(refusals) or _is_refusal(choice))


def _is_refusal(choice: ChatCompletionChoice) -> bool:
    """Whether a provider stopped an answer as a refusal: what it says of a whole answer it says in the answer."""
    return bool(
        choice.stop_reason == "content_filter" and choice.stop_details and choice.stop_details.type == "refusal"
    )


def thought_apart(text: str) -> tuple[str, str]:
    """What stands between <think> tags in front of `text`, closed or cut (Inspect leaves one in that is all there is),
    and the rest; nothing of what Inspect puts where Google sent no candidate."""
    if text == "(no content)":
        return "", ""
    if not text.lstrip().startswith("<think>"):
        return "", text
    thought, _, rest = text.lstrip().removeprefix("<think>").partition("</think>")
    return thought.strip(), rest if rest.strip() else ""


def _counted(usage: ModelUsage) -> tuple[int, int, int, int] | None:
    """Tokens at the full rate, out, cache read, cache written; None if no count can be what it says."""
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.input_tokens_cache_read or 0,
        usage.input_tokens_cache_write or 0,
    )
    return counts if all(0 <= count < _TOO_MANY for count in counts) else None


def _own_words(call: ModelCall | None) -> dict[str, Any]:
    """What `proofglass serve` tells beside an answer; nothing of other servers."""
    told = call.response.get("proofglass") if call and isinstance(call.response, dict) else None
    return told if isinstance(told, dict) else {}


def _blocked_by(told: Mapping[str, Any]) -> str | None:
    """Which defenses gave this text, as `proofglass serve` says; None if none did."""
    if told.get("outcome") != "blocked":
        return None
    decided = told.get("decisions")
    fired = (
        [each for each in decided if isinstance(each, dict) and each.get("fired")] if isinstance(decided, list) else []
    )
    return f"blocked by {', '.join(str(each.get('defense')) for each in fired) or 'a defense'}"


def _stopped_by_refusal(call: ModelCall | None) -> bool:
    """Whether the provider itself names a refusal as the reason of the stop (Anthropic), which Inspect tells of some
    models only."""
    return bool(call and isinstance(call.response, dict) and call.response.get("stop_reason") == "refusal")


def _has_choices(call: ModelCall | None) -> bool:
    """Whether the server itself sent an answer, in OpenAI's form. Only asked where it counted no tokens."""
    return bool(call and isinstance(call.response, dict) and call.response.get("choices"))


def _close(model: Model) -> None:
    """Let go of open connections, in the loop that opened them."""
    with contextlib.suppress(RuntimeError):  # providers that have nothing to close say so
        loop.start(model.api.aclose())


def merged(chat: Chat) -> Chat:
    """`chat` with turns of one role that follow each other made one: some APIs refuse them."""
    turns: list[Message] = []
    for message in chat.messages:
        if turns and turns[-1].role == message.role:
            turns[-1] = Message(message.role, (*turns[-1].parts, *message.parts))
        else:
            turns.append(message)
    return Chat(tuple(turns))


def estimate(chat: Chat, image_tokens: int = 0) -> int:
    """Tokens of `chat` at the most: one per byte of text (no byte-level tokeniser makes more), 16 per turn, and
    `image_tokens` per picture, 0: 1,500 and one per 500 pixels."""
    tokens = 0
    for message in chat.messages:
        tokens += 16
        for part in message.parts:
            if isinstance(part, Image):
                tokens += image_tokens or 1500 + part.width * part.height // 500
            else:
                tokens += len(utf8(part).encode())
    return tokens


@lru_cache(maxsize=8)  # of 16 megapixels each takes 64 MB
def data_uri(image: Image) -> str:
    """`image` as a PNG in a data URI; a universal picture is encoded once."""
    return "data:image/png;base64," + base64.b64encode(images.encode(image)).decode()


def _message(message: Message) -> ChatMessage:
    from inspect_ai.model import (
        ChatMessageAssistant,
        ChatMessageSystem,
        ChatMessageUser,
        Content,
        ContentImage,
        ContentText,
    )

    roles: dict[str, Callable[..., ChatMessage]] = {
        "system": ChatMessageSystem,
        "user": ChatMessageUser,
        "assistant": ChatMessageAssistant,
    }
    role = roles[message.role]
    if len(message.parts) == 1 and isinstance(message.parts[0], str):
        return role(content=utf8(message.parts[0]))
    parts: list[Content] = [
        ContentText(text=utf8(part)) if isinstance(part, str) else ContentImage(image=data_uri(part))
        for part in message.parts
    ]
    return role(content=parts)


def _config(settings: Settings, options: Mapping[str, Any], is_own: bool) -> GenerateConfig:
    """Decoding settings; `options` of the victim come last. No summaries of reasoning (Inspect would probe the
    account with a call of its own), no prompt caching on request (it is billed).

    A drawn reply has a seed where one is given, or where the server is the user's own: every draw another, and the
    same one again. Vendors draw anew by themselves, and some know no seed.
    """
    from inspect_ai.model import GenerateConfig

    seed = options.get("seed", 0 if is_own else None)
    drawn = {"seed": seed + settings.draw} if settings.temperature > 0 and seed is not None else {}

    told: dict[str, Any] = {
        "max_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p if settings.top_p < 1 else None,
        "stop_seqs": list(settings.stop) or None,
        "reasoning_summary": "none",
        "cache_prompt": False,
        **asked_for(settings.choices),
    }
    return GenerateConfig(**{**told, **options, **drawn})


def check_options(options: Mapping[str, Any]) -> None:
    """Raises UsageError for an option that Inspect's `GenerateConfig` does not know, or that is ours to set."""
    from inspect_ai.model import GenerateConfig

    ours = {"max_tokens", "temperature", "top_p", "stop_seqs", "max_retries", "timeout", "attempt_timeout"}
    ours |= {"max_connections", "adaptive_connections", "cache", "batch", "num_choices", "fail_on_refusal"}
    for name in options:
        if name in ours or name not in GenerateConfig.model_fields:
            takes = ", ".join(sorted(set(GenerateConfig.model_fields) - ours))
            raise UsageError(f"options.{name}: no such option here. Expected a setting of the study, or of: {takes}.")


def _open(name: str, base_url: str, auth_env: str) -> Model:
    try:
        from inspect_ai.model import get_model
    except ImportError as error:
        raise MissingExtra("api: inspect-ai is not installed. Run: pip install inspect-ai openai") from error
    provider, _, rest = name.partition("/")
    arguments: dict[str, Any] = {"memoize": False}
    if auth_env:
        arguments["api_key"] = os.environ.get(auth_env) or _no_key(name, auth_env)
    if provider in OWN_SERVERS:
        prefix = provider.upper().replace("-", "_")
        base_url = base_url or os.environ.get(f"{prefix}_BASE_URL", "")
        if not base_url:
            raise UsageError(
                f"{name}: the address of a running server is missing. "
                f"Give base_url, such as http://127.0.0.1:8000/v1, or set {prefix}_BASE_URL."
            )
        arguments.setdefault("api_key", os.environ.get(f"{prefix}_API_KEY") or "none")
        name = f"openai-api/{provider}/{rest}"
    if base_url:
        arguments["base_url"] = base_url
    try:
        model = get_model(name, **arguments)
    except Exception as error:
        raise _unusable(name, error) from error
    _one_request(model.api)
    return model


def _one_request(api: Any) -> None:
    """One call is one request to the address that was named: the vendors' clients must not retry, and must not follow
    a redirect, which would take pictures, and with Google's the key, to another host."""
    client: Any = getattr(api, "client", None)
    if getattr(client, "max_retries", 0):  # OpenAI's, Anthropic's and those made like them
        client.max_retries = 0
    if getattr(getattr(client, "_client", None), "follow_redirects", False):  # theirs, over httpx
        client._client.follow_redirects = False
    if made := getattr(api, "_http_options", None):  # Google's repeats a broken connection once unless it is told
        from google.genai.types import HttpRetryOptions

        stay = {"follow_redirects": False, "allow_redirects": False}  # httpx's word, and aiohttp's
        once = {"retry_options": HttpRetryOptions(attempts=1), "async_client_args": stay}
        api._http_options = lambda config=None: made(config).model_copy(update=once)


def _no_key(name: str, variable: str) -> str:
    raise UsageError(f"{name}: no API key. Set the environment variable {variable} to it.")


def _unusable(name: str, error: Exception) -> UsageError:
    """What `get_model` complains about, as our error: a missing package, key or address, an unknown provider."""
    told = re.sub(r"\[/?[a-z ]+\]", "", str(getattr(error, "message", "") or error))  # Rich's markup
    told = Secrets().reason(told.removeprefix("ERROR: "))
    if found := re.search(r"pip install (?:--upgrade )?[\w\[\], =-]+", told):
        return MissingExtra(f"{name}: {told.partition('Install with')[0].strip()} Run: {found[0].strip()}")
    if found := re.search(r"the `([\w-]+)` package", told):
        return MissingExtra(f"{name}: {told} Run: pip install {found[1]}")
    if variables := list(dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", told))):
        what = "address" if all("URL" in each for each in variables) else "API key"
        return UsageError(f"{name}: no {what}. Set the environment variable {' or '.join(variables)} to it.")
    return UsageError(f"{name}: {told.rstrip('.')}. Expected provider/model, such as openai/gpt-4o or vllm/NAME.")
