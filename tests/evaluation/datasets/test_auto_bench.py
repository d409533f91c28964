"""Data of Auto-Bench's type: options below the question, the answer as the one reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.layouts import draw, shown, told_in, write
from evaluation.datasets.makers_first import auto_bench
from proofglass.evaluation.datasets.auto_bench import AutoBench
from proofglass.types import BadSample, Sample


def test_options_stand_below_the_question_and_both_kinds_have_one_reference(tmp_path: Path) -> None:
    choice, free = AutoBench(**auto_bench(tmp_path))
    assert isinstance(choice, Sample)
    assert isinstance(free, Sample)
    assert choice.chat.last_text == "Whose letter is it?\n(A) the gardener\n(B) the müller"
    assert free.chat.last_text == "Whose letter is it?"
    assert choice.references == free.references == ("the gardener",)
    assert (choice.category, free.category) == ("privacy", "value")
    assert choice.chat.images == (shown(1),)
    assert choice.cluster == free.cluster == "auto-bench/a.png"
    assert choice.meta == {
        "rationale": "es steht über", "ability": "value", "options": ["the gardener", "the müller"],
    }  # fmt: skip
    assert choice.expected == "label"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "parquet"])
def test_any_table_will_do_and_pictures_may_lie_beside_it(tmp_path: Path, suffix: str) -> None:
    draw(tmp_path / "a.png", 1)
    row = {"image": "a.png", "question": "Whose letter is it?", "answer": "the müller's"}
    (sample,) = AutoBench(write(tmp_path / f"mine.{suffix}", [row]))
    assert isinstance(sample, Sample)
    assert sample.chat.images == (shown(1),)
    assert (sample.references, sample.category) == (("the müller's",), "")


def test_more_options_than_letters_or_no_answer_cost_their_row(tmp_path: Path) -> None:
    given = auto_bench(tmp_path)
    told = told_in(given["table"])
    told[0]["options"] = [str(k) for k in range(9)]
    told[1]["answer"] = None
    write(given["table"], told)
    many, none = AutoBench(**given)
    assert isinstance(many, BadSample)
    assert "options: expected at most 8, found 9" in many.reason
    assert isinstance(none, BadSample)
    assert "answer: expected a text, found None" in none.reason
