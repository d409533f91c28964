"""MLLM-Protector: its dialogue, its training, and how both fail."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from defenses.opened_parts import PICTURE
from defenses.scripted_models import lines
from defenses.training.protectors import Rows, model, protector
from proofglass import Stack
from proofglass.defenses.calibration import calibrated
from proofglass.defenses.inference.self_reminder import SelfReminder
from proofglass.defenses.training.detector import HARMFUL, HARMLESS
from proofglass.defenses.training.mllm_protector import MLLMProtector
from proofglass.engine.progress import Pace, watched_by
from proofglass.errors import UsageError
from proofglass.registry import build
from proofglass.types import Ask, Chat, Reply, Settings

ASK = Ask(Chat.user(PICTURE, "why ?"), Settings(9, temperature=0.5, draw=3))
WEIGHTS = ("detector/adapter_model.safetensors", "detoxifier/adapter_model.safetensors")
CONFIGS = ("detector/adapter_config.json", "detoxifier/adapter_config.json")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and beside it what was trained from it."""
    root = tmp_path_factory.mktemp("protector")
    protector(root / "lm").fitted(model(root / "lm"), root / "trained")
    return root


@pytest.fixture(scope="module")
def defense(root: Path) -> MLLMProtector:
    return protector(root / "lm", trained=root / "trained")


def harmful(share: float) -> Reply:
    return Reply(HARMFUL if share > 0.5 else HARMLESS, choices={HARMFUL: share, HARMLESS: 1 - share})


def stepped(defense: MLLMProtector, *replies: Reply) -> tuple[list[Ask], Reply]:
    """The asks of its dialogue, and what it returns, where these replies come back in turn."""
    flow, asks = defense.flow(ASK), []
    sent: Reply | None = None
    for reply in (*replies, None):
        try:
            asked = flow.send(sent)  # type: ignore[arg-type]
        except StopIteration as end:
            return asks, end.value
        assert isinstance(asked, Ask)
        asks.append(asked)
        assert reply is not None, "it asks once more"
        sent = reply
    raise AssertionError("it does not end")


# ---- the dialogue -------------------------------------------------------------------------------------------------


def test_a_harmless_reply_is_delivered_as_it_is_with_what_was_decided(defense: MLLMProtector) -> None:
    answer = Reply("a kite", reasoning="hm")
    (first, second), found = stepped(defense, answer, harmful(0.2))
    assert (first, second.to) == (ASK, defense.detector)
    assert second.chat == Chat.user("why ?").say("a kite")
    assert replace(found, decisions=()) == answer
    (decision,) = found.decisions
    assert (decision.fired, decision.margin, decision.threshold) == (False, pytest.approx(-0.3), 0.5)


def test_a_harmful_reply_is_replaced_by_the_detoxifiers_text_and_its_thought_is_gone(defense: MLLMProtector) -> None:
    said = Reply("a drum", reasoning="drums", choices={"a": 0.5})
    (_, _, third), found = stepped(defense, said, harmful(0.9), Reply("a kite", finish="length"))
    assert third.to is defense.detoxifier
    assert third.chat == Chat.user("why ? a drum no")
    assert third.settings == Settings(9)
    assert (found.text, found.finish, found.outcome, found.reasoning, found.choices) == (
        "a kite",
        "length",
        "ok",
        "",
        {},
    )
    (decision,) = found.decisions
    assert (decision.fired, decision.margin) == (True, pytest.approx(0.4))


def test_it_can_show_a_refusal_instead(defense: MLLMProtector) -> None:
    asks, found = stepped(replace(defense, delivers="refusal"), Reply("a drum"), harmful(0.9))
    assert (len(asks), found.text, found.outcome) == (2, "no .", "blocked")


def test_a_question_or_an_answer_that_looks_like_a_slot_is_text(defense: MLLMProtector) -> None:
    assert defense.to_rewrite("{answer} ?", "{question}").last_text == "{answer} ? {question} no"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(" "),
        Reply(outcome="blocked", text="no"),
        Reply.error("down"),
        Reply(outcome="filtered"),
        Reply("", reasoning="h"),
    ],
    ids=["blank", "blocked", "error", "filtered", "cut in thought"],
)
def test_what_is_not_said_is_passed_on_unread(defense: MLLMProtector, reply: Reply) -> None:
    asks, found = stepped(defense, reply)
    assert (len(asks), found) == (1, reply)


