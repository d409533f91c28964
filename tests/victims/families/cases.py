"""All tiny models: the `CASES` of every tiny_*.py here."""

from __future__ import annotations

import importlib
from pathlib import Path

from .common import Case

HERE = Path(__file__).parent
CASES: list[Case] = [
    case
    for file in sorted(HERE.glob("tiny_*.py"))
    for case in importlib.import_module(f".{file.stem}", __package__).CASES
]
