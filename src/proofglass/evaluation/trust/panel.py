"""Labelled rows shown to a judge: what it said of each, and what it broke on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from proofglass.errors import ImageError, ProofglassError
from proofglass.evaluation.labels import PICTURE, PROMPT, LabelledReply
from proofglass.evaluation.trust.agreement import Verdict
from proofglass.faults import stops_the_run, told
from proofglass.flow import Answer
from proofglass.interfaces import Judge
from proofglass.judging import judge as judged_by
from proofglass.types import Ask, Attempt, Chat, Helper, Image, Message, Reply, Sample, Score

BATCH = 256  # replies that a judge is shown at a time, so that progress can be told

Judged = Literal["reply", "prompt", ""]
"""Which text a verdict is about; "" for pictures alone."""


def judged_in(aspect: str) -> Judged:
    """aspect: without "not"."""
    return "prompt" if aspect == PROMPT else "" if aspect == PICTURE else "reply"


@dataclass
class Panel:
    """Shows replies to a judge and keeps count of what it broke on. turned: its 1 means no; judged: the text that its
    verdict is about."""

    judge: Judge
    turned: bool = False
    heard: Callable[[int], None] = lambda n: None
    judged: Judged = "reply"
    shown: int = 0
    broken: int = 0
    reason: str = ""

    def verdicts(
        self, rows: Sequence[LabelledReply], texts: Sequence[str] | None = None, batch: int = BATCH
    ) -> list[Verdict]:
        """What the judge says of each row, or of other `texts` in the place of the one that it judges."""
        attempts = [attempt_of(row) for row in rows]
        if texts is not None:
            attempts = [self._with_text(a, text) for a, text in zip(attempts, texts, strict=True)]
        return [self.verdict(score) for score in self.scores(attempts, batch)]

    def verdict(self, score: Score) -> Verdict:
        """A score in the sense of the labels."""
        return None if score.value is None else (score.value >= 0.5) is not self.turned

    def value(self, score: Score) -> float | None:
        """The same as a number, which grows with how surely it is yes."""
        return None if score.value is None else 1 - score.value if self.turned else score.value

    def scores(self, attempts: Sequence[Attempt], batch: int = BATCH) -> list[Score]:
        """What the judge gives each attempt; None for what it broke on."""
        found: list[Score] = []
        for start in range(0, len(attempts), batch):
            found += self._batch(attempts[start : start + batch])
        return found

    def text_of(self, row: LabelledReply) -> str:
        """The text that its verdict is about, "" for none."""
        return {"reply": row.reply, "prompt": row.prompt, "": ""}[self.judged]

    def _with_text(self, attempt: Attempt, text: str) -> Attempt:
        if self.judged == "reply":
            return replace(attempt, reply=Reply(text))
        if self.judged == "prompt":
            return _asked(attempt, attempt.conversation.with_text(text))
        raise ValueError("texts: this verdict is about no text")

    def _batch(self, attempts: Sequence[Attempt]) -> list[Score]:
        named = {str(k): attempt for k, attempt in enumerate(attempts)}
        scores, fault = judged_by(self.judge, self.judge.name, named, answers_of)
        self.shown += len(attempts)
        if fault:
            self.reason = self.reason if self.broken else fault.reason
            self.broken += fault.replies
        elif not self.reason:
            self.reason = next((score.reason for score in scores.values() if score.value is None), "")
        self.heard(len(attempts))
        return [scores[name] for name in named]


def answers_of(helper: Helper) -> Answer:
    """The answers of a helper, which is foreign code: what it raises is an error to each ask of the batch, as in a
    study. Raises what is no fault of these asks: Ctrl-C, a failed machine, a missing package or missing weights."""

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        try:
            replies = list(helper.reply(asks))
            if len(replies) != len(asks):
                raise ValueError(f"{len(replies)} replies to {len(asks)} asks")
            if odd := next((type(each).__name__ for each in replies if not isinstance(each, Reply)), ""):
                raise TypeError(f"a {odd} among the replies, expected a Reply to each ask")
        except BaseException as error:
            if stops_the_run(error) or (isinstance(error, ProofglassError) and not isinstance(error, ImageError)):
                raise
            return [Reply.error(told(error, "helper", helper))] * len(asks)
        return replies

    return answer


def attempt_of(row: LabelledReply) -> Attempt:
    """What a judge sees of a labelled row: the question with its pictures as the only turn of the user (or the whole
    dialogue, where the row holds one), and the reply."""
    words = [] if row.images and not row.prompt else [row.prompt]
    chat = row.chat or Chat.user(*row.images, *words)
    sample = Sample(row.id, row.source, chat, cluster=row.cluster, category=row.category)
    return Attempt(sample, sample.chat, Reply(row.reply))


def with_pictures(attempt: Attempt, change: Callable[[Image], Image]) -> Attempt:
    """The attempt with every picture of its dialogue changed."""
    chat = Chat(
        tuple(
            Message(each.role, tuple(change(part) if isinstance(part, Image) else part for part in each.parts))
            for each in attempt.conversation.messages
        )
    )
    return _asked(attempt, chat)


def _asked(attempt: Attempt, chat: Chat) -> Attempt:
    """The attempt with another dialogue, which is the question too: a labelled row was not attacked."""
    return replace(attempt, sample=replace(attempt.sample, chat=chat), conversation=chat)
