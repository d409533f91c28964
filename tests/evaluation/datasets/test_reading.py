"""The one way in which loaders open pictures: what a table may name, and what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from proofglass import images
from proofglass.errors import ImageError
from proofglass.evaluation.datasets.reading import picture_in
from proofglass.evaluation.datasets.safebench import SafeBench
from proofglass.types import BadSample, Image

INSIDE = Image.from_array(np.full((3, 4, 3), 7, np.uint8))
FOREIGN = Image.from_array(np.full((3, 4, 3), 200, np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set's folder with one picture, beside a foreign one; links, a pipe and a circle lie in it."""
    root = tmp_path / "data"
    images.write(INSIDE, root / "png" / "a.png")
    images.write(FOREIGN, tmp_path / "foreign.png")
    (root / "link.png").symlink_to(tmp_path / "foreign.png")
    (root / "way").symlink_to(tmp_path)
    (root / "inside.png").symlink_to(root / "png" / "a.png")
    (root / "zero.png").symlink_to("/dev/zero")
    (root / "circle.png").symlink_to(root / "circle.png")
    os.mkfifo(root / "pipe.png")
    return root


@pytest.mark.parametrize("name", ["png/a.png", "./png//a.png", "inside.png"])
def test_a_picture_below_the_root_is_opened(root: Path, name: str) -> None:
    assert picture_in(root, name) == INSIDE


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../foreign.png", "leads out"),
        ("png/../../foreign.png", "leads out"),
        ("{outside}/foreign.png", "leads out"),
        ("link.png", "leads out of the data set's folder, through a link"),
        ("way/foreign.png", "leads out of the data set's folder, through a link"),
        ("zero.png", "leads out of the data set's folder, through a link"),
        # As tables made on Windows write them; on Linux a backslash is a letter like any other.
        ("..\\foreign.png", "leads out"),
        ("C:\\foreign.png", "leads out"),
        ("\\\\host\\share\\foreign.png", "leads out"),
        ("png/a.png\0.jpg", "cannot be read"),
        ("x" * 5000 + ".png", "cannot be read"),
        ("\ud800.png", "cannot be read"),
        ("circle.png", "cannot be read"),
        ("pipe.png", "it is a pipe or a device"),
        ("png", "Is a directory"),
        ("", "Is a directory"),
        ("gone.png", "cannot be read: No such file"),
    ],
)
def test_any_other_name_is_refused_in_a_short_line(root: Path, name: str, why: str) -> None:
    with pytest.raises(ImageError) as caught:
        picture_in(root, name.format(outside=root.parent))
    assert why in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_device_and_a_pipe_are_refused_wherever_a_picture_is_read(tmp_path: Path) -> None:
    # /dev/zero has size 0 and never ends; a pipe without a writer never begins.
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path, "a\0b"):
        with pytest.raises(ImageError, match="cannot be read"):
            images.read(path)


def test_a_machine_without_file_handles_is_no_fault_of_a_picture(root: Path, monkeypatch) -> None:
    def full(*given: object, **named: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("proofglass.images._without_waiting", full)
    with pytest.raises(OSError, match="Too many open files"):
        images.read(root / "png" / "a.png")


@pytest.mark.parametrize("way", ["../../../stolen/query", "/{outside}/stolen/query"])
def test_no_column_of_safebench_leads_to_a_foreign_picture_and_the_row_costs_itself(tmp_path: Path, way: str) -> None:
    root = tmp_path / "root"
    folder = root / "images" / "SafeBench"
    table = root / "question" / "safebench.csv"
    table.parent.mkdir(parents=True)
    images.write(INSIDE, folder / "query_ForbidQI_1_1_6.png")
    (folder / "query_x").mkdir()  # "query_x/../../..": the folder is there, so the way is open
    images.write(FOREIGN, tmp_path / "stolen" / "query_1_2_6.png")
    column = f"x/../{way.format(outside=tmp_path)}"
    head = "dataset,category_id,task_id,category_name,question,instruction"
    table.write_text(f"{head}\nForbidQI,1,1,Tea,How?,Steps.\n{column},1,2,Tea,How?,Steps.\n")
    # Without the check the second row finds the foreign picture: its path exists.
    fine, refused = SafeBench(root, pictures="official")
    assert fine.chat.images == (INSIDE,)
    assert isinstance(refused, BadSample)
    assert "leads out of the data set's folder" in refused.reason
