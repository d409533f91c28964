"""CroPA through its registered class: the two players, which prompt when, and what is never judged."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.cropa_toy import PROMPTS, Toy, game
from proofglass.attacks.image.cropa import CrossPrompt
from proofglass.engine import Iterate, LInf, On, Schedule, SignStep, Spectrum, Transformed, checkpoints, minimise
from proofglass.errors import UsageError
from proofglass.registry import build as plug
from proofglass.types import Budget, Chat, Cost, Image, Reply, Sample
from proofglass.victims.llava import Llava
from scripted_victims import asked, grey
from tiny_models import SIDE, build


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def samples(n=2):
    return [Sample(f"s{k}", "toy", Chat.user(picture(k), f"please mend kite {k}"), target="no") for k in range(n)]


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (1, (300,)),
        (5, tuple(range(60, 301, 60))),
        (10, tuple(range(30, 301, 30))),
        (50, tuple(range(6, 301, 6))),
        (100, tuple(range(3, 301, 3))),
    ],
)
def test_g17_prompts_move_until_step_300_and_rarely(count, wanted):
    assert plug("attacks", "cropa", prompts=tuple(map(str, range(count)))).prompt_steps() == wanted


def test_g17_the_papers_interval_goes_on_to_the_end():
    found = plug("attacks", "cropa", prompt_update="interval", prompt_interval=10, steps=1700).prompt_steps()
    assert (found[0], found[-1], len(found)) == (10, 1690, 169)


def g18(**fields):
    """The game, its attack, and G18's point: x = .4, every prompt moved by (0, .26)."""
    attack = plug("attacks", "cropa", prompts=PROMPTS, alpha2=0.02, **fields)
    objective = game(Toy(), alpha2=0.02, **fields)
    moved = torch.tensor([0.0, 0.26]).reshape(1, 1, 2, 1).expand(1, 10, 2, 1).clone()
    return attack, objective, {"image": torch.full((1, 3, 2, 2), 0.4), "prompt": moved}


def climbed(attack, objective, point, seen):
    """The prompts after one move of the second player."""
    first, on = attack.second_player(objective)["prompt"]
    assert torch.equal(first, torch.zeros_like(point["prompt"]))
    assert on.ascends
    assert on.at == attack.prompt_steps()
    at = Iterate(point["prompt"], first, -seen.loss, -seen.grad["prompt"], on.constraint, 0, 1)
    return on.step(at, {})[0]


def test_g18_the_picture_goes_downhill_and_the_prompt_uphill():
    attack, objective, point = g18()
    place = objective.place(0, 30)
    seen = objective(point, 30)
    assert float(seen.loss[0]) == pytest.approx(0.34**2 / 2)
    assert float(seen.grad["image"][0, 0, 0, 0]) == pytest.approx(-0.34)  # so that a sign step adds 1/255
    after = climbed(attack, objective, point, seen)
    for p in range(10):
        wanted = [0.02, 0.24] if p == place else [0.0, 0.26]
        assert after[0, p].flatten().tolist() == pytest.approx(wanted)
    # The prompt's step lowers x + b t - 1 from -.34 to -.38, the picture's raises it by 1/255.
    there = point | {"prompt": after}
    assert float(objective(there, 30, need_grad=False).loss[0]) == pytest.approx(0.38**2 / 2)
    there["image"] = point["image"] + 1 / 255
    assert float(objective(there, 30, need_grad=False).loss[0]) == pytest.approx((0.38 - 1 / 255) ** 2 / 2)


def test_g18_untargeted_flips_both_signs():
    attack, objective, point = g18(goal="untargeted")
    seen = objective(point, 30)
    assert float(seen.grad["image"][0, 0, 0, 0]) == pytest.approx(0.34)
    # t - alpha2 * sign of (.34, -.34): the cross-entropy falls there, the negated one rises; .28 is clipped to .27
    after = climbed(attack, objective, point, seen)
    assert after[0, objective.place(0, 30)].flatten().tolist() == pytest.approx([-0.02, 0.27])


def test_the_two_players_pull_apart_on_a_model(tiny):
    """One image step lowers the loss of the prompt it was taken on, one prompt step raises it."""
    attack = plug("attacks", "cropa", prompts=PROMPTS[:2], alpha2=0.01)
    part = samples(1)
    objective = attack.objective(tiny, part, [part[0].chat.images[0]], [["no", "no"]], [1])
    point = {"image": tiny.pixels(part[0].chat.images[0]), "prompt": objective.unmoved()}
    step = next(s for s in attack.prompt_steps() if objective.place(1, s) == 0)
    seen = objective(point, step)
    assert torch.equal(seen.loss, objective(point, step, need_grad=False).loss)
    there = point | {"prompt": climbed(attack, objective, point, seen)}
    after = objective(there, step, need_grad=False)
    assert float(after.loss) > float(seen.loss)
    there["image"] = (point["image"] - 1e-3 * seen.grad["image"].sign()).clamp(0, 1)
    downhill = objective(there, step, need_grad=False)
    assert float(downhill.loss) < float(after.loss)


