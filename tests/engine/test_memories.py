"""What rules, constraints and objectives remember: in every checkpoint, of their own picture, of their own steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.engine import (
    Check,
    Cycle,
    Estimated,
    LInf,
    Placed,
    Schedule,
    SignStep,
    Spectrum,
    Transformed,
    Weighted,
    minimise,
    negated,
)
from proofglass.engine.checkpoints import kept_in
from proofglass.engine.transfer import Resized
from toy_objectives import Killed, Recorded, Remembering, pictures, quadratic, saddle


def memories(t):
    """Objectives that hold one with a memory, wherever they hold it."""
    n = len(t)
    return {
        "itself": Remembering(t),
        "weighted": Weighted([(0.5, quadratic(t)), (2.0, Remembering(t))]),
        "negated": negated(negated(Remembering(t))),
        "cycle": Cycle([Remembering(t), quadratic(t), Remembering(1 - t)]),
        "resized": Resized(Remembering(t), (6, 6)),
        "placed": Placed(Remembering(t), pictures(8, n), range(n)),
        "transformed": Transformed(Remembering(t), Spectrum(0.3, 2 / 255), 3, range(n), at_once=2),
        "transformed cycle": Cycle([Transformed(Remembering(t), Spectrum(), 2, range(n)), Remembering(t)]),
        "estimated": Estimated(Remembering(t), "rgf", 0.01, 4, range(n)),
    }


@pytest.mark.parametrize("name", memories(pictures(2, 3)))
def test_a_memory_is_in_every_checkpoint_however_deep_it_lies(name, tmp_path):
    start = pictures(1, 3)[..., :4, :4] if name == "placed" else pictures(1, 3)
    run = {"constraint": LInf(0.1), "step": SignStep(0.02), "schedule": Schedule(7, restarts=2), "seed": 3}
    whole = minimise(memories(pictures(2, 3))[name], start, **run)
    for at in (1, 3, 6, 8, 13):
        with pytest.raises(Killed), kept_in(tmp_path / str(at), 2):
            minimise(Recorded(memories(pictures(2, 3))[name], fails_at=at), start, **run)
        again = Recorded(memories(pictures(2, 3))[name])
        with kept_in(tmp_path / str(at), 2):
            found = minimise(again, start, **run)
        assert torch.equal(found.x, whole.x)
        assert found.losses == whole.losses
        assert len(again.calls) <= 14 - at + 2


@pytest.mark.parametrize("name", memories(pictures(2, 3)))
def test_a_memory_belongs_to_its_picture(name):
    """A batch in which pictures end at different steps equals the single runs."""
    start = pictures(1, 3)[..., :4, :4] if name == "placed" else pictures(1, 3)
    run = {"constraint": LInf(0.1, "clean"), "step": SignStep(0.02)}
    whole = memories(pictures(2, 3))[name]
    done = Check(2, lambda images, rows: [float(b == 1) for b in rows])  # the middle one ends at once
    batch = minimise(whole, start, schedule=Schedule(6), check=done, seed=[0, 1, 2], **run)
    assert batch.steps == [6, 0, 6]
    for b in (0, 2):
        one = minimise(whole.rows([b]), start[b : b + 1], schedule=Schedule(6), seed=[b], **run)
        torch.testing.assert_close(one.x[0], batch.x[b])


@pytest.mark.parametrize("name", memories(pictures(2, 3)))
def test_an_objective_changes_nothing_of_itself_and_its_memory_decides(name):
    x = pictures(1, 3)[..., :4, :4] if name == "placed" else pictures(1, 3)
    objective = memories(pictures(2, 3))[name]
    first = objective(x, 0)
    assert first.memory.keys() == objective.memory().keys()
    assert all(first.memory[n].shape == t.shape for n, t in objective.memory().items())
    assert torch.equal(objective(x, 0).loss, first.loss)
    assert torch.equal(objective(x, 0, memory=objective.memory()).loss, first.loss)
    if name != "estimated":  # whose looks take no gradient, so that the memory stays
        assert any(not torch.equal(first.memory[n], t) for n, t in objective.memory().items())
        step = {"cycle": 3, "transformed cycle": 2}.get(name, 1)  # the first objective's next turn
        assert not torch.equal(objective(x, step, memory=first.memory).loss, objective(x, step).loss)


def test_each_draw_remembers_its_own_steps():
    # Without a transform all draws of a picture are alike: the expectation is the plain objective, step after step.
    t, x = pictures(1, 2), pictures(2, 2)
    plain, drawn = Remembering(t), Transformed(Remembering(t), Spectrum(0.0, 0.0), 3, [0, 1], at_once=2)
    one, many = {}, {}
    for step in range(4):
        a, b = plain(x, step, memory=one), drawn(x, step, memory=many)
        one, many = a.memory, b.memory
        torch.testing.assert_close(a.loss, b.loss)
        assert many["y"].shape == (2, 3, *x.shape[1:])
        for k in range(3):
            torch.testing.assert_close(many["y"][:, k], one["y"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["nes", "spsa"])
def test_an_estimate_that_never_looks_at_the_picture_takes_no_objective_with_a_memory(kind):
    with pytest.raises(ValueError, match=r"memory.*rgf.*found"):
        Estimated(Remembering(pictures(1)), kind, 0.01, 2, [0])


@given(st.integers(0, 10_000))
def test_the_estimate_of_a_game_is_of_its_picture_only(seed):
    point = {"image": pictures(seed, 2, 0.3, 0.7), "prompt": pictures(seed + 1, 2)}
    seen = Estimated(saddle(pictures(seed + 2, 2)), "rgf", 0.01, 3, [0, 1])(point, 0)
    assert set(seen.grad) == {"image"}
    assert seen.grad["image"].shape == point["image"].shape
