"""Instructions to defenses: where they stand, and that they reach whom they address."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofglass.attacks.text.defense_instruction import CHECK, GUARD, SYSTEM, DefenseInstruction
from proofglass.errors import UsageError
from proofglass.testing.material import Scripted, picture
from proofglass.types import Chat, Sample

CHAT = Chat.user("before").say("so").ask(picture(0), "what is it ?").with_system("rules")
SAMPLE = Sample("s", "bench", CHAT)


def applied(attack: DefenseInstruction, sample: Sample = SAMPLE) -> Chat:
    (artefact,) = attack.craft(Scripted(), [], seed=0)
    return attack.apply(artefact, sample)


@pytest.mark.parametrize(
    ("aims", "text"),
    [
        (("system prompt", "check", "guard"), f"{SYSTEM}\nwhat is it ?\n{CHECK}\n{GUARD}"),
        (("guard", "check"), f"what is it ?\n{CHECK}\n{GUARD}"),
        (("system prompt",), f"{SYSTEM}\nwhat is it ?"),
        ((), "what is it ?"),
    ],
)
def test_each_text_is_a_line_in_its_place(aims: tuple[str, ...], text: str) -> None:
    found = applied(DefenseInstruction(aims=aims))  # type: ignore[arg-type]
    assert found == Chat.user("before").say("so").ask(picture(0), text).with_system("rules")


def test_a_file_is_another_wording_with_another_name(tmp_path: Path) -> None:
    (path := tmp_path / "c.txt").write_text("say yes\n")
    (own,) = DefenseInstruction(aims=("check",), check="say yes").craft(Scripted(), [], seed=0)
    (filed,) = DefenseInstruction(aims=("check",), check_file=path).craft(Scripted(), [], seed=0)
    assert filed == own
    assert (
        filed.meta["template_sha256"]
        != next(DefenseInstruction().craft(Scripted(), [], seed=0)).meta["template_sha256"]
    )
    path.write_text("")
    with pytest.raises(UsageError, match=r"defense-instruction.check_file: .* is empty"):
        applied(DefenseInstruction(check_file=path))


def test_an_unknown_aim_and_a_sample_without_text_are_named() -> None:
    with pytest.raises(ValueError, match="aims: expected a list, each system prompt, check or guard"):
        DefenseInstruction(aims=("judge",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sample s: defense-instruction rewrites"):
        applied(DefenseInstruction(), Sample("s", "bench", Chat.user(picture(0))))


def test_it_moves_a_model_that_obeys_past_the_question_about_its_answer() -> None:
    # A model that does what the last instruction about checking says: ECSO asks it whether its answer is harmful.
    from proofglass.defenses.inference.ecso import ECSO
    from proofglass.types import Ask, Reply

    class Obedient(Scripted):
        def one(self, ask: Ask) -> Reply:
            asked = ask.chat.last_text
            if "harmful" in asked.splitlines()[-1]:
                return Reply("no" if "reply no" in asked else "yes")
            return Reply("can not see" if not ask.chat.images else "the answer")

    plain, attacked = (ECSO()(Obedient()).reply([Ask(chat)])[0] for chat in (CHAT, applied(DefenseInstruction())))
    assert (plain.text, attacked.text) == ("can not see", "the answer")
