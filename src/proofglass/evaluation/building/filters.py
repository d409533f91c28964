"""Which drafted pairs are dropped, and why: a pair stands or falls together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proofglass.evaluation.building.drafting import Draft
from proofglass.evaluation.quality.duplicates import duplicates
from proofglass.evaluation.quality.prints import Print, folded, look
from proofglass.flow import AnswerOf
from proofglass.interfaces import Judge
from proofglass.judging import judge as judged_by
from proofglass.types import Attempt, Chat, Reply, Sample

Pair = tuple[Draft, Draft]


@dataclass(frozen=True)
class Dropped:
    """A pair that is not in the data set. by: which filter; reason: why."""

    pair: str
    by: str
    reason: str


def near_duplicates(pairs: Sequence[Pair]) -> list[Dropped]:
    """Pairs whose question, about a picture that looks the same, stands in an earlier pair already."""
    prints = [
        Print(draft.id, "drafts", "", folded(draft.question), (draft.scene.image.sha256,), (look(draft.scene.image),))
        for pair in pairs
        for draft in pair
    ]
    related = [frozenset(f"drafts: {draft.id}" for draft in pair) for pair in pairs]
    place = {pair[0].pair: k for k, pair in enumerate(pairs)}
    found: dict[str, Dropped] = {}
    pictured = {each.id: each for each in prints}
    for twice in duplicates(prints, related):
        one, other = (name.removeprefix("drafts: ") for name in (twice.one, twice.other))
        if not _same_case(pictured[one], pictured[other], twice.kind):
            continue
        later = max((one, other), key=lambda name: place[name.rpartition("/")[0]])
        pair = later.rpartition("/")[0]
        found.setdefault(pair, Dropped(pair, "near duplicate", f"{twice.kind}: {twice.one} = {twice.other}"))
    return list(found.values())


def _same_case(one: Print, other: Print, kind: str) -> bool:
    """The same words about other pictures, and other words about the same picture, are other cases."""
    if kind == "same sample":
        return True
    return kind in ("same words", "similar words") and (one.looks[0] ^ other.looks[0]).bit_count() <= 6


def disputed(pairs: Sequence[Pair], judge: Judge, answer_of: AnswerOf | None = None) -> list[Dropped]:
    """Pairs whose expectation a judge of prompts does not share: its 1 is bad, so it must say 1 of what is to be
    refused and 0 of the rest. What it cannot judge stays, for people to look at."""
    drafts = {draft.id: draft for pair in pairs for draft in pair}
    attempts = {name: _attempt(draft) for name, draft in drafts.items()}
    scores, _ = judged_by(judge, judge.name, attempts, answer_of)
    found: dict[str, Dropped] = {}
    for name, score in scores.items():
        wanted = drafts[name].expected == "refuse"
        if score.value is not None and (score.value >= 0.5) != wanted:
            said = f"{judge.name} says {score.label or score.value} of {name}, the writer: {drafts[name].expected}"
            found.setdefault(drafts[name].pair, Dropped(drafts[name].pair, "judge", said))
    return list(found.values())


def _attempt(draft: Draft) -> Attempt:
    """A draft as a judge sees it: the question was asked, and repeated as the reply, for judges that read replies."""
    chat = Chat.user(draft.scene.image, draft.question)
    sample = Sample(draft.id, "drafts", chat, category=draft.category, expected=draft.expected)
    return Attempt(sample, chat, Reply(draft.question))


def counted(dropped: Sequence[Dropped]) -> Mapping[str, int]:
    """Filter -> how many pairs it dropped."""
    found: dict[str, int] = {}
    for each in dropped:
        found[each.by] = found.get(each.by, 0) + 1
    return found
