"""What a fault of an API means, and that no secret is in its reason."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from proofglass.victims.api import ledger as ledgers
from proofglass.victims.api.faults import Secrets, fault_of


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status_code, self.code, self.body = status, code, {"message": message}


@pytest.mark.parametrize(
    ("error", "retry", "paid", "kind"),
    [
        (Refused(429, "slow"), True, False, "429"),
        (Refused(500, "oops"), True, False, "500"),
        (Refused(529, "overloaded"), True, False, "529"),
        (Refused(400, "bad picture"), False, False, "400"),
        (Refused(413, "too large"), False, False, "413"),
        (TimeoutError(), True, True, "time-out"),
        (ConnectionResetError("reset by peer"), True, True, "connection broken"),
        (ConnectionRefusedError("refused"), True, False, "no connection"),
        (json.JSONDecodeError("Expecting value", "", 0), True, True, "malformed answer"),
        (TypeError("'NoneType' object is not iterable"), True, True, "malformed answer"),
    ],
)
def test_what_a_fault_means(error: Exception, retry: bool, paid: bool, kind: str) -> None:
    fault = fault_of(error, None, 3.0)
    assert (fault.retry, fault.possibly_paid, ledgers.kind_of(fault.reason)) == (retry, paid, kind)
    assert not fault.filtered
    assert not fault.hopeless


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (Refused(400, "bad picture"), "ask"),
        (Refused(422, "roles must alternate"), "ask"),
        (Refused(413, "too large"), "ask"),
        (Refused(400, "This model's maximum context length is 4096 tokens."), "length"),
        (Refused(400, "prompt is too long: 209999 tokens > 200000 maximum"), "length"),
        (Refused(400, "too many", "context_length_exceeded"), "length"),
        (Refused(500, "maximum context length"), ""),
        (Refused(429, "slow"), ""),
        (Refused(403, "not in your country"), ""),
        (TimeoutError(), ""),
    ],
)
def test_what_the_ask_is_to_blame_for_is_told_from_what_the_provider_is(error: Exception, ask: str) -> None:
    assert fault_of(error, None, 3.0).ask == ask


def test_the_providers_filter_is_no_fault_of_the_ask_and_a_wrong_key_is_one_of_all() -> None:
    assert fault_of(Refused(400, "no", "content_filter"), None, 3.0).filtered
    assert fault_of(Refused(400, "no", "content_policy_violation"), None, 3.0).filtered
    assert not fault_of(Refused(500, "content_filter crashed"), None, 3.0).filtered
    for error in (
        Refused(401, "key"),
        Refused(404, "model"),
        Refused(429, "quota", "insufficient_quota"),
        Refused(400, "Your credit balance is too low to access the Anthropic API."),
        Refused(400, "API key not valid. Please pass a valid API key."),
    ):
        fault = fault_of(error, None, 3.0)
        assert fault.hopeless
        assert not fault.retry


def test_an_aggregators_moderation_is_a_filter_and_no_lack_of_permission() -> None:
    error = Refused(403, "input flagged")
    error.body = {"message": "input flagged", "metadata": {"reasons": ["x"], "flagged_input": "..."}}  # type: ignore[dict-item]
    assert fault_of(error, None, 3.0).filtered
    assert not fault_of(Refused(403, "forbidden"), None, 3.0).filtered


@pytest.mark.parametrize(
    ("status", "wanted", "retry"),
    [(502, "false", False), (429, "false", False), (400, "true", True), (401, "true", False), (502, "perhaps", True)],
)
def test_a_server_that_says_whether_to_come_again_is_believed(status: int, wanted: str, retry: bool) -> None:
    error = Refused(status, "no")
    error.response = SimpleNamespace(headers={"x-should-retry": wanted})  # type: ignore[attr-defined]
    assert fault_of(error, None, 3.0).retry is retry


def test_the_providers_own_words_are_the_reason() -> None:
    nested = Refused(400, "Error code: 400")
    nested.body = {"type": "error", "error": {"message": "too many pictures"}}  # type: ignore[dict-item]
    assert fault_of(nested, None, 3.0).reason == "400: too many pictures"
    assert fault_of(Refused(400, "bad picture"), None, 3.0).reason == "400: bad picture"


def test_what_lies_under_a_vendors_error_decides() -> None:
    class APIConnectionError(Exception):
        pass

    def raised(under: Exception) -> Exception:
        try:
            raise APIConnectionError("Connection error.") from under
        except APIConnectionError as error:
            return error

    sent = fault_of(raised(ConnectionResetError("reset by peer")), None, 3.0)
    assert sent.possibly_paid
    assert sent.reason == "connection broken: Connection error. (reset by peer)"
    assert not fault_of(raised(ConnectionRefusedError("refused")), None, 3.0).possibly_paid


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdefgh12345678.",
        "Incorrect API key provided: sk-proj-********5678.",
        "header Authorization: Bearer abcdef.ghi",
        "GET https://example.org/v1?key=AIzaSyA1234567890abc failed",
        "the key my own secret key 42 is wrong",
    ],
)
def test_keys_are_hidden(text: str) -> None:
    told = Secrets(("my own secret key 42",)).reason(text)
    assert "***" in told
    for secret in ("abcdefgh12345678", "5678", "abcdef.ghi", "AIzaSyA", "my own secret"):
        assert secret not in told


def test_a_reason_is_one_line_and_short() -> None:
    told = Secrets(("none",)).reason("there is none\n" + "x" * 1000)
    assert told.startswith("there is none xxx"), "a key of four letters is no secret"
    assert len(told) == 300
