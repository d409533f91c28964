"""Verdicts against verdicts: does a judge say the same of a reply that says the same?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from proofglass.evaluation.trust.agreement import Estimate, Verdict, rate


@dataclass(frozen=True)
class Flips:
    """How verdicts changed. rate: share of those judged before and after whose verdict turned over; to_yes, to_no: how
    many turned which way; lost, gained: replies that were judged only before, or only after."""

    name: str
    family: str
    rate: Estimate
    to_yes: int
    to_no: int
    lost: int
    gained: int


def flips(
    name: str, family: str, before: Sequence[Verdict], after: Sequence[Verdict], clusters: Sequence[Hashable]
) -> Flips:
    """What changed between two judgements of the same replies, in order. Raises ValueError for different lengths."""
    rows = list(zip(before, after, clusters, strict=True))
    both = [row for row in rows if row[0] is not None and row[1] is not None]
    return Flips(
        name,
        family,
        rate([first != second for first, second, _ in both], [cluster for _, _, cluster in both]),
        to_yes=sum(bool(second) and not first for first, second, _ in both),
        to_no=sum(bool(first) and not second for first, second, _ in both),
        lost=sum(first is not None and second is None for first, second, _ in rows),
        gained=sum(first is None and second is not None for first, second, _ in rows),
    )


VARIANTS: dict[str, Callable[[str], str]] = {
    "blanks around it": lambda text: f"  \n{text} \n\n",
    "doubled blanks": lambda text: text.replace(" ", "  "),
    "Windows line ends": lambda text: text.replace("\n", "\r\n"),
    "letters and marks apart (NFD)": lambda text: unicodedata.normalize("NFD", text),
    "compatibility forms (NFKC)": lambda text: unicodedata.normalize("NFKC", text),
    "curly quotes": lambda text: re.sub(r'"([^"]*)"', "“\\1”", text.replace("'", "’")),
    "straight quotes": lambda text: text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}),
    "first letter's case": lambda text: text[:1].swapcase() + text[1:],
}
"""Ways to write the same reply. One counts on the replies that it changes only."""
