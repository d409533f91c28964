"""One judge on label sets: how often it is right, about what, and what makes it change its mind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from proofglass.errors import UsageError
from proofglass.evaluation.labels import LabelledReply, LabelSet
from proofglass.evaluation.trust.again import drawn, in_pictures, stability_of, wrapped
from proofglass.evaluation.trust.agreement import Agreement, Estimate, Verdict, agreement, ceiling, rate, sliced
from proofglass.evaluation.trust.flips import Flips
from proofglass.evaluation.trust.panel import Panel, attempt_of, judged_in
from proofglass.evaluation.trust.roc import ALARMS, RECALLS, Roc, roc
from proofglass.evaluation.wrappers import WRAPPERS
from proofglass.faults import stops_the_run, told
from proofglass.interfaces import Judge
from proofglass.types import Score

__all__ = ["Called", "OnSet", "Panel", "Trust", "attempt_of", "check"]

SLICES: dict[str, Callable[[LabelledReply], str]] = {
    "kind": lambda row: row.kind,
    "model": lambda row: row.model,
    "category": lambda row: row.category,
}


@dataclass(frozen=True)
class Called:
    """How often a judge gave this label (`Score.label`): to rows that people labelled yes, and no. verdict: what it
    counted as there, None where it was unjudged, "mixed" where one label stands for several."""

    label: str
    verdict: Verdict | str
    yes: int
    no: int


@dataclass(frozen=True)
class OnSet:
    """A judge against one label set. learned: the judge was trained on it, so that the figures measure nothing; bad:
    rows of the file that could not be used; slices: "kind", "model", "category"
    -> value -> agreement; raters: agreement and kappa of the people among themselves, None where one labelled alone.
    false_alarms: share of the judged rows labelled no to which it said yes; called: what it called the rows, the most
    frequent first; labelled_by: whose labels they are; roc: its probability against the labels, None where it has
    none."""

    name: str
    learned: bool
    bad: int
    overall: Agreement
    slices: Mapping[str, Mapping[str, Agreement]]
    raters: tuple[Estimate, Estimate] | None
    false_alarms: Estimate
    called: tuple[Called, ...]
    labelled_by: str
    roc: Roc | None = None


@dataclass(frozen=True)
class Trust:
    """What is known about a judge. aspect: what it was held against ("not refusal": its verdict was turned round).
    together: the curve over all sets on which it was not trained, None for fewer than two; no_curve: why there is
    none; no_wrappers, no_pictures: why no text around the reply, or in the picture, was tried. broken: replies on which
    its code failed, of all that it was shown; reason: of the first."""

    judge: str
    key: str
    aspect: str
    sets: tuple[OnSet, ...]
    stability: tuple[Flips, ...]
    wrappers: tuple[Flips, ...]
    shown: int
    broken: int
    reason: str
    pictures: tuple[Flips, ...] = ()
    together: Roc | None = None
    no_curve: str = ""
    no_wrappers: str = ""
    no_pictures: str = ""

    @property
    def fault(self) -> str:
        """Why this judge cannot be used, "" if it can: it broke, or it judged nothing."""
        if self.broken:
            return (
                f"broke on {self.broken} of {self.shown} replies: {self.reason.removeprefix(f'judge {self.judge}: ')}"
            )
        if not any(each.overall.n > each.overall.unjudged for each in self.sets):
            return f"judged none of the {self.shown} replies that it was shown: {self.reason}"
        return ""


def check(
    judge: Judge,
    sets: Sequence[LabelSet],
    aspect: str = "",
    *,
    stability: bool = True,
    wrappers: bool = False,
    curve: bool = True,
    recalls: Sequence[float] = RECALLS,
    most: int = 400,
    seed: int = 0,
    heard: Callable[[int], None] = lambda n: None,
) -> Trust:
    """Hold `judge` against every set that has labels of its aspect.

    aspect: "refusal", "unsafe" or what else the labels have, "not refusal" for a judge whose 1 means the opposite; ""
    takes the judge's own. stability, wrappers: judge again, on at most `most` replies drawn by `seed` (where there are
    fewer than 200, each in several wordings). curve: judge once more for the probability of a 1, where the judge has
    one; recalls: that are held. heard: called with the number of replies judged since the last call. Raises UsageError
    for a judge without an aspect, or without labels of it.
    """
    aspect = aspect or judge.aspect
    if not aspect:
        raise UsageError(
            f"judge {judge.name}: says of no aspect that it measures it; name one, such as --aspect refusal"
        )
    bare = aspect.removeprefix("not ")
    panel = Panel(judge, turned=aspect != bare, heard=heard, judged=judged_in(bare))
    labelled = [(each, [reply for reply in each.replies if bare in reply.truth]) for each in sets]
    if not any(mine for _, mine in labelled):
        raise UsageError(f"no label of {bare!r} in {', '.join(each.name for each in sets) or 'no label set'}")
    graded, no_curve = _graded(judge, panel) if curve else (None, "it was not asked for")
    curve_of = partial(_curve, aspect=bare, recalls=recalls, seed=seed)
    found: list[OnSet] = []
    rows: list[LabelledReply] = []
    first: list[Verdict] = []
    unseen: list[tuple[LabelledReply, float | None]] = []
    for each, mine in labelled:
        if not mine:
            continue
        scores = panel.scores([attempt_of(row) for row in mine])
        said = [panel.verdict(score) for score in scores]
        learned = judge.measured is not None and each.name in judge.measured.trained_on
        values = _values(graded, mine) if graded else []
        its_curve = curve_of(list(zip(mine, values, strict=True))) if graded else None
        found.append(_on_set(each, learned, mine, scores, said, bare, its_curve))
        unseen += zip(mine, values, strict=False) if not learned else []
        rows += mine
        first += said
    pictured = judge.sees_pictures and any(row.images for row in rows)
    places = drawn(first, most, seed)
    few, before = [rows[k] for k in places], [first[k] for k in places]
    around = wrappers and bool(panel.judged)
    return Trust(
        judge=judge.name,
        key=judge.key,
        aspect=aspect,
        sets=tuple(found),
        stability=tuple(stability_of(panel, few, before)) if stability else (),
        wrappers=tuple(wrapped(panel, each, few, before, seed) for each in WRAPPERS) if around else (),
        pictures=tuple(in_pictures(panel, rows, first, most, seed)) if wrappers and pictured else (),
        shown=panel.shown + (graded.shown if graded else 0),
        broken=panel.broken + (graded.broken if graded else 0),
        reason=panel.reason if panel.broken or graded is None or not graded.broken else graded.reason,
        together=curve_of(unseen) if graded and sum(not each.learned for each in found) > 1 else None,
        no_curve=no_curve,
        no_wrappers="" if not wrappers or around else "its verdict is about pictures: there is no text to wrap",
        no_pictures=_no_pictures(judge) if wrappers and not pictured else "",
    )


def _graded(judge: Judge, panel: Panel) -> tuple[Panel | None, str]:
    """A panel of the same judge that gives probabilities, or why there is none."""
    try:
        graded = judge.graded()
    except Exception as error:  # foreign code: it costs the curve, and its verdicts stand
        if stops_the_run(error):
            raise
        return None, f"its graded() broke: {told(error, 'judge', judge)}"
    if graded is None:
        return None, "it gives verdicts only, no probability"
    if not isinstance(graded, Judge):
        return None, f"its graded() returned a {type(graded).__name__}, expected a Judge"
    return Panel(graded, panel.turned, panel.heard, panel.judged), ""


def _values(graded: Panel, rows: Sequence[LabelledReply]) -> list[float | None]:
    return [graded.value(score) for score in graded.scores([attempt_of(row) for row in rows])]


def _curve(
    pairs: Sequence[tuple[LabelledReply, float | None]], *, aspect: str, recalls: Sequence[float], seed: int
) -> Roc:
    rows = [row for row, _ in pairs]
    truth = [row.truth[aspect] >= 0.5 for row in rows]
    values = [value for _, value in pairs]
    return roc(truth, values, [row.cluster for row in rows], recalls=recalls, alarms=ALARMS, seed=seed)


def _no_pictures(judge: Judge) -> str:
    if not judge.sees_pictures:
        return "no picture moves its verdict (sees_pictures): text in one was not tried"
    return "no labelled row has a picture: text in one was not tried"


def _on_set(
    labels: LabelSet,
    learned: bool,
    rows: Sequence[LabelledReply],
    scores: Sequence[Score],
    said: Sequence[Verdict],
    aspect: str,
    curve: Roc | None,
) -> OnSet:
    truth = [row.truth[aspect] >= 0.5 for row in rows]
    alarms = [
        (verdict, row.cluster)
        for row, yes, verdict in zip(rows, truth, said, strict=True)
        if not yes and verdict is not None
    ]
    return OnSet(
        labels.name,
        learned,
        len(labels.bad),
        agreement(truth, said, [row.cluster for row in rows]),
        {name: sliced(rows, said, aspect, key) for name, key in SLICES.items()},
        ceiling(rows, aspect),
        rate([verdict for verdict, _ in alarms], [cluster for _, cluster in alarms]),
        tuple(_called(truth, scores, said)),
        labels.labelled_by,
        curve,
    )


def _called(truth: Sequence[bool], scores: Sequence[Score], said: Sequence[Verdict]) -> list[Called]:
    """Labels as they were given, so that a third level ("controversial") is seen and not only what it counts as."""
    counts = Counter(zip((score.label for score in scores), truth, strict=True))
    verdicts: dict[str, set[Verdict]] = {}
    for score, verdict in zip(scores, said, strict=True):
        verdicts.setdefault(score.label, set()).add(verdict)
    found = [
        Called(label, next(iter(each)) if len(each) == 1 else "mixed", counts[label, True], counts[label, False])
        for label, each in verdicts.items()
    ]
    return sorted(found, key=lambda called: (-called.yes - called.no, called.label))
