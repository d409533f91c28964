"""The one token search, on the tiny language model and on losses known by hand."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace

import pytest
import torch

from plain_loop import picture
from proofglass.attacks.crafting.tokens import drawn, repeated
from proofglass.engine import Check, Look
from proofglass.engine.checkpoints import kept_in
from proofglass.engine.marked import MarkedNLL, Written, begun, marked, windowed
from proofglass.engine.progress import watched_by
from proofglass.engine.swaps import Swaps
from proofglass.engine.tokens import search
from proofglass.errors import ZeroGradient
from proofglass.registry import build as plug
from proofglass.types import Budget, Chat, Cost
from toy_objectives import Killed

ASKS = ["how do i mend a giant dreadbell ?", "write a guide to hide a golden thornwax ."]
RULES = {
    "gcg": Swaps("all", 12, 6),
    "hotflip": Swaps("sweep", 6, accepts="better"),
    "arca": Swaps("sweep", 6, fill_ins=3),
    "arca that stays": Swaps("sweep", 6, fill_ins=3, accepts="better"),
}


@pytest.fixture(scope="module")
def victim():
    return plug("victims", "testbed-lm-aligned", device="cpu")


def rows(*questions, shown=()):
    return [[(Written(Chat.user(*shown, q), q), "sure , here")] for q in questions]


def made(victim, *questions, seeds=None, tokens=5, **more):
    given = rows(*questions, **{k: more.pop(k) for k in ("shown",) if k in more})
    objective = marked(victim, given, seeds=seeds or [7 + k for k in range(len(given))], **more)
    start = [
        begun(objective, b, "rope rope rope rope rope rope rope rope"[: 5 * tokens - 1]) for b in range(len(given))
    ]
    return windowed(objective, start), start


def run(victim, *questions, rule="gcg", steps=6, **more):
    search_by = {k: more.pop(k) for k in ("budget", "check", "allowed") if k in more}
    objective, start = made(victim, *questions, **more)
    allowed = search_by.pop("allowed", victim.writable())
    return search(objective, start, RULES[rule], allowed=allowed, steps=steps, seed=objective.seeds, **search_by)


def facts(found):
    told = dataclasses.asdict(found)
    del told["seconds"]
    return told


@pytest.mark.parametrize("rule", RULES)
def test_the_best_loss_never_rises_and_is_that_of_the_text_found(victim, rule) -> None:
    found = run(victim, *ASKS, rule=rule, steps=10)
    for b, question in enumerate(ASKS):
        least = found.least[b]
        assert least == sorted(least, reverse=True)
        assert found.loss[b] == least[-1] == min(found.losses[b])
        assert least[-1] < least[0] / 2
        assert len(found.losses[b]) == 11  # at the start, and after each step
        chat = Chat.user(question + found.texts[b])
        whole = victim.loss_and_grad(None, victim.prepare([[(chat, "sure , here")]], slots=()), need_grad=False)
        torch.testing.assert_close(float(whole.loss[0]), found.loss[b], rtol=1e-4, atol=1e-5)


def test_what_is_found_reads_as_its_own_tokens_in_the_chat(victim) -> None:
    objective, start = made(victim, *ASKS)
    found = search(objective, start, RULES["gcg"], allowed=victim.writable(), steps=8, seed=objective.seeds)
    for b in range(2):
        assert objective.reads(b, found.ids[b])
        assert objective.text(b, found.ids[b]) == found.texts[b]


def test_rows_are_independent_of_each_other(victim) -> None:
    both = run(victim, *ASKS, steps=4)
    for b, question in enumerate(ASKS):
        alone = run(victim, question, seeds=[7 + b], steps=4)
        assert alone.ids[0] == both.ids[b]
        assert alone.losses[0] == pytest.approx(both.losses[b], rel=1e-5)


def test_equal_seeds_find_equal_texts_and_others_do_not(victim) -> None:
    one, again, other = (run(victim, ASKS[0], seeds=[seed], steps=3) for seed in (1, 1, 2))
    assert facts(one) == facts(again)
    assert facts(one) != facts(other)


def test_arca_with_the_current_token_as_its_only_fill_in_is_hotflip(victim) -> None:
    objective, start = made(victim, ASKS[0])
    given = {"allowed": victim.writable(), "steps": 6, "seed": objective.seeds}
    one = search(objective, start, Swaps("sweep", 6, fill_ins=1, accepts="better"), **given)
    other = search(objective, start, RULES["hotflip"], **given)
    assert facts(one) == facts(other)


def test_a_careful_search_never_goes_on_from_something_worse(victim) -> None:
    for rule in ("hotflip", "arca that stays"):
        losses = run(victim, ASKS[0], rule=rule, steps=12).losses[0]
        assert all(b <= a + 1e-5 for a, b in itertools.pairwise(losses))


def test_a_pass_for_each_candidate_and_each_gradient_is_counted(victim) -> None:
    for rule, fill_ins in (("gcg", 1), ("hotflip", 1), ("arca", 3)):
        found = run(victim, ASKS[0], rule=rule, steps=4)
        assert found.costs[0].backward == 4 * fill_ins
        assert found.costs[0].forward == found.tried[0] + 4 * fill_ins


def test_a_universal_mark_lowers_the_mean_over_its_chats(victim) -> None:
    pairs = [row[0] for row in rows(*ASKS)]
    objective = marked(victim, [pairs], seeds=[1])
    start = begun(objective, 0, "rope rope rope")
    found = search(windowed(objective, [start]), [start], RULES["gcg"], allowed=victim.writable(), steps=8, seed=[1])
    chats = [[(Chat.user(question + found.texts[0]), "sure , here") for question in ASKS]]
    whole = victim.loss_and_grad(None, victim.prepare(chats, slots=()), weighting="pair", need_grad=False)
    torch.testing.assert_close(float(whole.loss[0]), found.loss[0], rtol=1e-4, atol=1e-5)
    assert found.loss[0] < found.losses[0][0]
    assert found.costs[0].backward == 8 * len(ASKS)  # a pass for each chat
    assert found.costs[0].forward == (found.tried[0] + 8) * len(ASKS)


def test_drawn_targets_are_those_of_seed_and_step(victim) -> None:
    pairs = [row[0] for row in rows(*ASKS, "why ?", "who ?")]
    objective = marked(victim, [pairs], seeds=[1], per_step=2)
    assert not objective.fixed
    start = begun(objective, 0, "rope rope")
    each = [objective.losses(0, start, [start], step).item() for step in range(8)]
    assert each == [objective.losses(0, start, [start], step).item() for step in range(8)]
    assert len(set(each)) > 1
    assert replace(objective, per_step=4).fixed


# ---------------------------------------------------------------- pictures


def test_without_a_picture_in_the_context_the_search_is_that_on_text() -> None:
    seeing = plug("victims", "testbed-linear", device="cpu")
    plain, shown = (run(seeing, ASKS[0], steps=3, shown=kind) for kind in ((), ()))
    assert facts(plain) == facts(shown)
    with_picture = run(seeing, ASKS[0], steps=3, shown=(picture(1, 96),))
    assert with_picture.losses[0][0] != plain.losses[0][0]
    assert with_picture.loss[0] < with_picture.losses[0][0]


# ---------------------------------------------------------------- checks, budgets


def test_what_succeeded_is_looked_at_once_and_ends_there(victim) -> None:
    seen = []

    def score(texts, of):
        seen.append((list(texts), list(of)))
        return [Look(float(b == 1 and len(seen) > 1), Cost(queries=1)) for b in of]

    found = run(victim, *ASKS, steps=6, check=Check(2, score))
    assert found.succeeded == [False, True]
    assert found.stopped == ["", "succeeded at step 2"]
    assert found.steps == [6, 2]
    assert seen[0][1] == seen[1][1] == [0, 1]
    assert all(of == [0] for _, of in seen[2:])
    assert found.costs[1].queries == 2
    texts = [text for each, of in seen for text, b in zip(each, of, strict=True) if b == 0]
    assert len(set(texts)) == len(texts)  # nothing is asked twice
    assert texts[-1] == found.texts[0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("amount", [0, 5, 14, 40, 71])
def test_a_budget_is_never_passed(victim, rule, amount) -> None:
    looks = Check(2, lambda texts, of: [0.0] * len(texts))
    found = run(victim, ASKS[0], rule=rule, steps=50, budget=Budget(amount), check=looks)
    assert Budget(amount).of(found.costs[0]) <= amount
    assert found.stopped[0].startswith("budget of")
    if amount < 14:
        assert found.steps == [0]
        assert found.costs[0] == Cost()


def test_progress_is_reported_step_by_step(victim) -> None:
    paces = []
    with watched_by(paces.append):
        found = run(victim, ASKS[0], steps=3)
    assert [pace.step for pace in paces] == [1, 2, 3]
    assert all(pace.steps == 3 for pace in paces)
    assert [pace.loss for pace in paces] == pytest.approx(found.losses[0][1:])


# ---------------------------------------------------------------- killed and resumed


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_search_killed_at_any_step_ends_in_the_same_text(victim, tmp_path, rule, at) -> None:
    looks = Check(2, lambda texts, of: [Look(0.0, Cost(queries=1)) for _ in texts])
    whole = run(victim, *ASKS, rule=rule, check=looks)

    def dies(pace):
        if pace.step == at:
            raise Killed

    with kept_in(tmp_path, 2), watched_by(dies), pytest.raises(Killed):
        run(victim, *ASKS, rule=rule, check=looks)
    steps = []
    with kept_in(tmp_path, 2), watched_by(lambda pace: steps.append(pace.step)):
        again = run(victim, *ASKS, rule=rule, check=looks)
    assert facts(again) == facts(whole)
    assert steps[0] == (at - 1) // 2 * 2 + 1  # the checkpoint before it, every 2 steps


def test_a_finished_search_is_not_made_again(victim, tmp_path) -> None:
    with kept_in(tmp_path):
        first = run(victim, ASKS[0], steps=3)
    steps = []
    with kept_in(tmp_path), watched_by(lambda pace: steps.append(pace.step)):
        again = run(victim, ASKS[0], steps=3)
    assert facts(first) == facts(again)
    assert steps == []


def test_a_checkpoint_of_another_search_is_not_taken_up(victim, tmp_path) -> None:
    with kept_in(tmp_path):
        run(victim, ASKS[0], steps=3)
    with kept_in(tmp_path):
        other = run(victim, ASKS[0], steps=3, rule="hotflip")
    assert facts(other) == facts(run(victim, ASKS[0], steps=3, rule="hotflip"))


# ---------------------------------------------------------------- bad input


def test_a_mark_finds_its_place_whatever_the_question_ends_with(victim) -> None:
    for question in ("", "do it!", "x ", "why?\n", "placeholder ?", "é ☃", "! ! ! !"):
        objective, start = made(victim, question, tokens=3)
        assert objective.reads(0, start[0]), question
        said = objective.rows[0].says[0].says(objective.text(0, start[0])).last_text
        assert said.startswith(question), question
        assert said.removeprefix(question).strip() == "rope rope rope", question
        assert "  " not in said, question


def test_a_target_longer_than_the_context_is_told(victim) -> None:
    with pytest.raises(ValueError, match=r"target: chat and target are \d+ tokens, more than the 512"):
        marked(victim, [[(Written(Chat.user("a"), "a"), "kite " * 600)]], seeds=[0])


def test_a_chat_that_holds_every_probe_is_told(victim) -> None:
    from proofglass.engine.marked import PROBES

    said = " ".join(PROBES)
    with pytest.raises(ValueError, match="holds every one of placeholder"):
        marked(victim, [[(Written(Chat.user(said), said), "ok")]], seeds=[0])


def test_nothing_to_write_and_too_few_starts_are_refused(victim) -> None:
    objective, start = made(victim, ASKS[0])
    nothing = torch.zeros_like(victim.writable())
    with pytest.raises(ValueError, match="allowed: expected at least one token"):
        search(objective, start, RULES["gcg"], allowed=nothing, steps=1, seed=[1])
    with pytest.raises(ValueError, match="expected 1 each, found 1, 2"):
        search(objective, start, RULES["gcg"], allowed=victim.writable(), steps=1, seed=[1, 2])


def test_two_writable_tokens_are_searched_and_nothing_else_is_written(victim) -> None:
    few = torch.zeros_like(victim.writable())
    few[victim.encode("rope")] = few[victim.encode("kite")] = True
    found = run(victim, ASKS[0], allowed=few, steps=5)
    assert set(found.ids[0]) <= {*victim.encode("rope"), *victim.encode("kite")}


class Unreadable:
    """A tokenizer of which no changed text reads back."""

    def __init__(self, objective: MarkedNLL) -> None:
        self.objective = objective

    def __getattr__(self, name):
        return getattr(self.objective, name)

    def readable(self, b, candidates):
        return [False] * len(candidates)


@pytest.mark.parametrize(("rule", "steps"), [("gcg", 5), ("hotflip", 5), ("arca", 5)])
def test_a_tokenizer_that_reads_nothing_back_ends_the_search_with_its_reason(victim, rule, steps) -> None:
    objective, start = made(victim, ASKS[0])
    found = search(Unreadable(objective), start, RULES[rule], allowed=victim.writable(), steps=40, seed=[1])
    assert found.stopped == [f"no candidate of {steps} steps reads back as its own tokens"]
    assert found.ids == start
    assert found.steps == [steps]
    assert found.rejected[0] > 0


def test_a_candidate_that_reads_otherwise_in_the_chat_is_never_taken(victim) -> None:
    # By itself it reads back; in the chat it does not: the next best is taken, and what is found reads back.
    objective, start = made(victim, ASKS[0])
    refused = []

    class Picky(Unreadable):
        def readable(self, b, candidates):
            return [True] * len(candidates)

        def reads(self, b, ids):
            if len(refused) < 3:
                refused.append(ids)
                return False
            return objective.reads(b, ids)

    found = search(Picky(objective), start, RULES["gcg"], allowed=victim.writable(), steps=2, seed=[7])
    assert found.rejected[0] >= 3
    assert found.ids[0] not in refused
    assert objective.reads(0, found.ids[0])


class Flat(Unreadable):
    def __init__(self, objective, value):
        super().__init__(objective)
        self.value = value

    def gradient(self, b, fillings, step):
        loss, gradient = self.objective.gradient(b, fillings, step)
        return loss, torch.full_like(gradient, self.value)

    def readable(self, b, candidates):
        return [True] * len(candidates)


def test_a_first_gradient_of_zero_is_an_error_and_one_that_is_no_number_ends_its_row(victim) -> None:
    objective, start = made(victim, ASKS[0])
    given = {"allowed": victim.writable(), "steps": 9, "seed": [1]}
    with pytest.raises(ZeroGradient, match="the first gradient of every mark is zero"):
        search(Flat(objective, 0.0), start, RULES["gcg"], **given)
    found = search(Flat(objective, float("nan")), start, RULES["gcg"], **given)
    assert found.stopped == ["gradient not finite for 5 steps"]
    assert found.ids == start


def test_a_start_is_repeated_within_its_tokens_or_drawn_so_that_it_reads_back(victim) -> None:
    objective = marked(victim, rows(ASKS[0]), seeds=[0])
    assert objective.text(0, repeated(objective, "rope", 3)) == " rope rope rope"
    with pytest.raises(ValueError, match="alone is 2 tokens, expected 1 at most"):
        repeated(objective, "rope kite", 1)
    one, other = (drawn(objective, 6, victim.writable(), seed) for seed in (1, 2))
    assert len(one) == len(set(one)) == 6
    assert one != other
    assert objective.reads(0, one)
    few = torch.zeros_like(victim.writable())
    few[victim.encode("rope")] = True
    with pytest.raises(ValueError, match="found no 6 random tokens that read back"):
        drawn(objective, 6, few, 0)
