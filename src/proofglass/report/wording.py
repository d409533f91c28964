"""Numbers as a reader wants them: no more digits than the data hold, the unit beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from proofglass.interfaces import ACCESS, Opens

NBSP = "\u00a0"


def percent(value: float | None, n: int = 0) -> str:
    """A rate in 0..1 as percent; a decimal only where n carries it. None is an em dash, not 0."""
    if value is None:
        return "—"
    return f"{100 * value:.{1 if n >= 1000 else 0}f}{NBSP}%"


def interval(row: Mapping[str, Any] | None) -> str:
    """The 95 % interval of a rate, in percent: "[34, 53]"."""
    if not row or row.get("low") is None or row.get("high") is None:
        return ""
    digits = 1 if (row.get("n") or 0) >= 1000 else 0
    return f"[{100 * row['low']:.{digits}f},{NBSP}{100 * row['high']:.{digits}f}]"


def bounds(row: Mapping[str, Any] | None) -> str:
    """What the rate could be, were everything known that is missing: "0 to 80 %"; "" where nothing is missing."""
    if not row or row.get("lowest") is None or row.get("highest") is None or row["highest"] <= row["lowest"]:
        return ""
    return f"{100 * row['lowest']:.0f} to {percent(row['highest'])}"


def with_interval(row: Mapping[str, Any]) -> str:
    """ "43 % [34, 53]", and the bounds of `bounds` where something is missing."""
    open_ = bounds(row)
    shown = f"{percent(row['value'], row['n'])}{NBSP}{interval(row)}"
    return f"{shown} ({open_} with what is missing)" if open_ else shown


def measure(row: Mapping[str, Any], is_share: bool) -> str:
    """The value of a metric: a share of 0..1 in percent, anything else as a number."""
    return percent(row["value"], row["n"]) if is_share else number(row["value"])


def measure_interval(row: Mapping[str, Any], is_share: bool) -> str:
    """Its interval in the same unit, "" if it has none."""
    if is_share or row["low"] is None or row["high"] is None:
        return interval(row)
    return f"[{number(row['low'])},{NBSP}{number(row['high'])}]"


def points(row: Mapping[str, Any]) -> str:
    """A difference of rates with its interval, in percentage points: "+31 [20, 42]"."""
    if row.get("difference") is None:
        return "—"
    digits = 1 if row["n"] >= 1000 else 0
    low, high = (f"{100 * row[end]:.{digits}f}" for end in ("low", "high"))
    return f"{100 * row['difference']:+.{digits}f}{NBSP}[{low},{NBSP}{high}]"


def changed(figure: Mapping[str, Any]) -> str:
    """The paired change of a figure of `report.defenses`, in points."""
    names = (("difference", "change"), ("low", "change_low"), ("high", "change_high"), ("n", "pairs"))
    return points({name: figure[told] for name, told in names})


def signed(value: float) -> str:
    """ "+1.5", "-0.13", "+0": what is added, with its sign."""
    return ("-" if round(value, 2) < 0 else "+") + number(round(abs(value), 2))


def chance(p: float | None) -> str:
    """A p value as far as anyone reads it: "0.012", "< 0.001"."""
    return "—" if p is None else f"<{NBSP}0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def number(value: Any, digits: int = 3) -> str:
    """An integer with narrow, unbroken thousands, a float with `digits` significant ones, None as an em dash."""
    if value is None:
        return "—"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.{digits}g}" if 1e-3 <= abs(value) < 1e6 else f"{value:.{digits - 1}e}"
    return f"{int(value):,}".replace(",", "\u202f")


def access(opens: Opens | None) -> str:
    """What the field calls an attack that opens so much of its victim; "" where nobody noted it."""
    return ACCESS[opens] if opens else ""


def seconds(value: float | None) -> str:
    if value is None:
        return "—"
    if value < 60:
        return f"{value:.3g}{NBSP}s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes:02d}{NBSP}min" if hours else f"{minutes}{NBSP}min {rest:02d}{NBSP}s"


def mebibytes(value: float | None) -> str:
    return "—" if not value else f"{value / 2**20:,.0f}{NBSP}MiB".replace(",", "\u202f")


def grey_levels(value: float) -> str:
    """A pixel quantity in [0, 1] as the papers write it, "16/255", where it is a multiple of a level (and 0.2 as
    0.2, which is shorter than 51/255)."""
    levels = value * 255
    whole = 0.5 < levels < 255 and math.isclose(levels, round(levels), abs_tol=1e-6)
    return f"{round(levels)}/255" if whole and len(repr(value)) > 5 else number(value)


def settings(values: Mapping[str, Any], skip: Sequence[str] = ()) -> str:
    """Parameters in one line: "epsilon 16/255, steps 150". Empty ones are left out."""
    parts = []
    for name, value in values.items():
        if name in skip or value in (None, "", [], (), {}):
            continue
        if isinstance(value, float):
            shown = grey_levels(value)
        elif isinstance(value, (list, tuple)):
            shown = f"{len(value)} given" if len(value) > 4 else ", ".join(str(v) for v in value)
        elif isinstance(value, Mapping):
            shown = "{" + settings(value) + "}"
        else:
            shown = str(value)
        parts.append(f"{name.replace('_', ' ')} {shown}")
    return ", ".join(parts)


def money(told: Mapping[str, Any]) -> str:
    """ "1.88 USD spent, up to 0.42 possibly paid, cap 3": what a ledger says. told: see `ReportedRun.money`."""
    spent = f"{told['spent']:.4g} {told['currency']} spent"
    lost = f", up to {told['possibly_paid']:.4g} possibly paid (asked, no answer came)" if told["possibly_paid"] else ""
    return f"{spent}{lost}, " + (f"cap {told['cap']:.4g}" if told["cap"] is not None else "no cap")


def judging(told: Mapping[str, Any]) -> str:
    """ "strongreject asked testbed-lm-aligned 40 times (30 answers new): 900 tokens in, 90 out, 0.5 paid"."""
    again = f" ({plural(told['new_answers'], 'answer')} new)" if told["new_answers"] != told["asks"] else ""
    tokens = f"{number(told['tokens_in'])} tokens in, {number(told['tokens_out'])} out"
    paid = f", {told['money']:.4g} paid" if told["money"] else ""
    return f"{told['judge']} asked {told['model']} {plural(told['asks'], 'time')}{again}: {tokens}{paid}"


def plural(count: int, one: str, many: str = "") -> str:
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """ "a, b and c"; more than `most` are counted."""
    shown = [*names[:most], f"{len(names) - most} more"] if len(names) > most else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"


def crafted_on(craft: Mapping[str, Any], victim_keys: Mapping[str, str]) -> str:
    """What a cell was crafted on, as `ReportedCell.crafted` says. craft: from its status; victim_keys: by label."""
    crafting = craft.get("crafting", "")
    if crafting in ("static", "adaptive"):
        return str(crafting)
    if crafting == "transfer":
        source = next((label for label, key in victim_keys.items() if key == craft["crafted_on"]), "another model")
        return f"transfer from {source}"
    spent = any(craft.get(name) for name in ("forward", "backward", "queries"))
    return "crafting unknown" if spent and not crafting else ""
