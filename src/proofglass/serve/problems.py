"""What a caller is told when a request is not answered: one shape, that of OpenAI's error bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Problem(Exception):
    """A request that gets an error instead of an answer. status: of HTTP. kind: "type" of the error body.

    code: a word for programs; param: the field at fault. The message never holds more than a short piece of what the
    caller sent, and nothing of a reply.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def bad(where: str, message: str, code: str = "invalid_value", status: int = 400) -> Problem:
    """A field of a request that cannot be used as it is."""
    return Problem(status, f"{where}: {message}" if where else message, code=code, param=where or None)


def shown(value: object) -> str:
    """`value` as an error message may quote it: its first 60 characters."""
    try:
        text = repr(value)
    except RecursionError:  # nested as deeply as the parser lets pass
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def stopping() -> Problem:
    return Problem(503, "the server is stopping", kind="server_error", code="stopping")
