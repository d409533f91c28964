"""What became of an answer: one rule, for a reply, a row and a frame."""

from __future__ import annotations

from typing import get_args

import polars as pl
import pytest

from proofglass.evaluation.metrics.answers import is_withheld, withheld
from proofglass.types import Outcome, Reply


@pytest.mark.parametrize("outcome", get_args(Outcome))
@pytest.mark.parametrize("text", ["", " \n", "some words", None])
def test_a_reply_a_row_and_a_frame_say_alike_what_was_withheld(outcome: Outcome, text: str | None) -> None:
    delivered = None if outcome == "error" else text
    expected = Reply(delivered or "", outcome, reason="why").is_withheld
    assert is_withheld({"outcome": outcome, "reply": delivered}) == expected
    frame = pl.DataFrame({"outcome": [outcome], "reply": pl.Series([delivered], dtype=pl.String)})
    assert frame.select(withheld()).item() == expected
