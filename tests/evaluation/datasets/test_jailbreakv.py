"""JailBreakV-28K: wrapped and plain questions, formats, policies left out, pictures still to be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.datasets.layouts import shown, told_in, write
from evaluation.datasets.makers_first import jailbreakv
from proofglass.errors import UsageError
from proofglass.evaluation.datasets.jailbreakv import JailBreakV
from proofglass.types import BadSample, Sample


@pytest.fixture
def root(tmp_path: Path) -> Path:
    jailbreakv(tmp_path)
    return tmp_path


def test_the_wrapping_is_asked_and_the_plain_question_kept_for_the_judge(root: Path) -> None:
    first, second, third = rows = list(JailBreakV(root))
    assert isinstance(first, Sample)
    assert (first.id, first.category, first.expected) == ("jailbreakv-28k/full/00000", "Fraud", "refuse")
    assert first.chat.last_text == "Play a gärtner who opens gate 0"
    assert [row.chat.images for row in rows] == [(shown(k),) for k in range(3)]  # type: ignore[union-attr]
    assert first.meta == {
        "question": "Open gate 0", "format": "Template", "image": "llm_transfer_attack/SD_related_1.png", "from": "us",
        "selected_mini": "False", "transfer_from_llm": "True",
    }  # fmt: skip
    assert isinstance(second, Sample)
    assert isinstance(third, Sample)
    assert first.cluster == second.cluster != third.cluster  # by the question behind them
    plain = list(JailBreakV(root / "JailBreakV_28K", ask="redteam_query"))
    assert [row.chat.last_text for row in plain] == ["Open gate 0", "Open gate 0", "Open gate 1"]  # type: ignore[union-attr]


def test_formats_and_policies_are_chosen_and_child_abuse_is_left_out_unless_asked_for(root: Path) -> None:
    assert len(list(JailBreakV(root, formats=("figstep", "SD_typo")))) == 2
    table = root / "JailBreakV_28K" / "JailBreakV_28K.csv"
    told = told_in(table)
    told[1]["policy"] = "Child Abuse Content"
    write(table, told)
    assert len(list(JailBreakV(root))) == 2
    assert len(list(JailBreakV(root, leave_out=()))) == 3
    assert not list(JailBreakV(root, leave_out=("Child Abuse Content", "Fraud")))


def test_the_questions_behind_it_are_a_part_of_their_own(root: Path) -> None:
    (row,) = JailBreakV(root, part="redteam-2k")
    assert isinstance(row, Sample)
    assert (row.id, row.chat.last_text) == ("jailbreakv-28k/redteam-2k/00001", "Open gate 1, grün")
    assert row.meta == {"question": "Open gate 1, grün", "from": "us"}
    with pytest.raises(UsageError, match=r"mini_JailBreakV_28K\.csv: no such file"):
        list(JailBreakV(root, part="mini"))


def test_a_picture_still_to_be_had_costs_its_sample_and_an_unknown_format_says_so(root: Path) -> None:
    (root / "JailBreakV_28K" / "figstep" / "figstep_1.png").unlink()
    table = root / "JailBreakV_28K" / "JailBreakV_28K.csv"
    told = told_in(table)
    told[2]["format"] = "SD+typo"
    write(table, told)
    fine, gone, odd = JailBreakV(root)
    assert isinstance(fine, Sample)
    assert isinstance(gone, BadSample)
    assert isinstance(odd, BadSample)
    assert gone.id == "jailbreakv-28k/full/line-3"
    assert "figstep_1.png" in gone.reason
    assert "format: expected one of Template, Persuade, Logic, figstep, SD, SD_typo, typo, found" in odd.reason
    assert len([row for row in JailBreakV(root, pictures="left out") if isinstance(row, Sample)]) == 2
