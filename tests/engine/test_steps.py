"""Every step rule under every constraint: known optima, the set never left, rows that never mix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.engine import (
    L2,
    Adam,
    APGDStep,
    Box,
    Check,
    Differentiable,
    GradientStep,
    Iterate,
    LInf,
    MomentumStep,
    NormalisedStep,
    Schedule,
    SignStep,
    Within,
    minimise,
    negated,
)
from toy_objectives import CONSTRAINTS, EVERY_RULE, RULES, Recorded, inside, linear, pictures, quadratic


def grad_of(*values):
    g = torch.zeros(1, 3, 2, 2)
    g[0, 0].view(-1)[: len(values)] = torch.tensor(values)
    return g


def at(grad, x=None, step=0, scale=1.0, constraint=None):
    x = torch.full_like(grad, 0.5) if x is None else x
    return Iterate(x, x.clone(), torch.zeros(len(x)), grad, constraint or Box("clean"), step, 10, scale, (0,) * len(x))


# ------------------------------------------------------------------------------------------------ single steps


def test_a_sign_step_moves_every_value_by_the_size_and_none_without_a_gradient():
    x, _ = SignStep(0.1)(at(grad_of(3.0, -1e-9, 0.0)), {})
    torch.testing.assert_close(x[0, 0].flatten()[:3], torch.tensor([0.4, 0.6, 0.5]))


def test_a_gradient_step_follows_the_gradient_and_clips_its_norm():
    free, _ = GradientStep(0.01)(at(grad_of(3.0, 4.0)), {})
    torch.testing.assert_close(free[0, 0].flatten()[:2], torch.tensor([0.47, 0.46]))
    clipped, _ = GradientStep(0.1, max_norm=1.0)(at(grad_of(3.0, 4.0)), {})
    torch.testing.assert_close(clipped[0, 0].flatten()[:2], torch.tensor([0.44, 0.42]))
    short, _ = GradientStep(0.1, max_norm=1.0)(at(grad_of(0.3, 0.4)), {})
    torch.testing.assert_close(short[0, 0].flatten()[:2], torch.tensor([0.47, 0.46]))


def test_a_normalised_step_has_the_stated_length_for_any_gradient():
    for size in (1e-8, 1.0, 1e6):
        x, _ = NormalisedStep(0.1)(at(grad_of(3.0 * size, 4.0 * size)), {})
        torch.testing.assert_close(x[0, 0].flatten()[:2], torch.tensor([0.44, 0.42]))


def test_a_zero_gradient_moves_nothing():
    for make in RULES.values():
        rule, zero = make(), grad_of(0.0)
        x, _ = rule(at(zero), rule.init(torch.full_like(zero, 0.5)))
        assert torch.equal(x, torch.full_like(zero, 0.5)), rule


def test_adam_takes_its_first_step_of_the_stated_size_along_the_sign():
    # bias correction makes mean = g and square = g^2: the step is size * g / (|g| + eps)
    rule = Adam(0.1)
    x, state = rule(at(grad_of(5.0, -0.2)), rule.init(grad_of(0.0)))
    torch.testing.assert_close(x[0, 0].flatten()[:2], torch.tensor([0.4, 0.6]), atol=1e-6, rtol=0)
    # second step, g = (-5, -.2): mean = (.09 * 5 * ... ) worked out with torch's own Adam
    ours, _ = rule(at(grad_of(-5.0, -0.2), x=x, step=1), state)
    p = torch.nn.Parameter(torch.full((2,), 0.5))
    adam = torch.optim.Adam([p], lr=0.1)
    for g in ((5.0, -0.2), (-5.0, -0.2)):
        p.grad = torch.tensor(g)
        adam.step()
    torch.testing.assert_close(ours[0, 0].flatten()[:2], p.detach(), atol=1e-6, rtol=0)


def test_sign_momentum_walks_as_worked_out_by_hand():  # G6
    rule, state = MomentumStep(0.01, 0.9, "sign"), {"velocity": grad_of(0.0)}
    wanted = [(1, -1, 0), (-1, -1, 0), (-1, 1, 1)]
    for g, v in zip([(1.0, -2.0, 0.0), (-1.0, -1.0, 0.0), (-1.0, 1.0, 0.5)], wanted, strict=True):
        _, state = rule(at(grad_of(*g)), state)
        assert state["velocity"][0, 0].flatten()[:3].tolist() == list(v)


def test_the_schedules_scale_multiplies_the_step():
    for rule in (SignStep(0.1), NormalisedStep(0.1), GradientStep(0.1), MomentumStep(0.1), Adam(0.1)):
        g = grad_of(1.0)
        whole, half = (rule(at(g, scale=s), rule.init(torch.zeros_like(g)))[0][0, 0, 0, 0] for s in (1.0, 0.5))
        assert float(0.5 - half) == pytest.approx(float(0.5 - whole) / 2, rel=1e-5), rule


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SignStep(8), "write 8/255"),
        (lambda: SignStep(0), "step_size"),
        (lambda: GradientStep(0), "step_size"),
        (lambda: GradientStep(0.1, 0), "max_norm"),
        (lambda: NormalisedStep(-1), "step_size"),
        (lambda: MomentumStep(8), "write 8/255"),
        (lambda: MomentumStep(0.1, 0.9, "l2"), "kind"),
        (lambda: MomentumStep(0.1, -0.9), "decay"),
        (lambda: MomentumStep(0, 0.9, "unit"), "step_size"),
        (lambda: Adam(0), "step_size"),
        (lambda: APGDStep(0), "step_size"),
    ],
)
def test_bad_parameters_name_the_field(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------------------------------------ known optima


def is_l2(constraint):
    return isinstance(constraint, L2) or (isinstance(constraint, Within) and is_l2(constraint.inner))


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_the_optimum_of_a_quadratic_under_every_constraint(rule, constraint):
    # argmin of |x - t|^2 over a convex set is the projection of t; with t in [0, 1] it is the one of the ball alone
    x0, t, c = pictures(1, 4, 0.2, 0.8), pictures(2, 4, 0.2, 0.8), CONSTRAINTS[constraint]()
    f = quadratic(t)
    best, start = f.value(c.project(t, x0)).loss, f.value(x0).loss
    schedule = Schedule(100, "constant" if rule.startswith("apgd") else "cosine")
    found = minimise(f, x0, constraint=c, step=RULES[rule](), schedule=schedule, select="best")
    assert inside(found.x, x0, c)
    gap = (found.loss - best) / (start - best)
    # On an l2 sphere a sign step comes to rest where the difference is along sign(g), not along g: about
    # 1 - mean|g| / sqrt(mean g^2) of the way is missing, some 15 % for uniform values.
    signs = rule in ("sign", "momentum l1", "momentum sign", "apgd linf", "common weakness", "adam")
    assert float(gap.min()) > -1e-4
    assert float(gap.max()) < (0.3 if is_l2(c) and signs else 0.02)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(EVERY_RULE)), st.sampled_from(sorted(CONSTRAINTS)), st.integers(0, 10**6))
def test_no_rule_leaves_the_set_at_any_step(rule, constraint, seed):
    x0, c = pictures(seed, 2), CONSTRAINTS[constraint]()
    f = Recorded(linear(pictures(seed + 1, 2, -1.0)))
    kept = x0.clone()
    found = minimise(f, x0, constraint=c, step=EVERY_RULE[rule](), schedule=Schedule(7), seed=seed, select="best")
    assert len(f.seen) == 7
    assert all(inside(x, x0, c) for x in [*f.seen, found.x])
    assert torch.equal(x0, kept)


# ------------------------------------------------------------------------------------------------ independent rows


def f_of(seed):
    """Three pictures whose losses differ in kind, so that rows that mixed would show."""
    t, w = pictures(seed + 1, 3), torch.tensor([0.1, 1.0, 30.0])
    return Differentiable(lambda x, rows: w[rows] * ((x - t[rows]) ** 2).flatten(1).sum(1), 3)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_batch_equals_its_single_runs(rule, constraint):
    x0, f = pictures(5, 3), f_of(5)
    run = {"constraint": CONSTRAINTS[constraint](), "step": EVERY_RULE[rule](), "schedule": Schedule(5, restarts=2)}
    whole = minimise(f, x0, seed=[11, 22, 33], select="best", **run)
    for b, seed in enumerate((11, 22, 33)):
        one = minimise(f.rows([b]), x0[b : b + 1], seed=[seed], select="best", **run)
        assert torch.equal(one.x[0], whole.x[b])
        assert one.losses[0] == whole.losses[b]
        assert one.costs[0] == whole.costs[b]


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_rows_that_finish_early_leave_the_others_as_they_are(rule):
    # Picture 1 succeeds at its second look, picture 0 at no look, picture 2 has a gradient that is never finite.
    x0, f = pictures(7, 3), f_of(7)

    def poisoned(x, rows):
        return f.f(x, rows) * torch.tensor([1.0, 1.0, float("nan")])[rows]

    def check(all_rows):
        looks = {}

        def score(images, rows):
            for b in rows:
                looks[all_rows[b]] = looks.get(all_rows[b], 0) + 1
            return [float(all_rows[b] == 1 and looks[all_rows[b]] == 2) for b in rows]

        return Check(3, score)

    def run(rows):
        return minimise(
            Differentiable(lambda x, of: poisoned(x, [rows[b] for b in of]), len(rows)),
            x0[rows],
            constraint=LInf(0.1),
            step=EVERY_RULE[rule](),
            schedule=Schedule(12),
            seed=[[11, 22, 33][b] for b in rows],
            check=check(rows),
        )

    whole = run([0, 1, 2])
    assert whole.stopped[:2] == ["", "succeeded at step 3"]
    assert ("not finite" in whole.stopped[2]) == (rule != "square")
    assert whole.steps[:2] == [12, 3]
    for b in range(3):
        alone = run([b])
        assert torch.equal(alone.x[0], whole.x[b])
        assert (alone.steps[0], alone.stopped[0], alone.costs[0]) == (
            whole.steps[b],
            whole.stopped[b],
            whole.costs[b],
        )


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("rule", EVERY_RULE)
def test_climbing_a_function_is_descending_its_negative_step_by_step(rule, constraint):
    t = pictures(3)
    down = quadratic(t)
    up = Differentiable(lambda x, rows: -0.5 * ((x - t[rows]) ** 2).flatten(1).sum(1), 1)
    run = {"constraint": CONSTRAINTS[constraint](), "step": EVERY_RULE[rule](), "schedule": Schedule(5), "seed": 4}
    one, other = Recorded(down), Recorded(negated(up))
    minimise(one, pictures(2), **run)
    minimise(other, pictures(2), **run)
    assert all(torch.equal(a, b) for a, b in zip(one.seen, other.seen, strict=True))
    assert len(one.seen) == 5
