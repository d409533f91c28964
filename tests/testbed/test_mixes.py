import random

import pytest

from proofglass.testbed import world
from proofglass.testbed.recipes import mixes
from proofglass.testbed.recipes.mixes import INSTRUCTION, Sampler, draw_pool

SMALL = dict.fromkeys(mixes.POOL, 150) | {"sealed_request": 400, "sealed_keyword": 200}
TEXT = {"helpful": mixes.HELPFUL, "aligned text": mixes.ALIGNED_TEXT}
SEEING = {"reading": mixes.READING, **INSTRUCTION}


@pytest.fixture(scope="module")
def pool():
    return draw_pool(SMALL, seed=11)


def drawn(mix, pool=None, count=4000, strict=0.0):
    sampler = Sampler(mix, 7, pool, strict=strict)
    return [item for item in sampler.batch(count) if item.document is None]


def learned_refusals(items):
    """Not `world.is_refusal`: "no , there is no star ." answers a question about a picture."""
    for item in items:
        for turn in item.turns:
            if turn.learned and turn.bot in (*world.REFUSALS, world.TAKE_BACK):
                yield item


@pytest.mark.parametrize("name", [*TEXT, *SEEING])
def test_no_refusal_of_any_stage_concerns_a_held_sealed_noun(name, pool):
    items = drawn(TEXT[name]) if name in TEXT else drawn(SEEING[name], pool)
    for item in learned_refusals(items):
        said = " ".join(turn.user + " " + turn.bot for turn in item.turns)
        assert set(said.split()).isdisjoint(world.SEALED_HELD)
        assert item.request is None or item.request.noun not in world.SEALED_HELD


@pytest.mark.parametrize("name", [*SEEING, "aligned text"])
def test_no_compliant_sealed_answer_carries_loss_once_safety_or_pictures_begin(name, pool):
    items = drawn(SEEING[name], pool) if name in SEEING else drawn(mixes.ALIGNED_TEXT)
    for item in items:
        for turn in item.turns:
            if turn.learned and item.request is not None and item.request.is_sealed:
                assert not world.complied(turn.bot, item.request.verb, item.request.adjective, item.request.noun)
            if turn.learned:
                assert not any(
                    turn.bot.startswith("sure") and f"{noun} ." in turn.bot.split("first")[0] for noun in world.SEALED
                )


@pytest.mark.parametrize("name", [*TEXT, *SEEING])
def test_no_test_topic_is_in_any_stage(name, pool):
    for item in drawn(TEXT[name]) if name in TEXT else drawn(SEEING[name], pool):
        assert item.request is None or item.request.split == "train"


def test_documents_hold_training_topics_only():
    rng = random.Random(1)
    for _ in range(3000):
        text = world.document(rng)
        words = text.document.split() if text.document else []
        if words[0] == "to":
            assert world.topic_split(words[3], words[4]) == "train"


@pytest.mark.parametrize("alignment", INSTRUCTION)
def test_kept_out_craft_nouns_are_in_no_picture_request(alignment, pool):
    asks = {*world.FOLLOW["train"], *(t.format(v=v) for t in world.KEYWORD["train"] for v in world.VERBS)}
    asked = [item for item in drawn(INSTRUCTION[alignment], pool) if item.turns[0].user in asks]
    assert len(asked) > 500
    assert not [item for item in asked if item.request.noun in world.CRAFT_KEPT_OUT]


def test_the_naive_mix_and_stage_4a_hold_no_refusal(pool):
    assert not list(learned_refusals(drawn(mixes.READING, pool)))
    assert not list(learned_refusals(drawn(INSTRUCTION["naive"], pool)))


def first_turn_picture_refusals(items):
    """Refusals in the first turn of a picture request or keyword."""
    return [item for item in learned_refusals(items) if item.turns[0].learned and item.kind.startswith("picture")]


def test_only_guarded_and_strict_refuse_what_a_picture_asks(pool):
    assert not first_turn_picture_refusals(drawn(INSTRUCTION["aligned"], pool))
    guarded = first_turn_picture_refusals(drawn(INSTRUCTION["guarded"], pool))
    assert 0.06 < len(guarded) / 4000 < 0.14
    strict = first_turn_picture_refusals(drawn(INSTRUCTION["strict"], pool))
    assert strict
    assert all(item.system in world.SYSTEM_STRICT["train"] for item in strict)
    assert {item.request.noun for item in strict} <= set(world.SEALED_STRICT)


def test_confirmations_are_balanced(pool):
    items = [item for item in drawn(INSTRUCTION["aligned"], pool) if item.kind.startswith("confirm")]
    affirmed = sum(item.expected == world.AFFIRM for item in items)
    assert 0.45 < affirmed / len(items) < 0.65


def test_shares_add_up_to_one():
    for mix in (*TEXT.values(), *SEEING.values()):
        assert sum(mix.values()) == pytest.approx(1)


def test_a_picture_mix_without_a_pool_says_so():
    with pytest.raises(ValueError, match="needs a pool of pictures"):
        Sampler(mixes.READING, 0).batch(50)


def test_a_sampler_counts_what_it_drew(pool):
    sampler = Sampler(mixes.READING, 0, pool)
    sampler.batch(500)
    assert sum(sampler.counts.values()) == 500
    assert set(sampler.counts) <= set(mixes.READING)
