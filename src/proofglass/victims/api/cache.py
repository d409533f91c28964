"""Answers to deterministic asks, one file each: an ask at temperature 0 that comes again costs nothing.

Only what the model said is kept. Errors, filtered replies and empty answers are asked again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proofglass.errors import is_environment
from proofglass.records.checksums import is_intact, signed
from proofglass.records.files import guarded
from proofglass.records.schema import turns_of, utf8
from proofglass.types import Ask, Cost, Reply

VERSION = 2  # raised when what a file holds, or what names it, changes


@dataclasses.dataclass(frozen=True)
class Cache:
    """Files under `folder`. origin: what else decides the answer (model, address, options), JSON-able."""

    folder: Path
    origin: Mapping[str, Any]

    def path(self, ask: Ask) -> Path:
        """Where the answer to `ask` lies: named by the origin, every message with its pictures, and the settings."""
        told = [VERSION, self.origin, ask.settings.told(), turns_of(ask.chat)]
        name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def get(self, ask: Ask) -> Reply | None:
        """The answer as it was given, at no cost but one query; None if there is none, or the file is damaged."""
        if ask.settings.temperature > 0:
            return None
        try:
            path = self.path(ask)
            content = path.read_bytes()
            told = json.loads(content if is_intact(content, path.name) else b"")
            text, finish, reasoning = told["text"], told["finish"], told.get("reasoning", "")
            choices = {str(choice): float(chance) for choice, chance in told.get("choices", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if is_environment(error):  # else a disk that fails for a moment has every answer paid again
                raise
            return None
        is_answer = isinstance(text, str) and text.strip() and finish in ("stop", "length")
        told = {"cost": Cost(queries=1), "reasoning": reasoning, "choices": choices}
        return Reply(text, "ok", finish, **told) if is_answer else None

    def put(self, ask: Ask, reply: Reply, model: str) -> None:
        """Keep `reply`, if it may be kept. model: as the API reported it. Raises StoreError if the disk is full."""
        if ask.settings.temperature > 0 or reply.outcome != "ok" or not reply.text:
            return
        path = self.path(ask)
        told: dict[str, Any] = {"text": utf8(reply.text), "finish": reply.finish, "model": model}
        told |= {"reasoning": utf8(reply.reasoning), "choices": dict(reply.choices)}
        content = signed(json.dumps(told).encode(), path.name)
        with guarded(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft.")  # other processes may write here
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.replace(draft, path)
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
