"""`proofglass testbed`: list, card, check and train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_a_model_that_sees_nothing_has_no_fusion(proofglass) -> None:
    _, out, _ = proofglass("testbed", "list")
    assert "None" not in out


def test_testbed_list_names_fusion_and_alignment(proofglass) -> None:
    code, out, _ = proofglass("testbed", "list")
    row = next(line.split() for line in out.splitlines() if line.startswith("testbed-linear "))
    assert code == 0
    assert row[1:3] == ["linear", "aligned"]


def test_testbed_card_states_the_layout_that_the_victim_reads(proofglass) -> None:
    code, out, _ = proofglass("testbed", "card", "testbed-linear")
    assert code == 0
    assert json.loads(out)["layout"]["grid"] == 12


@pytest.mark.parametrize("name", ["llava", "testbed-liner"])
def test_testbed_card_of_another_name_is_refused(proofglass, name: str) -> None:
    code, _, err = proofglass("testbed", "card", name)
    assert code == 2
    assert name in err


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Replaces the measuring; the list holds how it was called."""
    from proofglass.cli import testbed_table

    class Found:
        def text(self) -> str:
            return "the table"

        def json(self) -> dict:
            return {"n": 5}

    asked: list[tuple] = []

    def check(name: str, n: int, seed: int, progress: object, white_box: bool) -> Found:
        asked.append((name, n, seed, white_box))
        return Found()

    monkeypatch.setattr(testbed_table, "check", check)
    return asked


def test_testbed_check_passes_n_and_seed_and_prints_the_table(proofglass, checked) -> None:
    words = ("testbed", "check", "testbed-linear")
    assert proofglass(*words, "--n", "5", "--seed", "3", "--no-white-box")[1] == "the table\n"
    assert json.loads(proofglass(*words, "--json")[1]) == {"n": 5}
    assert checked == [("testbed-linear", 5, 3, False), ("testbed-linear", 200, 1, True)]


def test_testbed_check_writes_the_table_into_the_card_only_if_told(proofglass, checked, monkeypatch, tmp_path) -> None:
    from proofglass.cli import testbed

    card = tmp_path / "card.json"
    card.write_text('{"fusion": "linear", "table": null}')
    monkeypatch.setattr(testbed, "_card_file", lambda name: card)
    proofglass("testbed", "check", "testbed-linear")
    assert json.loads(card.read_text())["table"] is None
    proofglass("testbed", "check", "testbed-linear", "--write")
    assert json.loads(card.read_text()) == {"fusion": "linear", "table": {"n": 5}}


def test_testbed_train_passes_its_folders(proofglass, monkeypatch) -> None:
    from proofglass.testbed.recipes import victims

    asked: list[tuple] = []
    monkeypatch.setattr(victims, "train", lambda name, *, out, build, log: asked.append((name, out, build)))
    assert proofglass("testbed", "train", "testbed-cross", "--out", "o", "--build", "b")[0] == 0
    assert asked == [("testbed-cross", Path("o"), Path("b"))]
