"""Several variables: two players, two pictures, who moves when, and what an objective remembers."""

from __future__ import annotations

import pytest
import torch

from proofglass.engine import (
    Adam,
    APGDStep,
    Between,
    Box,
    Check,
    Differentiable,
    GradientStep,
    Iterate,
    LInf,
    Look,
    On,
    Schedule,
    SignStep,
    SquareStep,
    TargetNLL,
    Weighted,
    minimise,
    negated,
)
from proofglass.engine.constraints import Patch, Within
from proofglass.errors import ZeroGradient
from proofglass.interfaces import LossAndGrad
from proofglass.types import Budget, Chat, Cost
from toy_objectives import Recorded, linear, pictures, quadratic, saddle, two_pictures

DESCENT = GradientStep(0.2)


def game(x, y=None, at=None, step=DESCENT):
    """Values and moves of the two players of a saddle."""
    y = torch.zeros_like(x) if y is None else y
    return {"image": x, "prompt": y}, {
        "image": On(Box("clean"), step),
        "prompt": On(Between(-2, 2), step, ascends=True, at=at),
    }


def test_two_players_meet_at_the_saddle():
    # x - a + y / 10 = 0 and -(y - a) + x / 10 = 0: x = 0.9 a / 1.01, y = 1.1 a / 1.01
    a = pictures(1, 2, 0.1, 0.9)
    x0, moves = game(pictures(2, 2))
    found = minimise(saddle(a), x0, moves, schedule=Schedule(120))
    torch.testing.assert_close(found.values["image"], 0.9 / 1.01 * a, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.values["prompt"], 1.1 / 1.01 * a, atol=1e-5, rtol=0)
    assert set(found.pictures) == {"image"}
    assert found.pictures["image"].dtype == torch.uint8
    assert torch.equal(found.x, found.values["image"])
    assert torch.equal(x0["prompt"], torch.zeros_like(a))  # the caller's values stay as they are


def test_a_climbing_variable_takes_the_steps_of_the_negated_objective():
    a, y = pictures(1, 2, 0.3, 0.7), pictures(2, 2)
    for rule in (SignStep(0.02), Adam(0.02), APGDStep(0.1), GradientStep(0.1)):
        # the picture stays: a patch of one pixel keeps the game's first player all but still
        still = On(Within(Box("clean"), Patch(1, 1)), SignStep(1e-9))
        up = On(Between(0, 1), rule, ascends=True)
        found = minimise(saddle(a), {"image": a, "prompt": y}, {"image": still, "prompt": up}, schedule=Schedule(9))
        alone = Differentiable(lambda v, rows: saddle(a).f({"image": a[rows], "prompt": v}, rows), 2)
        wanted = minimise(negated(alone), y, constraint=Box("clean"), step=rule, schedule=Schedule(9))
        torch.testing.assert_close(found.values["prompt"], wanted.x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("at", "moved"), [(range(2, 9, 3), [2, 5, 8]), ((0, 1, 7), [0, 1, 7]), ((), [])])
def test_a_variable_moves_at_its_steps_only_and_its_rule_counts_its_own_moves(at, moved):
    seen, turns = [], []

    class Watched(Recorded):
        def __call__(self, x, step, **more):
            seen.append(x["prompt"].clone())
            return super().__call__(x, step, **more)

    class Counted(SignStep):
        def __call__(self, now: Iterate, state):
            turns.append((now.step, now.steps))
            return super().__call__(now, state)

    x0, moves = game(pictures(2), at=at)
    moves["prompt"] = On(Between(-2, 2), Counted(0.01), ascends=True, at=at)
    found = minimise(Watched(saddle(pictures(1))), x0, moves, schedule=Schedule(10))
    after = [*seen[1:], found.values["prompt"]]
    assert [i for i, (old, new) in enumerate(zip(seen, after, strict=True)) if not torch.equal(old, new)] == moved
    assert turns == [(k, len(moved)) for k in range(len(moved))]


def test_a_batch_of_games_equals_its_single_games():
    a, x, y = pictures(1, 3), pictures(2, 3), pictures(3, 3)
    x0, moves = game(x, y)
    moves["image"] = On(LInf(0.1), SignStep(0.01))  # a random start
    whole = minimise(saddle(a), x0, moves, schedule=Schedule(7), seed=[4, 5, 6])
    for b, seed in enumerate((4, 5, 6)):
        rows = {name: value[b : b + 1] for name, value in x0.items()}
        one = minimise(saddle(a[b : b + 1]), rows, moves, schedule=Schedule(7), seed=[seed])
        assert torch.equal(one.values["image"][0], whole.values["image"][b])
        assert torch.equal(one.values["prompt"][0], whole.values["prompt"][b])


def test_one_variable_by_name_is_the_same_search_as_a_picture():
    t, x0 = pictures(1, 2), pictures(2, 2)
    run = {"schedule": Schedule(6, restarts=2), "seed": 3, "select": "best"}
    plain = minimise(quadratic(t), x0, constraint=LInf(0.1), step=SignStep(0.02), **run)
    by_name = Differentiable(lambda x, rows: quadratic(t).f(x["image"], rows), 2)
    found = minimise(by_name, {"image": x0}, {"image": On(LInf(0.1), SignStep(0.02))}, **run)
    assert torch.equal(found.x, plain.x)
    assert found.losses == plain.losses
    assert found.images() == plain.images()