def test_a_shaken_picture_has_its_second_player_too():
    """Around the game, an expectation averages the gradients of both players; prompts are the same in all draws."""
    attack, objective, point = g18()
    shaken = Transformed(objective, Spectrum(0.0, 0.0), 3, [0])
    seen, plain = shaken(point, 30), objective(point, 30)
    for name in ("image", "prompt"):
        torch.testing.assert_close(seen.grad[name], plain.grad[name])
    assert float(seen.grad["prompt"].abs().max()) > 0
    assert attack.second_player(objective)["prompt"][0].shape == point["prompt"].shape


def test_every_round_sees_every_prompt_once_and_rounds_are_rotated():
    objective = game(Toy())
    rounds = [[objective.place(7, 10 * turn + k) for k in range(10)] for turn in range(200)]
    assert rounds[0] == list(range(10))
    for seen in rounds:
        assert [(p - seen[0]) % 10 for p in seen] == list(range(10))
    assert {seen[0] for seen in rounds} == set(range(10))


@given(st.integers(0, 200), st.floats(0.001, 0.5))
def test_perturbations_stay_in_the_codes_interval_and_only_the_prompt_of_the_step_moves(seed, alpha2):
    fields = {"alpha2": alpha2, "prompt_update": "interval", "prompt_interval": 3, "steps": 25}
    attack = plug("attacks", "cropa", prompts=PROMPTS, **fields)
    at = []

    @dataclass
    class Watched(CrossPrompt):
        def __call__(self, x, step, **more):
            at.append((step, x["prompt"].clone()))
            return super().__call__(x, step, **more)

    of = game(Toy(), **fields)
    objective = Watched(of.victim, of.prepared, [seed], of.sign)
    first, on = attack.second_player(objective)["prompt"]
    moves = {"image": On(LInf(16 / 255), SignStep(1 / 255)), "prompt": on}
    x0 = {"image": torch.full((1, 3, 2, 2), 0.4), "prompt": first}
    minimise(objective, x0, moves, schedule=Schedule(25), seed=[seed])
    for (step, old), (_, new) in itertools.pairwise(at):
        assert float(new.min()) >= -0.23 - 1e-7
        assert float(new.max()) <= 0.27 + 1e-7
        for p in range(10):
            may_move = step and step % 3 == 0 and p == objective.place(seed, step)
            assert bool((old[0, p] != new[0, p]).any()) <= may_move
    assert float(at[-1][1].abs().max()) > 0


def test_without_a_second_player_no_prompt_is_touched():
    victim = Toy()
    list(plug("attacks", "cropa", prompts=PROMPTS, alpha2=0.0, steps=40).craft(victim, asked(1, grey(102)), seed=0))
    assert all(text is None for _, text in victim.seen)


@pytest.mark.parametrize(("count", "alpha2"), [(1, 0.01), (5, 0.025), (10, 0.01), (50, 0.015), (7, 0.01)])
def test_the_prompts_step_is_the_codes_for_their_number(count, alpha2):
    attack = plug("attacks", "cropa", prompts=tuple(map(str, range(count))))
    objective = attack.objective(Toy(), asked(1, grey()), [grey()], [["no"] * count], [0])
    assert attack.second_player(objective)["prompt"][1].step == SignStep(alpha2)


def test_the_loss_falls_inside_the_ball_under_prompts_that_move(tiny):
    attack = plug("attacks", "cropa", prompts=PROMPTS[:3], target="no", steps=24, prompt_update="interval",
                  prompt_interval=2)  # fmt: skip
    todo = samples()
    before = [s.chat.images[0].array().copy() for s in todo]
    whole = list(attack.craft(tiny, todo, seed=2))
    for sample, artefact, pixels in zip(todo, whole, before, strict=True):
        assert np.array_equal(sample.chat.images[0].array(), pixels)
        assert np.abs(artefact.images[0].array().astype(int) - artefact.clean.array()).max() <= 16
        x = tiny.pixels(artefact.clean)
        part = dataclasses.replace(sample, target="no")
        objective = attack.objective(tiny, [part], [artefact.clean], [["no"] * 3], [0])
        assert artefact.trace["loss_after_rounding"] < float(objective.value(x).loss)
        assert (artefact.cost.forward, artefact.cost.backward) == (24, 24)
        alone = next(attack.craft(tiny, [sample], seed=2))
        assert (alone.images[0].array() == artefact.images[0].array()).mean() > 0.99


