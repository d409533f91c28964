"""What a failed attempt means: is it worth another, may it have been billed, was it the provider's filter?

Vendors' clients raise many classes; what they share is a status, a body, and the error of the transport underneath.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from proofglass.types import AskFault

# Codes of errors with which providers withhold an answer (OpenAI, Azure, OpenRouter and servers that follow them).
FILTERS = (
    "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked", "flagged_input",
)  # fmt: skip
# No later ask can succeed either: a wrong key, no credit, no such model. OpenAI says 429 to an account without credit,
# Anthropic 400, and so does Google to a wrong key.
HOPELESS = (401, 402, 404)
_HOPELESS_WORDS = ("insufficient_quota", "credit balance is too low", "api key not valid")
_REFUSED = (400, 413, 422)  # the provider takes exception to what was asked
_TOO_LONG = (  # OpenAI and those like it, vLLM, Anthropic, Google
    "context_length_exceeded", "maximum context length", "prompt is too long", "input token count", "context window",
)  # fmt: skip
_RETRIED = (408, 409, 425, 429)
_REDIRECTS = (301, 302, 303, 307, 308)
_LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class Fault:
    """Why an attempt brought no answer. reason: kind, colon, detail.

    retry: another attempt may succeed. retry_after: seconds that the server asked for. possibly_paid: it may have
    been answered and billed. filtered: the provider withheld the answer. hopeless: all other asks will fail too.
    ask: what in the ask it is owed to (`types.AskFault`).
    """

    reason: str
    retry: bool = False
    retry_after: float | None = None
    possibly_paid: bool = False
    filtered: bool = False
    hopeless: bool = False
    ask: AskFault = ""


@dataclass(frozen=True)
class Secrets:
    """Hides keys in texts: the known ones wherever they stand, and what looks like one."""

    known: tuple[str, ...] = field(default=(), repr=False)

    def hide(self, text: str) -> str:
        """`text` without the known keys; short ones ("none") are no secret."""
        for secret in self.known:
            if len(secret) >= 8:
                text = text.replace(secret, "***")
        return text

    def reason(self, text: str) -> str:
        """One line of at most 300 characters without any key."""
        text = _LOOKS_SECRET.sub("***", self.hide(" ".join(text.split())))
        return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


_LOOKS_SECRET = re.compile(r"\b(?:sk|pk|rk|gsk|xai)-[\w*.-]{6,}|\bAIza[\w-]{10,}|(?<=[Bb]earer )\S+|(?<=key=)[^&\s]+")


def fault_of(error: BaseException, retry_after: float | None, timeout_s: float) -> Fault:
    """What `error`, raised by an attempt, means. retry_after: seconds, as the provider's headers say."""
    status = status_of(error)
    detail = _message(error)
    if status is not None and status >= 400:
        return _of_status(status, error, detail, retry_after)
    if status in _REDIRECTS:
        where = _header(error, "location") or "an address that it does not name"
        return Fault(f"{status}: redirects are not followed; this one leads to {where}", hopeless=True)
    names = {type(each).__name__ for each in _chain(error)}
    if names & _NOT_SENT:
        return Fault(f"no connection: {detail}", retry=True)
    if isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
        return Fault(f"time-out: no answer within {timeout_s:g} s", retry=True, possibly_paid=True)
    if names & _TRANSPORT or "Connection" in type(error).__name__:
        return Fault(f"connection broken: {detail}", retry=True, possibly_paid=True)
    # What is left was raised while the answer was read: broken JSON, or JSON that is no answer.
    return Fault(f"malformed answer: {type(error).__name__}: {detail}", retry=True, possibly_paid=True)


def _of_status(status: int, error: BaseException, detail: str, retry_after: float | None) -> Fault:
    told = f"{detail} {getattr(error, 'code', '')} {getattr(error, 'body', '')}".lower()
    reason = f"{status}: {detail}"
    if status < 500 and any(name in told for name in FILTERS):
        return Fault(f"content filter: {detail}", filtered=True)
    if status in HOPELESS or (status < 500 and any(words in told for words in _HOPELESS_WORDS)):
        return Fault(reason, hopeless=True)
    wanted = _header(error, "x-should-retry")  # OpenAI, Anthropic, `proofglass serve`: they know best
    if wanted == "true" or (wanted != "false" and (status in _RETRIED or status >= 500)):
        return Fault(reason, retry=True, retry_after=retry_after)
    if status < 500 and any(words in told for words in _TOO_LONG):
        return Fault(reason, ask="length")
    return Fault(reason, ask="ask" if status in _REFUSED else "")


_NOT_SENT = {
    "ConnectError", "ConnectTimeout", "ConnectionRefusedError", "ClientConnectorError", "PoolTimeout",
    "UnsupportedProtocol", "InvalidURL", "LocalProtocolError", "gaierror",
}  # fmt: skip
_TRANSPORT = {
    "ReadError", "WriteError", "CloseError", "RemoteProtocolError", "NetworkError", "ConnectionResetError",
    "BrokenPipeError", "ServerDisconnectedError", "ClientOSError", "ClientPayloadError", "IncompleteReadError",
}  # fmt: skip


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error, None if there was no answer."""
    for each in _chain(error):
        for name in ("status_code", "status", "code"):
            value = getattr(each, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _header(error: BaseException, name: str) -> str:
    """A header of the answer behind an error, empty if there is none."""
    for each in _chain(error):
        headers = getattr(getattr(each, "response", None), "headers", None)
        if headers is not None and name in headers:
            return str(headers[name])
    return ""


def _message(error: BaseException) -> str:
    """What the provider says, without the request that led to it."""
    body: Any = getattr(error, "body", None)
    body = body.get("error", body) if isinstance(body, dict) else None  # Anthropic nests it, OpenAI's client unpacks it
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    root = list(_chain(error))[-1]
    text = str(error) or type(error).__name__
    return text if root is error or not str(root) or str(root) in text else f"{text} ({root})"
