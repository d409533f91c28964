"""API victims of loopback servers, what they are asked, and a server that gives one answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofglass.types import Ask, Chat, Settings
from proofglass.victims.api import ledger as ledgers
from proofglass.victims.api.ledger import Book
from proofglass.victims.inspect import ApiVictim
from victims.flaky_server import Flaky, completion, serving


@dataclass
class Says(Flaky):
    """A server that gives every request the same answer. status, text (JSON of a dict), extra: that answer."""

    status: int = 200
    text: str | dict[str, Any] = ""
    extra: dict[str, str] = field(default_factory=dict)

    async def _complete(self, body: dict[str, Any], headers: Any, reader: Any, writer: Any) -> bool:
        self.kinds["said"] += 1
        self.bodies.append(body)
        self._send(
            writer, self.status, self.text if isinstance(self.text, str) else json.dumps(self.text), extra=self.extra
        )
        await writer.drain()
        return True


@contextlib.contextmanager
def saying(text: str | dict[str, Any] = "", status: int = 200, **extra: str) -> Iterator[Says]:
    """extra: headers, - written as _."""
    says = Says(status=status, text=text, extra={name.replace("_", "-"): value for name, value in extra.items()})
    with serving(says) as url:
        says.url = url  # type: ignore[attr-defined]
        yield says


def answer(
    text: str | None = "yes", usage: tuple[int, int] = (10, 5), beside: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """A chat completion of one choice. beside: further fields of its message."""
    told = completion({"model": "m"}, "", "ok") | more
    told["choices"][0]["message"] |= {"content": text, **(beside or {})}
    return told | {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}}


def victim(server: Flaky, **fields: Any) -> ApiVictim:
    """A victim of this server that hardly waits between attempts."""
    values: dict[str, Any] = {"timeout_s": 10.0, "backoff_s": 0.01, "provider": "openai-compatible", "model": "m"}
    return ApiVictim(base_url=server.url, **{**values, **fields})  # type: ignore[attr-defined]


def asks(count: int, start: int = 0, **settings: Any) -> list[Ask]:
    return [Ask(Chat.user(f"What is {k}?"), Settings(**settings)) for k in range(start, start + count)]


def book(folder: Path) -> Book:
    """What the only ledger below `folder` says."""
    (path,) = folder.rglob(ledgers.FILE)
    return ledgers.read(path)[0]