def test_a_killed_game_goes_on_where_both_players_stood(tmp_path):
    """Resumed from a checkpoint, every later prompt perturbation and the picture are the same."""
    attack = plug("attacks", "cropa", prompts=PROMPTS, target="no", steps=70, alpha2=0.02)

    @dataclass
    class Dying(Toy):
        life: int = 47

        def loss_and_grad(self, *args, **named):
            self.life -= 1
            if self.life < 0:
                raise KeyboardInterrupt
            return super().loss_and_grad(*args, **named)

    whole = Toy()
    (wanted,) = attack.craft(whole, asked(1, grey(102)), seed=5)
    with pytest.raises(KeyboardInterrupt), checkpoints.kept_in(tmp_path, 20):
        list(attack.craft(Dying(), asked(1, grey(102)), seed=5))
    again = Toy()
    with checkpoints.kept_in(tmp_path, 20):
        (found,) = attack.craft(again, asked(1, grey(102)), seed=5)
    assert found.images == wanted.images
    assert len(again.seen) == 30  # from step 40
    for (names, text), (wanted_names, wanted_text) in zip(again.seen, whole.seen[40:], strict=True):
        assert names == wanted_names
        assert torch.equal(text[0], wanted_text[0])
    assert any(float(text[0].abs().max()) > 0 for _, text in again.seen)


def test_faithful_keeps_the_lowest_loss_even_if_the_unprojected_first_noise_has_it():
    attack = plug("attacks", "cropa", prompts=PROMPTS, target="no", steps=30, alpha2=0.0, faithful=True)
    noise_won = []
    for seed in range(8):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            (found,) = attack.craft(Toy(aim=2.0), asked(1, grey(102)), seed=seed)
        losses = found.trace["loss"]
        assert found.trace["loss_before_rounding"] == pytest.approx(min(losses), abs=1e-6)
        moved = np.abs(found.images[0].array().astype(int) - 102).max()
        noise_won.append(moved > 16)
        assert noise_won[-1] == (losses[0] == min(losses))  # the ball's best, 118/255, is worse than much noise
        # Never without saying so: in the trace, where reports look, and as a warning.
        assert found.trace["outside_ball"] is bool(noise_won[-1])
        assert found.trace["linf_levels"] == moved
        said = [str(w.message) for w in told if "unprojected" in str(w.message)]
        assert len(said) == noise_won[-1]
        assert not said or (f"{moved} grey levels" in said[0] and "'s0'" in said[0])
        # A run that takes the picture from its store warns nobody: its report reads the notes.
        assert len(found.meta.get("notes", ())) == noise_won[-1]
    assert set(noise_won) == {True, False}


@pytest.mark.parametrize(("faithful", "steps"), [(False, 20), (True, 16)])
def test_a_budget_is_kept_and_used(faithful, steps):
    attack = plug("attacks", "cropa", prompts=PROMPTS, alpha2=0.0, faithful=faithful)
    (found,) = attack.craft(Toy(aim=2.0), asked(1, grey(102)), seed=0, budget=Budget(60))
    assert found.cost.forward + 2 * found.cost.backward <= 60
    assert found.cost.backward == steps  # faithful: 10 forward passes at the end judge the last iterate


def test_answers_that_use_up_the_budget_leave_none_for_a_step():
    class Counted(Toy):
        def reply(self, asks):
            return [Reply(self.said, cost=Cost(queries=1)) for _ in asks]

    attack = plug("attacks", "cropa", prompts=PROMPTS, goal="untargeted")
    (found,) = attack.craft(Counted(), asked(1, grey(102)), seed=0, budget=Budget(10))
    assert (found.cost.queries, found.cost.forward, found.cost.backward) == (10, 0, 0)


def test_faithful_iterates_inside_the_ball_are_saved_inside_it():
    attack = plug("attacks", "cropa", prompts=PROMPTS, target="no", steps=30, alpha2=0.0, epsilon=0.03, faithful=True)
    # The aim is 100/255, near the clean 102/255: the noise of no seed here beats what the steps find.
    for seed in range(3):
        (found,) = attack.craft(Toy(aim=100 / 255), asked(1, grey(102)), seed=seed)
        assert found.trace["outside_ball"] is False
        assert np.abs(found.images[0].array().astype(int) - 102).max() == 7  # .03 is 7.65 levels


def test_the_trace_of_the_game_says_that_its_last_loss_alone_is_the_mean_over_prompts():
    for faithful in (False, True):
        attack = plug("attacks", "cropa", prompts=PROMPTS, target="no", steps=4, alpha2=0.0, faithful=faithful)
        (found,) = attack.craft(Toy(aim=100 / 255), asked(1, grey(102)), seed=0)
        assert len(found.trace["loss"]) == 5
        assert found.trace["loss_plain_from"] == 4


