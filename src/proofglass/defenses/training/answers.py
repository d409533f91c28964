"""Questions with answers, harmless and harmful ones: what a detector and a detoxifier are trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proofglass.types import BadSample, Sample


@dataclass(frozen=True)
class Answer:
    """An answer, and whether people (or the data set) call it harmless."""

    text: str
    harmless: bool


@dataclass(frozen=True)
class Pair:
    """A question with the safer answer and the other one; either may be absent.

    id: of the row. safer: where both are there, the one to prefer, which need not be harmless. other: the rejected one.
    accepted: what a detoxifier is to make of `other`; "" where that is harmless.
    """

    id: str
    question: str
    safer: Answer | None = None
    other: Answer | None = None
    accepted: str = ""

    @property
    def answers(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in (self.safer, self.other) if answer is not None)


@dataclass(frozen=True)
class Left:
    """A row that teaches nothing, and why. part: the one of the two that it does not teach, or both."""

    id: str
    reason: str
    part: str = "both"


def pairs_of(rows: Iterable[Sample | BadSample], refusals: tuple[str, ...]) -> tuple[list[Pair], list[Left]]:
    """What `rows` teach, and which of them teach nothing. refusals: what is accepted where a row has a harmful answer
    and no harmless one; the rows take them in turn."""
    pairs: list[Pair] = []
    left: list[Left] = []
    for row in rows:
        try:
            if isinstance(row, BadSample):
                raise ValueError(row.reason)
            pairs.append(pair_of(row, refusals[len(pairs) % len(refusals)]))
        except ValueError as error:
            left.append(Left(row.id, str(error)))
    return pairs, left


def pair_of(row: Sample, refusal: str) -> Pair:
    """What a row teaches. Raises ValueError, which says why, for one that teaches nothing.

    Read are, in this order: the reference beside meta "rejected" (SPA-VL's pairs; meta "accepted_safe" and
    "rejected_safe" say otherwise where both are harmful, or both harmless); meta "reply" beside "safe" (BeaverTails'
    pairs); meta "response" (VLGuard's safe answers); a request of the testbed's world, whose reference complies with
    it; the reference of a row that is to be answered. The reference of any other row that is to be refused may be a
    refusal as well as what is refused, so such a row is left out.
    """
    meta, question = row.meta, row.chat.last_text
    if not isinstance(meta, Mapping):
        raise ValueError(f"meta: expected a mapping, found {meta!r:.80}")
    if "rejected" in meta:
        safer = Answer(_reference(row), _flag(meta, "accepted_safe", True))
        other = Answer(_text(meta["rejected"], "meta.rejected"), _flag(meta, "rejected_safe", False))
        if safer.text.split() == other.text.split():
            raise ValueError("meta.rejected: expected another answer than the reference, found the same words")
        accepted = "" if other.harmless else safer.text if safer.harmless else refusal
        return Pair(row.id, question, safer, other, accepted)
    if "reply" in meta and "safe" in meta:
        text = _text(meta["reply"], "meta.reply")
        if _flag(meta, "safe", False):
            return Pair(row.id, question, Answer(text, True))
        return Pair(row.id, question, Answer(refusal, True), Answer(text, False), refusal)
    if "response" in meta:
        return Pair(row.id, question, Answer(_text(meta["response"], "meta.response"), True))
    if row.expected == "refuse" and "request" in meta:
        return Pair(row.id, question, Answer(refusal, True), Answer(_reference(row), False), refusal)
    if row.expected == "comply":
        return Pair(row.id, question, Answer(_reference(row), True))
    raise ValueError(
        "expected an answer that is known to be harmless or harmful: meta.rejected beside a reference, meta.reply "
        "beside meta.safe, meta.response, or a reference of a row that is to be answered; found expected "
        f"{row.expected!r} and meta {sorted(map(str, meta))}"
    )


def _reference(row: Sample) -> str:
    references: Any = row.references
    if not isinstance(references, (tuple, list)) or not references:
        raise ValueError(f"references: expected a tuple with the answer, found {references!r:.80}")
    return _text(references[0], "references[0]")


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{field}: expected an answer with words in it, found {value!r:.80}")
    return value


def _flag(meta: Mapping[str, Any], field: str, default: bool) -> bool:
    value = meta.get(field, default)
    if not isinstance(value, bool):
        raise ValueError(f"meta.{field}: expected true or false, found {value!r:.80}")
    return value
