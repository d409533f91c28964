"""JailGuard: mutants, how far their answers lie apart, and what becomes of the ask."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from defenses.opened_parts import PAIRS, some_pixels
from defenses.scripted_models import Holds
from defenses.test_smooth_vlm import Lines
from proofglass.defenses import mutators
from proofglass.defenses.divergence import divergences, similarities
from proofglass.defenses.inference.jailguard import JailGuard
from proofglass.engine.seeds import drawing
from proofglass.interfaces import Encoder, Layer, Stack
from proofglass.types import Ask, Chat, Image, Reply, Settings
from proofglass.victims.own import OwnModule
from toy_module import Toy

PICTURE = Image.from_array(np.random.default_rng(0).integers(1, 256, (20, 30, 3), np.uint8))
ASK = Ask(Chat.user(PICTURE, "what is this ?").with_system("be brief"), Settings(9))
NO, YES = "I'm sorry, no", "it is a kite"


def said(defense: JailGuard, *lines: Reply | str, ask: Ask = ASK) -> tuple[Reply, list[Ask]]:
    victim = Lines(lines)
    (reply,) = defense(victim).reply([ask])
    return reply, victim.asked


# ------------------------------------------------------------------------------------------------- the divergence


@pytest.mark.parametrize(
    ("similarity", "largest", "fires"),
    [
        ([[1, 0.9, 0.2], [0.9, 1, 0.3], [0.2, 0.3, 1]], 0.9751167, True),  # G-JG1
        ([[1, 1], [1, 1]], 0.0, False),  # G-JG2
        (
            [[1, 0.95, 0.93, 0.94], [0.95, 1, 0.92, 0.96], [0.93, 0.92, 1, 0.91], [0.94, 0.96, 0.91, 1]],
            0.0024088,
            False,
        ),  # G-JG3
    ],
)
def test_golden_divergences(similarity: list[list[float]], largest: float, fires: bool) -> None:
    found = divergences(np.array(similarity, float))
    assert found.max() == pytest.approx(largest, abs=1e-6)
    assert bool(found.max() > 0.025) is fires
    if largest > 0.9:  # not symmetric
        assert (found[2, 0], found[0, 2]) == (pytest.approx(0.9751167, abs=1e-6), pytest.approx(0.7474806, abs=1e-6))


@dataclass(frozen=True)
class Gram(Encoder):
    """Features of "answer k" whose cosines are the given matrix."""

    cosines: tuple[tuple[float, ...], ...]
    name = "gram"

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        raise AssertionError("answers are texts: nobody has a picture to show this encoder")

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        rows = torch.linalg.cholesky(torch.tensor(self.cosines, dtype=torch.float64))
        return rows[[int(text.split()[1]) for text in texts]]


def test_g_jg1_and_g_jg3_through_the_defense_itself() -> None:
    apart = Gram(((1, 0.9, 0.2), (0.9, 1, 0.3), (0.2, 0.3, 1)))
    reply, _ = said(JailGuard(copies=3, similarity=apart), "answer 0", "answer 1", "answer 2")
    assert reply.outcome == "blocked"
    assert reply.decisions[0].margin == pytest.approx(0.9751167 - 0.025, abs=1e-6)
    alike = Gram(((1, 0.95, 0.93, 0.94), (0.95, 1, 0.92, 0.96), (0.93, 0.92, 1, 0.91), (0.94, 0.96, 0.91, 1)))
    lines = [f"answer {k}" for k in range(4)]
    reply, _ = said(JailGuard(copies=4, similarity=alike), *lines, "the answer")
    assert reply.text == "the answer"
    assert reply.decisions[0].margin == pytest.approx(0.0024088 - 0.025, abs=1e-6)


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_divergence_is_never_negative_and_none_from_itself(n: int, seed: int) -> None:
    found = divergences(np.random.default_rng(seed).uniform(-1, 1, (n, n)))
    assert (found >= -1e-12).all()
    assert np.allclose(np.diag(found), 0)
    assert found.max() <= 100


def test_similarities_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        divergences(np.array([[1, np.nan], [np.nan, 1]]))


def test_texts_are_compared_by_their_words() -> None:
    # 2 of 3 words are shared: 2 / 3. Case and punctuation do not count; two empty texts are alike.
    found = similarities(["a red kite", "A red, drum!", "", "...", "один кот"])
    assert found[0, 1] == pytest.approx(2 / 3)
    assert (found[2, 3], found[0, 2], found[0, 4], found[4, 4]) == (1.0, 0.0, 0.0, pytest.approx(1.0))


@dataclass(frozen=True)
class Letters(Encoder):
    """Texts by their first letter: those of one are alike, others are orthogonal."""

    name = "letters"

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        raise AssertionError("answers are texts: nobody has a picture to show this encoder")

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        assert all(text.strip() for text in texts)
        return torch.nn.functional.one_hot(torch.tensor([ord(t[0]) % 64 for t in texts]), 64) * 3.0


def test_an_encoder_may_compare_them() -> None:
    found = similarities(["kite", "king", "", "drum"], Letters())
    assert found.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    reply, _ = said(JailGuard(copies=2, similarity=Letters()), "kite", "king", "the answer")
    assert reply.text == "the answer"
    reply, _ = said(JailGuard(copies=2, similarity=Letters()), "kite", "drum", "the answer")
    assert reply.outcome == "blocked"


# --------------------------------------------------------------------------------------------- what becomes of it


def test_answers_that_agree_let_the_ask_pass_as_it_came() -> None:
    reply, asked = said(JailGuard(), *[YES] * 8, "the answer")
    assert (reply.text, reply.outcome, reply.cost.queries) == ("the answer", "ok", 9)
    assert asked[-1] == ASK
    assert all(ask.settings == ASK.settings for ask in asked)
    (decision,) = reply.decisions
    assert (decision.fired, decision.margin, decision.threshold) == (False, pytest.approx(-0.025), 0.025)


def test_answers_that_lie_apart_are_an_attack_and_the_ask_is_never_sent() -> None:
    reply, asked = said(JailGuard(refusal="no way"), *[YES] * 7, "something else entirely", "the answer")
    assert (reply.text, reply.outcome, len(asked), reply.cost.queries) == ("no way", "blocked", 8, 8)
    (decision,) = reply.decisions
    assert decision.fired
    assert decision.margin is not None
    assert decision.margin > 0


def test_eight_refusals_are_an_attack_though_they_agree_and_seven_are_none() -> None:
    reply, _ = said(JailGuard(threshold=100), *[NO] * 8, "the answer")
    assert (reply.outcome, reply.reason) == ("blocked", "every answer to its mutants refuses")
    assert reply.decisions[0].margin is None
    reply, _ = said(JailGuard(threshold=100), *[NO] * 7, YES, "the answer")
    assert reply.text == "the answer"


def test_only_the_first_hundred_characters_of_answers_about_pictures_count() -> None:
    long = "a kite " * 14 + "ab"
    lines = [f"{long} and {word * 40}" for word in ("x ", "y ", "z ")]
    assert said(JailGuard(copies=3), *lines, "the answer")[0].text == "the answer"
    text = Ask(Chat.user("what is a kite ?"))
    assert said(JailGuard(copies=3), *lines, "the answer", ask=text)[0].outcome == "blocked"


def test_the_threshold_is_that_of_the_kind_of_ask() -> None:
    for ask, limit in ((ASK, 0.025), (Ask(Chat.user("what ?")), 0.02)):
        assert said(JailGuard(copies=2), YES, ask=ask)[0].decisions[0].threshold == limit
        assert said(JailGuard(copies=2, threshold=0.5), YES, ask=ask)[0].decisions[0].threshold == 0.5


def test_withheld_answers_refuse_and_empty_ones_do_not() -> None:
    held = Reply(outcome="filtered", reason="their filter")
    assert said(JailGuard(copies=2), held, held, "the answer")[0].outcome == "blocked"
    assert said(JailGuard(copies=2), "", "", "the answer")[0].text == "the answer"


def test_a_mutant_that_fails_is_an_error_and_the_ask_is_never_sent() -> None:
    reply, asked = said(JailGuard(copies=3), YES, Reply.error("the line is down"), YES)
    assert (reply.outcome, reply.reason, len(asked)) == ("error", "the line is down", 3)


def test_in_a_stack_every_call_is_counted() -> None:
    victim = Lines((YES,))
    (reply,) = Stack((JailGuard(copies=2), JailGuard(copies=3)))(victim).reply([ASK])
    assert (reply.cost.queries, len(victim.asked)) == (12, 12)  # (2 + 1) x (3 + 1)


# ------------------------------------------------------------------------------------------------------- mutants


def test_pictures_are_mutated_and_texts_are_not() -> None:
    _, asked = said(JailGuard(copies=40), YES)
    pictures = {ask.chat.images[0].sha256 for ask in asked[:-1]}
    assert 25 < len(pictures) <= 40  # some kernels are one pixel wide, half of the posterised ones stay as they are
    assert all(ask.chat.with_image(PICTURE) == ASK.chat for ask in asked)
    assert [ask.chat for ask in said(JailGuard(copies=40), YES)[1]] == [ask.chat for ask in asked]


def test_both_are_mutated_where_both_should() -> None:
    ask = Ask(Chat.user("look at it", PICTURE, "what is this , and is it mine ?").with_system("be brief"))
    _, asked = said(JailGuard(copies=12, mutates="both"), YES, ask=ask)
    assert len({each.chat.last_text for each in asked[:-1]}) > 2
    assert len({each.chat.images[0].sha256 for each in asked[:-1]}) > 6
    for each in asked:
        assert each.chat.system == "be brief"
        assert [type(part) for part in each.chat.messages[-1].parts] == [str, Image, str]
    _, asked = said(JailGuard(copies=4, mutates="text"), YES, ask=ask)
    assert {each.chat.images for each in asked} == {(PICTURE,)}


def test_a_translator_is_asked_there_and_back_and_counted_apart() -> None:
    translator = Lines(("Und was ist das?", "And what is that?"))
    ask = Ask(Chat.user("what is this ?"))
    reply, asked = said(JailGuard(copies=20, translator=translator), YES, ask=ask)
    texts = [each.chat.last_text for each in asked[:-1]]
    count = texts.count("And what is that?")
    assert 1 <= count <= 12  # 4.8 expected of 20
    assert len(translator.asked) == reply.helpers[translator.key].queries == 2 * count
    assert "into English" in translator.asked[1].chat.last_text
    assert translator.asked[1].chat.last_text.endswith("Und was ist das?")


def test_a_translation_has_room_of_its_own_and_no_stops_of_the_ask() -> None:
    translator = Lines(("Und was ist das?", "And what is that?"))
    ask = Ask(Chat.user("what is this ?"), Settings(3, temperature=1.0, stop=("t",), draw=4))
    said(JailGuard(copies=20, translator=translator), YES, ask=ask)
    assert {each.settings for each in translator.asked} == {Settings(512, draw=4)}


def test_a_judge_of_harm_is_refused_since_every_harmless_answer_would_refuse() -> None:
    for judge in (Holds(), Holds(says="good")):
        with pytest.raises(ValueError, match="judge: expected one that tells whether an answer refuses"):
            JailGuard(judge=judge)


@pytest.mark.parametrize("text", ["", " \n"])
def test_there_is_nothing_to_translate_in_a_text_without_words(text: str) -> None:
    translator = Lines(("never",))
    reply, _ = said(JailGuard(copies=20, translator=translator), YES, ask=Ask(Chat.user(text)))
    assert (reply.text, translator.asked) == (YES, [])


@pytest.mark.parametrize("half", [Reply("And wh", finish="length"), Reply("And wh", "filtered", reason="x"), " "])
def test_half_a_translation_is_an_error_of_the_sample(half: Reply | str) -> None:
    ask = Ask(Chat.user("what is this ?"))
    reply, asked = said(JailGuard(copies=20, translator=Lines((half,))), YES, ask=ask)
    assert (reply.outcome, asked) == ("error", [])
    assert "helper lines: " in reply.reason


def test_a_translator_that_fails_is_an_error_of_the_sample() -> None:
    broken = Lines((Reply.error("out of reach"),))
    reply, asked = said(JailGuard(copies=20, translator=broken), YES, ask=Ask(Chat.user("what is this ?")))
    assert (reply.outcome, asked) == ("error", [])
    assert "helper lines: error: out of reach" in reply.reason


@pytest.mark.parametrize("text", ["", " ", "?", "…", "a" * 5000, "один кот 😀\n\nдва", "\ud800"])
def test_odd_texts_are_mutated_too(text: str) -> None:
    reply, asked = said(JailGuard(copies=4), YES, ask=Ask(Chat.user(text)))
    assert reply.text == YES
    assert asked[-1].chat.last_text == text


@given(st.text(max_size=300), st.integers(0, 1000))
def test_a_mutated_text_is_the_text_with_insertions(text: str, seed: int) -> None:
    masked = mutators.with_masks(text, random.Random(seed))
    assert masked.replace("[Mask]", "") == text.replace("[Mask]", "")
    words = mutators.with_marks(text, random.Random(seed)).split(" ")
    kept = iter(words)
    assert all(word in kept for word in text.split(" "))  # a subsequence
    count = len(words) - len(text.split(" "))
    assert 1 <= count <= max(1, len(text.split(" ")) // 3)


def test_important_sentences_are_masked_five_times_as_often() -> None:
    plain, important = "it is so . " * 40, "kites kites kites kites kites . " * 3
    counts = [0, 0]
    for seed in range(300):
        masked = mutators.with_masks(plain + important, random.Random(seed))
        head, _, tail = masked.partition("kites")
        counts[0] += head.count("[Mask]")
        counts[1] += tail.count("[Mask]")
    shares = counts[0] / (300 * len(plain)), counts[1] / (300 * len(important))
    assert shares[0] == pytest.approx(0.005, rel=0.2)
    assert shares[1] == pytest.approx(0.025 / (1 + 5 * 0.025), rel=0.2)  # the five letters behind one get none


def test_a_quarter_turn_is_exact_and_any_turn_keeps_a_disc() -> None:
    x = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(mutators.turned(x, 90), torch.rot90(x, 1, (2, 3)))
    torch.testing.assert_close(mutators.turned(x, 180), torch.rot90(x, 2, (2, 3)))
    y, z = torch.meshgrid(torch.arange(41) - 20.0, torch.arange(61) - 30.0, indexing="ij")
    disc = torch.exp(-(y**2 + z**2) / 50).expand(1, 3, -1, -1).double()
    torch.testing.assert_close(mutators.turned(disc, 33), disc, atol=0.01, rtol=0)


@pytest.mark.parametrize("bits", [1, 2])
def test_posterised_pictures_are_pillows(bits: int) -> None:
    expected = np.asarray(ImageOps.posterize(Pillow.fromarray(PICTURE.array()), bits)).astype(int)
    x = torch.from_numpy(PICTURE.array().transpose(2, 0, 1)[None].astype(np.float32) / 255)
    found = (255 * mutators.posterised(x, bits)[0]).round().int().permute(1, 2, 0).numpy()
    assert np.array_equal(found, expected)


def test_mutators_of_pictures_come_in_their_shares() -> None:
    x = torch.full((1, 3, 16, 16), 200 / 255)
    turned, posterised, n = 0, 0, 1000
    for seed in range(n):
        found = mutators.mutated(x, torch.Generator().manual_seed(seed))
        turned += bool(found[..., 0, 0].max() < 0.5)  # a turn leaves black corners, of this picture nothing else does
        posterised += bool((found - 128 / 255).abs().max() < 1e-4) or bool((found - 192 / 255).abs().max() < 1e-4)
    assert 0.25 * n < turned < 0.36 * n  # small turns leave the corner grey
    assert posterised == pytest.approx(0.105 * n, abs=40)


# ------------------------------------------------------------------------------------------- who looks through


def test_gradients_equal_central_differences() -> None:
    toy = OwnModule(Toy().double())
    view = JailGuard(draws=6).opened(toy)
    x, way = some_pixels().double(), torch.randn(2, 3, 12, 8, generator=torch.Generator().manual_seed(1)).double()
    prepared = view.prepare(PAIRS)
    with drawing([1, 2], 3):
        grad = view.loss_and_grad(x, prepared).pixels
        ahead, behind = (view.loss_and_grad(x + h * way, prepared, need_grad=False).loss for h in (1e-6, -1e-6))
    torch.testing.assert_close((grad * way).flatten(1).sum(1), (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)
    assert JailGuard(mutates="text").opened(toy).draws == 0
