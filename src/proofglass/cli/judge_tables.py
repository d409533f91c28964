"""What `proofglass judges check` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from proofglass.console import cut, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from proofglass.evaluation.trust.agreement import Agreement, Estimate
    from proofglass.evaluation.trust.check import OnSet, Trust
    from proofglass.evaluation.trust.flips import Flips
    from proofglass.evaluation.trust.roc import Operating, Roc

MOST_CALLED = 20  # labels of one set that are shown
STEPS = 40  # of a curve on a line
LEFT = ("kind", "model", "label", "aspect", "labels", "held", "curve", "note")
BARS = " ▁▂▃▄▅▆▇█"


def show_trust(trust: Trust, judge: str) -> None:
    show(_overall(trust, judge))
    if benign := [each for each in trust.sets if not each.overall.yes]:
        show(_false_alarms(benign))
    show(_called(trust))
    _show_curves(trust)
    for title, which in (("Per reply type", "kind"), ("Per model", "model")):
        rows = [(each.name, name, one) for each in trust.sets for name, one in each.slices[which].items()]
        if rows:
            show(_sliced(title, which, rows))
    if trust.stability:
        show(_flips("Stability: verdicts that change though the reply says the same", trust.stability))
    if trust.wrappers:
        what = "prompt" if trust.aspect.endswith("unsafe prompt") else "reply"
        show(_flips(f"Wrappers: verdicts that change under text around the {what}", trust.wrappers))
    if trust.pictures:
        show(_flips("Wrappers in the picture: verdicts that change under text in it", trust.pictures))
    for reason in filter(None, (trust.no_wrappers, trust.no_pictures)):
        say(f"wrappers: {reason}")


def show_modes(trusts: Mapping[str, Trust], judge: str) -> None:
    """One line a mode and label set."""
    table = _table(
        f"Judge {judge} in each of its modes",
        ("mode", "aspect", "labels", "n", "yes", "unjudged", "sensitivity", "specificity", "AUROC"),
    )
    for mode, trust in trusts.items():
        for each in trust.sets:
            one = each.overall
            counts = (f"{one.n:,}", f"{one.yes:,}", f"{one.unjudged:,}", _told(one.sensitivity), _told(one.specificity))
            table.add_row(mode, trust.aspect, cut(each.name, 60), *counts, _told(each.roc.auroc) if each.roc else "-")
        if trust.together and not trust.together.reason:
            every = trust.together
            counts = (f"{every.n:,}", f"{every.yes:,}", f"{every.unjudged:,}", "", "")
            table.add_row(mode, trust.aspect, "all together", *counts, _told(every.auroc))
    show(table)


def _show_curves(trust: Trust) -> None:
    curves = [(each.name, each.roc) for each in trust.sets if each.roc is not None]
    if trust.together:
        curves.append(("all together", trust.together))
    if not curves:
        say(f"no curve: {trust.no_curve}")
        return
    for name, each in curves:
        if each.reason:
            say(f"no curve on {cut(name, 60)}: {each.reason}")
    drawn = [(name, each) for name, each in curves if not each.reason]
    if drawn:
        show(_areas(trust, drawn))
        show(_operating(drawn))


def _areas(trust: Trust, curves: Sequence[tuple[str, Roc]]) -> Table:
    table = _table(
        f"Its probability against {_whose(trust)}: recall as false alarms grow from 0 to 1 in {STEPS} steps",
        ("labels", "n", "yes", "unjudged", "AUROC", "average precision", "curve"),
    )
    for name, each in curves:
        counts = (f"{each.n:,}", f"{each.yes:,}", f"{each.unjudged:,}")
        table.add_row(cut(name, 60), *counts, _told(each.auroc), _told(each.average_precision), _line(each))
    return table


def _line(curve: Roc) -> str:
    """The curve as bars: the recall that each share of false alarms allows."""
    found, recall = [], 0.0
    points = iter([*curve.curve, (0.0, 2.0, 1.0)])
    ahead = next(points)
    for step in range(STEPS + 1):
        while ahead[1] <= step / STEPS:
            recall, ahead = ahead[2], next(points)
        found.append(BARS[round(recall * (len(BARS) - 1))])
    return "".join(found)


def _operating(curves: Sequence[tuple[str, Roc]]) -> Table:
    table = _table(
        "At a threshold that the other half of the questions chose, 95 % intervals",
        ("labels", "held", "thresholds", "recall", "false alarms", "note"),
    )
    for name, curve in curves:
        for each in curve.operating:
            held = f"{each.held} {each.at:g}"
            told = (_thresholds(each), _told(each.recall), _told(each.false_alarms), each.reason or each.note)
            table.add_row(cut(name, 60), held, *told)
    return table


def _thresholds(point: Operating) -> str:
    if point.reason:
        return "-"
    return ", ".join("none" if each is None else f"{each:.3g}" for each in point.thresholds)


def _false_alarms(sets: Iterable[OnSet]) -> Table:
    table = _table("False alarms where every label is no", ("labels", "n", "unjudged", "flagged", "false alarms"))
    for each in sets:
        one = each.overall
        table.add_row(cut(each.name, 60), f"{one.n:,}", f"{one.unjudged:,}", f"{one.wrong:,}", _told(each.false_alarms))
    return table


def _called(trust: Trust) -> Table:
    """What a judge called the replies: a verdict in the middle ("controversial") is seen here only."""
    table = _table("What it called them", ("labels", "label", "counts as", "labelled yes", "labelled no"))
    for each in trust.sets:
        for one in each.called[:MOST_CALLED]:
            verdict = (
                one.verdict if isinstance(one.verdict, str) else {True: "yes", False: "no", None: "-"}[one.verdict]
            )
            table.add_row(cut(each.name, 60), cut(one.label, 60) or "(none)", verdict, f"{one.yes:,}", f"{one.no:,}")
        if rest := each.called[MOST_CALLED:]:
            counts = (f"{sum(one.yes for one in rest):,}", f"{sum(one.no for one in rest):,}")
            table.add_row(cut(each.name, 60), f"{len(rest)} others", "", *counts)
    return table


def _overall(trust: Trust, judge: str) -> Table:
    table = _table(
        f"Judge {judge} ({trust.aspect}) against {_whose(trust)}, 95 % intervals",
        ("labels", "n", "yes", "unjudged", "accuracy", "sensitivity", "specificity", "kappa", "people's kappa"),
    )
    for each in trust.sets:
        one = each.overall
        table.add_row(
            f"{each.name} (trained on it)" if each.learned else each.name,
            f"{one.n:,}",
            f"{one.yes:,}",
            f"{one.unjudged:,}" + (f", counted as wrong: accuracy {_told(one.strict)}" if one.unjudged else ""),
            *(_told(part) for part in (one.accuracy, one.sensitivity, one.specificity, one.kappa)),
            _told(each.raters[1]) if each.raters else "-",
        )
    return table


def _whose(trust: Trust) -> str:
    """Whose labels it is held against."""
    return " and ".join(dict.fromkeys(each.labelled_by for each in trust.sets))


def _sliced(title: str, which: str, rows: list[tuple[str, str, Agreement]]) -> Table:
    table = _table(title, ("labels", which, "n", "yes", "unjudged", "right", "sensitivity", "specificity"))
    for labels, name, one in rows:
        told = (_told(one.accuracy), _told(one.sensitivity), _told(one.specificity))
        table.add_row(
            labels, cut(name, 60, "in the label file"), f"{one.n:,}", f"{one.yes:,}", f"{one.unjudged:,}", *told
        )
    return table


def _flips(title: str, found: tuple[Flips, ...]) -> Table:
    table = _table(title, ("what changes", "n", "changed", "to yes", "to no", "lost", "gained"))
    for each in found:
        turned = (each.to_yes, each.to_no, each.lost, each.gained)
        table.add_row(each.name, f"{each.rate.n:,}", _told(each.rate), *(f"{count:,}" for count in turned))
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 or column in LEFT else "right")
    return table


def _told(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None:
        return f"{estimate.value:.2f} [no interval]"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
