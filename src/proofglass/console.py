"""The one door to a terminal. Every line that is printed passes `visible`; nothing else in the package prints.

What a model, an API, a data set, another package or a file name says may hold escape codes (a window title, a cleared
screen, a forged line) and bidirectional controls. They are shown and never obeyed (Trojan Source, Boucher and
Anderson 2021). A test walks the syntax tree of the package and of its scripts and finds any other way out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Cc, Cf: control and format (ANSI, bidi, zero width, tags); Cs: lone surrogates, which UTF-8 cannot hold;
# Co, Cn: no agreed look; Zl, Zp: line breaks that regular expressions and terminals disagree on.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
REASON = 400  # characters of a reason, in a report and on a terminal


def visible(text: str) -> str:
    """`text` with every control, format and unassigned character written as ⟨U+202E⟩; tab and newline stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"⟨U+{ord(c):04X}⟩" if c not in "\n\t" and unicodedata.category(c) in _HIDDEN else c for c in text)


def cut(text: str, limit: int, where: str = "in the run folder") -> str:
    """`text`, or its first `limit` characters and a note of its length and of where the whole stands.

    A reply, a prompt, a reason or an id may hold megabytes; a page or a table that embeds them cannot be opened. The
    note holds a hash, so that two long ids stay two.
    """
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[:limit]} … [cut: {limit:,} of {len(text):,} characters, sha256 {digest}; the whole is {where}]"


def one_line(text: str) -> str:
    """`text` as one printable line: it forges no second one."""
    return " ".join(visible(text).split())


def say(text: object = "", *, end: str = "\n") -> None:
    """Print `text`, made safe for a terminal, to standard output, at once."""
    write(text, sys.stdout, end=end)


def note(text: object) -> None:
    """Print `text`, made safe for a terminal, to standard error: progress, and what went wrong."""
    write(text, sys.stderr)


def write(text: object, stream: TextIO, *, end: str = "\n") -> None:
    """Print `text`, made safe, to `stream`, in the characters that it can take: a terminal in ASCII ends no run."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    safe = visible(str(text)).encode(encoding, "backslashreplace").decode(encoding)
    print(safe, end=end, file=stream, flush=True)


def say_json(value: Any) -> None:
    """Print `value` as JSON; anything outside ASCII is escaped, so nothing in it can steer a terminal."""
    say(json.dumps(value, indent=2))


def show(renderable: RenderableType) -> None:
    """Print tables and styled text of rich, made safe, to standard output."""
    # Not a terminal, no width: a table in a log or a pipe is not folded at 80 columns.
    console_on(sys.stdout, width=None if sys.stdout.isatty() else 160).print(renderable)


def console_on(stream: TextIO, width: int | None = None) -> Console:
    """A console of rich for tables and bars on `stream`; what its texts hold is shown, its own codes are obeyed."""
    from rich.console import Console
    from rich.segment import Segment

    class Safe(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    return Safe(file=stream, width=width, highlight=False, markup=False, emoji=False)


def columns() -> int | None:
    """Width of the terminal that standard output is, or that COLUMNS says; None for a file or a pipe without it."""
    import os
    import shutil

    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return shutil.get_terminal_size().columns if known else None


def table(rows: Sequence[Sequence[str]], gap: str = "  ", width: int | None = None, *, headed: bool = True) -> str:
    """`rows` as left-aligned columns; the last column is as wide as it likes, or wraps so that lines fit `width`.

    Where `width` leaves the last column fewer than 24 characters, each row is a block instead: its first cell, and
    below it, indented, the others (headed: under the names that the first row gives) and the last.
    """
    if not rows:
        return ""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    if width is None:
        return "\n".join(line for row in rows for line in _row(row, widths, gap, None))
    room = width - sum(widths[:-1]) - len(gap) * (len(widths) - 1)
    if room >= min(_NARROW, widths[-1]):
        return "\n".join(line for row in rows for line in _row(row, widths, gap, room))
    names = rows[0] if headed else None
    return "\n".join(line for row in rows[headed:] for line in _block(names, row, width))


_NARROW = 24


def _row(row: Sequence[str], widths: Sequence[int], gap: str, room: int | None) -> list[str]:
    head = "".join(cell.ljust(width) + gap for cell, width in zip(row[:-1], widths[:-1], strict=True))
    lines = [row[-1]] if room is None else wrapped(row[-1], room) or [""]
    return [((head if k == 0 else " " * len(head)) + line).rstrip() for k, line in enumerate(lines)]


def _block(names: Sequence[str] | None, row: Sequence[str], width: int) -> list[str]:
    if names is None:
        told = [" ".join(row[1:])]
    else:
        middle = [f"{name}: {cell}" for name, cell in zip(names[1:-1], row[1:-1], strict=True) if cell.strip("- ")]
        told = ["; ".join(middle), row[-1]]
    lines = [line for text in told for line in wrapped(text, width - 2)]
    return [*wrapped(row[0], width), *(f"  {line}" for line in lines)]


def wrapped(text: str, width: int | None) -> list[str]:
    """`text` in lines of at most `width`; None: as it is."""
    import textwrap

    return text.splitlines() if width is None else textwrap.wrap(text, max(width, 1))


class OneLine(logging.Formatter):
    """A log line of which foreign text can be a part: it steers no terminal and forges no second line."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


class Handler(logging.Handler):
    """Log records on standard error, made safe; a traceback keeps its lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            note(self.format(record))
        except Exception:
            self.handleError(record)


class _SafeRecord(logging.LogRecord):
    def getMessage(self) -> str:
        return visible(super().getMessage())


def own_the_process() -> None:
    """For the command line, whose process is ours: what others log or warn of is made safe as well, and a warning is
    one line that is said once. A library must not do this to its host."""
    logging.setLogRecordFactory(_SafeRecord)
    logging.lastResort = Handler(logging.WARNING)
    warnings.showwarning = _warned


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _warn("" if category is UserWarning else f" ({filename}:{lineno})", str(message))


@cache  # Python's own memory of what it warned of is lost whenever somebody changes a filter
def _warn(place: str, message: str) -> None:
    note(one_line(f"warning: {message}{place}"))