# ------------------------------------------------------------------------------------------------ two pictures


def test_two_pictures_move_together_each_in_its_own_set():
    s, t, x = pictures(1, 2), pictures(2, 2), pictures(3, 2)
    x2 = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    t = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    moves = {"image": On(LInf(0.1, "clean"), SignStep(0.02)), "image2": On(LInf(0.2, "clean"), SignStep(0.05))}
    found = minimise(two_pictures(s, t), {"image": x, "image2": x2}, moves, schedule=Schedule(30), select="best")
    # The nearest points of both balls to s and t, up to the last steps.
    for name, goal, clean, epsilon, size in (("image", s, x, 0.1, 0.02), ("image2", t, x2, 0.2, 0.05)):
        best = goal.clamp(clean - epsilon, clean + epsilon)
        assert float((found.values[name] - best).abs().max()) <= size + 1e-6
        levels = found.pictures[name].double() - (clean * 255 + 0.5).floor()
        assert float(levels.abs().max()) <= epsilon * 255
    assert [image.array().shape for image in found.images("image2")] == [(4, 5, 3)] * 2
    assert found.linf_levels == [51, 51]  # 0.2: of both pictures, the larger
    whole = [sum(float(((found.pictures[n][b].double() - (c[b] * 255 + 0.5).floor()) ** 2).sum())
                 for n, c in (("image", x), ("image2", x2))) for b in range(2)]  # fmt: skip
    assert found.l2 == pytest.approx([w**0.5 / 255 for w in whole], rel=1e-6)


def test_two_pictures_begin_and_search_with_draws_of_their_own():
    x = torch.full((1, 3, 6, 6), 0.5)
    for step in (SignStep(1e-9), SquareStep(0.1)):
        moves = {name: On(LInf(0.1), step) for name in ("image", "image2")}
        found = minimise(two_pictures(x, x), {"image": x, "image2": x}, moves, schedule=Schedule(4), seed=1)
        assert not torch.equal(found.values["image"], found.values["image2"])


def test_a_check_sees_all_pictures_of_a_row_by_name():
    looked = []

    def score(shown, rows):
        looked.extend(shown)
        return [0.0] * len(shown)

    x = pictures(1, 2)
    moves = {name: On(Box("clean"), SignStep(0.01)) for name in ("image", "image2")}
    minimise(two_pictures(x, 1 - x), {"image": 1 - x, "image2": x}, moves, schedule=Schedule(1), check=Check(5, score))
    assert [sorted(shown) for shown in looked] == [["image", "image2"]] * 4
    assert looked[0]["image"] != looked[0]["image2"]


def test_the_targets_loss_shows_a_victim_all_its_slots():
    class TwoSlots:
        draws, passes, gated = 0, 1, False

        def prepare(self, pairs, *, append_eos=False, slots=("image",)):
            self.slots = slots
            return Rows(len(pairs))

        def loss_and_grad(self, pixels, prepared, *, weighting="token", need_grad=True, text=None):
            assert list(pixels) == ["image", "image2"]
            loss = sum((k + 1) * x.flatten(1).sum(1) for k, x in enumerate(pixels.values()))
            return LossAndGrad(loss[:, None], loss, {n: torch.full_like(x, k + 1.0) for k, (n, x) in
                                                    enumerate(pixels.items())})  # fmt: skip

    class Rows:
        def __init__(self, count):
            self.count = count

        def select(self, picks):
            return self

        def rows(self, picks):
            return Rows(len(picks))

    victim, x = TwoSlots(), pictures(1)
    objective = TargetNLL(victim, [[(Chat.user("a"), "b")]], slots=("image", "image2"))
    assert victim.slots == ("image", "image2")
    moves = {name: On(LInf(0.1, "clean"), SignStep(0.05)) for name in ("image", "image2")}
    found = minimise(objective, {"image": x, "image2": x}, moves, schedule=Schedule(2))
    for value in found.values.values():
        torch.testing.assert_close(value, (x - 0.1).clamp(0, 1))


def test_a_variable_that_the_objective_leaves_out_stays():
    x, y = pictures(1, 2), pictures(2, 2)
    only = Differentiable(lambda v, rows: (v["image"] ** 2).flatten(1).sum(1), 2)
    assert set(only({"image": x, "image2": y}, 0).grad) == {"image"}
    moves = {name: On(LInf(0.1, "clean"), SignStep(0.01)) for name in ("image", "image2")}
    found = minimise(only, {"image": x, "image2": y}, moves, schedule=Schedule(3))
    assert torch.equal(found.values["image2"], y)
    both = Weighted([(1.0, only), (2.0, Differentiable(lambda v, rows: v["image2"].flatten(1).sum(1), 2))])
    torch.testing.assert_close(both({"image": x, "image2": y}, 0).grad["image2"], torch.full_like(y, 2.0))


