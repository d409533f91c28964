"""Self-Reminder and Goal Priority: the question in our words, one call, open to every attack."""

from __future__ import annotations

from pathlib import Path

import pytest

from defenses.opened_parts import PICTURE
from defenses.scripted_models import lines
from proofglass.defenses.inference.goal_priority import FINAL, TEMPLATE, THOUGHTS, GoalPriority
from proofglass.defenses.inference.self_reminder import BEFORE, BEHIND, SelfReminder
from proofglass.errors import UsageError
from proofglass.interfaces import Defense, WhiteBoxVictim
from proofglass.types import Ask, Chat, Reply

CHAT = Chat.user("before").say("so").ask(PICTURE, "what {final} is it ?").with_system("rules")


def asked(defense: Defense, line: str | Reply = "fine", chat: Chat = CHAT) -> tuple[Reply, Chat]:
    victim = lines(line)
    (reply,) = defense(victim).reply([Ask(chat)])
    (ask,) = victim.asked
    return reply, ask.chat


def test_the_question_stands_between_two_reminders() -> None:
    reply, shown = asked(SelfReminder())
    assert shown == Chat.user("before").say("so").ask(
        PICTURE, f"{BEFORE}\nwhat {{final}} is it ?\n{BEHIND}"
    ).with_system("rules")
    assert (reply.text, reply.cost.queries) == ("fine", 1)


@pytest.mark.parametrize(("before", "behind", "text"), [("a", "", "a\nq"), ("", "b", "q\nb"), ("", "", "q")])
def test_a_reminder_that_is_empty_leaves_no_line(before: str, behind: str, text: str) -> None:
    assert asked(SelfReminder(before, behind), chat=Chat.user("q"))[1] == Chat.user(text)


def test_the_question_stands_in_the_template() -> None:
    _, shown = asked(GoalPriority())
    assert shown.last_text == TEMPLATE.replace("{question}", "what {final} is it ?")
    assert shown.messages[:-1] == CHAT.messages[:-1]
    assert shown.images == CHAT.images


@pytest.mark.parametrize(
    ("said", "text", "thought"),
    [
        (f"{THOUGHTS} It is safe. {FINAL} A kite.", "A kite.", "It is safe."),
        (f"{THOUGHTS} They write {FINAL} yes. {FINAL} No.", "No.", f"They write {FINAL} yes."),
        ("A kite.", "A kite.", ""),
        (f"{THOUGHTS} cut off", f"{THOUGHTS} cut off", ""),
    ],
)
def test_what_stands_before_the_final_answer_is_its_reasoning(said: str, text: str, thought: str) -> None:
    reply, _ = asked(GoalPriority(), said)
    assert (reply.text, reply.reasoning) == (text, thought)


def test_an_answer_that_was_cut_off_behind_its_mark_is_not_said() -> None:
    reply, _ = asked(GoalPriority(), f"{THOUGHTS} It is safe. {FINAL}")
    assert not reply.is_said


def test_an_error_stays_an_error() -> None:
    for defense in (SelfReminder(), GoalPriority()):
        assert asked(defense, Reply.error("down"))[0].reason == "down"


def test_a_template_has_one_place_for_the_question(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"template: expected \{question\} in it once"):
        GoalPriority("no place")
    (path := tmp_path / "t.txt").write_text("be safe")
    (reply,) = GoalPriority(template_file=path)(lines()).reply([Ask(CHAT)])
    assert reply.outcome == "error"
    assert "goal-priority.template_file" in reply.reason


def test_the_authors_wording_comes_from_a_file_and_is_another_defense(tmp_path: Path) -> None:
    (path := tmp_path / "t.txt").write_text("safe first : {question} !")
    from_file = GoalPriority(template_file=path)
    assert asked(from_file, chat=Chat.user("q"))[1] == Chat.user("safe first : q !")
    own = GoalPriority("safe first : {question} !")
    assert from_file.template_sha256 == own.template_sha256 != GoalPriority().template_sha256
    key = from_file.key
    path.write_text("safe : {question}")
    assert GoalPriority(template_file=path).key != key


@pytest.mark.parametrize("defense", [SelfReminder(), GoalPriority()])
def test_a_missing_file_is_said_when_the_key_is_taken(defense: SelfReminder | GoalPriority, tmp_path: Path) -> None:
    field = "before_file" if isinstance(defense, SelfReminder) else "template_file"
    with pytest.raises(UsageError, match=defense.name):
        _ = type(defense)(**{field: tmp_path / "none.txt"}).key


@pytest.mark.parametrize("defense", [SelfReminder(), GoalPriority()])
def test_they_open_themselves(defense: Defense) -> None:
    from proofglass.victims.own import OwnModule
    from toy_module import Toy

    view = defense.opened(OwnModule(Toy()))
    assert isinstance(view, WhiteBoxVictim)


def test_a_prompt_that_overflows_the_context_is_said_per_sample() -> None:
    from proofglass.registry import build
    from proofglass.types import Settings

    asks = [Ask(Chat.user(text), Settings(4)) for text in ("hello .", "hello . " * 150)]
    short, long = SelfReminder("word " * 200, "")(build("victims", "testbed-linear", device="cpu")).reply(asks)
    assert short.outcome == "ok"
    assert (long.outcome, long.fault) == ("error", "length")
    assert "512" in long.reason
