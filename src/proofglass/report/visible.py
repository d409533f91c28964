"""Foreign text made safe for spreadsheets, which obey formulas (OWASP, "CSV injection"); for screens: `console`."""

from __future__ import annotations

import hashlib
import re

from proofglass.console import visible

REASON = 400  # characters of a reason, in a report and on a terminal
CELL = 32_000  # characters; spreadsheets hold 32,767 in a cell
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


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
