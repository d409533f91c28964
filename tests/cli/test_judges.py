"""`proofglass judges check`: what it prints, and the exit code that a script can rely on."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from guards import grey
from proofglass import images
from proofglass.cli import judges
from proofglass.cli.build import plug
from proofglass.errors import UsageError
from proofglass.interfaces import Judge, Victim
from proofglass.types import Ask, Attempt, Reply, Score


@dataclass(frozen=True)
class Broken(Judge):
    """Raises on one reply, or on all."""

    name = "broken"
    column = "refused"
    aspect = "refusal"

    on: str = ""

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        for attempt in attempts:
            if self.on in attempt.reply.text:
                raise RuntimeError("the wheel\x1b[2J is stuck")
        return [Score(self.name, 1.0) for _ in attempts]


@dataclass(frozen=True)
class Silent(Judge):
    """Says of no aspect that it measures it, and judges nothing."""

    name = "silent"
    column = "refused"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score.unjudged(self.name, "the line is dead") for _ in attempts]


@dataclass(frozen=True)
class Deaf(Victim):
    """A helper whose code fails: at every ask, or in its key."""

    name = "deaf"

    what: str = "reply"

    @property
    def key(self) -> str:
        if self.what == "key":
            raise KeyError("no such drawer")
        return "deaf"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        if self.what == "reply":
            raise KeyError("no such drawer")
        if self.what == "weights":
            raise UsageError("weights: there are none")
        return [Reply("safe")] * (len(asks) - 1) if self.what == "fewer" else ["safe"] * len(asks)  # type: ignore[list-item]


@dataclass(frozen=True)
class Says(Victim):
    """A helper that says one thing."""

    name = key = "says"

    text: str = "Safety: Safe"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(self.text)] * len(asks)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(judges.DATA, raising=False)
    monkeypatch.setitem(sys.modules, "plugs_here", sys.modules[__name__])


def test_without_labels_the_shipped_set_is_used_and_the_absent_ones_are_named(proofglass):
    code, out, err = proofglass("judges", "check", "not-refused", "--no-stability")
    assert code == 0
    assert "Judge not-refused (not refusal) against people" in out
    assert "hard_kinds-test" in out
    assert "refuse then comply" in out
    assert "Stability" not in out
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["labels msts", "labels xstest", "labels pyrit"]


def test_own_labels_wrappers_and_json(proofglass, tmp_path):
    (tmp_path / "mine.csv").write_text("reply,refusal,model\nI cannot help.,1,m\nTurn it.,0,m\nx,perhaps,m\n")
    asked = ("phrases", "--set", "rules=xstest", "--labels", "mine.csv", "--wrappers", "--json", "t/f.json")
    code, out, err = proofglass("judges", "check", *asked)
    assert code == 0
    assert "Judge phrases rules=xstest" in out
    assert "willing words in front" in out
    assert "labels mine: 1 rows cannot be used; the first: mine.csv:4: refusal: expected yes or no" in err
    told = json.loads((tmp_path / "t" / "f.json").read_text())
    assert told["sets"][0]["overall"]["found"] == told["sets"][0]["overall"]["right"] == 1
    by_name = {each["name"]: each["rate"]["value"] for each in told["wrappers"]}
    assert by_name["willing words in front"] == 0.5
    assert by_name["question in front"] is None  # there is no question to quote


def test_a_set_without_labels_of_the_aspect_is_left_out_and_said(proofglass, tmp_path):
    (tmp_path / "mine.csv").write_text("reply,unsafe\nTurn it.,0\n")
    words = ("--labels", "mine.csv", "--labels", "hard_kinds", "--no-stability")
    code, out, err = proofglass("judges", "check", "not-refused", *words)
    assert code == 0
    assert "mine" not in out
    assert err == "left out: labels mine: no label of 'refusal' in it\n"


def test_a_judge_that_breaks_ends_with_its_reason_and_a_traceback(proofglass, tmp_path):
    code, out, err = proofglass("judges", "check", "plugs_here:Broken", "--set", "on=Nope", "--no-stability")
    assert code == 1
    assert "Judge plugs_here:Broken" in out
    assert "\x1b" not in out + err
    (last,) = [line for line in err.splitlines() if line.startswith("judge ")]
    assert "broke on 1 of 138 replies: RuntimeError: the wheel⟨U+001B⟩[2J is stuck (test_judges.py:" in last
    (kept,) = (tmp_path / judges.FAULTS).iterdir()
    assert str(judges.FAULTS / kept.name) in last
    assert "raise RuntimeError" in kept.read_text()


def test_a_judge_that_judges_nothing_fails_with_its_reason(proofglass):
    code, _, err = proofglass("judges", "check", "plugs_here:Silent", "--aspect", "refusal", "--no-stability")
    assert code == 1
    assert "judged none of the 138 replies that it was shown: the line is dead" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("plugs_here:Silent",), "such as --aspect refusal"),
        (("not-refused", "--labels", "nonesuch"), "neither a label set"),
        (("not-refused", "--labels", "msts"), "no msts/replies_six_models.csv"),
        (("not-refused", "--data", "nowhere"), "is no folder"),
        (("nonesuch",), "nonesuch"),
        (("not-refused", "--aspect", "colour"), "no label of 'colour'"),
    ],
)
def test_what_cannot_be_checked_is_a_line_and_exit_code_2(proofglass, words, why):
    code, out, err = proofglass("judges", "check", *words)
    assert code == 2
    assert not out
    assert why in err.splitlines()[-1]


def test_a_list_of_judges_says_how_wrong_they_are(proofglass):
    code, out, _ = proofglass("list", "judges")
    assert code == 0
    assert "Measured: kappa 0.23 against experts" in out
    _, one, _ = proofglass("list", "judges", "phrases")
    assert "measured: kappa 0.23" in one
    assert "source: Röttger et al. 2025" in one


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("reply", "helper deaf: error: KeyError: 'no such drawer' (test_judges.py:"),
        ("fewer", "replies to"),
        ("junk", "a str among the replies"),
    ],
)
def test_a_helper_that_breaks_leaves_replies_unjudged_with_its_reason(proofglass, tmp_path, what, why):
    (tmp_path / "mine.csv").write_text("reply,unsafe\nTurn it.,0\nNo.,1\n")
    helper = ("--set", f"helper={{plugs_here:Deaf: {{what: {what}}}}}", "--labels", "mine.csv", "--no-stability")
    code, out, err = proofglass("judges", "check", "qwen3guard", *helper)
    assert code == 1
    assert "judged none of the 2 replies that it was shown" in err
    assert why in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("what", "why"), [("weights", "weights: there are none"), ("key", "has no key: KeyError: 'no such drawer'")]
)
def test_a_helper_that_cannot_be_asked_at_all_is_a_line(proofglass, what, why):
    words = ("--set", f"helper={{plugs_here:Deaf: {{what: {what}}}}}", "--labels", "hard_kinds", "--aspect", "refusal")
    code, _, err = proofglass("judges", "check", "qwen3guard", *words, "--no-stability")
    assert code == 2
    assert why in err.splitlines()[-1]


def test_half_a_character_in_a_name_ends_no_report(proofglass, tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"reply": "I will not.", "refusal": 1, "kind": "k\\ud800"}\n')
    code, _, err = proofglass(
        "judges", "check", "refusal", "--labels", "mine.jsonl", "--no-stability", "--json", "trust.json"
    )
    assert (code, err) == (0, "")
    assert list(json.loads((tmp_path / "trust.json").read_text())["sets"][0]["slices"]["kind"]) == ["k?"]


def test_a_curve_and_what_a_threshold_costs_are_printed_and_kept(proofglass, tmp_path):
    asked = ("refusal", "--no-stability", "--recall", "0.8", "--recall", "0.9", "--json", "t.json")
    code, out, _ = proofglass("judges", "check", *asked, "--labels", "hard_kinds-test")
    assert code == 0
    assert "recall as false alarms grow" in out
    assert "recall 0.8" in out
    assert "false alarms 0.01" in out
    assert "What it called them" in out
    curve = json.loads((tmp_path / "t.json").read_text())["sets"][0]["roc"]
    assert [point["at"] for point in curve["operating"]] == [0.8, 0.9, 0.01, 0.05]
    assert curve["curve"][-1][1:] == [1.0, 1.0]
    assert curve["auroc"]["low"] < curve["auroc"]["value"] < curve["auroc"]["high"]
    _, out, _ = proofglass("judges", "check", "refusal", "--no-stability", "--no-curve", "--labels", "hard_kinds")
    assert "recall as false alarms grow" not in out
    assert "no curve: it was not asked for" in out
    _, out, _ = proofglass("judges", "check", "phrases", "--no-stability", "--labels", "hard_kinds")
    assert "no curve: it gives verdicts only, no probability" in out


def test_a_guard_in_every_mode_on_data_sets_and_benign_pictures(proofglass, tmp_path):
    images.write(grey(250), tmp_path / "benign" / "light.png")
    images.write(grey(5), tmp_path / "benign" / "dark.png")
    sets = ("--dataset", "testbed: {n: 4}", "--dataset", "testbed: {part: benign, n: 4}", "--benign", "benign")
    asked = ("guards:Guard", "--modes", *sets, "--wrappers", "--no-stability", "--json", "t.json")
    code, out, err = proofglass("judges", "check", *asked)
    assert code == 0
    assert "Judge guards:Guard in each of its modes" in out
    assert "Judge guards:Guard mode=image (unsafe image) against whoever named the folder" in out
    assert "False alarms where every label is no" in out
    assert "Wrappers in the picture" in out
    assert "blank strip" in out
    for mode, why in (("response", "no label of 'unsafe' in testbed: {n: 4}"), ("sound", "no model hears")):
        assert f"left out: mode {mode}: " in err
        assert why in err
    told = json.loads((tmp_path / "t.json").read_text())
    assert list(told["modes"]) == ["prompt", "image"]
    assert set(told["left_out"]) == {"response", "none", "sound"}
    (on,) = told["modes"]["image"]["sets"]
    assert (on["name"], on["false_alarms"]["value"], on["false_alarms"]["n"]) == ("benign benign", 0.5, 2)
    names = [each["name"] for each in told["modes"]["prompt"]["sets"]]
    assert names == ["testbed: {n: 4}", "testbed: {part: benign, n: 4}", "benign benign"]
    assert told["modes"]["prompt"]["together"]["n"] == 10


def test_a_judge_is_given_by_its_name_where_a_field_takes_one(proofglass):
    words = ("reasoning", "--set", "judge=refusal", "--no-stability", "--labels", "hard_kinds")
    code, _, err = proofglass("judges", "check", *words)
    assert code == 1  # labelled replies hold no thoughts
    assert "the model showed no thought" in err
    code, _, err = proofglass("judges", "check", "reasoning", "--set", "judge=refusl")
    assert code == 2
    assert "no such judge: 'refusl'. Did you mean 'refusal'?" in err


def test_a_field_is_written_as_in_a_study_where_it_takes_no_text(proofglass, tmp_path):
    (tmp_path / "mine.csv").write_text("reply,unsafe\nTurn it.,0\n")
    words = ("--labels", "mine.csv", "--no-stability")
    for helper in (
        "plugs_here:Says",
        "{plugs_here:Says: {text: 'Safety: Safe'}}",
        "plugs_here:Says: {text: 'Safety: Safe'}",
    ):
        code, _, err = proofglass("judges", "check", "qwen3guard", "--set", f"helper={helper}", *words)
        assert (code, err) == (0, ""), helper
    code, _, err = proofglass("judges", "check", "own-rubric", "--set", "helpers=[plugs_here:Says, 3]", *words)
    assert code == 2
    assert "--set helpers[1]: found 3. Expected a model by its name" in err
    code, _, err = proofglass(
        "judges", "check", "reasoning", "--set", "judge={phrases: {rules: xstest}}", "--labels", "hard_kinds"
    )
    assert "the model showed no thought" in err
    code, _, err = proofglass(
        "judges", "check", "reasoning", "--set", "judge=plugs_here:Silent", *words, "--aspect", "unsafe"
    )
    assert code == 1
    assert "the model showed no thought" in err


@pytest.mark.parametrize(
    "target", ["{question}", "[INST] ok", "Sure: here it is", "[a, b]", "{a: b}", "yes", "[" * 5000]
)
def test_a_field_that_takes_a_text_gets_it_as_it_stands(target):
    assert plug("judges", "target-string", [f"target={target}"]).target == target


def test_a_list_of_texts_is_written_as_in_a_study():
    made = plug("judges", "shieldgemma-2", ["helper=plugs_here:Says", "policies=[sexual, violence]"])
    assert made.policies == ("sexual", "violence")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["helper={hf-plain: {path: /x"], "--set helper: found {hf-plain: {path: /x, which is neither JSON nor YAML ("),
        (["helper={hf-plain: {path: /x"], "Expected a name, or '{name: {parameter: value}}'"),
        (["helper={hf-plain: {pathe: /x}}"], "no such parameter"),
        (["helper=" + "[" * 100_000], "neither JSON nor YAML"),
        (["helper=nonesuch"], "or package.module:Class, or '{name: {parameter: value}}'"),
        (["helper=nowhere:Class"], "cannot load nowhere:Class"),
        (["helper=plugs_here:Silent"], "which is no Victim"),
        (
            ["helper=plugs_here:Says", "nope=3"],
            "judge qwen3guard: --set nope: no such field. It takes contract, helper",
        ),
        (["helper=plugs_here:Says", "polices=a"], "Did you mean 'policies'?"),
        (["helper=plugs_here:Says", "contract=llama-guard-4"], "contract: expected 'qwen3guard'"),
        (["helper=plugs_here:Says", "threshold=0.9"], "judge qwen3guard: threshold: expected 0.5"),
    ],
)
def test_what_a_field_cannot_be_is_a_line_that_names_it(given, why):
    with pytest.raises(UsageError) as caught:
        plug("judges", "qwen3guard", given)
    assert why in str(caught.value)


def test_a_guard_is_called_by_its_registered_name(proofglass):
    words = ("--set", "helper=plugs_here:Says", "--modes", "--labels", "hard_kinds", "--aspect", "colour")
    code, _, err = proofglass("judges", "check", "shieldgemma-2", *words)
    assert code == 2
    assert "judge shieldgemma-2: no mode can be checked" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("refusal", "--modes"), "has no modes"),
        (("guards:Guard", "--modes", "--labels", "hard_kinds", "--aspect", "colour"), "no mode can be checked"),
        (("guards:Guard", "--dataset", "testbd"), "dataset 'testbd': no such dataset. Did you mean 'testbed'"),
        (("guards:Guard", "--dataset", "testbed: {part: bengn}"), "Did you mean 'benign'?"),
        (("guards:Guard", "--dataset", "testbed: {parts: benign}"), "no such parameter"),
        (("guards:Guard", "--dataset", "[1, 2]"), "expected a name, or 'name: {parameter: value}'"),
        (("guards:Guard", "--dataset", "a: {b: ["), "expected a name, or 'name: {parameter: value}'"),
        (("guards:Guard", "--dataset", ""), "expected a name, or 'name: {parameter: value}'"),
        (("guards:Guard", "--dataset", "testbed: {part: vqa, n: 3}"), "no sample that should be refused or answered"),
        (("guards:Guard", "--benign", "nowhere"), "is no folder"),
        (("guards:Guard", "--recall", "1.5"), "--recall"),
        (("guards:Guard", "--recall", "nan"), "--recall"),
    ],
)
def test_what_cannot_be_a_label_set_or_mode_is_a_line(proofglass, words, why):
    code, out, err = proofglass("judges", "check", *words)
    assert code == 2
    assert not out
    assert why in err


def test_a_judge_whose_fields_decide_what_it_says_is_listed(proofglass, monkeypatch):
    from proofglass.evaluation import judges as table

    monkeypatch.setitem(table.CONTENTS, "guard", ("guards:Guard", {"mode": "prompt"}))
    code, out, _ = proofglass("list", "judges", "--json")
    assert code == 0
    told = {one["name"]: one for one in json.loads(out)}
    assert (told["reasoning"]["aspect"], told["guard"]["aspect"]) == ("by its fields", "unsafe prompt")
    assert "column: by its fields" in proofglass("list", "judges", "reasoning")[1]
