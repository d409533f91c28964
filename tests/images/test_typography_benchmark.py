"""The benchmark of drawing, small: both sides draw the same pictures, and a figure for each kind is printed."""

import re
import sys
from pathlib import Path

import pytest

from proofglass.types import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import typography


def test_each_kind_of_picture_is_measured_once_both_sides_agree(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["typography.py", "--pictures", "3", "--repeats", "1"])
    typography.main()
    head, *lines = capsys.readouterr().out.splitlines()
    assert "pictures equal to the byte" in head
    assert len(lines) == 3
    assert all(re.search(r"/s  Pillow +[\d,]+ /s  \d+\.\d x$", line) for line in lines)


def test_sides_that_draw_different_pictures_are_not_compared():
    ((_, ours, _), *_) = typography.sides()

    def other(text: str) -> Image:
        return typography.sheet_by_pillow(text)

    with pytest.raises(AssertionError, match="different pictures of"):
        typography.measured(ours, other, typography.texts(1), 1)
