"""Which of two words a reply begins with, as a probability: of what a model tells of its first token."""

from __future__ import annotations

from collections.abc import Mapping

ROUNDING = 1.001  # the most that both may have together; above it they are one token, told twice


def share_of(one: str, other: str, choices: Mapping[str, float], least: float = 0.0) -> float | str:
    """P(one) / (P(one) + P(other)), 0..1, or why there is none: a word that was not told (a list of the likeliest
    tokens may lack it, which does not make it impossible), what is no probability, both together below `least`.

    choices: as in `Reply.choices`.
    """
    if absent := [word for word in (one, other) if word not in choices]:
        return f"no probabilities of {' and '.join(absent)} were told"
    first, second = choices[one], choices[other]
    if not (_is_chance(first) and _is_chance(second)) or first + second > ROUNDING:
        return f"probabilities that are none of two tokens: {first!s:.20} and {second!s:.20}"
    whole = first + second
    if not whole or whole < least:
        return f"its first token is neither {one} nor {other} ({whole:.3f} of 1)"
    return min(1.0, first / whole)


def _is_chance(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= ROUNDING  # NaN is not
