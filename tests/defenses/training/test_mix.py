"""Which rows a step of safety tuning learns from."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proofglass.defenses.training.safety_tuning import Mix


@given(
    st.integers(1, 9),
    st.integers(0, 9),
    st.floats(0.05, 1.0),
    st.sampled_from(["before", "mixed", "after"]),
    st.integers(1, 7),
    st.integers(1, 12),
)
def test_a_step_is_a_whole_batch_and_every_kind_is_seen_in_its_share(
    safety: int, helpful: int, share: float, order: Any, batch: int, steps: int
) -> None:
    mix = Mix(safety, helpful, share, order, batch, steps, seed=3)
    rows = [mix.rows_of(step) for step in range(steps)]
    assert all(len(each) == batch for each in rows)
    kinds = [["safe" if k < safety else "helpful" for k in each] for each in rows]
    assert all(0 <= k < safety + helpful for each in rows for k in each)
    seen = sum(kind == "safe" for each in kinds for kind in each)
    if not helpful:
        assert seen == steps * batch
    elif order == "mixed":
        assert abs(seen - share * steps * batch) <= 1
    else:
        assert seen == min(steps, max(1, round(share * steps))) * batch
        flat = [kind for each in kinds for kind in each]
        assert flat == sorted(flat, reverse=order == "before")
    again = Mix(safety, helpful, share, order, batch, steps, seed=3)
    assert [again.rows_of(step) for step in reversed(range(steps))] == rows[::-1]
