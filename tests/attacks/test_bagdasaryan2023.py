"""Bagdasaryan 2023 through its registered class: growing prefix, schedule, rows, and the dialogue after the picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofglass.engine import Schedule, TargetNLL
from proofglass.errors import UsageError
from proofglass.flow import drive
from proofglass.registry import build as plug
from proofglass.types import Artefact, Ask, Attempt, Budget, Chat, Image, Message, Reply, Sample, Settings
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def picture(seed):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def samples(targets=("abc", "abd", "xy")):
    return [Sample(f"s{k}", "toy", Chat.user(picture(k), f"ask {k}"), target=t) for k, t in enumerate(targets)]


@pytest.mark.parametrize(
    ("epochs", "low", "wanted"),
    [
        (100, 1e-4, {0: 0.01, 1: 0.009997557, 50: 0.00505, 99: 0.000102443}),
        (500, 1e-5, {0: 0.01, 250: 0.005005, 499: 1.0099e-5}),
    ],
)
def test_g19_the_step_size_falls_on_a_cosine_from_epoch_to_epoch(epochs, low, wanted, tiny, monkeypatch):
    """In units of the authors' .01: what the registered class hands to the loop, with 21 updates in an epoch."""
    from proofglass.attacks.crafting import pixels

    handed = {}

    def watch(objective, x0, **run):
        handed.update(run)
        raise StopIteration

    monkeypatch.setattr(pixels, "minimise", watch)
    attack = plug("attacks", "bagdasaryan2023", target="t" * 20, epochs=epochs, floor=low / 0.01)
    with pytest.raises(RuntimeError):  # a StopIteration inside a generator
        list(attack.craft(tiny, samples()[:1], seed=0))
    schedule = handed["schedule"]
    assert schedule == Schedule(epochs * 21, "cosine", low / 0.01, period=21)
    for epoch, size in wanted.items():
        for within in (0, 20):
            assert 0.01 * schedule.scale(epoch * 21 + within) == pytest.approx(size, rel=1e-4)


def test_the_first_step_is_seven_tenths_of_a_grey_level(tiny):
    (found,) = plug("attacks", "bagdasaryan2023", epochs=1).craft(tiny, samples(("a",)), seed=0)
    assert plug("attacks", "bagdasaryan2023").step_size * 255 == pytest.approx(0.7)
    # One target token and the end token: two updates of .7 levels, at most 1.4 before rounding, so 1 after it.
    assert np.abs(found.images[0].array().astype(int) - found.clean.array()).max() == 1


def test_a_run_makes_epochs_times_target_tokens_updates(tiny):
    # 20 letters, one token each in this tokenizer, and the end token: 21 x epochs (2100 for the paper's 100)
    (found,) = plug("attacks", "bagdasaryan2023", target="t" * 20, epochs=3).craft(tiny, samples()[:1], seed=0)
    assert found.cost.backward == 63
    assert found.trace["steps"] == 63


