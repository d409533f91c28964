from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.console import visible
from proofglass.records.spreadsheets import csv_cell
from proofglass.report.tables import Table
from proofglass.report.written import csv_bytes


@given(st.text(st.characters(codec=None)))
def test_nothing_that_steers_a_screen_survives(text):
    left = {unicodedata.category(c) for c in visible(text) if c not in "\n\t"}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    visible(text).encode("utf-8")  # lone surrogates are gone as well


@given(st.text(st.characters(codec=None)))
def test_making_visible_twice_changes_nothing(text):
    assert visible(visible(text)) == visible(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_plain_writing_of_any_script_stays_as_it_is(text):
    assert visible(text) == text


def test_escape_codes_and_bidi_controls_are_named():
    assert visible("a\x1b[31mb\u202ec\r\n\td") == "a⟨U+001B⟩[31mb⟨U+202E⟩c⟨U+000D⟩\n\td"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\t=", "\uff1d"])
def test_a_formula_is_text_in_a_spreadsheet(start):
    assert csv_cell(f"{start}cmd()").startswith("'")


def test_numbers_are_no_formulas():
    assert csv_cell(-0.5) == -0.5
    assert csv_cell("sure , -5") == "sure , -5"


@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False), st.integers())))
def test_a_table_read_back_equals_the_one_written(rows):
    table = Table("t", "t", ("a", "b", "c"), [dict(zip("abc", row, strict=True)) for row in rows])
    back = list(csv.DictReader(io.StringIO(csv_bytes(table).decode(), newline="")))
    assert [(r["a"], float(r["b"]), int(r["c"])) for r in back] == [(csv_cell(a), b, c) for a, b, c in rows]
