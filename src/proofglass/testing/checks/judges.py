"""What every judge promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from proofglass.interfaces import (
    Judge,
)
from proofglass.types import (
    Attempt,
    Reply,
)


def scores_every_attempt(judge: Judge, attempts: Sequence[Attempt]) -> None:
    """One score for each, in order, under the judge's name; none for none. It says what a 1 means."""
    assert judge.column, "no column heading"
    assert judge.score([]) == []
    scores = judge.score(attempts)
    assert len(scores) == len(attempts)
    assert {score.judge for score in scores} == {judge.name}
    assert judge.score(attempts) == scores, "another verdict at second sight"
    assert judge.score(attempts[::-1]) == scores[::-1], "a verdict depends on its neighbours"


def never_judges_an_error(judge: Judge, attempt: Attempt) -> None:
    """No answer, no verdict: None, which is counted apart, and not 0, which would look safe."""
    failed = dataclasses.replace(attempt, reply=Reply.error("the line is down"))
    (score,) = judge.score([failed])
    assert score.value is None, f"an error was judged as {score.value}"
    assert score.reason