@pytest.mark.parametrize(
    "junk",
    [
        Reply("harmless"),
        Reply("harmless", choices={HARMLESS: 1.0}),
        Reply("harmless", choices={HARMFUL: math.nan}),
        Reply("harmless", choices={HARMFUL: -0.1}),
        Reply("harmless", choices={HARMFUL: 1.1}),
        Reply.error("out of memory"),
        Reply(""),
        Reply(outcome="blocked", text="no"),
    ],
)
def test_a_detector_that_tells_no_probability_is_an_error_and_never_harmless(
    defense: MLLMProtector, junk: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = lines(junk)
    fresh = replace(defense)
    monkeypatch.setitem(vars(fresh), "detector", helper)
    (reply,) = fresh(lines("a kite")).reply([ASK])
    assert (reply.outcome, len(helper.asked)) == ("error", 1)
    assert "mllm-protector" in reply.reason


@pytest.mark.parametrize("junk", [Reply(" "), Reply.error("down"), Reply(outcome="filtered")])
def test_a_detoxifier_that_says_nothing_is_an_error_and_not_the_harmful_answer(
    defense: MLLMProtector, junk: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = replace(defense)
    monkeypatch.setitem(vars(fresh), "detector", lines(harmful(1.0)))
    monkeypatch.setitem(vars(fresh), "detoxifier", lines(junk, label="detoxifier"))
    (reply,) = fresh(lines("a drum")).reply([ASK])
    assert (reply.outcome, reply.text) == ("error", "")


def test_what_the_helpers_cost_is_counted_apart_from_the_victim(defense: MLLMProtector) -> None:
    always = replace(defense, threshold=0.0)
    (reply,) = always(lines("a drum")).reply([Ask(Chat.user("why ?"), Settings(3))])
    assert reply.cost.queries == 1
    assert set(reply.helpers) == {always.detector.key, always.detoxifier.key}
    assert all(cost.queries == 1 for cost in reply.helpers.values())


def test_threshold_one_lets_everything_through_and_zero_nothing(defense: MLLMProtector) -> None:
    victim = lines("a drum")
    asks = [Ask(Chat.user("why ?"), Settings(3))]
    (open_,) = replace(defense, threshold=1.0)(victim).reply(asks)
    (closed,) = replace(defense, threshold=0.0)(victim).reply(asks)
    assert (open_.text, open_.decisions[0].fired, closed.decisions[0].fired) == ("a drum", False, True)
    _, certain = stepped(replace(defense, threshold=1.0), Reply("a drum"), harmful(1.0))
    assert certain.text == "a drum"


def test_its_threshold_can_be_calibrated(defense: MLLMProtector) -> None:
    victim = lines(*(f"a kite {k}" for k in range(10)))
    found = calibrated(defense, victim, [Ask(Chat.user(f"why {k} ?"), Settings(3)) for k in range(10)], rate=0.2)
    assert (len(found.scores), found.errors) == (10, 0)
    assert found.alarms <= 2
    assert 0 < found.threshold < 1


def test_it_stacks_and_stays_closed_to_gradients(defense: MLLMProtector) -> None:
    victim = lines("a kite")
    (reply,) = Stack((SelfReminder("before", "behind"), replace(defense, threshold=1.0)))(victim).reply([ASK])
    assert (reply.text, victim.asked[0].chat.last_text) == ("a kite", "before\nwhy ?\nbehind")
    assert defense.opened(build("victims", "testbed-linear", device="cpu")) is None


# ---- training -----------------------------------------------------------------------------------------------------


def test_the_card_says_what_was_trained_from_what(root: Path, defense: MLLMProtector) -> None:
    card = json.loads((root / "trained" / "card.json").read_text())
    assert card["backbone"] == {"name": "hf", "weights": model(root / "lm").weights_hash}
    assert (card["rows"], card["detector"]["harmless"], card["detector"]["harmful"]) == (6, 6, 6)
    # 2 epochs of 6 rows, 4 a step
    assert (card["detector"]["steps"], card["detoxifier"]["steps"], card["left_out"]) == (3, 3, [])
    assert dict(defense.spent).keys() == {"seconds", "rows", "steps"}
    kept = sorted(path.name for path in (root / "trained").iterdir())
    assert kept == ["card.json", "cost.json", "detector", "detoxifier"]


def test_rows_that_teach_nothing_cost_themselves_and_stand_in_the_card(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = protector(root / "lm", data=(Rows(odd=True),), epochs=1)
    found = odd.fitted(model(root / "lm"), tmp_path / "fit")
    card = json.loads((tmp_path / "fit" / "card.json").read_text())
    left = {(each["id"], each["for"]): each["reason"] for each in card["left_out"]}
    assert left.keys() == {("bad", "both"), ("mute", "both"), ("long", "detector"), ("long", "detoxifier")}
    assert "line 9: no JSON" in left["bad", "both"]
    assert "rejected" in left["mute", "both"]
    assert "at most 80 tokens" in left["long", "detector"]
    assert "maximum context length of 256 tokens" in left["long", "detoxifier"]
    assert "4 times a row teaches nothing, the first is bad: line 9: no JSON" in caplog.text
    assert found.trained == tmp_path / "fit"


def test_the_same_training_makes_the_same_weights_and_another_seed_others(root: Path, tmp_path: Path) -> None:
    protector(root / "lm").fitted(model(root / "lm"), tmp_path / "again")
    protector(root / "lm", seed=1).fitted(model(root / "lm"), tmp_path / "other")
    for name in WEIGHTS:
        assert (tmp_path / "again" / name).read_bytes() == (root / "trained" / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (root / "trained" / name).read_bytes()
    for name in CONFIGS:
        assert (tmp_path / "again" / name).read_bytes() == (root / "trained" / name).read_bytes()
    same = replace(protector(root / "lm"), trained=tmp_path / "again")
    assert same.key == replace(same, trained=root / "trained").key != replace(same, trained=tmp_path / "other").key


@pytest.mark.parametrize("stop", range(1, 7))
def test_a_training_that_was_stopped_after_any_step_ends_in_the_same_weights(
    root: Path, tmp_path: Path, stop: int
) -> None:
    done = 0

    def watch(pace: Pace) -> None:
        nonlocal done
        done += 1
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watched_by(watch):
        protector(root / "lm").fitted(model(root / "lm"), tmp_path / "fit")
    assert not (tmp_path / "fit" / "card.json").exists()
    before, done = done, 100
    with watched_by(watch):
        protector(root / "lm").fitted(model(root / "lm"), tmp_path / "fit")
    assert done - 100 <= 6 - before + 1  # one step at most is made again
    for name in WEIGHTS:
        assert (tmp_path / "fit" / name).read_bytes() == (root / "trained" / name).read_bytes()


KILLED = """\
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from defenses.training.protectors import model, protector
root = Path(sys.argv[2])
protector(root / "lm").fitted(model(root / "lm"), Path(sys.argv[3]))
"""


def test_a_training_that_was_killed_ends_in_the_same_weights(root: Path, tmp_path: Path) -> None:
    tests = Path(__file__).parents[2]
    told = [sys.executable, "-c", KILLED, str(tests), str(root), str(tmp_path / "fit")]
    child = subprocess.Popen(told, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not (tmp_path / "fit" / "drafts" / "detoxifier.safetensors").exists() and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (tmp_path / "fit" / "detector").is_dir()
    protector(root / "lm").fitted(model(root / "lm"), tmp_path / "fit")
    for name in WEIGHTS:
        assert (tmp_path / "fit" / name).read_bytes() == (root / "trained" / name).read_bytes()


def test_a_loss_that_is_no_number_stops_and_names_step_and_rows(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"step [23]: .*rows r\d, r\d"):
        protector(root / "lm", rate=1e30, batch=2).fitted(model(root / "lm"), tmp_path / "fit")
    assert not (tmp_path / "fit" / "card.json").exists()


def test_a_finished_training_is_taken_as_it_is_and_another_one_needs_another_folder(root: Path) -> None:
    def never(pace: Pace) -> None:
        raise AssertionError("it trains again")

    with watched_by(never):
        found = protector(root / "lm", threshold=0.3, delivers="refusal").fitted(model(root / "lm"), root / "trained")
    assert (found.trained, found.fits_on) == (root / "trained", ())
    with pytest.raises(UsageError, match="holds another training than this one; name another folder"):
        protector(root / "lm", seed=5).fitted(model(root / "lm"), root / "trained")


def test_untrained_it_stands_before_nothing(root: Path) -> None:
    fresh = protector(root / "lm")
    assert fresh.fits_on == (Rows(),)
    assert dict(fresh.spent) == {}
    with pytest.raises(UsageError, match="has not learned"):
        fresh(lines("a kite"))


def test_what_was_trained_from_another_model_is_refused(root: Path, tmp_path: Path) -> None:
    from tiny_models import build as tiny

    tiny("lm", tmp_path / "other", seed=3)
    with pytest.raises(UsageError, match="trained from 'hf', and this is 'hf' with other weights"):
        protector(tmp_path / "other", trained=root / "trained")(lines("a kite"))


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_were_changed_or_are_gone_are_refused(root: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(root / "trained", tmp_path / "copy"))
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UsageError, match="its files were changed since they were trained"):
        protector(root / "lm", trained=copy)(lines("a kite"))
    shutil.rmtree((copy / name).parent)
    with pytest.raises(UsageError, match="cannot read"):
        protector(root / "lm", trained=copy)(lines("a kite"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"backbone": 1, "defense": 1, "training": 1}', "\x00"])
def test_a_card_that_cannot_be_read_says_so(root: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(UsageError, match=r"card\.json: cannot be read as the card of a finished training"):
        protector(root / "lm", trained=tmp_path)(lines("a kite"))


def test_data_with_one_kind_of_answers_is_refused(root: Path, tmp_path: Path) -> None:
    benign = build("datasets", "testbed", part="benign", n=1, craft_n=3)
    with pytest.raises(UsageError, match="expected harmless and harmful answers, found 3 harmless and 0 harmful ones"):
        protector(root / "lm", data=(benign,)).fitted(model(root / "lm"), tmp_path / "fit")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"rewrite": "{question}"}, "rewrite: expected {answer} in it once"),
        ({"refusals": ()}, "refusals: expected at least one"),
        ({"refusals": (" ",)}, "refusals: expected no empty text"),
        ({"threshold": math.nan}, "threshold"),
        ({"loss": "mean"}, "loss"),
        ({"window": 0}, "window"),
        ({"data": ("testbed",)}, "data"),
    ],
)
def test_fields_are_checked(root: Path, told: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        protector(root / "lm", **told)


def test_a_backbone_that_sees_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="backbone: expected a model of text alone, found 'testbed-linear'"):
        MLLMProtector(build("victims", "testbed-linear", device="cpu"))