def test_faithful_noise_is_gaussian_and_unprojected():
    from proofglass.attacks.image.cropa import _NoBox

    x0 = torch.full((1, 3, 64, 64), 0.5)
    ball = _NoBox(16 / 255)
    noise = ball.begin(x0, torch.rand(x0.shape, generator=torch.Generator().manual_seed(0))) - x0
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float(noise.std()) == pytest.approx(1, abs=0.03)
    assert float(ball.project(x0 + 1, x0).max()) == pytest.approx(0.5 + 16 / 255)
    assert float(ball.project(torch.ones_like(x0) * 2, torch.ones_like(x0)).max()) > 1  # no box


def test_untargeted_leaves_the_victims_own_answers_and_pays_for_them():
    victim = Toy()
    attack = plug("attacks", "cropa", prompts=PROMPTS, goal="untargeted", steps=5, alpha2=0.0)
    (found,) = attack.craft(victim, asked(1, grey(102)), seed=0, budget=Budget(10 + 3 * 3))
    assert {target for names, _ in victim.seen for row in names for _, target in row} == {"clean answer"}
    assert found.cost.queries == 0  # the toy's replies cost nothing; those of a model count one each
    assert found.cost.backward == 3
    with pytest.raises(UsageError, match=r"answers.*with nothing"):
        list(attack.craft(Toy(said=" "), asked(1, grey(102)), seed=0))


def test_a_models_answers_are_counted_once(tiny):
    # 10 prompts, one answer each, and 6 steps of one forward and one backward pass. An answer's cost names its forward
    # pass beside its query: counted twice, it would read 16 and 10.
    attack = plug("attacks", "cropa", prompts=PROMPTS, goal="untargeted", steps=6, answer_tokens=3)
    (found,) = attack.craft(tiny, samples(1), seed=0)
    assert (found.cost.forward, found.cost.backward, found.cost.queries) == (6, 6, 10)
    assert found.cost.tokens_out > 0
    # 20 - 10 answers = 10 = 3 steps
    (kept,) = attack.craft(tiny, samples(1), seed=0, budget=Budget(20))
    assert kept.cost.equivalents == 19


def test_a_sample_that_asks_one_of_the_prompts_is_refused():
    attack = plug("attacks", "cropa", prompts=("Question  0", "other"), steps=1)
    (sample,) = asked(1)
    with pytest.raises(UsageError, match=r"'s0'.*one of `prompts`"):
        list(attack.craft(Toy(), [sample], seed=0))
    fine = plug("attacks", "cropa", prompts=("other",), steps=1)
    (artefact,) = fine.craft(Toy(), [sample], seed=0)
    with pytest.raises(UsageError, match="one of `prompts`"):
        attack.apply(artefact, sample)


def test_each_samples_own_target_is_taught_where_none_is_given():
    victim = Toy()
    list(plug("attacks", "cropa", prompts=("look ?",), target="", steps=1).craft(victim, asked(2), seed=0))
    assert victim.seen[0][0] == ((("look ?", "t0"),), (("look ?", "t1"),))
    with pytest.raises(UsageError, match="target"):
        list(plug("attacks", "cropa", target="").craft(victim, [Sample("a", "toy", Chat.user("hi"))], seed=0))


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"epsilon": 16}, "epsilon.*16/255"),
        ({"alpha1": 0}, "alpha1"),
        ({"alpha2": -0.1}, "alpha2"),
        ({"steps": -1}, "steps"),
        ({"prompts": ()}, "prompts"),
        ({"prompts": ("a", "A ")}, "prompts"),
        ({"goal": "both"}, "goal"),
        ({"prompt_update": "never"}, "prompt_update"),
        ({"prompt_interval": 0}, "prompt_interval"),
        ({"batch": 0}, "batch"),
    ],
)
def test_bad_parameters_name_the_field(bad, field):
    with pytest.raises(ValueError, match=field):
        plug("attacks", "cropa", **bad)


def test_the_gradient_is_the_slope_of_the_loss_with_moved_prompts(tiny):
    attack = plug("attacks", "cropa", prompts=PROMPTS[:2], goal="untargeted")
    (part,) = samples(1)
    objective = attack.objective(tiny, [part], [part.chat.images[0]], [["no", "yes"]], [1])
    noise = torch.Generator().manual_seed(3)
    point = {
        "image": tiny.pixels(part.chat.images[0]).clamp(0.1, 0.9),
        "prompt": 0.1 * torch.randn(objective.unmoved().shape, generator=noise),
    }
    grads = objective(point, 0).grad
    h = 1e-4  # float32: curvature and rounding leave three digits
    for name, grad in grads.items():
        ahead, behind = (point | {name: point[name] + side * h * grad.sign()} for side in (1, -1))
        up, down = (objective(there, 0, need_grad=False).loss for there in (ahead, behind))
        assert float((up - down) / (2 * h)) == pytest.approx(float(grad.abs().sum()), rel=3e-3)
