"""`proofglass datasets coverage`: what is counted, and, as loudly, what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proofglass.cli.main import app
from proofglass.errors import UsageError

HEADER = "id,prompt,type,label\n"


def ran(*words: str) -> str:
    result = CliRunner().invoke(app, ["datasets", "coverage", *words])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_rows_that_cannot_be_used_are_told_on_the_terminal_and_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        f"{HEADER}1,Where is it?,homonyms,safe\n2,,homonyms,safe\n<b>,What?,homonyms,safe\n"
    )
    page = tmp_path / "page.html"
    said = " ".join(ran(f"xstest={tmp_path / 'p.csv'}", "--html", str(page)).split())
    assert "xstest: 2 rows cannot be used, so counted nowhere; the first: xstest/line-3: line 3: prompt" in said
    html = page.read_text(encoding="utf-8")
    assert "xstest: 2 rows cannot be used" in html
    assert "<b>" not in html


@pytest.mark.parametrize(("rows", "why"), [("", "there is none"), ("1,,homonyms,safe\n", "the first: xstest/line-2")])
def test_a_set_of_which_no_row_can_be_used_covers_nothing_and_that_is_an_error(
    tmp_path: Path, rows: str, why: str
) -> None:
    (tmp_path / "p.csv").write_text(HEADER + rows)
    with pytest.raises(UsageError, match=f"xstest: no row can be used[;:] .*{why}"):
        ran(f"xstest={tmp_path / 'p.csv'}")


def test_a_total_without_categories_says_what_would_help() -> None:
    said = " ".join(ran("jailbreakv-28k", "safetybench").split())
    assert "only the number of all samples is published, 28,000" in said
    assert "jailbreakv-28k=FOLDER" in said
    assert "not mapped" not in said


def test_data_of_ones_own_is_read_with_its_mapping_and_its_categories_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("q,c\nWhere?,mills\nWhat?,\n")
    said = " ".join(ran(f"own={tmp_path / 'own.csv'}", "--set", "question=q", "--set", "category=c").split())
    assert "own: 2 samples of categories that are not mapped, so counted nowhere: mills, (none)" in said


def test_a_name_without_its_folder_is_an_error() -> None:
    with pytest.raises(UsageError, match="xstest=: expected NAME=FOLDER, found no folder"):
        ran("xstest=")
