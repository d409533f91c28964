"""Foreign text made safe for spreadsheets, which obey formulas (OWASP, "CSV injection"); for screens: `console`."""

from __future__ import annotations

import re

from proofglass.console import cut, visible

CELL = 32_000  # characters; spreadsheets hold 32,767 in a cell
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


def csv_cell(value: object) -> object:
    """A value as a spreadsheet may open it: text that would start a formula gets a leading apostrophe.

    Numbers stay numbers, so that a table read back equals the one written; None is the empty cell. Longer texts than
    a spreadsheet's cell can hold are cut.
    """
    if not isinstance(value, str):
        return value
    return ("'" if _FORMULA.match(value) else "") + cut(visible(value), CELL)
