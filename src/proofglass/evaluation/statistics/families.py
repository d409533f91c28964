"""P values that are read together: adjusted, so that one that falls below 0.05 may be believed.

Each takes the p values of one family, declared before they were seen, and gives them adjusted, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence


def bonferroni(p: Sequence[float]) -> list[float]:
    """Each times their number: holds the chance of any false claim, whatever the dependence."""
    _check(p)
    return [min(1.0, each * len(p)) for each in p]


def holm(p: Sequence[float]) -> list[float]:
    """Step down: the same guarantee as Bonferroni's, never larger values. Source: Holm 1979."""
    _check(p)
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(_order(p)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = largest
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Step up: holds the expected share of false ones among the claims (independent or positively dependent tests).

    Source: Benjamini & Hochberg 1995.
    """
    _check(p)
    adjusted, smallest = [0.0] * len(p), 1.0
    for rank, place in reversed(list(enumerate(_order(p), start=1))):
        smallest = min(smallest, len(p) * p[place] / rank)
        adjusted[place] = smallest
    return adjusted


def _order(p: Sequence[float]) -> list[int]:
    return sorted(range(len(p)), key=lambda place: p[place])


def _check(p: Sequence[float]) -> None:
    for place, each in enumerate(p):
        if not 0 <= each <= 1:
            raise ValueError(f"p[{place}]: expected 0..1, found {each}")
