"""Foreign text made safe to look at: what a model or a data set wrote may not steer the reader's screen.

Terminals obey escape codes, browsers obey bidirectional controls, spreadsheets obey formulas. All of them are
shown, none is obeyed (Trojan Source, Boucher and Anderson 2021; OWASP, "CSV injection").
"""

from __future__ import annotations

import re
import unicodedata

# Cc, Cf: control and format (ANSI, bidi, zero width, tags); Cs: lone surrogates, which UTF-8 cannot hold;
# Co, Cn: no agreed look; Zl, Zp: line breaks that regular expressions and terminals disagree on.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


def visible(text: str) -> str:
    """`text` with every control, format and unassigned character written as ⟨U+202E⟩; tab and newline stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"⟨U+{ord(c):04X}⟩" if c not in "\n\t" and unicodedata.category(c) in _HIDDEN else c for c in text)


def csv_cell(value: object) -> object:
    """A value as a spreadsheet may open it: text that would start a formula gets a leading apostrophe.

    Numbers stay numbers, so that a table read back equals the one written; None is the empty cell.
    """
    if not isinstance(value, str):
        return value
    return ("'" if _FORMULA.match(value) else "") + visible(value)
