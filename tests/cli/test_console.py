"""What commands print cannot steer a terminal."""

from __future__ import annotations

import io
import sys

from hypothesis import given
from hypothesis import strategies as st

from proofglass.cli.console import note, one_line, say, table


@given(st.text())
def test_one_line_is_one_line_without_control_characters(text: str) -> None:
    line = one_line(text)
    assert "\n" not in line
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in line)


def test_say_writes_out_what_would_colour_or_reorder(capsys) -> None:
    say("red\x1b[31m and \u202eback")
    assert capsys.readouterr().out == "red⟨U+001B⟩[31m and ⟨U+202E⟩back\n"


def test_a_terminal_in_ascii_does_not_end_a_run(monkeypatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, encoding="ascii"))
    note("10 µs")
    sys.stderr.flush()
    assert written.getvalue() == b"10 \\xb5s\n"


def test_columns_of_a_table_start_below_each_other() -> None:
    assert table([["a", "long", "x"], ["bb", "l", "y"]]) == "a   long  x\nbb  l     y"
    assert table([]) == ""
