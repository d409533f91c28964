"""Schlarmann & Hein 2023 through its registered class: the list of passes, its bookkeeping, directions and budget."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.attacks.image.schlarmann2023 import distinct
from proofglass.engine import Look
from proofglass.errors import UsageError
from proofglass.registry import build as plug
from proofglass.types import Budget, Chat, Image, Reply, Sample
from proofglass.victims.llava import Llava
from scripted_victims import Scripted, grey
from tiny_models import SIDE, build

TRUTHS = tuple(f"r{k}" for k in range(5))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


@dataclass
class Asked(Scripted):
    """Notes (texts, weighting, end token, first x) of each pass: a new one begins whenever pairs are prepared."""

    passes: list = field(default_factory=list)

    def prepare(self, pairs, *, append_eos=False):
        names = super().prepare(pairs, append_eos=append_eos)
        self.passes.append([[row[0] for row in names.names], None, append_eos, None])
        return names

    def loss_and_grad(self, pixels, prepared, *, weighting="token", need_grad=True, text=None):
        if self.passes[-1][3] is None:
            self.passes[-1][1], self.passes[-1][3] = weighting, pixels.clone()
        return super().loss_and_grad(pixels, prepared, weighting=weighting, need_grad=need_grad)


def brightness(x, targets):
    """A loss that grows with the picture's light: leaving a text brightens the picture, reaching one darkens it."""
    return x.flatten(1).sum(1)


def told(scores, **fields):
    """The registered attack, whose passes score what is written here instead of what a victim says."""
    attack = plug("attacks", "schlarmann2023", **{"steps": 3, "threshold": 10.0, **fields})
    script = iter(scores)

    @dataclass(frozen=True)
    class Told(type(attack)):
        def scores(self, victim, cases, pictures):
            return [Look(next(script)) for _ in cases]

    return Told(**attack.settings())


def sample(k=0, references=TRUTHS, image=None, target=""):
    return Sample(f"s{k}", "toy", Chat.user(image or grey(), f"q {k}"), references=references, target=target)


def texts(victim):
    return [names[0] for names, *_ in victim.passes]


def test_g20_a_sample_below_the_threshold_is_left_alone():
    victim = Asked(brightness)
    (found,) = told([80, 35, 40, 12, 9]).craft(victim, [sample()], seed=0)
    assert found.trace["score"] == 9
    assert found.trace["pass"] == "truth 3"
    assert found.trace["scores"] == [80, 35, 40, 12, 9]
    assert found.trace["passes"] == ["clean", "truth 0", "truth 1", "truth 2", "truth 3"]
    assert texts(victim) == ["r0", "r1", "r2", "r3"]  # passes 6 and 7 are skipped


def test_g20_the_last_pass_goes_on_from_the_best_with_the_truth_that_made_it():
    def opposed(x, targets):  # r2 brightens the picture, the others darken it
        sign = torch.tensor([1.0 if target == "r2" else -1.0 for target in targets])
        return sign * x.flatten(1).sum(1)

    victim = Asked(opposed)
    (found,) = told([80, 35, 40, 12, 15, 14, 11], epsilon=4 / 255).craft(victim, [sample()], seed=0)
    assert found.trace["score"] == 11
    assert found.trace["pass"] == "again"
    assert texts(victim) == ["r0", "r1", "r2", "r3", "r4", "r2"]
    clean = 128 / 255
    for _, _, _, first in victim.passes[:5]:
        torch.testing.assert_close(first, torch.full_like(first, clean))
    # Pass 7 begins where pass 4 ended, on the ball's face, and the ball is still the clean picture's.
    torch.testing.assert_close(victim.passes[5][3], torch.full((1, 3, 2, 2), clean + 4 / 255))
    assert set(np.unique(found.images[0].array())) == {132}
    assert set(np.unique(found.clean.array())) == {128}


@given(st.lists(st.integers(0, 100), min_size=7, max_size=7))
def test_the_kept_score_is_the_lowest_of_the_passes_that_ran(scores):
    (found,) = told(scores).craft(Asked(brightness), [sample()], seed=0)
    ran = found.trace["scores"]
    assert ran == scores[: len(ran)]
    assert found.trace["score"] == min(ran)
    assert all(score > 10 for score in ran[:-1])
    assert len(ran) == 7 or ran[-1] <= 10
    assert found.trace["score_first_attack"] == ran[min(1, len(ran) - 1)]
    # Of equals the first attack stays, and any attack goes before the clean picture.
    attacks = [k for k, score in enumerate(ran) if score == min(ran) and k]
    kept = found.trace["passes"][attacks[0]] if attacks else "clean"
    assert found.trace["pass"] == kept
    assert (found.images[0] == found.clean) == (kept == "clean")


