"""A metric beside its reference."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """name: of the metric; reference: distribution name of the package that it is held against, "" where none has it: a
    second derivation in the same file. cases: n random cases. ours, theirs: a case -> the number. tolerance: absolute.
    """

    name: str
    reference: str
    cases: Callable[[random.Random, int], list[Any]]
    ours: Callable[[Any], float]
    theirs: Callable[[Any], float]
    tolerance: float = 1e-9
