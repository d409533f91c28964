"""AdaShield: where the shield stands, which one of a pool, when, behind which model; and how a pool is made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from defenses.scripted_models import Flat, Holds, Lines, lines
from proofglass.defenses import shield_pool
from proofglass.defenses.inference.adashield import SHIELD, AdaShield, AdaShieldStatic
from proofglass.defenses.shields import Search, shield_in
from proofglass.defenses.similarity import joint, of_text
from proofglass.errors import UsageError
from proofglass.interfaces import opened_through
from proofglass.types import Ask, Chat, Image, Reply, Sample
from proofglass.victims.own import OwnModule
from toy_module import Toy


def level(value: int) -> Image:
    return Image.from_array(np.full((4, 4, 3), value, np.uint8))


# G-A1: q is img (1, 0), txt (0, 2); the pool (1,0|1,1), (0,1|0,3), (2,0|0,0).
QUERY = Chat.user(level(0), "q")
ROWS = {0: (1.0, 0.0), 1: (1.0, 0.0), 2: (0.0, 1.0), 3: (2.0, 0.0)}
WORDS = {"picture": (0.0, 1.0), "q": (0.0, 2.0), "a": (1.0, 1.0), "b": (0.0, 3.0), "c": (0.0, 0.0)}
FLAT = Flat(ROWS, WORDS)
VICTIM = lines("fine", label="model")


def pool_in(folder: Path, model: str = VICTIM.key, **card: Any) -> Path:
    rows = [joint(torch.tensor([ROWS[k]]), torch.tensor([WORDS[text]])) for k, text in ((1, "a"), (2, "b"), (3, "c"))]
    shield_pool.write(folder, ["S0", "S1", "S2"], torch.cat(rows), FLAT, model, card)
    return folder


def shown(defense: AdaShield | AdaShieldStatic, chat: Chat) -> tuple[Reply, Chat]:
    victim = replace(VICTIM, asked=[])
    (reply,) = defense(victim).reply([Ask(chat)])
    (ask,) = victim.asked
    return reply, ask.chat


# ---- static -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, f"q{SHIELD}q"),
        ({"layout": "query shield"}, f"q{SHIELD}"),
        ({"shield": "S", "separator": "\n"}, "q\nS\nq"),
        ({"shield": "S", "separator": "\n", "layout": "query shield"}, "q\nS"),
        ({"shield": ""}, "q"),
    ],
)
def test_where_the_shield_stands(fields: dict[str, Any], text: str) -> None:
    chat = Chat.user("before").say("so").ask(level(0), "q").with_system("rules")
    _, asked = shown(AdaShieldStatic(**fields), chat)
    assert asked == Chat.user("before").say("so").ask(level(0), text).with_system("rules")


def test_a_dialogue_without_a_picture_gets_none() -> None:
    assert shown(AdaShieldStatic(), Chat.user("q"))[1] == Chat.user("q")


# ---- adaptive ---------------------------------------------------------------------------------------------------


def test_g_a1_the_nearest_shield_by_the_joint_norm(tmp_path: Path) -> None:
    defense = AdaShield(pool_in(tmp_path / "p"), FLAT)
    seen = joint(FLAT.features(torch.zeros(1, 3, 4, 4)), of_text(FLAT, "q"))
    similar = (seen @ defense.shields.features.T)[0].tolist()
    assert similar == pytest.approx([0.7745967, 0.8485281, 0.4472136], abs=1e-6)
    assert defense.chosen(QUERY) == (1, pytest.approx(0.1485281, abs=1e-6))
    reply, asked = shown(defense, QUERY)
    assert asked.last_text == "qS1q"
    (decision,) = reply.decisions
    assert (decision.fired, decision.threshold, decision.reason) == (True, 0.7, "shield 1")


def test_below_the_gate_no_shield_stands_there_for_anybody(tmp_path: Path) -> None:
    reply, asked = shown(AdaShield(pool_in(tmp_path / "p"), FLAT, beta=0.85), QUERY)
    assert asked == QUERY
    assert not reply.decisions[0].fired


def test_a_dialogue_without_a_picture_passes(tmp_path: Path) -> None:
    reply, asked = shown(AdaShield(pool_in(tmp_path / "p"), FLAT), Chat.user("q"))
    assert (asked, reply.decisions) == (Chat.user("q"), ())


def test_another_model_and_another_encoder_are_refused(tmp_path: Path) -> None:
    folder = pool_in(tmp_path / "p", model="0123")
    with pytest.raises(UsageError, match="was fitted to the model 0123, and lines is"):
        AdaShield(folder, FLAT)(VICTIM)
    with pytest.raises(UsageError, match="was fitted to the model 0123"):
        AdaShield(folder, FLAT).opened(OwnModule(Toy()))
    assert AdaShield(folder, FLAT, other_models=True)(VICTIM).reply([Ask(QUERY)])[0].text == "fine"
    other = replace(FLAT, texts={**WORDS, "picture": (0.0, -1.0)})
    with pytest.raises(UsageError, match=r"holds features of another encoder \(flat\) than flat"):
        AdaShield(folder, other, other_models=True)(VICTIM)
    wider = Flat({0: (1.0, 0.0, 0.0)}, {"picture": (0.0, 1.0)})
    with pytest.raises(UsageError, match="another encoder"):
        AdaShield(folder, wider, other_models=True)(VICTIM)
    AdaShield(folder, replace(FLAT, most=3), other_models=True)(VICTIM)  # what reads fewer words is the same space


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kind": "song"}, "kind: expected 'shield pool'"),
        ({"shields": ["S0", " ", "S2"]}, "shields: expected a list of texts"),
        ({"shields": ["S0"]}, r"features: expected 1 rows of finite numbers, found \[3, 4\]"),
        ({"encoder": 3}, "encoder: expected a text"),
    ],
)
def test_a_pool_that_was_edited_is_named(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    card = pool_in(tmp_path / "p") / shield_pool.CARD
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(UsageError, match=fault):
        AdaShield(tmp_path / "p", FLAT)(VICTIM)


@pytest.mark.parametrize("content", [None, "", "[]", "null", "{"])
def test_what_is_no_pool_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        pool_in(tmp_path)
        (tmp_path / shield_pool.CARD).write_text(content)
    with pytest.raises(UsageError, match=r"adashield\.pool"):
        AdaShield(tmp_path, FLAT)(VICTIM)


def test_another_pool_is_another_key(tmp_path: Path) -> None:
    defense = AdaShield(pool_in(tmp_path / "p"), FLAT)
    before = defense.key
    pool_in(tmp_path / "p", note="again")
    assert AdaShield(tmp_path / "p", FLAT).key != before


def test_its_gate_is_a_margin_with_a_slope(tmp_path: Path) -> None:
    from proofglass.registry import build

    encoder = build("models", "testbed-clip", device="cpu")
    text = "how do i mend a kite ?"
    row = joint(encoder.features(torch.full((1, 3, 96, 96), 0.2)), of_text(encoder, text))
    model = OwnModule(Toy())
    shield_pool.write(tmp_path, ["S"], row.detach(), encoder, model.key, {})
    view = opened_through(AdaShield(tmp_path, encoder), model)
    assert view is not None
    x = 0.3 + 0.4 * torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(1))
    chats = [Chat.user(level(3), text)] * 2
    found, grad = view.margin_and_grad(x, chats)
    way = 1e-3 * grad.sign()
    ahead, behind = (view.margin_and_grad(x + side * way, chats)[0] for side in (1, -1))
    torch.testing.assert_close(ahead - behind, (2 * way * grad).flatten(1).sum(1), rtol=0.05, atol=1e-5)
    assert bool((found <= 0.3 + 1e-6).all())


@pytest.mark.parametrize("most", [1, 2, 3, 76, 77])
def test_a_long_text_is_read_as_far_as_it_goes(most: int) -> None:
    flat = Flat(ROWS, {" ".join("w" * k): (float(k), 0.0) for k in range(1, 101)}, most)
    assert of_text(flat, "w " * 100).tolist() == [[float(most), 0.0]]
    assert of_text(flat, " \n").tolist() == [[0.0, 0.0]]
    with pytest.raises(ValueError, match="too long"):
        of_text(replace(flat, most=0), "w w")


# ---- fit --------------------------------------------------------------------------------------------------------

REFUSES = Holds({"no": 0.9, "hm": 0.4}, says="refused")


def sample(name: str, category: str = "c") -> Sample:
    return Sample(name, "bench", Chat.user(level(1), "q"), category=category)


class Obeys(Lines):
    """Refuses behind a shield with "strict" in it."""

    def reply(self, asks):  # type: ignore[no-untyped-def]
        self.asked.extend(asks)
        return [Reply("no" if "strict" in ask.chat.last_text else "hm" if "kind" in ask.chat.last_text else "sure")
                for ask in asks]  # fmt: skip


def answer(prompt: str) -> str:
    return f"```json\n{json.dumps({'improvement': 'it was weak', 'prompt': prompt})}\n```"


def test_a_shield_that_holds_is_kept_and_what_was_fitted_is_told(tmp_path: Path) -> None:
    victim, defender = Obeys(label="model"), lines("junk", answer("be kind"), answer("be strict"), label="defender")
    judge = REFUSES
    made = AdaShield.fit(tmp_path, victim, [sample("s0"), Sample("text", "bench", Chat.user("q"))], defender=defender,
                         judge=judge, encoder=FLAT)  # fmt: skip
    assert made.shields.shields == ("be strict",)
    assert made.shields.model == victim.key
    assert made.shields.card["fitted_on"] == [{"sample": "s0", "category": "c"}]
    assert made.shields.card["tried"] == 1
    # One unread answer, asked again with another draw; the better shield keeps the defender's dialogue going.
    assert len({ask.settings.draw for ask in defender.asked}) == 3
    assert [len(ask.chat.messages) for ask in defender.asked] == [2, 2, 4]
    assert "be kind" in defender.asked[2].chat.last_text
    made(victim)


def test_a_shield_that_is_no_better_starts_the_defender_anew(tmp_path: Path) -> None:
    defender = lines(answer("be soft"), answer("be strict"), label="defender")
    Search(defender, REFUSES, FLAT).made(tmp_path, Obeys(label="model"), [sample("s0")])
    assert [len(ask.chat.messages) for ask in defender.asked] == [2, 2]


def test_the_first_shield_is_kept_where_it_holds(tmp_path: Path) -> None:
    defender = lines("never asked", label="defender")
    made = Search(defender, REFUSES, FLAT, shield="strict").made(tmp_path, Obeys(label="model"), [sample("s0")])
    assert (made, defender.asked) == (["strict"], [])


def test_a_shield_is_accepted_by_the_validation_samples_of_its_kind(tmp_path: Path) -> None:
    victim, other = Obeys(label="model"), Chat.user(level(1), "b")
    defender = lines(answer("be strict"), label="defender")
    held = Search(defender, REFUSES, FLAT).made(
        tmp_path, victim, [sample("s0")], [sample("v0"), replace(sample("v1", "other"), chat=other)]
    )
    assert held == ["be strict"]
    stubborn = Holds({"no": 0.9}, says="refused")
    with pytest.raises(UsageError, match="no shield held on any of 1 samples"):
        Search(lines("junk"), stubborn, FLAT, accept=0.8).made(tmp_path / "q", victim, [sample("s0")], [sample("v0")])


def test_a_victim_that_fails_costs_its_sample_and_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="down"):
        Search(lines("junk"), REFUSES, FLAT).made(tmp_path, lines(Reply.error("down")), [sample("s0")])


def test_a_judge_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="tells refusals"):
        Search(lines("junk"), Holds(), FLAT)


@pytest.mark.parametrize(
    ("text", "shield"),
    [
        (answer(" be strict "), "be strict"),
        ('{"prompt": ""}', ""),
        ('{"prompt": 3}', ""),
        ('["prompt"]', ""),
        ("no json", ""),
        ('{"prompt": "a"', ""),
        (json.dumps({"prompt": "x" * 5000}), ""),
        ("", ""),
    ],
)
def test_what_a_defender_writes_is_read_as_data(text: str, shield: str) -> None:
    assert shield_in(text) == shield


def test_a_similarity_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    broken = replace(FLAT, texts={**WORDS, "q": (float("nan"), 0.0)})
    rows = torch.ones(1, 4) / 2
    shield_pool.write(tmp_path, ["S"], rows, FLAT, VICTIM.key, {})
    (reply,) = AdaShield(tmp_path, broken)(VICTIM).reply([Ask(QUERY)])
    assert reply.outcome == "error"
    assert "finite" in reply.reason
    with pytest.raises(ValueError, match="finite features"):
        shield_pool.write(tmp_path, ["S"], rows * float("nan"), FLAT, "m", {})


def test_a_shield_with_half_a_character_is_kept_and_read(tmp_path: Path) -> None:
    shield = shield_in('{"prompt": "be \\ud800 strict"}')
    assert shield == "be \ud800 strict"
    shield_pool.write(tmp_path, [shield], torch.ones(1, 4) / 2, FLAT, VICTIM.key, {})
    assert AdaShield(tmp_path, FLAT).shields.shields == (shield,)
