"""Weights that learn: batches, the rate, checkpoints to the last bit, and losses that are no numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from proofglass.engine.checkpoints import Slot
from proofglass.engine.learning import Recipe, drawn, drawn_from, fit
from proofglass.errors import UsageError

RECIPE = Recipe(steps=10, batch=4, rate=1e-2, warm_up=3)


class Killed(Exception):
    pass


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))


def lesson(model: nn.Module, until: int = 99, odd: int = -1) -> Callable[[int], Iterator[Tensor]]:
    """Squares of sums, in two parts a step. until: the step at which the machine is switched off. odd: the step with a
    row that is no number."""
    torch.manual_seed(1)
    x = torch.randn(12, 3)

    def parts(step: int) -> Iterator[Tensor]:
        if step == until:
            raise Killed
        rows = x[drawn(0, step, 4, 12)]
        if step == odd:
            rows = rows * float("nan")
        for some in (rows[:2], rows[2:]):
            yield ((model(some)[:, 0] - some.sum(1)) ** 2).sum() / 4

    return parts


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 17), st.integers(0, 30))
def test_each_pass_holds_every_row_once_in_an_order_of_its_own(seed: int, rows: int, batch: int, step: int) -> None:
    whole = drawn_from(seed, 0, 3 * rows, rows)
    for number in range(3):
        assert sorted(whole[number * rows : (number + 1) * rows]) == list(range(rows))
    every = drawn_from(seed, 0, (step + 1) * batch, rows)
    assert drawn(seed, step, batch, rows) == every[step * batch :]  # whatever was drawn before


def test_nothing_can_be_drawn_from_no_rows() -> None:
    assert drawn_from(0, 5, 5, 3) == []
    with pytest.raises(ValueError, match="rows: expected at least one, found 0"):
        drawn(0, 0, 1, 0)


def test_the_rate_warms_up_and_goes_down_a_cosine() -> None:
    recipe = Recipe(steps=100, batch=1, rate=1.0, warm_up=10, end=0.0)
    assert [recipe.factor(k) for k in (0, 4)] == pytest.approx([0.1, 0.5 * 0.5 * (1 + 0.992114701314478)])
    assert recipe.factor(50) == pytest.approx(0.5)
    assert recipe.factor(99) == pytest.approx(0.0002467, abs=1e-6)
    assert Recipe(steps=4, batch=1, rate=1.0, warm_up=0).factor(0) == 1.0


def test_parts_of_a_step_give_the_gradient_of_the_whole() -> None:
    whole, parted = net(), net()
    of_whole, of_parts = lesson(whole), lesson(parted)
    seen: list[tuple[int, float]] = []
    fit(lambda step: [torch.stack(list(of_whole(step))).sum()], RECIPE, [(whole.parameters(), 1.0)])
    fit(of_parts, RECIPE, [(parted.parameters(), 1.0)], seen=lambda done, loss, seconds: seen.append((done, loss)))
    torch.testing.assert_close(weights(whole), weights(parted))
    assert [done for done, _ in seen] == list(range(1, 11))
    assert seen[-1][1] < seen[0][1]


@pytest.mark.parametrize("killed", [0, 1, 3, 4, 6, 9])
def test_a_killed_training_goes_on_to_the_last_bit(tmp_path: Path, killed: int) -> None:
    straight, stopped, resumed = net(), net(), net()
    fit(lesson(straight), RECIPE, [(straight.parameters(), 1.0)])
    slot = Slot(tmp_path / "c.safetensors", 3, "one")
    with pytest.raises(Killed):
        fit(lesson(stopped, until=killed), RECIPE, [(stopped.parameters(), 1.0)], slot=slot)
    assert slot.file.is_file() == (killed >= 3)
    done: list[int] = []
    seen = lambda step, loss, seconds: done.append(step)  # noqa: E731
    fit(lesson(resumed), RECIPE, [(resumed.parameters(), 1.0)], slot=slot, seen=seen)
    assert done[0] == killed // 3 * 3 + 1
    assert bool((weights(resumed) == weights(straight)).all())
    again = net()
    fit(lesson(again, until=0), RECIPE, [(again.parameters(), 1.0)], slot=slot)  # finished: no step is made
    assert bool((weights(again) == weights(straight)).all())


@pytest.mark.parametrize("spoil", ["cut", "other"])
def test_a_checkpoint_that_is_not_this_trainings_is_said_to_be_none(
    tmp_path: Path, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    slot = Slot(tmp_path / "c.safetensors", 3, "one")
    first, second = net(), net()
    fit(lesson(first), RECIPE, [(first.parameters(), 1.0)], slot=slot)
    if spoil == "cut":
        slot.file.write_bytes(slot.file.read_bytes()[:-9])
    else:
        slot = Slot(slot.file, 3, "two")
    with caplog.at_level(logging.WARNING, "proofglass"):
        fit(lesson(second), RECIPE, [(second.parameters(), 1.0)], slot=slot)
    assert "c.safetensors: damaged, or of another training" in caplog.text
    assert bool((weights(first) == weights(second)).all())


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint_before_it(tmp_path: Path) -> None:
    slot, model = Slot(tmp_path / "c.safetensors", 3, "one"), net()
    parts = lesson(model, odd=7)
    with pytest.raises(UsageError, match=r"step 8: loss nan, gradient norm nan, rows a, b; .*c\.safetensors"):
        fit(parts, RECIPE, [(model.parameters(), 1.0)], slot=slot, named=lambda step: "a, b")
    found = slot.load()
    assert found is not None
    tensors, facts = found
    assert facts["step"] == 6
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def test_weights_that_ran_away_are_not_kept(tmp_path: Path) -> None:
    slot, model = Slot(tmp_path / "c.safetensors", 1, "one"), net()
    wild = Recipe(steps=3, batch=1, rate=float("inf"), warm_up=0)
    with pytest.raises(UsageError, match="step 1: weights that are no numbers"):
        fit(lesson(model), wild, [(model.parameters(), 1.0)], slot=slot)
    assert not slot.file.exists()
