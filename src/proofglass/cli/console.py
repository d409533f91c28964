"""What the commands share: printing text that somebody else wrote, and the one line of an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from proofglass.report.visible import visible


def one_line(text: str) -> str:
    """`text` as one printable line."""
    return " ".join(visible(text).split())


def say(text: str = "") -> None:
    """Print `text`, made safe for a terminal, to standard output."""
    print(_encodable(visible(text), sys.stdout))


def note(text: str) -> None:
    """Print `text`, made safe for a terminal, to standard error: progress, and what went wrong."""
    print(_encodable(visible(text), sys.stderr), file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """Print `value` as JSON; anything outside ASCII is escaped, so nothing in it can steer a terminal."""
    print(json.dumps(value, indent=2))


def table(rows: Sequence[Sequence[str]], gap: str = "  ") -> str:
    """`rows` as left-aligned columns; the last column is as wide as it likes."""
    if not rows:
        return ""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _encodable(text: str, stream: Any) -> str:
    """`text` in the characters that the stream can take: a terminal in ASCII must not end a run."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
