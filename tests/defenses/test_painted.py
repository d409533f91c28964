"""Defenses around helpers that make pictures: MirrorCheck, CIDER, BlueSuffix, purification through an endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from defenses.test_smooth_vlm import Lines
from picture_helpers import Means, Mirror, Rewriter, Stand, Words
from proofglass.defenses.inference.bluesuffix import BlueSuffix
from proofglass.defenses.inference.cider import CIDER, least_change, threshold_of
from proofglass.defenses.inference.jailguard import JailGuard
from proofglass.defenses.inference.mirrorcheck import MirrorCheck
from proofglass.defenses.inference.purify_endpoint import PurifyEndpoint
from proofglass.defenses.inference.smooth_vlm import SmoothVLM
from proofglass.errors import UsageError
from proofglass.interfaces import Defense, Stack
from proofglass.types import Ask, Chat, Image, Reply, Settings


def plain(*colour: int) -> Image:
    return Image.from_array(np.full((6, 4, 3), colour, np.uint8))


RED, GREY = plain(200, 40, 40), plain(120, 120, 120)
ASK = Ask(Chat.user(RED, "1 0.2 0.2").with_system("be brief"), Settings(9, draw=2))


def said(defense: Defense, *lines: Reply | str, ask: Ask = ASK) -> tuple[Reply, list[Ask]]:
    victim = Lines(lines or ("the answer",))
    (reply,) = defense(victim).reply([ask])
    return reply, victim.asked


# -------------------------------------------------------------------------------------------------------- MirrorCheck


def test_a_caption_that_says_all_passes() -> None:
    defense = MirrorCheck((Mirror(RED),), (Means(), Means()))
    reply, asked = said(defense, "a red thing", "the answer")
    assert (reply.text, reply.cost.queries, asked[-1]) == ("the answer", 2, ASK)
    assert reply.decisions[0].margin == pytest.approx(0.55 - 1, abs=1e-6)
    assert asked[0].chat == Chat.user(RED, defense.describe)


def test_a_caption_that_paints_another_picture_is_refused_and_the_ask_never_sent() -> None:
    # cos((200, 40, 40), (120, 120, 120)) = 280 / (sqrt(43200) sqrt(3)) = 0.777788...
    cosine = 280 / (43200 * 3) ** 0.5
    defense = MirrorCheck((Mirror(GREY),), (Means(),), threshold=0.8)
    reply, asked = said(defense, "a grey thing", "the answer")
    assert (reply.outcome, reply.text, len(asked), reply.cost.queries) == ("blocked", defense.refusal, 1, 1)
    assert reply.decisions[0].margin == pytest.approx(0.8 - cosine, abs=1e-5)
    assert reply.helpers[defense.painters[0].key].queries == 1
    assert said(replace(defense, threshold=0.77), "a grey thing", "the answer")[0].text == "the answer"


def test_the_least_alike_picture_decides() -> None:
    defense = MirrorCheck((Mirror(GREY),), (Means(),), threshold=0.8)
    two = Ask(Chat.user(GREY, RED, "which ?"))
    reply, asked = said(defense, "grey", "red", "the answer", ask=two)
    assert (reply.outcome, len(asked)) == ("blocked", 2)


def test_the_random_variant_draws_alike_for_the_same_ask() -> None:
    defense = MirrorCheck((Mirror(RED), Mirror(GREY)), (Means(), Means()), 0.8, stochastic=True)
    outcomes = []
    for draw in range(16):
        ask = Ask(ASK.chat, Settings(9, draw=draw))
        first, again = (said(defense, "a thing", "the answer", ask=ask)[0] for _ in range(2))
        assert first == again
        outcomes.append(first.outcome)
    assert {"ok", "blocked"} == set(outcomes)
    noisy = said(replace(defense, painters=(Mirror(RED),), noise=0.5), "a thing", "the answer")[0]
    assert noisy.decisions[0].margin != pytest.approx(0.8 - 1, abs=1e-3)


@pytest.mark.parametrize("caption", [Reply.error("the line is down"), "", Reply(outcome="filtered", reason="theirs")])
def test_a_caption_that_is_not_said_is_an_error(caption: Reply | str) -> None:
    reply, asked = said(MirrorCheck((Mirror(RED),), (Means(),)), caption, "the answer")
    assert (reply.outcome, len(asked)) == ("error", 1)
    assert "helper the victim" in reply.reason


# --------------------------------------------------------------------------------------------------------------- CIDER

FALLING = [0.2100, 0.2095, 0.2088, 0.2079, 0.2071, 0.2066, 0.2063, 0.2061]


def test_g_ci1_a_fall_of_0_0039_passes_at_the_authors_threshold_and_not_at_another() -> None:
    assert least_change(FALLING) == pytest.approx(-0.0039)
    defense = CIDER(Stand(), Means())
    assert defense.threshold == -0.00393677
    assert not defense.decided(least_change(FALLING)).fired
    other = replace(defense, threshold=-0.00286865).decided(least_change(FALLING))
    assert other.fired
    assert other.margin == pytest.approx(-0.00286865 + 0.0039)


def test_g_ci2_thresholds_are_percentiles_of_clean_changes() -> None:
    rows = [(0.20, 0.199, 0.198), (0.22, 0.2205, 0.2198), (0.19, 0.1885, 0.187), (0.25, 0.2495, 0.2492)]
    assert threshold_of(rows) == pytest.approx(-0.00265)
    assert threshold_of(rows, 0.9) == pytest.approx(-0.0023)


def test_seven_stretches_of_denoising_are_looked_at_and_the_ask_is_sent_as_it_came() -> None:
    denoiser = Stand()
    reply, asked = said(CIDER(denoiser, Means()))
    assert [ask.chat.last_text for ask in denoiser.asked] == ["50", "100", "150", "200", "250", "300", "350"]
    assert all(ask.chat.images == (RED,) for ask in denoiser.asked)
    assert (reply.text, asked, reply.helpers[denoiser.key].queries) == ("the answer", [ASK], 7)
    assert reply.decisions[0].margin == pytest.approx(-0.00393677, abs=1e-7)


def test_a_picture_that_loses_its_likeness_is_refused_without_a_call() -> None:
    # Red, darkened by up to 3.5 x 40 levels: the mean colour keeps its red alone and turns towards the first axis.
    # Of a question about grey that is away from it, of one about red towards it.
    denoiser = Stand(by=40)
    for text, outcome in (("1 1 1", "blocked"), ("1 0 0", "ok")):
        ask = Ask(Chat.user(RED, text))
        reply, asked = said(CIDER(denoiser, Means()), ask=ask)
        assert (reply.outcome, len(asked)) == (outcome, int(outcome == "ok"))
    assert reply.decisions[0].threshold == -0.00393677


def test_it_fits_its_threshold_to_clean_asks_and_says_why_it_can_not() -> None:
    defense = CIDER(Stand(by=10), Means())
    asks = [Ask(Chat.user(plain(200, 40 + k, 40), "1 1 1")) for k in range(4)]
    fitted = defense.at_rate(asks, rate=0.9)
    assert fitted.threshold < 0
    assert fitted == replace(defense, threshold=fitted.threshold)
    outcomes = [said(fitted, ask=ask)[0].outcome for ask in asks]
    assert 1 <= outcomes.count("blocked") <= 4
    with pytest.raises(UsageError, match="no ask holds a picture"):
        defense.at_rate([Ask(Chat.user("what ?"))])
    with pytest.raises(UsageError, match="out of paint"):
        CIDER(Stand(fails_from=3), Means()).at_rate(asks)
    with pytest.raises(ValueError, match="rate"):
        defense.at_rate(asks, rate=2)


# --------------------------------------------------------------------------------------------------------- BlueSuffix


def test_picture_text_and_suffix_reach_the_victim() -> None:
    suffix = Words()
    defense = BlueSuffix(Stand(by=20), Rewriter(), suffix)
    reply, (asked,) = said(defense)
    assert asked.chat.images == (plain(180, 20, 20),)
    assert asked.chat.last_text == "1 0.2 0.2 " + " ".join(f"w{k}" for k in range(10))
    assert (asked.chat.system, asked.settings) == ("be brief", ASK.settings)
    (sampled,) = (ask.settings for ask in suffix.asked)
    assert (sampled.max_new_tokens, sampled.temperature, sampled.top_p, sampled.draw) == (10, 0.7, 0.92, 2)
    assert suffix.asked[0].chat == Chat.user("1 0.2 0.2")
    assert (reply.cost.queries, sum(cost.queries for cost in reply.helpers.values())) == (1, 3)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"suffix_model": Words(most=9)}, "expected a suffix of 10 tokens, it stopped after 9"),
        ({"suffix_model": Lines((Reply.error("gone"),))}, "helper lines: error: gone"),
        ({"text_purifier": Rewriter(fence="**")}, "expected a text between two @@, found 0 of them"),
        ({"text_purifier": Lines(("@@ @@",))}, "expected a text between two @@, found nothing"),
        ({"text_purifier": Lines((Reply(outcome="refused", reason="no"),))}, "helper lines: refused: no"),
        ({"image_purifier": Stand(fails_from=0)}, "helper stand: error: the painter is out of paint"),
    ],
)
def test_a_helper_that_does_not_do_its_part_is_an_error_and_the_victim_is_not_asked(
    parts: dict[str, Any], error: str
) -> None:
    reply, asked = said(BlueSuffix(**parts))
    assert (reply.outcome, asked) == ("error", [])
    assert error in reply.reason


def test_parts_that_are_not_named_are_left_out_and_a_text_keeps_its_place() -> None:
    ask = Ask(Chat.user("look", RED, "and say"))
    _, (asked,) = said(BlueSuffix(suffix_model=Words(), tokens=2), ask=ask)
    assert asked.chat.messages[-1].parts == ("look", RED, "and say w0 w1")
    _, (asked,) = said(BlueSuffix(text_purifier=Rewriter()), ask=Ask(Chat.user(RED)))
    assert asked.chat == Chat.user(RED)
    with pytest.raises(ValueError, match="image_purifier: expected it"):
        BlueSuffix()
    with pytest.raises(ValueError, match="rewrite: expected"):
        BlueSuffix(text_purifier=Rewriter(), rewrite="keep it")


# ---------------------------------------------------------------------------------------------------- purify-endpoint


def test_every_picture_is_purified_once_a_pass_and_keeps_its_size() -> None:
    purifier = Stand(by=10, side=3)
    ask = Ask(Chat.user(RED, "which ?", GREY).say("none").ask(RED, "really ?"))
    reply, (asked,) = said(PurifyEndpoint(purifier, "clean it", passes=2), ask=ask)
    assert [(image.width, image.height) for image in asked.chat.images] == [(4, 6)] * 3
    assert asked.chat.images[0] == asked.chat.images[2] != RED
    assert len(purifier.asked) == reply.helpers[purifier.key].queries == 4
    assert {each.chat.last_text for each in purifier.asked} == {"clean it"}
    assert [message.text for message in asked.chat.messages] == [message.text for message in ask.chat.messages]
    _, (asked,) = said(PurifyEndpoint(Stand(by=10), passes=3))
    assert asked.chat == ASK.chat.with_image(plain(170, 10, 10))


@pytest.mark.parametrize(
    "defense",
    [
        MirrorCheck((Stand(fails_from=0),), (Means(),)),
        CIDER(Stand(fails_from=2), Means()),
        PurifyEndpoint(Stand(fails_from=1), passes=2),
    ],
    ids=lambda defense: defense.name,
)
def test_a_painter_that_fails_is_an_error_of_its_sample(defense: Defense) -> None:
    reply, asked = said(defense, "a caption")
    assert reply.outcome == "error"
    assert "helper stand: error: the painter is out of paint" in reply.reason
    assert all(ask != ASK for ask in asked)


def test_a_painter_without_or_with_several_pictures_is_an_error() -> None:
    for count in (0, 2):
        reply, asked = said(PurifyEndpoint(Mirror(RED, count)))
        assert (reply.outcome, asked) == ("error", [])
        assert f"{count} pictures, expected one" in reply.reason


@pytest.mark.parametrize(
    "defense",
    [MirrorCheck((Mirror(RED),), (Means(),)), CIDER(Stand(), Means()), PurifyEndpoint(Stand(9))],
    ids=lambda defense: defense.name,
)
def test_a_dialogue_without_pictures_passes_as_it_is(defense: Defense) -> None:
    ask = Ask(Chat.user("what is it ?"))
    assert said(defense, ask=ask) == (Reply("the answer", cost=said(defense, ask=ask)[0].cost), [ask])


def test_in_a_stack_calls_of_victim_and_helpers_are_counted() -> None:
    denoiser, purifier, victim = Stand(), Stand(by=1), Lines(("a caption",))
    members = (MirrorCheck((Mirror(RED),), (Means(),)), CIDER(denoiser, Means()), PurifyEndpoint(purifier))
    (reply,) = Stack(members)(victim).reply([ASK])
    # Two asks pass CIDER (caption and question): 7 denoised pictures and one purified picture each.
    assert (reply.outcome, reply.cost.queries, len(victim.asked)) == ("ok", 2, 2)
    assert (reply.helpers[denoiser.key].queries, len(denoiser.asked)) == (14, 14)
    assert (reply.helpers[purifier.key].queries, len(purifier.asked)) == (2, 2)
    assert [decision.defense for decision in reply.decisions] == ["cider", "mirrorcheck"]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: MirrorCheck((), (Means(),)), "painters"),
        (lambda: MirrorCheck((Mirror(RED),), ()), "encoders"),
        (lambda: MirrorCheck((Mirror(RED),), (Means(),), 1.5), "threshold"),
        (lambda: CIDER(Stand(), Means(), -3.0), "threshold"),
        (lambda: CIDER(Stand(), Means(), every=351), "every"),
        (lambda: PurifyEndpoint(Stand(), passes=-1), "passes"),
        (lambda: PurifyEndpoint(Words()), "purifier"),
        (lambda: PurifyEndpoint("stand"), "purifier"),
        (lambda: MirrorCheck((Means(),), (Means(),)), "painters"),
        (lambda: CIDER(Stand(), Stand()), "encoder"),
        (lambda: BlueSuffix(Stand(), Stand()), "text_purifier"),
        (lambda: SmoothVLM(judge="phrases"), "judge"),
        (lambda: JailGuard(translator=Means()), "translator"),
        (lambda: BlueSuffix(Stand(), tokens=0), "tokens"),
    ],
)
def test_a_field_out_of_its_range_is_named(make: Any, field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        make()
