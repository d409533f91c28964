"""One judge on label sets: how often it is right, about what, and what makes it change its mind."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from proofglass.errors import UsageError
from proofglass.evaluation.judging import judge as judged_by
from proofglass.evaluation.labels import LabelledReply, LabelSet
from proofglass.evaluation.trust.agreement import Agreement, Estimate, Verdict, agreement, ceiling, sliced
from proofglass.evaluation.trust.flips import VARIANTS, Flips, flips
from proofglass.evaluation.wrappers import WRAPPERS, Wrapper
from proofglass.interfaces import Judge
from proofglass.types import Attempt, Chat, Reply, Sample

BATCH = 256  # replies that a judge is shown at a time, so that progress can be told
OTHER_BATCH = 7
WANTED = 200  # pairs that a flip rate should rest on
SLICES: dict[str, Callable[[LabelledReply], str]] = {
    "kind": lambda row: row.kind,
    "model": lambda row: row.model,
    "category": lambda row: row.category,
}


@dataclass(frozen=True)
class OnSet:
    """A judge against one label set. learned: the judge was trained on it, so that the figures measure nothing; bad:
    rows of the file that could not be used; slices: "kind", "model", "category"
    -> value -> agreement; raters: agreement and kappa of the people among themselves, None where one labelled alone."""

    name: str
    learned: bool
    bad: int
    overall: Agreement
    slices: Mapping[str, Mapping[str, Agreement]]
    raters: tuple[Estimate, Estimate] | None


@dataclass(frozen=True)
class Trust:
    """What is known about a judge. aspect: what it was held against ("not refusal": its verdict was turned round).
    broken: replies on which its code failed, of all that it was shown; reason: of the first."""

    judge: str
    key: str
    aspect: str
    sets: tuple[OnSet, ...]
    stability: tuple[Flips, ...]
    wrappers: tuple[Flips, ...]
    shown: int
    broken: int
    reason: str

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
    most: int = 400,
    seed: int = 0,
    heard: Callable[[int], None] = lambda n: None,
) -> Trust:
    """Hold `judge` against every set that has labels of its aspect.

    aspect: "refusal", "unsafe" or what else the labels have, "not refusal" for a judge whose 1 means the opposite; ""
    takes the judge's own. stability, wrappers: judge again, on at most `most` replies drawn by `seed` (where there are
    fewer than 200, each in several wordings). heard: called with the number of replies judged since the last call.
    Raises UsageError for a judge without an aspect, or without labels of it.
    """
    aspect = aspect or judge.aspect
    if not aspect:
        raise UsageError(
            f"judge {judge.name}: says of no aspect that it measures it; name one, such as --aspect refusal"
        )
    bare = aspect.removeprefix("not ")
    panel = Panel(judge, turned=aspect != bare, heard=heard)
    found: list[OnSet] = []
    rows: list[LabelledReply] = []
    first: list[Verdict] = []
    for each in sets:
        labelled = [reply for reply in each.replies if bare in reply.truth]
        if labelled:
            said = panel.verdicts(labelled)
            learned = judge.measured is not None and each.name in judge.measured.trained_on
            found.append(_on_set(each, learned, labelled, said, bare))
            rows += labelled
            first += said
    if not found:
        raise UsageError(f"no label of {bare!r} in {', '.join(each.name for each in sets) or 'no label set'}")
    places = _drawn(first, most, seed)
    few, before = [rows[k] for k in places], [first[k] for k in places]
    return Trust(
        judge=judge.name,
        key=judge.key,
        aspect=aspect,
        sets=tuple(found),
        stability=tuple(_stability(panel, few, before)) if stability else (),
        wrappers=tuple(_wrapped(panel, each, few, before, seed) for each in WRAPPERS) if wrappers else (),
        shown=panel.shown,
        broken=panel.broken,
        reason=panel.reason,
    )


def _drawn(said: Sequence[Verdict], most: int, seed: int) -> list[int]:
    """Places of `most` replies, drawn at random; and more that were judged, until `WANTED` of them were."""
    order = random.Random(seed).sample(range(len(said)), len(said))
    drawn, others = order[:most], [k for k in order[most:] if said[k] is not None]
    missing = min(most, WANTED) - sum(said[k] is not None for k in drawn)
    return sorted(drawn + others[: max(0, missing)])


def _on_set(
    labels: LabelSet, learned: bool, rows: Sequence[LabelledReply], said: Sequence[Verdict], aspect: str
) -> OnSet:
    return OnSet(
        labels.name,
        learned,
        len(labels.bad),
        agreement([row.truth[aspect] >= 0.5 for row in rows], said, [row.cluster for row in rows]),
        {name: sliced(rows, said, aspect, key) for name, key in SLICES.items()},
        ceiling(rows, aspect),
    )


def _stability(panel: Panel, rows: Sequence[LabelledReply], before: Sequence[Verdict]) -> list[Flips]:
    """The same replies again, in other company, and in other spellings."""
    where = [row.cluster for row in rows]
    found = [
        flips("again", "same text", before, panel.verdicts(rows), where),
        flips("in another order", "same text", before, panel.verdicts(rows[::-1])[::-1], where),
        flips(f"{OTHER_BATCH} at a time", "same text", before, panel.verdicts(rows, batch=OTHER_BATCH), where),
    ]
    for name, change in VARIANTS.items():
        changed = [
            (row, old, new) for row, old in zip(rows, before, strict=True) if (new := change(row.reply)) != row.reply
        ]
        after = panel.verdicts([row for row, _, _ in changed], [new for _, _, new in changed])
        found.append(
            flips(name, "same words", [old for _, old, _ in changed], after, [row.cluster for row, _, _ in changed])
        )
    return found


def _wrapped(
    panel: Panel, wrapper: Wrapper, rows: Sequence[LabelledReply], before: Sequence[Verdict], seed: int
) -> Flips:
    pairs = [(row, old) for row, old in zip(rows, before, strict=True) if row.prompt or not wrapper.needs_question]
    draws = min(len(wrapper.wordings), ceil(WANTED / max(1, len(pairs))))
    every = [(row, old, draw) for draw in range(draws) for row, old in pairs]
    texts = [wrapper(row.reply, row.prompt, seed=seed, draw=draw) for row, _, draw in every]
    after = panel.verdicts([row for row, _, _ in every], texts)
    where = [row.cluster for row, _, _ in every]
    return flips(wrapper.name, wrapper.family, [old for _, old, _ in every], after, where)


@dataclass
class Panel:
    """Shows replies to a judge and keeps count of what it broke on. turned: its 1 means no."""

    judge: Judge
    turned: bool = False
    heard: Callable[[int], None] = lambda n: None
    shown: int = 0
    broken: int = 0
    reason: str = ""

    def verdicts(
        self, rows: Sequence[LabelledReply], texts: Sequence[str] | None = None, batch: int = BATCH
    ) -> list[Verdict]:
        """What the judge says of each reply, or of other `texts` in their place."""
        attempts = [attempt_of(row) for row in rows]
        if texts is not None:
            attempts = [replace(a, reply=Reply(text)) for a, text in zip(attempts, texts, strict=True)]
        found: list[Verdict] = []
        for start in range(0, len(attempts), batch):
            found += self._batch(attempts[start : start + batch])
        return found

    def _batch(self, attempts: Sequence[Attempt]) -> list[Verdict]:
        named = {str(k): attempt for k, attempt in enumerate(attempts)}
        scores, fault = judged_by(self.judge, self.judge.name, named)
        self.shown += len(attempts)
        if fault:
            self.reason = self.reason if self.broken else fault.reason
            self.broken += fault.replies
        elif not self.reason:
            self.reason = next((score.reason for score in scores.values() if score.value is None), "")
        self.heard(len(attempts))
        values = [scores[name].value for name in named]
        return [None if value is None else (value >= 0.5) is not self.turned for value in values]


def attempt_of(row: LabelledReply) -> Attempt:
    """What a judge sees of a labelled reply: the question as the only turn of the user, and the reply."""
    sample = Sample(row.id, row.source, Chat.user(row.prompt), cluster=row.cluster, category=row.category)
    return Attempt(sample, sample.chat, Reply(row.reply))