def test_no_picture_at_all_is_a_search_too():
    # n tokens of width 4: the rules and constraints know no axes
    t = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    f = Differentiable(lambda v, rows: ((v["prompt"] - t[rows]) ** 2).flatten(1).sum(1), 3)
    for rule in (SignStep(0.05), GradientStep(0.2, max_norm=1.0), Adam(0.1), APGDStep(0.5, "l2")):
        on = {"prompt": On(Between(-1, 1), rule)}
        found = minimise(f, {"prompt": torch.zeros(3, 5, 4)}, on, schedule=Schedule(60), select="best")
        best = f.value({"prompt": t.clamp(-1, 1)}).loss
        start = f.value({"prompt": torch.zeros(3, 5, 4)}).loss
        assert ((found.loss - best) / (start - best) < 0.1).all()
        assert torch.equal(found.loss, found.rounded_loss)
        assert not found.pictures
        assert found.linf_levels == [0, 0, 0]


@pytest.mark.parametrize(
    ("x0", "moves", "named", "message"),
    [
        ({"image": pictures(1)}, None, {}, "x0: expected one picture with `constraint` and `step`"),
        (pictures(1), None, {"constraint": Box()}, "x0: expected one picture with `constraint` and `step`"),
        (pictures(1), {"image": On(Box(), DESCENT)}, {}, "x0: expected one picture"),
        ({}, {}, {}, "moves: expected one for each of no variables"),
        ({"image": pictures(1)}, {"picture": On(Box(), DESCENT)}, {}, "each of image variables, found picture"),
        (
            {"image": pictures(1), "prompt": torch.zeros(2, 4)},
            {"image": On(Box(), DESCENT), "prompt": On(Box(), DESCENT)},
            {},
            "as many rows in all variables",
        ),
        ({"image2": pictures(1) + 1}, {"image2": On(Box(), DESCENT)}, {}, r"expected values in \[0, 1\]"),
        (
            {"prompt": torch.zeros(1, 4)},
            {"prompt": On(Box(), DESCENT)},
            {"check": Check(1, lambda images, rows: [])},
            "no variable is one",
        ),
    ],
)
def test_wrong_variables_are_told(x0, moves, named, message):
    with pytest.raises(ValueError, match=message):
        minimise(quadratic(pictures(1)), x0, moves, schedule=Schedule(1), **named)


def test_an_interval_without_room_is_refused():
    with pytest.raises(ValueError, match="low < high"):
        Between(0.3, 0.3)


def test_a_start_is_given_for_every_variable():
    x0, moves = game(pictures(1))
    with pytest.raises(ValueError, match="start: expected the variables image, prompt, found image"):
        minimise(saddle(pictures(2)), x0, moves, schedule=Schedule(1), start={"image": pictures(3)})
    start = {"image": pictures(3), "prompt": torch.full_like(pictures(3), 5.0)}
    found = minimise(saddle(pictures(2)), x0, moves, schedule=Schedule(0), start=start)
    assert torch.equal(found.values["image"], start["image"])
    assert torch.equal(found.values["prompt"], torch.full_like(pictures(3), 2.0))  # projected


def test_a_picture_without_gradient_is_an_error_though_its_second_player_has_one():
    f = Differentiable(lambda v, rows: (v["prompt"] ** 2 + v["prompt"]).flatten(1).sum(1), 1)
    x0, moves = game(pictures(1))
    with pytest.raises(ZeroGradient):
        minimise(f, x0, moves, schedule=Schedule(2))


# ------------------------------------------------------------------------------------------------ budgets


def spent(unit, cost):
    return Budget(0, unit).of(cost)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(30), 8),  # a step is 1 + 2, the look before it and the last one 1 each: 8 x 3 + 4 + 1 = 29
        (Budget(30, "queries"), 19),  # a step is 1: 19 + 10 looks + 1
        (Budget(0.5, "money"), 18),  # looks at 0, 2, ..., 16 and the last one at 18: 10 x 0.05; one more would pass it
        (Budget(100, "tokens"), 18),
    ],
)
def test_a_search_ends_where_its_budget_says_whatever_it_counts(budget, steps):
    look = Cost(queries=1, tokens_in=8, tokens_out=2, money=0.05)
    check = Check(2, lambda images, rows: [Look(0.0, look)] * len(rows), stop_at=None)
    run = {"constraint": LInf(0.1, "clean"), "step": SignStep(0.001), "schedule": Schedule(1000), "check": check}
    found = minimise(linear(pictures(1, 2, -1.0)), pictures(2, 2), budget=budget, **run)
    assert found.steps == [steps, steps]
    for cost in found.costs:
        assert spent(budget.unit, cost) <= budget.amount + 1e-9
    assert found.stopped == [f"budget of {budget.meaning} spent"] * 2


def test_what_costs_nothing_of_a_budget_is_not_stopped_by_it():
    run = {"constraint": LInf(0.1, "clean"), "step": SignStep(0.01), "schedule": Schedule(9)}
    for unit in ("tokens", "money"):
        found = minimise(linear(pictures(1, 1, -1.0)), pictures(2), budget=Budget(0, unit), **run)
        assert (found.steps, found.stopped) == ([9], [""])
