"""Pictures that a table names without their ending."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofglass import images
from proofglass.errors import ImageError
from proofglass.evaluation.datasets.stems import ENDINGS, name_of_stem, picture_of_stem
from proofglass.testing.material import picture


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_of_a_picture_is_known(tmp_path: Path, ending: str) -> None:
    images.write(picture(1), tmp_path / f"a{ending}")
    assert picture_of_stem(tmp_path, "a") == picture(1)


@pytest.mark.parametrize("stem", ["", "a\0", "x" * 5000, "\ud800", "b", "below"])
def test_what_is_not_there_says_how_to_get_it(tmp_path: Path, stem: str) -> None:
    (tmp_path / "below.jpg").mkdir()
    with pytest.raises(ImageError, match=r"no picture of this name in .*; ask the miller") as error:
        picture_of_stem(tmp_path, stem, "ask the miller")
    assert len(str(error.value)) < 400
    assert name_of_stem(tmp_path, stem) == ""


def test_no_stem_leads_out_of_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    images.write(picture(1), tmp_path / "a.png")
    for stem in ("../a", str(tmp_path / "a")):
        with pytest.raises(ImageError, match="leads out of the data set's folder"):
            picture_of_stem(inner, stem)
    (inner / "b.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(ImageError, match="through a link"):
        picture_of_stem(inner, "b")
