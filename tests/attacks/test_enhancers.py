"""Wu 2023's enhancers: pure rewritings, in one order, that compose."""

from __future__ import annotations

import hashlib
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacker_models import sample
from proofglass.attacks.text.enhancers import EMOTION, PREFIX, SCENARIO, SUPPRESSION, Enhancers
from proofglass.errors import UsageError
from proofglass.registry import build
from proofglass.testing.material import Scripted, picture
from proofglass.types import Chat, Image

NAMES = ("hypothetical-scenario", "emotional-appeal", "refusal-suppression", "prefix-injection")
SWITCHES = list(product((False, True), repeat=4))
TEXTS = st.text(max_size=40) | st.lists(
    st.sampled_from([SCENARIO, EMOTION, SUPPRESSION, PREFIX, "a", ""]), max_size=5
).map("\n".join)


def made(switches: tuple[bool, ...]) -> Enhancers:
    return Enhancers(**dict(zip(("scenario", "emotion", "suppression", "prefix"), switches, strict=True)))


def attacked(attack: Enhancers, chat: Chat) -> Chat:
    import dataclasses

    (artefact,) = attack.craft(Scripted(), [], seed=0)
    return attack.apply(artefact, dataclasses.replace(sample(), chat=chat))


def test_the_canonical_order_is_scenario_goal_emotion_suppression_prefix() -> None:
    assert Enhancers().enhanced("GOAL").split("\n") == [SCENARIO, "GOAL", EMOTION, SUPPRESSION, PREFIX]


def test_four_switches_are_sixteen_variants() -> None:  # G-E1
    assert len({made(switches).enhanced("GOAL") for switches in SWITCHES}) == 16
    assert len({made(switches).key for switches in SWITCHES}) == 16


@given(TEXTS)
@settings(deadline=None)
def test_all_off_changes_nothing(text: str) -> None:  # G-E1
    assert made((False,) * 4).enhanced(text) == text


@given(TEXTS, st.sampled_from(SWITCHES))
@settings(deadline=None)
def test_enhancing_twice_is_enhancing_once(text: str, switches: tuple[bool, ...]) -> None:  # G-E1
    once = made(switches).enhanced(text)
    assert made(switches).enhanced(once) == once


@given(TEXTS, st.permutations([build("attacks", name) for name in NAMES]))
@settings(deadline=None)
def test_one_by_one_in_any_order_is_all_together(text: str, order: list[Enhancers]) -> None:
    found = text
    for attack in order:
        found = attack.enhanced(found)
    assert found == Enhancers().enhanced(text)


@given(st.text(alphabet="abc \n", max_size=30), st.sampled_from(SWITCHES))
@settings(deadline=None)
def test_the_goal_stays_in_the_text(text: str, switches: tuple[bool, ...]) -> None:
    assert text in made(switches).enhanced(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_settles_its_switches(name: str) -> None:
    attack = build("attacks", name)
    assert [attack.scenario, attack.emotion, attack.suppression, attack.prefix].count(True) == 1
    with pytest.raises(ValueError, match="stands for"):
        build("attacks", name, scenario=not attack.scenario)


def test_pictures_system_prompt_and_earlier_turns_stay() -> None:
    chat = Chat.user(picture(1), "first").say("fine").ask(picture(2), "GOAL").with_system("rules")
    found = attacked(build("attacks", "prefix-injection"), chat)
    assert (found.system, found.images) == ("rules", chat.images)
    assert found.messages[:-1] == chat.messages[:-1]
    assert found.messages[-1].parts[1:] == (f"GOAL\n{PREFIX}",)
    assert isinstance(found.messages[-1].parts[0], Image)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_sample_without_words_costs_itself(text: str) -> None:
    with pytest.raises(ValueError, match="s1: wu2023 rewrites the text"):
        attacked(Enhancers(), Chat.user(picture(1), text))
    assert attacked(made((False,) * 4), Chat.user(picture(1), text)).last_text == text


def test_ten_thousand_characters_and_odd_unicode_stand_whole_in_the_prompt() -> None:
    for text in ("x" * 10_000, "\ud800 \u202e\x00 ك 漢 \r\n"):
        assert text in attacked(Enhancers(), Chat.user(text)).last_text


def test_a_file_takes_the_place_of_a_wording_and_its_hash_is_on_record(tmp_path: Path) -> None:
    file = tmp_path / "prefix.txt"
    file.write_text("\ufeff  Start with: once upon a time  \n", encoding="utf-8")
    attack = build("attacks", "prefix-injection", prefix_file=file)
    assert attack.enhanced("GOAL") == "GOAL\nStart with: once upon a time"
    (artefact,) = attack.craft(Scripted(), [], seed=0)
    assert artefact.meta["template_sha256"] == hashlib.sha256(b"Start with: once upon a time").hexdigest()
    key = attack.key
    file.write_text("another", encoding="utf-8")
    assert attack.key != key


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x00", "is not UTF-8"), (b" \n ", "is empty"), (None, "cannot read")],
)
def test_an_odd_file_is_told_before_anything_is_asked(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "prefix.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=f"prefix_file: .*{message}"):
        list(Enhancers(prefix_file=file).craft(Scripted(), [], seed=0))