def test_repeated_references_are_one_truth_and_the_most_common_goes_first():
    # Their n-th ground truth is the n-th most common different answer: 6 x A, 3 x B, 1 x C are three passes, not five.
    references = ("C", "B", "A", "A", "B", "A", "A", "B", "A", "A")
    victim = Asked(brightness)
    (found,) = told([80, 70, 60, 50, 40]).craft(victim, [sample(references=references)], seed=0)
    assert texts(victim) == ["A", "B", "C", "C"]
    assert found.trace["passes"] == ["clean", "truth 0", "truth 1", "truth 2", "again"]
    # As common ones go in their order; empty ones are no answer.
    assert distinct(("b", "", "a", "", "")) == ["b", "a"]


def test_the_last_pass_starts_from_the_clean_picture_where_no_attack_scored_lower():
    # Theirs too: the clean pass is the first of the list, with ground truth number 0.
    victim = Asked(brightness)
    (found,) = told([30, 80, 70, 60, 50, 40, 35]).craft(victim, [sample()], seed=0)
    assert texts(victim) == ["r0", "r1", "r2", "r3", "r4", "r0"]
    first = victim.passes[5][3]
    torch.testing.assert_close(first, torch.full_like(first, 128 / 255))
    assert (found.trace["pass"], found.trace["score"], found.trace["linf_levels"]) == ("clean", 30, 0)
    assert found.images[0] == found.clean
    # At an equal score the attacked picture goes on, as it is the one that is kept.
    victim = Asked(brightness)
    list(told([30, 80, 30, 60, 50, 40, 35]).craft(victim, [sample()], seed=0))
    assert texts(victim)[-1] == "r1"
    assert float(victim.passes[5][3].max()) > 128 / 255


def test_a_sample_with_fewer_truths_takes_part_in_fewer_passes():
    victim = Asked(brightness)
    whole = told([50] * 20).craft(victim, [sample(0, ("a",)), sample(1, ("b", "c"))], seed=0)
    assert [a.trace["passes"] for a in whole] == [
        ["clean", "truth 0", "again"],
        ["clean", "truth 0", "truth 1", "again"],
    ]
    # Together where both take part with equal spending, alone elsewhere.
    assert [names for names, *_ in victim.passes] == [["a", "b"], ["c"], ["a"], ["b"]]


def test_untargeted_climbs_and_targeted_and_decoys_descend():
    (found,) = told([50] * 9, truths=1, again=False).craft(Asked(brightness), [sample()], seed=0)
    assert set(np.unique(found.images[0].array())) == {132}
    victim = Asked(brightness)
    (found,) = told([50, 20, 9], truths=1, again=False, decoys=("maybe",)).craft(victim, [sample()], seed=0)
    assert texts(victim) == ["r0", "maybe"]
    assert set(np.unique(found.images[0].array())) == {124}
    victim = Asked(brightness)
    (found,) = told([50, 20], goal="targeted", target="t").craft(victim, [sample()], seed=0)
    assert texts(victim) == ["t"]
    assert set(np.unique(found.images[0].array())) == {124}


@pytest.mark.parametrize(("reduction", "weighting"), [("sum", "sum"), ("mean", "token")])
def test_the_loss_is_summed_or_averaged_over_tokens_the_end_token_included(reduction, weighting):
    victim = Asked(brightness)
    list(told([50] * 9, reduction=reduction).craft(victim, [sample()], seed=0))
    assert {used for _, used, _, _ in victim.passes} == {weighting}
    assert all(end for _, _, end, _ in victim.passes)


def test_the_first_step_is_epsilon_and_may_be_another():
    assert plug("attacks", "schlarmann2023", epsilon=2 / 255).rule().size == 2 / 255
    assert plug("attacks", "schlarmann2023", epsilon=2 / 255, eta=4 / 255).rule().size == 4 / 255
    assert plug("attacks", "schlarmann2023")._schedule(None).steps == 100
    assert plug("attacks", "schlarmann2023", goal="targeted")._schedule(None).steps == 10_000


def test_the_score_is_the_judges_verdict_on_the_reply_to_the_8_bit_picture():
    shown = []

    def answer(ask):
        shown.append(ask.chat.images[0])
        return "It is R0 !" if len(shown) == 1 else "no idea"

    victim = Asked(brightness, answer=answer)
    (found,) = plug("attacks", "schlarmann2023", steps=3).craft(victim, [sample()], seed=0)
    assert found.trace["scores"] == [1, 0]
    assert shown == [found.clean, found.images[0]]
    wrong = Asked(brightness)
    (left,) = plug("attacks", "schlarmann2023").craft(wrong, [sample()], seed=0)
    assert left.trace["scores"] == [0]  # wrong already: nothing is attacked
    assert left.images[0] == left.clean
    assert not wrong.passes


