"""Foreign text made safe to look at: what a model or a data set wrote may not steer the reader's screen.

Terminals obey escape codes, browsers obey bidirectional controls, spreadsheets obey formulas. All of them are
shown, none is obeyed (Trojan Source, Boucher and Anderson 2021; OWASP, "CSV injection").
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Cc, Cf: control and format (ANSI, bidi, zero width, tags); Cs: lone surrogates, which UTF-8 cannot hold;
# Co, Cn: no agreed look; Zl, Zp: line breaks that regular expressions and terminals disagree on.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
CELL = 32_000  # characters; spreadsheets hold 32,767 in a cell
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


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


def csv_cell(value: object) -> object:
    """A value as a spreadsheet may open it: text that would start a formula gets a leading apostrophe.

    Numbers stay numbers, so that a table read back equals the one written; None is the empty cell. Longer texts than
    a spreadsheet's cell can hold are cut.
    """
    if not isinstance(value, str):
        return value
    return ("'" if _FORMULA.match(value) else "") + cut(visible(value), CELL)
