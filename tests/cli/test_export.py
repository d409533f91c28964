"""`proofglass export`: what it writes and says, and one line for what cannot be done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import scripted_plugs as plugs
from proofglass import api

pytest.importorskip("inspect_ai", reason="needs inspect-ai (extra `inspect`)")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    api.measure(plugs.EchoVictim(), plugs.OwnSpeck(), plugs.Lines(n=3), judges=[plugs.SaysYes()], out=tmp_path / "run")
    return tmp_path / "run"


def test_it_writes_a_log_per_cell_into_the_run_and_says_how_to_open_it(proofglass, run: Path) -> None:
    code, out, err = proofglass("export", str(run), "--to", "inspect")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"logs: 1, samples: 3, in {run / 'inspect'}",
        f"open them: inspect view --log-dir {run / 'inspect'}",
    ]
    assert len(list((run / "inspect").glob("*.eval"))) == 1


def test_the_logs_may_go_elsewhere_with_their_pictures(proofglass, run: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    proofglass("export", str(run), "--to", "inspect", "--out", str(small))
    code, _, _ = proofglass("export", str(run), "--to", "inspect", "--out", str(tmp_path / "large"), "--with-images")
    assert code == 0
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).iterdir()) for name in ("small", "large")]
    assert sizes[0] < sizes[1]
    next((run / "artefacts").glob("*/*.png")).unlink()
    _, _, err = proofglass("export", str(run), "--to", "inspect", "--with-images")
    assert "pictures that are gone and are only named: 1" in err


def test_what_cannot_be_exported_is_one_line(proofglass, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = proofglass("export", str(run.parent), "--to", "inspect")
    assert (code, err.count("\n")) == (2, 1)
    assert "holds no run" in err
    assert proofglass("export", str(run), "--to", "json")[0] == 2
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    code, _, err = proofglass("export", str(run), "--to", "inspect")
    assert (code, err) == (2, "proofglass: inspect: inspect-ai is not installed. Run: pip install inspect-ai\n")


def test_help_shows_examples(proofglass) -> None:
    _, out, _ = proofglass("export", "--help")
    assert "Examples:" in out
    assert "  proofglass export runs/demo --to inspect" in out
