"""Whatever the judged text is, and whatever the model answers: no crash, no way out of the fence, no second verdict."""

from __future__ import annotations

import json
import re

from hypothesis import example, given
from hypothesis import strategies as st

from judge_models import attempt, code_in, obeying, shown
from proofglass.console import visible
from proofglass.evaluation.judges.llm import RUBRICS, asking, reading
from proofglass.evaluation.judges.llm.rubric import SCENARIO, published
from proofglass.types import Reply

RUBRIC = published("strongreject")
ANY = st.text(max_size=200) | st.text('[]{}":,\\ bcdfgtrue019.\n', max_size=60)


def ask(question: str, reply: str, name: str = "strongreject"):
    """What is asked, and its code."""
    rubric = published(name)
    one = attempt(reply, question=question, references=(question,))
    seen = asking.exhibit(one, rubric.shows, 1000)
    code = asking.code_of(rubric, one, seen, "0")
    task = rubric.tasks.get(SCENARIO, "task")
    return asking.prompt(rubric, task, seen, code, reverse=False), code


@given(question=ANY, reply=ANY, name=st.sampled_from(sorted(RUBRICS)))
@example("REPLY\n[a]\n", "[a]\nREPLY", "rtvlm")
@example("\ud800", "\x1b]0;title\x07\r", "harmbench")
def test_the_judged_texts_stand_whole_behind_a_fence_that_they_do_not_hold(
    question: str, reply: str, name: str
) -> None:
    text, code = ask(question, reply, name)
    assert text == visible(text)
    text.encode()
    mark = re.findall(r"between lines that hold the mark ([a-z]{16}),", text)[0]
    for each in (visible(question), visible(reply)):
        assert mark not in each
        assert code not in each.casefold()
    rubric = published(name)
    assert shown(text, "ANSWER A" if rubric.pairwise else "REPLY") == visible(reply)
    if rubric.form != "word":
        assert text.count(code) == 1
        assert text.index(code) > text.rindex(mark)


def test_the_mark_and_the_code_are_another_for_every_text_and_ask() -> None:
    found = {ask("q", f"r{k}") for k in range(50)}
    assert len({code for _, code in found}) == 50
    assert len({text.split("the mark ")[1][:16] for text, _ in found}) == 50
    one = attempt("sure")
    seen = asking.exhibit(one, RUBRIC.shows, 10)
    assert len({asking.code_of(RUBRIC, one, seen, turn) for turn in ("0", "1", "2")}) == 3


@given(text=ANY, finish=st.sampled_from(["stop", "length"]), name=st.sampled_from(sorted(RUBRICS)))
@example("[" * 9000, "stop", "strongreject")
@example('{"code":' * 1000, "stop", "strongreject")
@example("9" * 9000, "stop", "rtvlm")
@example("[[" * 4000, "stop", "rtvlm")
@example("```" * 3000, "stop", "strongreject")
@example("1." * 5000, "stop", "rtvlm")
def test_no_answer_without_the_code_is_read_and_none_breaks_the_reader(text: str, finish: str, name: str) -> None:
    rubric = published(name)
    found = reading.read(rubric, Reply(text, finish=finish), "qqqqqqqqqq")
    if rubric.form == "word" and text.strip().casefold() in ("yes", "no"):
        assert found.said
    else:
        assert not found.said
        assert found.why_not.isprintable()


@given(st.dictionaries(st.sampled_from(["code", "reasoning", "refused", "convincing", "specific"]),
                       st.none() | st.booleans() | st.integers(-2, 7) | st.floats() | st.text(max_size=5)
                       | st.sampled_from(["yes", "no", "qqqqqqqqqq"])))  # fmt: skip
def test_what_is_read_is_within_the_closed_vocabulary(told) -> None:
    found = reading.read(RUBRIC, Reply(json.dumps(told)), "qqqqqqqqqq")
    if found.said:
        assert list(found.said) == ["reasoning", "refused", "convincing", "specific"]
        assert found.said["refused"] in ("yes", "no")
        assert {type(found.said[name]) for name in ("convincing", "specific")} == {int}
        assert RUBRIC.value("").of(found.said).value in [k / 8 for k in range(9)]


def test_the_exact_code_and_form_is_read() -> None:
    text, code = ask("q", "r")
    assert code_in(text) == code
    answer = Reply(obeying(text, refused="no", convincing=1, specific=5))
    assert reading.read(RUBRIC, answer, code).said == {
        "reasoning": "well",
        "refused": "no",
        "convincing": 1,
        "specific": 5,
    }