def test_targeted_succeeds_when_the_target_is_said():
    answers = iter(["nothing", "Well , T0 it is"])
    victim = Asked(brightness, answer=lambda ask: next(answers))
    (found,) = plug("attacks", "schlarmann2023", goal="targeted", steps=3).craft(
        victim, [sample(target="t0", references=())], seed=0
    )
    assert found.trace["scores"] == [1, 0]
    assert found.trace["score"] == 0


def test_an_error_of_the_victim_is_no_score():
    class Broken(Asked):
        def reply(self, asks):
            return [Reply.error("line down") for _ in asks]

    with pytest.raises(UsageError, match=r"'s0'.*error"):
        list(plug("attacks", "schlarmann2023").craft(Broken(brightness), [sample()], seed=0))


def test_what_is_missing_in_a_sample_is_said_before_anything_is_spent():
    with pytest.raises(UsageError, match="references"):
        list(plug("attacks", "schlarmann2023").craft(Asked(brightness), [sample(references=())], seed=0))
    with pytest.raises(UsageError, match="target"):
        list(plug("attacks", "schlarmann2023", goal="targeted").craft(Asked(brightness), [sample()], seed=0))


@pytest.mark.parametrize("budget", [0, 1, 5, 6, 20, 61, 200])
def test_all_passes_together_keep_one_budget(budget):
    (found,) = told([50] * 9, steps=10).craft(Asked(brightness), [sample()], seed=0, budget=Budget(budget))
    cost = found.cost
    looks = len(found.trace["scores"])
    assert cost.queries == looks
    # The clean picture is looked at in any case.
    assert cost.forward + 2 * cost.backward + cost.queries <= max(budget, 1)
    if budget == 200:
        assert len(found.trace["passes"]) == 7


def test_a_budget_in_seconds_ends_the_list():
    (found,) = told([50] * 9).craft(Asked(brightness), [sample()], seed=0, budget=Budget(1e-9, "seconds"))
    assert found.trace["passes"] == ["clean"]


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def test_the_loss_of_the_truth_rises_in_the_ball_and_a_batch_equals_its_single_runs(tiny):
    todo = [sample(k, ("yes", "a kite"), picture(k)) for k in range(2)]
    before = [s.chat.images[0].array().copy() for s in todo]
    attack = plug("attacks", "schlarmann2023", steps=6, threshold=-1.0, truths=1, answer_tokens=3)
    whole = list(attack.craft(tiny, todo, seed=0))
    assert [a.sample_id for a in whole] == ["s0", "s1"]
    for one, artefact, pixels in zip(todo, whole, before, strict=True):
        assert np.array_equal(one.chat.images[0].array(), pixels)
        assert np.abs(artefact.images[0].array().astype(int) - artefact.clean.array()).max() <= 4
        prepared = tiny.prepare([[(one.chat, "yes")]], append_eos=True)
        losses = [
            float(tiny.loss_and_grad(tiny.pixels(p), prepared, weighting="sum", need_grad=False).loss)
            for p in (artefact.clean, artefact.images[0])
        ]
        assert losses[1] > losses[0]
        assert artefact.trace["loss_after_rounding"] == pytest.approx(-losses[1], rel=1e-4)
        (alone,) = attack.craft(tiny, [one], seed=0)
        assert (alone.images[0].array() == artefact.images[0].array()).mean() > 0.99
        assert alone.trace["scores"] == artefact.trace["scores"]


def test_what_a_victim_says_decides_which_of_a_batch_go_on():
    victim = Asked(brightness, answer=lambda ask: "r0" if "q 1" in ask.chat.last_text else "wrong")
    whole = list(plug("attacks", "schlarmann2023", steps=2).craft(victim, [sample(k) for k in range(3)], seed=0))
    assert [len(a.trace["passes"]) for a in whole] == [1, 7, 1]
    assert dataclasses.replace(whole[0], sample_id="") == dataclasses.replace(whole[2], sample_id="")


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"epsilon": 4}, r"epsilon.*4/255"),
        ({"goal": "both"}, "goal"),
        ({"metric": "cider"}, "metric"),
        ({"reduction": "max"}, "reduction"),
        ({"truths": 0}, "truths"),
        ({"eta": 0.0}, "eta"),
        ({"steps": -1}, "steps"),
        ({"target": "t"}, "target"),
        ({"batch": 0}, "batch"),
    ],
)
def test_bad_parameters_name_the_field(bad, named):
    with pytest.raises(ValueError, match=named):
        plug("attacks", "schlarmann2023", **bad)


def test_pictures_of_several_sizes_are_crafted_size_by_size():
    victim = Asked(brightness, image_size=None)  # each picture at a size of its own
    wide = Image.from_array(np.full((6, 9, 3), 128, np.uint8))
    found = told([0] * 3).craft(victim, [sample(0), sample(1, image=wide), sample(2)], seed=0)
    assert [artefact.images[0].width for artefact in found] == [2, 9, 2]
