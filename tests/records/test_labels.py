"""Labels are about attempts and count for samples that were drawn: what a rerun leaves of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofglass.errors import UsageError
from proofglass.records.labels import Labels, path_of, read_labels, write_labels

PLACE = ("v", "a", "d", "ds")
LABELS = Labels(
    "unsafe",
    "j",
    "jk",
    drawn={"k1": ((*PLACE, "s1"), ("v", "a", "none", "ds", "s1")), "k2": ((*PLACE, "s2"),), "k3": ((*PLACE, "s3"),)},
    given={"k1": 1.0, "k2": 0.0},
)


def nothing(cell: str, sample: str) -> None:
    return None


def test_a_label_counts_for_a_drawn_sample_as_long_as_its_reply_is_the_same() -> None:
    assert LABELS.samples(PLACE) == {"s1", "s2", "s3"}
    assert LABELS.of(PLACE, {"s1": "k1", "s2": "k2", "s3": "k3"}) == {"s1": 1.0, "s2": 0.0}
    assert LABELS.of(PLACE, {"s1": "k1", "s2": "another"}) == {"s1": 1.0}
    assert LABELS.of(PLACE, {"s1": "k2"}) == {"s1": 0.0}  # what s2 had said is known, so nobody is asked again
    # Not drawn there: a picked reply is no sample, whatever is known about it.
    assert LABELS.of(PLACE, {"s4": "k1"}) == {}
    assert LABELS.of(("v", "a", "none", "ds"), {"s1": "k1", "s2": "k2"}) == {"s1": 1.0}


def test_they_are_read_back(tmp_path: Path) -> None:
    write_labels(tmp_path, LABELS)
    assert read_labels(tmp_path, "unsafe", nothing) == LABELS
    assert read_labels(tmp_path, "other", nothing) is None


def test_labels_by_cell_and_sample_are_taken_over_and_none_is_lost(tmp_path: Path) -> None:
    old = Labels("unsafe", "j", "jk", {"row1": ("c1", "s1"), "row2": ("c1", "gone")}, {"row1": 1.0, "row2": 0.0})  # type: ignore[dict-item]
    write_labels(tmp_path, old)
    found = read_labels(tmp_path, "unsafe", lambda cell, sample: ("k1", (*PLACE, sample)) if sample == "s1" else None)
    assert found is not None
    assert found.of(PLACE, {"s1": "k1"}) == {"s1": 1.0}
    assert found.given == {"k1": 1.0, "row2": 0.0}
    write_labels(tmp_path, found)
    assert read_labels(tmp_path, "unsafe", nothing) == found


def test_an_aspect_of_a_few_words_names_a_file_of_its_own(tmp_path: Path) -> None:
    names = {path_of(tmp_path, aspect).name for aspect in ("unsafe", "unsafe prompt", "unsafe-prompt")}
    assert names == {"unsafe.json", "unsafe prompt.json", "unsafe-prompt.json"}
    for odd in ("", " unsafe", "unsafe ", "a  b", "../unsafe", "a/b", "a\nb", "x" * 200):
        with pytest.raises(UsageError, match="plain words"):
            path_of(tmp_path, odd)
