"""Guards as subjects: prompts and pictures, three levels, probabilities, modes, and text in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from guards import Guard, grey
from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.judges.phrases import Phrases
from proofglass.evaluation.judges.refusal import NotRefused, Refusal
from proofglass.evaluation.judges.unsafe import Unsafe
from proofglass.evaluation.labels import LabelledReply, LabelSet, hard_kinds
from proofglass.evaluation.picture_wrappers import PICTURE_WRAPPERS
from proofglass.evaluation.trust.check import check
from proofglass.evaluation.trust.modes import in_every_mode, modes_of
from proofglass.types import Score


def row(k, prompt="?", reply="", images=(), **truth):
    told = {name.replace("_", " "): float(value) for name, value in truth.items()}
    return LabelledReply(f"r{k}", "toy", "m", f"q{k // 2}", "", prompt, reply, "", told, images=images)


REPLIES = LabelSet(
    "replies",
    tuple(
        row(k, reply=f"{word} thing {k}", unsafe=yes)
        for k, (word, yes) in enumerate([("bad", 1), ("odd", 1), ("odd", 0), ("good", 0)] * 5)
    ),
)
PROMPTS = LabelSet(
    "prompts", tuple(row(k, prompt=f"{'bad' if k % 2 else 'good'} {k}?", unsafe_prompt=k % 2) for k in range(20))
)
PICTURES = LabelSet(
    "pictures",
    tuple(
        LabelledReply(
            f"p{k}",
            "toy",
            "",
            f"p{k}",
            "",
            "",
            "",
            "",
            {"unsafe image": float(k % 2)},
            images=(grey(200 * (1 - k % 2) + k),),
        )
        for k in range(12)
    ),
)


def test_a_third_level_is_seen_beside_what_it_counts_as():
    (on,) = check(Guard(), [REPLIES], stability=False).sets
    assert {(one.label, one.verdict, one.yes, one.no) for one in on.called} == {
        ("unsafe", True, 5, 0),
        ("controversial", True, 5, 5),
        ("safe", False, 0, 5),
    }
    assert (on.overall.wrong, on.false_alarms.value, on.false_alarms.n) == (5, 0.5, 10)
    (lenient,) = check(Guard(strict=False), [REPLIES], stability=False).sets
    assert {(one.label, one.verdict) for one in lenient.called} == {
        ("unsafe", True),
        ("controversial", False),
        ("safe", False),
    }
    assert lenient.false_alarms.value == 0.0


def test_its_curve_is_that_of_its_probability_whatever_its_verdict():
    strict, lenient = (check(Guard(strict=each), [REPLIES], stability=False).sets[0].roc for each in (True, False))
    assert strict == lenient
    # bad (5 yes) > odd (5 yes, 5 no: half) > good (5 no): (5 * 10 + 5 * 5 + 5 * 5 / 2) / 100
    assert strict.auroc.value == 0.875
    assert [point.held for point in strict.operating] == ["recall", "false alarms", "false alarms"]


def test_one_curve_over_sets_of_one_class_each():
    yes, no = (
        LabelSet(name, tuple(r for r in PROMPTS.replies if r.truth["unsafe prompt"] == label))
        for name, label in (("asked", 1), ("harmless", 0))
    )
    found = check(Guard(mode="prompt"), [yes, no], stability=False)
    assert all("every label" in each.roc.reason for each in found.sets)
    assert found.together.auroc.value == 1.0
    assert check(Guard(mode="prompt"), [PROMPTS], stability=False).together is None


def test_a_judge_without_a_probability_says_so_and_none_is_asked_where_none_is_wanted():
    found = check(Phrases(), [hard_kinds.read("test")], stability=False)
    assert (found.sets[0].roc, found.no_curve) == (None, "it gives verdicts only, no probability")
    found = check(Refusal(), [hard_kinds.read("test")], stability=False, curve=False)
    assert (found.sets[0].roc, found.no_curve) == (None, "it was not asked for")


def test_a_graded_judge_that_breaks_is_at_fault():
    @dataclass(frozen=True)
    class Breaks(Guard):
        def _score(self, chance):
            if self.probability:
                raise RuntimeError("no scale")
            return super()._score(chance)

    found = check(Breaks(), [REPLIES], stability=False)
    assert found.sets[0].roc.reason == "no row has a probability"
    assert found.fault.startswith("broke on 20 of 40 replies: RuntimeError: no scale")


@pytest.mark.parametrize("judge", [Refusal(), NotRefused(), Unsafe()])
def test_learned_judges_give_probabilities_that_agree_with_their_verdicts(judge):
    from proofglass.evaluation.trust.panel import attempt_of

    attempts = [attempt_of(each) for each in hard_kinds.read("test").replies]
    verdicts, chances = judge.score(attempts), judge.graded().score(attempts)
    both = [(v, c) for v, c in zip(verdicts, chances, strict=True) if v.value is not None]
    assert len(both) > 15
    assert all((c.value >= 0.5) == (v.value == 1) for v, c in both)
    assert all(0 < c.value < 1 and c.label == "probability" for _, c in both)
    unread = [(v, c) for v, c in zip(verdicts, chances, strict=True) if c.value is None]
    assert all(v.value is None and v.reason == c.reason for v, c in unread)
    unsure = [c.value for v, c in zip(verdicts, chances, strict=True) if v.value is None and c.value is not None]
    assert all(0.48 < value < 0.52 for value in unsure)
    assert judge.graded().key != judge.key
    assert judge.graded().aspect == judge.aspect


def test_the_complement_has_the_complement_of_the_probability_and_the_same_curve():
    labels = [hard_kinds.read("test")]
    one, other = (check(each, labels, stability=False).sets[0].roc for each in (Refusal(), NotRefused()))
    assert one.auroc.value == pytest.approx(other.auroc.value)
    assert one.unjudged == other.unjudged


def test_only_judges_with_a_probability_can_be_graded():
    from proofglass.evaluation.judges.learned.graded import Graded

    with pytest.raises(ValueError, match="judge: expected one with a probability"):
        Graded(Phrases())


def test_a_verdict_on_prompts_is_tried_with_other_prompts_and_one_on_pictures_with_none():
    seen = []

    @dataclass(frozen=True)
    class Watches(Guard):
        def _one(self, attempt):
            seen.append((attempt.conversation.last_text, attempt.reply.text))
            return super()._one(attempt)

    found = check(Watches(mode="prompt"), [PROMPTS], wrappers=True)
    assert found.sets[0].overall.accuracy.value == 1.0
    by_name = {each.name: each for each in found.wrappers}
    assert by_name["disavowal in front"].rate.n > 0
    assert by_name["question in front"].rate.n == 0  # a prompt has no question before it
    assert any(text.startswith("I do not endorse any of this.") for text, _ in seen)
    assert {reply for _, reply in seen} == {""}
    assert found.no_pictures == "no labelled row has a picture: text in one was not tried"
    of_pictures = check(Guard(mode="image"), [PICTURES], wrappers=True)
    assert of_pictures.wrappers == ()
    assert of_pictures.no_wrappers.startswith("its verdict is about pictures")
    assert [each.name for each in of_pictures.stability] == ["again", "in another order", "7 at a time"]


def test_text_in_the_picture_that_steers_a_judge_is_found_with_its_controls():
    pictured = LabelSet("pictured", tuple(row(k, reply="bad", images=(grey(k),), unsafe=1) for k in range(20)))
    found = check(Guard(), [pictured], wrappers=True, stability=False)
    by_name = {each.name: each for each in found.pictures}
    assert list(by_name) == [wrapper.name for wrapper in PICTURE_WRAPPERS]
    for wrapper in PICTURE_WRAPPERS:
        flips = by_name[wrapper.name]
        assert flips.family == "in the picture"
        assert flips.rate.n == 20 * min(wrapper.ways, 10) >= 60
        assert (flips.to_yes, flips.lost) == (0, 0)
        assert flips.rate.value > 0.3  # strips change the height; a corner does not
    steady = check(Guard(gullible=False), [pictured], wrappers=True, stability=False)
    assert all(each.rate.value == 0 for each in steady.pictures)
    assert steady.no_pictures == ""


def test_a_judge_that_sees_no_pictures_is_shown_no_text_in_them():
    pictured = LabelSet("pictured", (row(0, reply="I cannot help.", images=(grey(9),), refusal=1),))
    found = check(Refusal(), [pictured], wrappers=True, stability=False)
    assert found.pictures == ()
    assert "sees_pictures" in found.no_pictures


def test_every_mode_is_measured_against_what_it_says_there():
    found, left_out = in_every_mode(Guard(), lambda judge: check(judge, [REPLIES, PROMPTS, PICTURES], stability=False))
    assert {mode: (trust.aspect, [each.name for each in trust.sets]) for mode, trust in found.items()} == {
        "response": ("unsafe", ["replies"]),
        "prompt": ("unsafe prompt", ["prompts"]),
        "image": ("unsafe image", ["pictures"]),
    }
    assert found["image"].sets[0].overall.accuracy.value == 1.0
    assert left_out.keys() == {"none", "sound"}
    assert "says of no aspect" in left_out["none"]
    assert left_out["sound"] == "mode: no model hears"


def test_a_judge_without_modes_or_without_one_that_can_be_checked_says_so():
    with pytest.raises(UsageError, match="has no modes"):
        modes_of(Refusal())
    with pytest.raises(UsageError, match="no mode can be checked: response: no label of 'unsafe' in prompts"):
        in_every_mode(Guard(), lambda judge: check(judge, [LabelSet("prompts", (row(0, refusal=1),))]))


def test_two_sets_of_one_name_stay_two():
    one = LabelSet("mine", (row(0, reply="bad", unsafe=1), row(2, reply="good", unsafe=0)))
    other = LabelSet("mine", (row(0, reply="good", unsafe=1),))
    found = check(Guard(), [one, other], stability=False)
    assert [each.overall.n for each in found.sets] == [2, 1]
    assert [each.overall.accuracy.value for each in found.sets] == [1.0, 0.0]


def test_a_label_that_counts_as_several_is_mixed():
    @dataclass(frozen=True)
    class Blank(Guard):
        def _score(self, chance):
            return Score(self.name, float(chance > 0.5))

    (on,) = check(Blank(), [REPLIES], stability=False, curve=False).sets
    assert [(one.label, one.verdict) for one in on.called] == [("", "mixed")]


def test_graded_that_breaks_or_gives_junk_costs_the_curve_only():
    @dataclass(frozen=True)
    class Breaks(Guard):
        def graded(self):
            raise RuntimeError("no scale")

    @dataclass(frozen=True)
    class Junk(Guard):
        def graded(self):
            return 0.7

    for judge, why in ((Breaks(), "its graded() broke: RuntimeError: no scale"), (Junk(), "returned a float")):
        found = check(judge, [REPLIES], stability=False)
        assert why in found.no_curve
        assert (found.fault, found.sets[0].overall.n) == ("", 20)


def test_a_picture_that_is_gone_costs_its_own_pairs(tmp_path):
    images.write(grey(9), tmp_path / "a.png")
    images.write(grey(8), tmp_path / "b.png")
    gone, stays = (images.read(tmp_path / name) for name in ("a.png", "b.png"))
    (tmp_path / "a.png").unlink()

    @dataclass(frozen=True)
    class Looks(Guard):
        def _one(self, attempt):
            return self._score(0.9)

    rows = tuple(row(2 * k, reply="bad", images=(each,), unsafe=1) for k, each in enumerate((gone, stays)))
    found = check(Looks(), [LabelSet("pictured", rows)], wrappers=True, stability=False)
    assert all((each.lost, each.rate.value) == (each.rate.n, 0.0) for each in found.pictures)