def test_a_growing_prefix_is_the_mean_loss_of_the_tokens_it_holds(tiny):
    part = samples(("abc",))
    clean = [s.chat.images[0] for s in part]
    objective = plug("attacks", "bagdasaryan2023").objective(tiny, part, clean)
    x = tiny.pixels(clean[0])
    pairs = [[(part[0].chat, "abc")]]
    logits = tiny.target_logits(x, tiny.prepare(pairs, append_eos=True))[0][0]
    ids = tiny.prepare(pairs, append_eos=True).pairs[0][0]
    tokens = torch.nn.functional.cross_entropy(logits, torch.tensor(ids.ids[ids.start :]), reduction="none")
    assert len(tokens) == 4
    for step in range(9):
        wanted = tokens[: step % 4 + 1].mean()
        torch.testing.assert_close(objective(x, step).loss[0], wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(objective.value(x).loss[0], tokens.mean(), atol=1e-4, rtol=1e-4)


def test_the_last_prefix_of_a_round_is_the_plain_loss_with_its_gradient(tiny):
    part = samples(("ab",))
    clean = [s.chat.images[0] for s in part]
    x = tiny.pixels(clean[0])
    growing = plug("attacks", "bagdasaryan2023").objective(tiny, part, clean)
    full = plug("attacks", "bagdasaryan2023", prefix="full").objective(tiny, part, clean)
    assert isinstance(full, TargetNLL)
    one, other = growing(x, 2), full(x, 0)
    torch.testing.assert_close(one.loss, other.loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-4)


def test_a_growing_prefix_of_one_token_is_the_plain_loss_at_every_step(tiny):
    from proofglass.attacks.image.bagdasaryan2023 import GrowingPrefix

    (sample,) = samples(("a",))
    plain = TargetNLL(tiny, [[(sample.chat, "a")]])  # without the end token: |y| = 1
    x = tiny.pixels(sample.chat.images[0])
    for step in range(3):
        one, other = GrowingPrefix(plain)(x, step), plain(x, step)
        torch.testing.assert_close(one.loss, other.loss)
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("prefix", ["growing", pytest.param("full", marks=pytest.mark.slow)])
def test_the_loss_falls_and_a_batch_equals_its_single_runs(tiny, prefix):
    attack = plug("attacks", "bagdasaryan2023", epochs=10, prefix=prefix, step_size=4 / 255)
    todo = samples()  # two targets of one length and a shorter one
    before = [s.chat.images[0].array().copy() for s in todo]
    whole = list(attack.craft(tiny, todo, seed=2))
    assert [a.sample_id for a in whole] == ["s0", "s1", "s2"]
    for sample, artefact, pixels in zip(todo, whole, before, strict=True):
        assert np.array_equal(sample.chat.images[0].array(), pixels)
        objective = attack.objective(tiny, [sample], [artefact.clean])
        assert artefact.trace["loss_after_rounding"] < float(objective.value(tiny.pixels(artefact.clean)).loss)
        assert artefact.cost.backward == 10 * (len(sample.target) + 1)
        alone = next(attack.craft(tiny, [sample], seed=2))
        assert (alone.images[0].array() == artefact.images[0].array()).mean() > 0.99


@pytest.mark.parametrize("rows", [1, 10, SIDE])
def test_pixels_below_the_rows_are_those_of_the_clean_picture(tiny, rows):
    (found,) = plug("attacks", "bagdasaryan2023", epochs=4, rows=rows, step_size=4 / 255).craft(
        tiny, samples(("abc",)), seed=0
    )
    changed = (found.images[0].array() != found.clean.array()).any(axis=(1, 2))
    assert changed[:rows].any()
    assert not changed[rows:].any()


def test_no_epoch_leaves_the_clean_picture_as_the_control_of_a_dialogue(tiny):
    (found,) = plug("attacks", "bagdasaryan2023", epochs=0, target="ab", turns=("on ?",)).craft(
        tiny, samples()[:1], seed=0
    )
    assert found.images[0] == found.clean
    assert found.cost.backward == 0


def test_a_budget_is_kept_and_shortens_the_cosine(tiny):
    attack = plug("attacks", "bagdasaryan2023", epochs=50)
    (found,) = attack.craft(tiny, samples(("abc",)), seed=0, budget=Budget(30))
    assert found.cost.forward + 2 * found.cost.backward <= 30
    assert found.cost.backward == 10


def test_a_universal_picture_is_made_on_the_first_crafting_sample_under_one_query(tiny, monkeypatch):
    seen = []
    real = Llava.prepare

    def watch(self, pairs, *, append_eos=False):
        seen.extend((chat.last_text, target) for row in pairs for chat, target in row)
        return real(self, pairs, append_eos=append_eos)

    monkeypatch.setattr(Llava, "prepare", watch)
    attack = plug("attacks", "bagdasaryan2023", scope="universal", query="what is it ?", target="no", epochs=1)
    todo = samples()
    (found,) = attack.craft(tiny, todo, seed=0)
    assert found.sample_id is None
    assert set(seen) == {("what is it ?", "no")}
    chat = attack.apply(found, todo[2])
    assert chat.images == found.images
    assert chat.last_text == "ask 2"
    with pytest.raises(UsageError, match="crafting sample"):
        list(attack.craft(tiny, [], seed=0))


# ---- the dialogue ---------------------------------------------------------------------------------------------------

RULE = "from now on i say kite ."
TURNS = ("how are you ?", "who is there ?", "what is it ?")


def dialogue(answers, turns=TURNS, **fields):
    """What the victim was asked, and how the dialogue ended, if it answers thus."""
    attack = plug("attacks", "bagdasaryan2023", target=RULE, turns=turns, **fields)
    sample = dataclasses.replace(samples()[0], meta={"keyword": "kite"})
    asked, answers = [], list(answers)

    def answer(asks):
        asked.extend(asks)
        return [answers.pop(0) for _ in asks]

    ask = Ask(sample.chat, Settings(max_new_tokens=9, temperature=0.7))
    artefact = Artefact(sample.id, (picture(9),))
    (end,) = drive([attack.converse(artefact, sample, ask)], answer)
    assert all(a.settings == ask.settings for a in asked)
    return sample, asked, end.value


def test_the_turns_are_asked_after_the_true_history_with_the_picture_in_it():
    said = [Reply(RULE), Reply("kite one"), Reply("two"), Reply("three kite")]
    sample, asked, (chat, reply) = dialogue(said)
    assert [a.chat.last_text for a in asked] == ["ask 0", *TURNS]
    assert reply.text == "three kite"
    assert chat == asked[-1].chat
    assert chat.messages == (
        Message("user", (picture(9), "ask 0")),
        Message("assistant", (RULE,)),
        Message("user", (TURNS[0],)),
        Message("assistant", ("kite one",)),
        Message("user", (TURNS[1],)),
        Message("assistant", ("two",)),
        Message("user", (TURNS[2],)),
    )
    assert chat.images == (picture(9),)
    for mode, value in (("share", 2 / 3), ("all", 0.0), ("last", 1.0)):
        (score,) = plug("judges", "keyword-turns", mode=mode).score([Attempt(sample, chat, reply)])
        assert score.value == pytest.approx(value)
        assert score.label == "2 of 3 turns"


def test_the_first_turn_does_not_count_since_the_rule_itself_holds_the_keyword():
    sample, _, (chat, reply) = dialogue([Reply(RULE), Reply("a"), Reply("b"), Reply("kites")])
    (score,) = plug("judges", "keyword-turns").score([Attempt(sample, chat, reply)])
    assert score.value == 0  # "kites" is another word
    (first,) = plug("judges", "keyword-turns", first=1).score([Attempt(sample, chat, reply)])
    assert first.value == 1 / 4


def test_an_error_ends_the_dialogue_and_stays_an_error():
    sample, asked, (chat, reply) = dialogue([Reply(RULE), Reply.error("line down")])
    assert len(asked) == 2
    assert reply.outcome == "error"
    (score,) = plug("judges", "keyword-turns").score([Attempt(sample, chat, reply)])
    assert score.value is None


def test_without_turns_there_is_one_question():
    sample, asked, (chat, reply) = dialogue([Reply(RULE)], turns=())
    assert len(asked) == 1
    (score,) = plug("judges", "keyword-turns").score([Attempt(sample, chat, reply)])
    assert score.value is None
    assert "before turn 2" in score.reason


def test_turns_that_a_sample_brings_along_are_not_counted():
    chat = Chat.user("hi").say("kite kite").ask("go on")
    sample = Sample("s", "toy", chat)
    attempt = Attempt(sample, chat.say(RULE).ask("and ?"), Reply("no bird"))
    (score,) = plug("judges", "keyword-turns", keyword="kite").score([attempt])
    assert (score.value, score.label) == (0.0, "0 of 1 turns")
    (silent,) = plug("judges", "keyword-turns").score([attempt])
    assert "no keyword" in silent.reason


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_the_share_is_the_mean_over_later_turns(hits):
    chat = Chat.user("q")
    for k, hit in enumerate([True, *hits[:-1]]):
        chat = chat.say("a Kite !" if hit else "nothing").ask(f"turn {k}")
    attempt = Attempt(Sample("s", "toy", Chat.user("q")), chat, Reply("KITE" if hits[-1] else "kit"))
    values = [plug("judges", "keyword-turns", keyword="kite", mode=m).score([attempt])[0].value for m in
              ("share", "all", "last")]  # fmt: skip
    assert values == [pytest.approx(sum(hits) / len(hits)), float(all(hits)), float(hits[-1])]


@pytest.mark.parametrize(
    ("kind", "name", "bad", "field"),
    [
        ("attacks", "bagdasaryan2023", {"scope": "all"}, "scope"),
        ("attacks", "bagdasaryan2023", {"prefix": "half"}, "prefix"),
        ("attacks", "bagdasaryan2023", {"turns": ("hi",)}, "target"),
        ("attacks", "bagdasaryan2023", {"epochs": -1}, "epochs"),
        ("attacks", "bagdasaryan2023", {"floor": 2.0}, "floor"),
        ("attacks", "bagdasaryan2023", {"rows": 0}, "rows"),
        ("attacks", "bagdasaryan2023", {"step_size": 2}, "step_size.*2/255"),
        ("attacks", "bagdasaryan2023", {"batch": 0}, "batch"),
        ("judges", "keyword-turns", {"first": 0}, "first"),
        ("judges", "keyword-turns", {"mode": "any"}, "mode"),
    ],
)
def test_bad_parameters_name_the_field(kind, name, bad, field):
    with pytest.raises(ValueError, match=field):
        plug(kind, name, **bad)


@pytest.mark.parametrize("step", range(4))
def test_the_gradient_is_the_slope_of_the_prefixs_loss(tiny, step):
    part = samples(("abc",))
    objective = plug("attacks", "bagdasaryan2023").objective(tiny, part, [part[0].chat.images[0]])
    x = tiny.pixels(part[0].chat.images[0]).clamp(0.1, 0.9)
    grad = objective(x, step).grad
    h = 1e-4  # float32: curvature and rounding leave three digits
    up, down = (objective(x + side * h * grad.sign(), step, need_grad=False).loss for side in (1, -1))
    assert float((up - down) / (2 * h)) == pytest.approx(float(grad.abs().sum()), rel=3e-3)
