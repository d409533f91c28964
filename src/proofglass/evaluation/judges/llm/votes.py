"""Several answers to one question, counted: draws of a model, models of a panel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.evaluation.judges.llm.rubric import Verdict


@dataclass(frozen=True)
class Ballot:
    """One vote. verdict: None for none, and why. told: what it rests on, in words. silent: the model gave no answer at
    all, which no failure rule makes a verdict."""

    verdict: Verdict | None
    why: str = ""
    told: str = ""
    silent: bool = False


def counted(ballots: Sequence[Ballot], graded: bool) -> Ballot:
    """What the ballots come to. Verdicts: the value that more than half of all ballots have, those without a verdict
    counted among them; none where no value has. Grades: their mean; none where a ballot has none."""
    if len(ballots) == 1:
        return ballots[0]
    given = [ballot.verdict for ballot in ballots if ballot.verdict is not None]
    told = _told(ballots)
    if graded:
        if len(given) < len(ballots):
            return Ballot(None, f"not all gave a grade: {told}")
        mean = sum(verdict.value for verdict in given) / len(given)
        labels = {verdict.label for verdict in given}
        label = labels.pop() if len(labels) == 1 else "divided"
        return Ballot(Verdict(mean, label), told=f"mean of {', '.join(f'{v.value:.3g}' for v in given)} ({told})")
    for value, votes in Counter(verdict.value for verdict in given).items():
        if 2 * votes > len(ballots):
            return Ballot(Verdict(value, _most([v for v in given if v.value == value])), told=told)
    return Ballot(None, f"no majority: {told}")


def _most(verdicts: Sequence[Verdict]) -> str:
    """The most frequent label, the first of several."""
    return Counter(verdict.label for verdict in verdicts).most_common(1)[0][0]


def _told(ballots: Sequence[Ballot]) -> str:
    """ "refused 2 of 3, unread 1 of 3", most votes first."""
    names = Counter(ballot.verdict.label if ballot.verdict else ballot.why for ballot in ballots)
    return ", ".join(f"{name} {count} of {len(ballots)}" for name, count in names.most_common())
