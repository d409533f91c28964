"""Walls before and after the victim: who judges what, what is decided, and what is no verdict."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defenses.opened_parts import PICTURE
from defenses.scripted_models import Bright, Holds, lines
from proofglass import Stack
from proofglass.defenses.calibration import calibrated, threshold_at
from proofglass.defenses.inference.guard_input import REFUSAL, GuardInput
from proofglass.defenses.inference.guard_output import GuardOutput
from proofglass.defenses.inference.self_moderation import SelfModeration
from proofglass.errors import UsageError
from proofglass.evaluation.judges.guard import Guard
from proofglass.evaluation.judges.refusal import NotRefused, Refusal
from proofglass.evaluation.judges.unsafe import Unsafe
from proofglass.interfaces import Defense, Judge, opened_through
from proofglass.types import Ask, Chat, Decision, Image, Reply
from proofglass.victims.own import OwnModule
from toy_module import Toy

HOLDS = Holds({"door": 0.9, "window": 0.4})
CHAT = Chat.user(PICTURE, "open the door").say("why ?").ask("the blue one").with_system("rules about a window")


def picture_of(x: torch.Tensor) -> Image:
    return Image.from_array((x[0] * 255).round().byte().permute(1, 2, 0).numpy())


def bright(level: int) -> Image:
    return Image.from_array(np.full((4, 4, 3), level, np.uint8))


# ---- before -----------------------------------------------------------------------------------------------------


def test_what_the_user_wrote_in_any_turn_is_judged_and_a_block_takes_no_query() -> None:
    victim, judge = lines("fine"), Holds({"door": 0.9, "window": 1.0})
    (reply,) = GuardInput(judge, threshold=0.5)(victim).reply([Ask(CHAT)])
    assert victim.asked == []
    assert (reply.outcome, reply.text, reply.cost.queries) == ("blocked", REFUSAL, 0)
    (decision,) = reply.decisions
    assert decision.fired
    assert (decision.margin, decision.threshold) == (pytest.approx(0.4), 0.5)
    (attempt,) = judge.seen
    assert attempt.reply.text == "open the door\nthe blue one"  # neither the system prompt nor the assistant's turn
    assert attempt.conversation == CHAT


def test_what_passes_reaches_the_victim_as_it_is() -> None:
    ask = Ask(Chat.user(PICTURE, "the window ?"))
    victim = lines("fine")
    (reply,) = GuardInput(HOLDS, threshold=0.5)(victim).reply([ask])
    assert victim.asked == [ask]
    assert (reply.text, reply.outcome) == ("fine", "ok")
    assert reply.decisions == (Decision("guard-input", False, pytest.approx(-0.1), 0.5, "holds, probability"),)


def test_a_score_at_the_threshold_passes() -> None:
    (reply,) = GuardInput(HOLDS, threshold=0.9)(lines("fine")).reply([Ask(CHAT)])
    assert reply.text == "fine"


@pytest.mark.parametrize("defense", [GuardInput(HOLDS), GuardOutput(HOLDS)])
def test_what_cannot_be_judged_is_an_error_of_that_sample_only(defense: Defense) -> None:
    replies = defense(lines("odd", "fine")).reply([Ask(Chat.user("an odd one")), Ask(Chat.user("a plain one"))])
    if isinstance(defense, GuardInput):
        replies = [replies[0], *defense(lines("fine")).reply([Ask(Chat.user("a plain one"))])]
    assert [reply.outcome for reply in replies] == ["error", "ok"]
    assert "it is odd" in replies[0].reason


def test_a_guard_that_answers_junk_is_an_error_and_its_cost_is_told() -> None:
    helper = lines("Well, hm.", label="guard")
    guard = Guard("llama-guard-4", helper, mode="prompt")
    (reply,) = GuardInput(guard)(victim := lines("fine")).reply([Ask(Chat.user("hello"))])
    assert (reply.outcome, victim.asked) == ("error", [])
    assert "neither 'safe' nor 'unsafe'" in reply.reason
    assert reply.helpers[helper.key].queries == 1


@pytest.mark.parametrize(("said", "outcome"), [("safe", "ok"), ("unsafe\nS9", "blocked"), ("Safe — nothing", "error")])
def test_the_scripted_guards_of_the_contract(said: str, outcome: str) -> None:
    guard = Guard("llama-guard-4", lines(said, label="guard"), mode="prompt")
    (reply,) = GuardInput(guard)(lines("fine")).reply([Ask(Chat.user("hello"))])
    assert reply.outcome == outcome
    if outcome == "blocked":
        assert "S9" in reply.reason


def test_a_guard_out_of_reach_is_an_error() -> None:
    guard = Guard("llama-guard-4", lines(Reply.error("down"), label="guard"), mode="prompt")
    (reply,) = GuardInput(guard)(lines("fine")).reply([Ask(Chat.user("hello"))])
    assert reply.outcome == "error"
    assert "down" in reply.reason


@pytest.mark.parametrize(
    ("judge", "chat", "reason"),
    [
        (Holds(), Chat.user(PICTURE), "no text"),
        (Guard("llavaguard", lines("{}")), Chat.user("hello"), "no picture"),
    ],
)
def test_what_is_not_there_passes(judge: Judge, chat: Chat, reason: str) -> None:
    (reply,) = GuardInput(judge)(lines("fine")).reply([Ask(chat)])
    assert (reply.text, reply.decisions[0].reason) == ("fine", reason)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "judge: expected either a judge or a detector, found none"),
        ({"judge": HOLDS, "detector": Bright()}, "judge: expected either a judge or a detector, found both"),
        ({"judge": Refusal()}, "judge: expected one that finds something bad"),
        ({"judge": NotRefused()}, "judge: expected one that finds something bad"),
        ({"judge": Unsafe()}, "judges replies"),
        ({"judge": Guard("llama-guard-4", lines())}, "judges replies"),
        ({"judge": Holds(verdict=True), "threshold": 0.5}, "threshold: holds has no probability"),
        ({"judge": HOLDS, "threshold": 1.5}, "threshold: expected 0 to 1"),
        ({"judge": HOLDS, "threshold": float("nan")}, "threshold: expected 0 to 1"),
        ({"judge": HOLDS, "refusal": " "}, "refusal: expected no empty text"),
    ],
)
def test_a_wall_that_could_not_stand_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GuardInput(**fields)


# ---- a detector -------------------------------------------------------------------------------------------------


def test_the_worst_picture_decides() -> None:
    wall = GuardInput(detector=Bright(0.6))
    dark, light = wall(lines("fine")).reply(
        [Ask(Chat.user(bright(10), bright(100), "so")), Ask(Chat.user(bright(10), bright(200), "so"))]
    )
    assert (dark.text, light.outcome) == ("fine", "blocked")
    assert light.decisions[0].margin == pytest.approx(200 / 255 - 0.6, abs=1e-6)
    assert GuardInput(detector=Bright(0.6), threshold=0.9)(lines("fine")).reply([Ask(Chat.user(bright(200)))])[0].text


def test_its_margin_is_what_an_attacker_sees_and_its_gradient_is_the_slope() -> None:
    view = opened_through(GuardInput(detector=Bright(0.4)), OwnModule(Toy()))
    assert view is not None
    x = torch.full((2, 3, 12, 8), 0.5)
    found, grad = view.margin_and_grad(x, [CHAT, CHAT])
    assert found.tolist() == pytest.approx([0.1, 0.1], abs=1e-6)
    ahead, _ = view.margin_and_grad(x + 1e-3 * grad.sign(), [CHAT, CHAT])
    slope = (grad * 1e-3 * grad.sign()).flatten(1).sum(1)
    torch.testing.assert_close(ahead - found, slope, rtol=1e-2, atol=1e-6)


def test_a_picture_that_lowers_the_margin_passes_the_wall() -> None:
    # The score is the mean level: 200 lies .184 above 0.6, and 0.3 in every pixel takes it below.
    wall = GuardInput(detector=Bright(0.6))
    view = opened_through(wall, OwnModule(Toy()))
    assert view is not None

    before = torch.full((1, 3, 4, 4), 200 / 255)
    found, grad = view.margin_and_grad(before, [CHAT])
    after = (before - 0.3 * grad.sign()).clamp(0, 1)
    assert float(found[0]) > 0 > float(view.margin_and_grad(after, [CHAT])[0][0])
    assert wall(lines("fine")).reply([Ask(Chat.user(picture_of(after)))])[0].text == "fine"


def test_a_judge_keeps_the_wall_closed() -> None:
    assert opened_through(GuardInput(HOLDS), OwnModule(Toy())) is None
    assert opened_through(GuardOutput(HOLDS), OwnModule(Toy())) is None


# ---- behind -----------------------------------------------------------------------------------------------------


def test_a_bad_reply_is_blocked_with_what_it_had_cost() -> None:
    judge = Holds({"door": 0.9})
    earlier = Decision("inner", True)
    said = Reply("take the door", decisions=(earlier,), reasoning="hm")
    (reply,) = GuardOutput(judge, threshold=0.5, refusal="no .")(lines(said)).reply([Ask(CHAT)])
    assert (reply.outcome, reply.text, reply.reasoning) == ("blocked", "no .", "")
    assert [each.defense for each in reply.decisions] == ["inner", "guard-output"]
    (attempt,) = judge.seen
    assert (attempt.conversation, attempt.reply.text) == (CHAT, "take the door")


def test_a_good_reply_is_delivered_as_it_is() -> None:
    said = Reply("take the window", finish="length", reasoning="hm")
    (reply,) = GuardOutput(HOLDS, threshold=0.5)(lines(said)).reply([Ask(CHAT)])
    assert (reply.text, reply.finish, reply.reasoning, reply.outcome) == ("take the window", "length", "hm", "ok")
    assert reply.decisions[0].margin == pytest.approx(-0.1)


@pytest.mark.parametrize(
    "passed", [Reply(""), Reply("  "), Reply.error("down"), Reply("no", "blocked"), Reply(outcome="filtered")]
)
def test_what_holds_no_answer_is_passed_on_unjudged(passed: Reply) -> None:
    judge = Holds()
    (reply,) = GuardOutput(judge)(lines(passed)).reply([Ask(CHAT)])
    assert (reply.text, reply.outcome, reply.decisions, judge.seen) == (passed.text, passed.outcome, (), [])


def test_what_a_filter_let_through_is_judged() -> None:
    (reply,) = GuardOutput(HOLDS)(lines(Reply("the door", "filtered", reason="x"))).reply([Ask(CHAT)])
    assert reply.outcome == "blocked"


def test_a_judge_that_says_good_blocks_the_rest() -> None:
    # Good with probability 0.9: bad with 0.1.
    good, bad = GuardOutput(Holds({"door": 0.9}, says="good"))(lines("door", "wall")).reply([Ask(CHAT)] * 2)
    assert (good.outcome, bad.outcome) == ("ok", "blocked")
    assert good.decisions[0].margin == pytest.approx(-0.4)


def test_a_guard_of_prompts_is_no_wall_behind() -> None:
    with pytest.raises(ValueError, match="judges no replies; take guard-input"):
        GuardOutput(Guard("llama-guard-4", lines(), mode="prompt"))


@pytest.mark.parametrize(("out", "victim", "guard"), [(0, 3, 3), (1, 3, 1)])
def test_the_ledger_of_a_stack_counts_every_ask(out: int, victim: int, guard: int) -> None:
    # Self-Moderation asks three times for one round. The guard behind each of them, or behind the last one only.
    helper = lines("safe", label="guard")
    wall = GuardOutput(Guard("llama-guard-4", helper))
    members = (SelfModeration(1), wall) if out == 0 else (wall, SelfModeration(1))
    (reply,) = Stack(members)(model := lines("a", "b", "yes")).reply([Ask(Chat.user("q"))])
    assert (reply.cost.queries, len(model.asked)) == (victim, victim)
    assert (reply.helpers[helper.key].queries, len(helper.asked)) == (guard, guard)


# ---- calibration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "rate", "threshold"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0.0, 0.4),
        ([0.1, 0.2, 0.3, 0.4], 0.25, 0.3),
        ([0.1, 0.2, 0.3, 0.4], 0.49, 0.3),
        ([0.1, 0.2, 0.3, 0.4], 1.0, 0.1),
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.5),
        ([0.7], 0.05, 0.7),
    ],
)
def test_no_more_than_the_rate_lies_above(scores: list[float], rate: float, threshold: float) -> None:
    found = threshold_at(scores, rate)
    assert found == threshold
    assert sum(score > found for score in scores) <= rate * len(scores)


@pytest.mark.parametrize(("scores", "rate"), [([], 0.1), ([float("nan")], 0.1), ([0.1], 1.1), ([0.1], float("nan"))])
def test_what_cannot_be_calibrated_is_said(scores: list[float], rate: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        threshold_at(scores, rate)


def test_a_wall_is_calibrated_on_benign_asks() -> None:
    judge = Holds({f"w{k}": k / 100 for k in range(100)})
    asks = [Ask(Chat.user(f"w{k}")) for k in range(10, 90)] + [Ask(Chat.user("odd"))]
    found = calibrated(GuardInput(judge), lines("fine"), asks, rate=0.05)
    # 80 scores 0.10 .. 0.89: four may lie above.
    assert (found.alarms, found.errors, len(found.scores)) == (4, 1, 80)
    assert found.threshold == pytest.approx(0.85)
    replies = found.defense(lines("fine")).reply(asks[:-1])
    assert sum(reply.outcome == "blocked" for reply in replies) == 4


def test_what_has_no_threshold_or_no_probability_is_said() -> None:
    asks = [Ask(Chat.user("a"))]
    with pytest.raises(UsageError, match="has no field `threshold`"):
        calibrated(SelfModeration(), lines(), asks)
    with pytest.raises(ValueError, match="has no probability"):
        calibrated(GuardInput(Holds(verdict=True)), lines(), asks)
    with pytest.raises(UsageError, match="decided nothing"):
        calibrated(GuardOutput(HOLDS), lines(""), asks)


# ---- what no gate may take for safe -----------------------------------------------------------------------------


class Broken(Bright):
    """Scores that are no number."""

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.full((len(pixels), 1), float("nan"))


def test_a_score_that_is_no_number_is_an_error() -> None:
    (reply,) = GuardInput(detector=Broken(0.6))(victim := lines("fine")).reply([Ask(Chat.user(bright(10), "so"))])
    assert (reply.outcome, victim.asked) == ("error", [])
    assert "bright: expected a finite number, found nan" in reply.reason


@pytest.mark.parametrize("field", ["judge", "detector"])
def test_a_name_in_place_of_a_plug_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: expected a {field.title()} or None, found 'phrases'"):
        GuardInput(**{field: "phrases"})  # type: ignore[arg-type]


def test_a_lone_surrogate_costs_nobody_anything() -> None:
    from proofglass.evaluation.judges.forbidden_phrases import ForbiddenPhrases

    judge = ForbiddenPhrases(("a\ud800b", "door"))
    wall = GuardInput(judge)
    assert wall.key
    blocked, passed = wall(lines("fine")).reply([Ask(Chat.user("a\ud800b")), Ask(Chat.user("\udfff"))])
    assert (blocked.outcome, passed.text) == ("blocked", "fine")


def test_a_plan_counts_the_guard_behind_the_victim() -> None:
    from proofglass.studies.asks import of_defense

    guard = Guard("llama-guard-4", lines("safe", label="guard"))
    assert of_defense(GuardOutput(guard)).helpers == 1
    prompts = Guard("llama-guard-4", lines("safe", label="guard"), mode="prompt")
    assert of_defense(GuardInput(prompts)).helpers == 1


@pytest.mark.filterwarnings("ignore:measure:UserWarning")
def test_what_a_guard_said_is_in_the_journal_and_is_not_asked_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import proofglass as pg

    helper = lines("safe", label="guard")
    wall = GuardOutput(Guard("llama-guard-4", helper))
    data = pg.dataset("testbed", part="benign", n=3, craft_n=2)
    first = pg.measure(lines("sure , here"), "no-attack", data, wall, ["phrases"], out=tmp_path / "run")
    asked = len(helper.asked)
    assert asked == 3
    again = pg.measure(lines("sure , here"), "no-attack", data, wall, ["phrases"], out=tmp_path / "run")
    assert (again, len(helper.asked)) == (first, asked)
