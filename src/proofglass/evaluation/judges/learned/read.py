"""Attempts as a learned judge sees them: which can be read, and what the heads say about those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.evaluation.judges.learned import model
from proofglass.evaluation.judges.learned.features import features_of
from proofglass.evaluation.judges.learned.text import Sentence, answer_of, is_english, sentences_of
from proofglass.types import Attempt, Reply

BATCH = 512  # replies at a time: some 20 MB of hashed words


@dataclass(frozen=True)
class Reading:
    """reason: why the reply cannot be judged, "" if it can; heads: name -> probability, empty if it cannot."""

    reason: str
    heads: dict[str, float]


def read(attempts: Sequence[Attempt], weights: str, extra: Sequence[Sequence[float]] | None = None) -> list[Reading]:
    """What the model `weights` makes of each reply. extra: numbers that stand beside the cues of each."""
    found: list[Reading] = []
    for start in range(0, len(attempts), BATCH):
        part = slice(start, start + BATCH)
        found += _batch(attempts[part], weights, extra[part] if extra is not None else None)
    return found


def _batch(attempts: Sequence[Attempt], weights: str, extra: Sequence[Sequence[float]] | None) -> list[Reading]:
    import numpy as np

    spoken = [_spoken(attempt.reply) for attempt in attempts]
    readable = [k for k, (_, reason) in enumerate(spoken) if not reason]
    found = [Reading(reason, {}) for _, reason in spoken]
    if readable:
        beside = None if extra is None else np.array([extra[k] for k in readable], np.float32)
        said = model.load(weights).probabilities(features_of([spoken[k][0] for k in readable], beside))
        for place, k in enumerate(readable):
            found[k] = Reading("", {head: float(each[place]) for head, each in said.items()})
    return found


def _spoken(reply: Reply) -> tuple[list[Sentence], str]:
    """The sentences of a reply, and why it cannot be judged, "" if it can."""
    if not reply.is_said:
        return [], f"the reply is {reply.outcome}"
    if not reply.text.strip():
        return [], "the reply is empty"
    if not answer_of(reply.text).strip():
        return [], "the reply is reasoning without an answer"
    sentences = sentences_of(reply.text)
    if not any(word[0].isalpha() for sentence in sentences for word in sentence):
        return [], "the reply holds no words"
    if not is_english(sentences):
        return [], "the reply is not in English, or too short to tell"
    return sentences, ""
