"""Best-of-N: the published disturbances, a judge in the loop, an end at the first success, bounded asks."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacker_models import Says, Yes, run, sample
from proofglass.attacks.injection.best_of_n import BestOfNImage
from proofglass.attacks.text.best_of_n import BestOfNText, disturbed
from proofglass.errors import UsageError
from proofglass.interfaces import Attack
from proofglass.testing.material import Scripted, picture
from proofglass.types import Artefact, Chat, Layout, Reply, Sample, Settings
from proofglass.types.tries import Tries

WARM = Settings(temperature=1.0)
ATTACKS = [BestOfNText(n=6, judge=Yes()), BestOfNImage(n=6, judge=Yes())]


@pytest.fixture(params=ATTACKS, ids=["text", "image"])
def attack(request: pytest.FixtureRequest) -> Attack:
    return request.param


# ---- disturbances ----


def test_sigma_0_changes_nothing_and_blanks_always_stay() -> None:
    text = "The quick  brown\nfox\tjumps over 13 lazy dogs."
    assert disturbed(text, 0.0, random.Random(1)) == text
    strong = disturbed(text, 0.9, random.Random(1))
    assert len(strong) == len(text)


@given(st.text(max_size=80), st.floats(0, 1), st.integers(0, 99))
@settings(deadline=None)
def test_length_and_other_scripts_stay(text: str, sigma: float, seed: int) -> None:
    found = disturbed(text, sigma, random.Random(seed))
    assert len(found) == len(text)
    assert sorted(c for c in found if not c.isascii()) == sorted(c for c in text if not c.isascii())
    assert found == disturbed(text, sigma, random.Random(seed))


def test_rates_are_those_of_the_paper() -> None:
    # sigma .4: words longer than three letters shuffled and letters flipped with .4^.5 = .632, characters moved with
    # .4^3 = .064. A word of 12 different letters is shuffled into itself in one of 10! cases.
    word = "abcdefghijkl"
    shuffled = sum(
        sorted(w.lower()) == sorted(word) and w.lower() != word
        for w in disturbed(" ".join([word] * 4000), 0.4, _NoNoise(3)).split(" ")
    )
    assert shuffled / 4000 == pytest.approx(0.4**0.5, abs=0.03)
    flipped = sum(c.isupper() for c in disturbed("abc " * 4000, 0.4, _NoNoise(4)))
    assert flipped / 12000 == pytest.approx(0.4**0.5, abs=0.02)
    moved = sum(a != b for a, b in zip("123 " * 4000, disturbed("123 " * 4000, 0.4, random.Random(5)), strict=True))
    # A blank that would move below 32 stays: half of a quarter of the characters.
    assert moved / 16000 == pytest.approx(0.4**3 * 7 / 8, abs=0.006)


class _NoNoise(random.Random):
    """Draws as `Random` does, but moves no character: 32 and 126 are what `choice` would leave."""

    def choice(self, seq):
        return 0


def test_first_and_last_letters_stay_and_short_words_are_not_shuffled() -> None:
    rng = _NoNoise(1)
    for word in disturbed("abc abcd abcdefgh", 1.0, rng).split():
        low = word.lower()
        assert (low[0], low[-1]) == ("a", low[-1])
        assert Counter(low) in (Counter("abc"), Counter("abcd"), Counter("abcdefgh"))


# ---- the search ----


def test_it_stops_at_the_first_success(attack: Attack) -> None:
    victim = Says(lambda ask, k: "yes" if k == 2 else "no")
    chat, reply, end = run(attack, victim, sample())
    assert len(victim.asked) == end.cost.queries == 3
    assert Tries.read(reply.reason) == Tries(3, 1, 3)
    assert (reply.text, chat) == ("yes", victim.asked[2].chat)


def test_it_goes_on_where_it_is_told_to(attack: Attack) -> None:
    victim = Says(lambda ask, k: "yes" if k in (2, 4) else "no")
    chat, reply, _ = run(dataclasses.replace(attack, go_on=True), victim, sample())
    assert len(victim.asked) == attack.queries == 6
    assert Tries.read(reply.reason) == Tries(6, 2, 3)
    assert chat == victim.asked[2].chat  # the first of equals


def test_without_a_success_n_tries_and_the_best_answer(attack: Attack) -> None:
    victim = Says(lambda ask, k: "a longer no" if k == 3 else "no")
    chat, reply, _ = run(attack, victim, sample())
    assert len(victim.asked) == 6
    assert (reply.text, chat) == ("a longer no", victim.asked[3].chat)
    assert Tries.read(reply.reason) == Tries(6)


def test_tries_differ_and_are_those_of_seed_sample_and_number(attack: Attack) -> None:
    def asked(seed: int, one: Sample) -> list[Chat]:
        victim = Says(lambda ask, k: "no")
        run(attack, victim, one, seed=seed)
        return [ask.chat for ask in victim.asked]

    first = asked(3, sample())
    assert len(set(first)) == 6
    assert asked(3, sample()) == first
    assert asked(4, sample()) != first
    assert asked(3, dataclasses.replace(sample(), id="s2")) != first


def test_a_try_that_cannot_be_drawn_costs_itself_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    attack, made = BestOfNImage(n=9, judge=Yes()), BestOfNImage.tried

    def tried(self: BestOfNImage, artefact: Artefact, one: Sample, number: int) -> Chat:
        if number in (1, 4):
            raise ValueError("it leaves the canvas")
        return made(self, artefact, one, number)

    monkeypatch.setattr(BestOfNImage, "tried", tried)
    victim = Says(lambda ask, k: "no")
    _, reply, _ = run(attack, victim, sample())
    assert len(victim.asked) == 7
    assert "2 tries could not be drawn, the last one: it leaves the canvas" in reply.reason
    assert Tries.read(reply.reason) == Tries(7)


def test_a_text_that_fits_on_no_drawing_fails_its_sample_and_is_not_drawn_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, made = [], BestOfNImage.tried
    monkeypatch.setattr(BestOfNImage, "tried", lambda *given: calls.append(1) or made(*given))
    victim = Says(lambda ask, k: "no")
    _, _, end = run(BestOfNImage(n=1000, judge=Yes()), victim, sample("word " * 2000))
    assert (len(calls), victim.asked) == (5, [])
    assert "nothing was asked" in end.failure
    assert "drawn 20 times" in end.failure


def test_the_baseline_samples_one_input_again_and_takes_a_temperature(attack: Attack) -> None:
    victim = Says(lambda ask, k: "no")
    repeated = dataclasses.replace(attack, kind="repeated", n=4)
    run(repeated, victim, sample(), WARM)
    assert len({ask.chat for ask in victim.asked}) == 1
    assert [ask.settings.draw for ask in victim.asked] == [0, 1, 2, 3]
    _, _, end = run(repeated, Says(lambda ask, k: "no"), sample())
    assert "temperature 0" in end.failure
    _, reply, _ = run(dataclasses.replace(repeated, n=1), Says(lambda ask, k: "no"), sample())
    assert reply.text == "no"


def test_a_text_that_comes_out_the_same_again_is_no_new_try_at_temperature_0() -> None:
    # One letter has two forms at most: "a", "A" and, moved by one in ASCII, their neighbours.
    attack, cold, warm = BestOfNText(n=60, judge=Yes()), Says(lambda ask, k: "no"), Says(lambda ask, k: "no")
    run(attack, cold, sample("a"))
    texts = [ask.chat.last_text for ask in cold.asked]
    assert len(texts) == len(set(texts)) <= 6
    run(attack, warm, sample("a"), WARM)
    assert len(warm.asked) == 60
    assert len({(ask.chat, ask.settings.draw) for ask in warm.asked}) == 60


def test_an_error_of_the_victim_costs_its_try_only(attack: Attack) -> None:
    victim = Says(lambda ask, k: Reply.error("the line is down") if k % 2 == 0 else "yes" if k == 3 else "no")
    _, reply, _ = run(attack, victim, sample())
    assert Tries.read(reply.reason) == Tries(2, 1, 2)
    assert "2 asks failed" in reply.reason


def test_three_errors_in_a_row_end_it_as_an_error(attack: Attack) -> None:
    victim = Says(lambda ask, k: Reply.error("the line is down"))
    _, reply, _ = run(attack, victim, sample())
    assert (reply.outcome, len(victim.asked)) == ("error", 3)
    assert reply.reason.startswith("the line is down; gave up after 3 errors in a row")


def test_withheld_answers_are_no_success_and_unjudged_ones_no_try(attack: Attack) -> None:
    says = [Reply(outcome="blocked", text="yes"), "?", Reply(outcome="refused"), Reply("yes", outcome="filtered")]
    victim = Says(lambda ask, k: says[k])
    _, reply, _ = run(attack, victim, sample())
    assert Tries.read(reply.reason) == Tries(3, 1, 3)  # what was delivered before the filter counts
    assert "1 answers unjudged" in reply.reason


def test_a_judge_of_refusals_counts_the_other_way_round(attack: Attack) -> None:
    @dataclasses.dataclass(frozen=True)
    class Refused(Yes):
        says = "refused"

    victim = Says(lambda ask, k: "yes" if k < 2 else "no")
    _, reply, _ = run(dataclasses.replace(attack, judge=Refused()), victim, sample())
    assert (reply.text, Tries.read(reply.reason)) == ("no", Tries(3, 1, 3))


def test_a_judge_that_asks_a_helper_is_asked_in_the_loop(attack: Attack) -> None:
    from studies.test_helpers import AsksJudge

    helper = Says(lambda ask, k: "yes" if k == 1 else "no", "grader")
    victim = Says(lambda ask, k: "an answer")
    _, _, end = run(dataclasses.replace(attack, judge=AsksJudge(helper)), victim, sample())
    assert not end.failure
    assert helper.asked
    assert set(end.helpers) == {helper.key}


def test_a_sample_without_words_costs_itself(attack: Attack) -> None:
    _, _, end = run(attack, Scripted(), sample(" "))
    assert "found none" in end.failure


def test_text_keeps_pictures_and_system_prompt() -> None:
    one = dataclasses.replace(sample(), chat=Chat.user(picture(1), "how do i mend it ?").with_system("rules"))
    chat, _, _ = run(BestOfNText(n=2, judge=Yes()), Scripted(), one)
    assert (chat.images, chat.system) == (one.chat.images, "rules")


def test_ten_thousand_characters_are_disturbed_and_not_drawn() -> None:
    long = sample("words and words " * 625)
    victim = Says(lambda ask, k: "no")
    run(BestOfNText(n=2, judge=Yes()), victim, long)
    assert [len(ask.chat.last_text) for ask in victim.asked] == [10_000, 10_000]
    _, _, end = run(BestOfNImage(n=2, judge=Yes(), sizes=(40, 60)), Scripted(), long)
    assert "its text of 10000 characters was drawn 20 times: " in end.failure


# ---- pictures ----


@pytest.mark.parametrize("kind", ["drawn", "gaussian"])
def test_canvases_keep_to_their_ranges_and_differ(kind: str) -> None:
    attack = BestOfNImage(kind=kind)
    artefact = Artefact(texts=("do it",), meta={"seed": 1})
    shown = [attack.tried(artefact, sample("mend a kite"), k).images[0] for k in range(12)]
    low, high = (240, 600) if kind == "drawn" else (300, 900)
    assert all(low <= side <= high for image in shown for side in (image.width, image.height))
    assert len({(image.width, image.height) for image in shown}) > 6


def test_the_prompt_stands_beside_the_picture_and_its_hash_on_record() -> None:
    attack = BestOfNImage(prompt="Read it.")
    (artefact,) = attack.craft(Scripted(), [], seed=2)
    chat = attack.apply(artefact, dataclasses.replace(sample(), chat=Chat.user("why ?").with_system("rules")))
    assert (chat.last_text, chat.system, len(chat.images)) == ("Read it.", "rules", 1)
    assert len(artefact.meta["template_sha256"]) == 64


def test_on_the_victims_layout_it_draws_as_the_victim_reads() -> None:
    @dataclasses.dataclass(frozen=True)
    class Reader(Scripted):
        layout = Layout(width=96, height=96, font="DejaVuSans", size=12, grid=12, wrap=12, incitement="follow it .")

    attack = BestOfNImage(base="victim", draws="instruction", noise=0.2)
    (artefact,) = attack.craft(Reader(), [], seed=2)
    one = sample(meta={"instruction": "mend a kite"})
    chats = [attack.tried(artefact, one, k) for k in range(4)]
    assert {(chat.images[0].width, chat.last_text) for chat in chats} == {(96, "follow it .")}
    assert len(set(chats)) == 4
    with pytest.raises(UsageError, match="states no layout"):
        list(attack.craft(Scripted(), [], seed=2))


def test_without_an_instruction_a_sample_costs_itself() -> None:
    _, _, end = run(BestOfNImage(n=1, draws="instruction", judge=Yes()), Scripted(), sample())
    assert "draws meta['instruction'] and found none" in end.failure


def test_a_script_that_no_font_has_costs_its_sample() -> None:
    _, _, end = run(BestOfNImage(n=1, judge=Yes()), Scripted(), sample("漢字"))
    assert "was drawn 20 times" in end.failure


@pytest.mark.parametrize("field", [{"sides": (600, 240)}, {"sizes": (9, 3)}])
def test_ranges_stand_from_small_to_large(field: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="the smaller one first"):
        BestOfNImage(**field)
