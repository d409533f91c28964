"""A rubric in a file of one's own: what it becomes, and every way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from judge_models import JudgeModel, attempt, obedient, shown
from proofglass.errors import UsageError
from proofglass.registry import build

POLITE = """\
name: polite
column: polite to the user
says: good
task: You see the reply of a shop assistant.
question: How polite is it?
labels: {polite: 1, curt: 0.5, rude: 0}
"""
CLASSIFIER = """\
name: kites
labels: {"yes": 1, "no": 0}
prompt: |
  Question: {question}
  Reply: {reply}
  Is it about kites?
"""


@pytest.fixture
def own(tmp_path: Path):
    def make(text: str, answer=None, **fields):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return build(
            "judges",
            "own-rubric",
            rubric=str(path),
            helpers=(JudgeModel(answer or obedient(verdict="curt")),),
            **fields,
        )

    return make


def test_labels_are_options_and_count_as_they_say(own) -> None:
    judge = own(POLITE)
    assert (judge.name, judge.column, judge.says, judge.aspect) == ("polite", "polite to the user", "good", "")
    (score,) = judge.score([attempt("Take it or leave it.")])
    assert (score.value, score.label) == (0.5, "curt")
    text = judge.helpers[0].asked[0].chat.last_text
    assert text.startswith("You see the reply of a shop assistant.")
    assert 'one of "polite", "curt", "rude": How polite is it?' in text
    assert text.index('"reasons"') < text.index('"verdict"')


def test_reasons_may_be_left_out_and_a_reference_shown(own) -> None:
    judge = own(POLITE + "reasons: false\nshows: [reference, reply]\naspect: unsafe\n")
    assert judge.aspect == "unsafe"
    assert judge.score([attempt()])[0].reason == "the sample has no reference"
    assert judge.score([attempt(references=("Good day!",))])[0].value == 0.5
    text = judge.helpers[0].asked[0].chat.last_text
    assert "reasons" not in text
    assert "QUESTION" not in text
    assert shown(text, "REFERENCE ANSWER") == "Good day!"


def test_a_classifier_gets_its_exact_prompt_filled_in_once(own) -> None:
    judge = own(CLASSIFIER, lambda text: "Yes")
    (score,) = judge.score([attempt("a {question} in braces {reply}", question="why {reply} ?")])
    assert (score.value, score.label) == (1.0, "yes")
    assert judge.helpers[0].asked[0].chat.last_text == (
        "Question: why {reply} ?\nReply: a {question} in braces {reply}\nIs it about kites?\n"
    )
    assert judge.graded() is not None
    with pytest.raises(ValueError, match="orders: rubric kites lists no options"):
        own(CLASSIFIER, orders=True)


def test_probabilities_are_those_of_the_label_that_counts_1(own) -> None:
    from proofglass.types import Reply

    turned = CLASSIFIER.replace('"yes": 1, "no": 0', '"no": 0, "yes": 1').replace("kites?", "kites or drums?")
    judge = own(turned, lambda text: Reply("no", choices={"yes": 0.2, "no": 0.6}), probabilities=True)
    (score,) = judge.score([attempt()])
    assert (score.value, score.label) == (pytest.approx(0.25), "probability")


def test_two_files_are_two_judges_and_an_edit_is_another(own) -> None:
    keys = {
        own(text).key for text in (POLITE, POLITE.replace("0.5", "0.4"), POLITE.replace("shop", "bank"), CLASSIFIER)
    }
    assert len(keys) == 4
    judge = own(POLITE)
    before = judge.key
    assert judge.score([attempt()])[0].value == 0.5
    Path(judge.rubric).write_text(POLITE.replace("curt: 0.5", "curt: 0.25"))
    assert judge.key != before
    assert judge.score([attempt()])[0].value == 0.25


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expected fields"),
        ("- a\n", "expected fields .*found list"),
        ("name: [", "not YAML"),
        ("x: !!python/object/apply:os.getcwd []\n", "not YAML"),
        (POLITE + "lables: {a: 1}\n", "lables: no such field"),
        (POLITE.replace("name: polite\n", ""), "name: is missing"),
        (POLITE.replace("name: polite", "name: 3"), "name: expected a text, found 3"),
        (POLITE.replace("name: polite", "name: ' '"), "name: expected a text, found ' '"),
        (POLITE.replace("task: You see the reply of a shop assistant.\n", ""), "task: is missing"),
        (POLITE.replace("question: How polite is it?\n", ""), "question: is missing"),
        (POLITE.replace("says: good", "says: fine"), "says: expected done, refused, bad, good, found 'fine'"),
        (POLITE.replace("{polite: 1, curt: 0.5, rude: 0}", "{polite: 1}"), "labels: expected at least two"),
        (POLITE.replace("{polite: 1, curt: 0.5, rude: 0}", "[polite, rude]"), "labels: expected at least two"),
        (POLITE.replace("{polite: 1, curt: 0.5, rude: 0}", "{yes: 1, no: 0}"), "found True; write it in quotes"),
        (POLITE.replace("curt: 0.5", "curt: 1.5"), "labels.curt: expected a number from 0 to 1, found 1.5"),
        (POLITE.replace("curt: 0.5", "curt: .nan"), "labels.curt: expected a number from 0 to 1, found nan"),
        (POLITE.replace("curt: 0.5", "curt: true"), "labels.curt: expected a number"),
        (POLITE.replace("curt: 0.5", "Polite: 0.5"), "labels: two differ in case alone"),
        (POLITE + "shows: [picture]\n", "shows: expected a list of question, reply, reference"),
        (POLITE + "shows: [question]\n", "shows: expected a list"),
        (POLITE + "shows: [[reply]]\n", "shows: expected a list"),
        (POLITE + "reasons: never\n", "reasons: expected true or false, found 'never'"),
        (POLITE + "prompt: '{reply}'\n", "task: stands beside prompt"),
        (CLASSIFIER.replace("{reply}", "reply"), "prompt: expected {reply} in it"),
    ],
)
def test_a_file_that_is_no_rubric_says_where_and_why(own, text: str, error: str) -> None:
    with pytest.raises(
        UsageError, match=f"(?s)mine.yaml: .*{error}".replace("{reply}", r"\{reply\}").replace("[[", r"\[\[")
    ):
        own(text)


@pytest.mark.parametrize("name", ["nowhere.yaml", "~nobody/x.yml"])
def test_a_file_that_is_not_there_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        build("judges", "own-rubric", rubric=name, helpers=(JudgeModel(obedient()),))


def test_bytes_that_are_no_text_are_no_rubric(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        build("judges", "own-rubric", rubric=str(tmp_path / "x.yaml"), helpers=(JudgeModel(obedient()),))
