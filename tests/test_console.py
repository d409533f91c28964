"""What is printed cannot steer a terminal, there is one way to print, and lines fit where they are shown."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.console import console_on, note, one_line, say, show, table


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


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202etxt.exe\r\x9b31m"


def obeyed(printed: str) -> list[str]:
    """Characters of `printed` that a terminal would obey, apart from tab and newline."""
    return [c for c in printed if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]


def test_tables_and_text_of_rich_show_what_they_hold(capsys) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(Text(HOSTILE, style="bold red"))
    show(table)
    printed = capsys.readouterr().out
    assert obeyed(printed) == []
    assert printed.count("⟨U+001B⟩]0;owned") == 3


def test_on_a_terminal_only_richs_own_codes_are_left() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    from rich.text import Text

    screen = Terminal()
    console_on(screen, width=200).print(Text(HOSTILE, style="bold"))
    printed = screen.getvalue()
    assert "⟨U+001B⟩]0;owned" in printed
    assert not re.search(r"\x1b(?!\[[0-9;]*m)", printed)  # colours alone
    assert not set("\x07\u202e\r\x9b") & set(printed)


def test_what_others_log_and_warn_of_is_safe_in_the_process_of_the_command_line() -> None:
    # In a process of its own, as the command line has it: a record with a traceback, another package's logger with a
    # handler of its own, and a warning that two places raise.
    code = f"""
import logging, sys, warnings
from proofglass.console import own_the_process
own_the_process()
bad = {HOSTILE!r}
try:
    raise RuntimeError(bad)
except RuntimeError:
    logging.getLogger("proofglass").exception("%s", bad)
other = logging.getLogger("other")
other.addHandler(logging.StreamHandler())
other.warning("read %s", bad)
def one():
    warnings.warn("font is absent " + bad)
def two():
    warnings.warn("font is absent " + bad)
one(), two(), one()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert obeyed(ended.stderr) == []
    assert "RuntimeError" in ended.stderr
    assert "read ⟨U+001B⟩" in ended.stderr
    assert ended.stderr.count("warning: font is absent") == 1


# ------------------------------------------------------------ no other door

ROOT = Path(__file__).parent.parent
DOOR = ROOT / "src" / "proofglass" / "console.py"
FILES = [path for folder in ("src", "scripts", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]

# Calls that write to a terminal by a way of their own, by their last word; some words do so on one module alone.
PRINTS = {
    "print", "pprint", "input", "Console", "print_json", "secho", "echo", "StreamHandler", "FileHandler", "RichHandler",
    "basicConfig", "print_exc", "print_exception", "print_stack", "setLogRecordFactory", "track", "tqdm",
}  # fmt: skip
PRINTS_ON = {"sys.stdout.write", "sys.stderr.write", "sys.stdout.writelines", "sys.stderr.writelines", "rich.inspect"}
HOOKS = {"sys.excepthook", "sys.displayhook", "warnings.showwarning", "logging.lastResort"}


def prints(source: str) -> list[tuple[int, str]]:
    """Line and words of everything in `source` that would write to a terminal by a way of its own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (words := _way_out(node)):
            found.append((node.lineno, words))
        if isinstance(node, ast.Assign):
            found += [(node.lineno, hook) for hook in map(ast.unparse, node.targets) if hook in HOOKS]
    return found


def _way_out(call: ast.Call) -> str:
    words = ast.unparse(call.func)
    last = words.rsplit(".", 1)[-1]
    if last in PRINTS or words in PRINTS_ON:
        return words
    if words == "os.write" and ast.unparse(call.args[0]) in ("1", "2"):
        return words
    if last == "exception" or any(each.arg == "exc_info" for each in call.keywords):
        return f"{words}: a traceback"  # a host's handler would print its message as it is
    return ""


def test_nothing_but_the_console_prints() -> None:
    assert {path.name for path in FILES} >= {"console.py", "progress.py", "main.py", "attack_table.py", "replies.py"}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in FILES
        if path != DOOR
        for line, words in prints(path.read_text(encoding="utf-8"))
        if not words.endswith("_bar.console.print")  # the bar's console is one of `console_on`: tested above
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    ["print('x')", "builtins.print('x')", "sys.stdout.write('x')", "sys.stderr.write('x')", "Console()", "c.print(t)",
     "rich.console.Console(stderr=True)", "logging.StreamHandler()", "logging.basicConfig()", "traceback.print_exc()",
     "typer.echo('x')", "log.exception('x')", "log.error('x', exc_info=True)", "os.write(1, b'x')", "input('x')",
     "sys.excepthook = f"],
)  # fmt: skip
def test_the_walk_finds_every_way_to_print(source: str) -> None:
    assert prints(f"def f():\n    {source}\n")


def test_the_walk_lets_other_calls_be() -> None:
    harmless = "say('x')\nfile.write('x')\nos.write(handle, b'x')\ninspect.getdoc(x)\nlog.warning('%s', x)\n"
    assert prints(harmless) == []


# ------------------------------------------------------------ narrow terminals


def test_the_last_column_wraps_below_itself() -> None:
    rows = [["name", "what it is"], ["figstep", "a request drawn into a picture, with a list of empty items"]]
    assert table(rows, width=40) == (
        "name     what it is\n"
        "figstep  a request drawn into a picture,\n"
        "         with a list of empty items"
    )  # fmt: skip


def test_where_no_room_is_left_a_row_is_a_block() -> None:
    rows = [["name", "needs", "what it is"], ["black-box-pgd", "loss", "descent on gradients estimated from losses"]]
    assert table(rows, width=36) == (
        "black-box-pgd\n"
        "  needs: loss\n"
        "  descent on gradients estimated\n"
        "  from losses"
    )  # fmt: skip


@given(st.lists(st.lists(st.text("abc ", max_size=30), min_size=3, max_size=3), min_size=2), st.integers(40, 120))
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    assert all(len(line) <= width for line in table(rows, width=width).splitlines())
