"""The commands, as a user types them: what they print, and one line with exit code 2 for what cannot be done."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conformance.broken_plugs import Scripted
from proofglass import api, attacks, registry
from proofglass.errors import NothingMeasured, StoreError
from proofglass.studies.plan import _skip

# ------------------------------------------------------------ start and help


def test_help_and_list_load_no_heavy_package() -> None:
    # pydantic is not among them: Typer itself brings it in for a checked option.
    heavy = ["torch", "transformers", "polars", "scipy", "altair", "numpy", "PIL", "rich"]
    code = f"""
import sys
sys.argv = ["proofglass", *sys.argv[1:]]
from proofglass.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *[name for name in {heavy!r} if name in sys.modules])
"""
    for words in (["--help"], ["run", "--help"], ["list", "attacks"], ["list", "judges"], ["list", "victims"]):
        ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert ended.stdout.splitlines()[-1].split() == ["loaded:"], words


def test_help_answers_at_once() -> None:
    # CPU seconds, which other work on the machine hardly moves; the best of three. Python alone takes 0.02.
    assert min(_cpu_seconds("-m", "proofglass", "--help") for _ in range(3)) < 0.5


def _cpu_seconds(*arguments: str) -> float:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "words",
    [["demo"], ["run"], ["judge"], ["report"], ["list"], ["doctor"], ["testbed", "list"], ["testbed", "card"],
     ["testbed", "train"], ["testbed", "check"]],
)  # fmt: skip
def test_every_command_teaches_by_example(proofglass, words: list[str]) -> None:
    code, out, _ = proofglass(*words, "--help")
    assert code == 0
    assert "Examples:" in out
    assert f"  proofglass {' '.join(words)}" in out


def test_a_group_without_a_command_shows_its_help_and_fails(proofglass) -> None:
    code, out, err = proofglass("testbed")
    assert code == 2
    assert "card" in out + err


# ------------------------------------------------------------ list


@pytest.mark.parametrize("kind", ["attacks", "defenses", "victims", "datasets", "judges"])
def test_list_shows_every_registered_name(proofglass, kind: str) -> None:
    code, out, _ = proofglass("list", kind)
    first_words = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert code == 0
    assert set(registry.entries(kind)) <= set(first_words)  # type: ignore[arg-type]


def test_list_says_what_each_attack_needs_of_its_victim(proofglass) -> None:
    _, out, _ = proofglass("list", "attacks", "--json")
    lines = {one["name"]: one["line"] for one in json.loads(out)}
    assert lines["chen2023b-overlay"].startswith("Prints a group")  # it has a field named line
    told = {one["name"]: one for one in json.loads(out)}
    opens = {name: one["opens"] for name, one in told.items()}
    assert opens["figstep"] == opens["no-attack"] == opens["tu2023"] == opens["dong2023"] == "nothing"
    assert opens["square"] == opens["black-box-pgd"] == "scores"  # black boxes, and yet no attacks on an API
    assert opens["shayegani2023"] == "encoder"
    assert opens["pgd"] == opens["qi2023"] == "gradients"
    assert told["dong2023"]["access"] == "black box; gradients of its surrogates"
    assert told["shayegani2023"]["access"].endswith("(other fields, other access)")  # with an encoder of its own
    row = next(line for line in proofglass("list", "attacks")[1].splitlines() if line.startswith("square "))
    assert row.split()[1:] == ["scores", "user", "image", "each"]


def test_replies_only_lists_what_no_plan_skips_on_a_victim_of_replies(proofglass) -> None:
    _, out, _ = proofglass("list", "attacks", "--replies-only", "--json")
    listed = {one["name"] for one in json.loads(out)}

    class Api(Scripted):
        sees_images = True

    runs, built = set(), set()
    for name, entry in registry.entries("attacks").items():
        try:
            attack = entry.build()
        except (TypeError, ValueError):  # a field without a default: the table above says what it needs
            continue
        built.add(name)
        runs |= set() if _skip(Api(), attack) else {name}
    assert listed & built == runs
    assert listed - built == {"text-template", "t-pgd"}  # they open nothing, whatever their files
    assert proofglass("list", "judges", "--replies-only")[0] == 2


def test_attacks_are_chosen_by_what_they_say_of_themselves(proofglass) -> None:
    def listed(*words: str) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in json.loads(proofglass("list", "attacks", *words, "--json")[1])}

    every = listed()
    assert listed("--opens", "nothing") == listed("--replies-only")
    assert all("third party" in one["threat"] for one in listed("--threat", "third party").values())
    assert "bailey2023" in listed("--threat", "third party").keys() & listed("--threat", "user").keys()
    assert listed("--needs", "nothing").keys() == {name for name, one in every.items() if not one["needs"]}
    both = listed("--opens", "gradients", "--threat", "user")
    assert both.keys() == listed("--opens", "gradients").keys() & listed("--threat", "user").keys()
    code, _, told = proofglass("list", "attacks", "--opens", "nothng")
    assert code == 2
    assert "nothing" in told
    assert proofglass("list", "judges", "--opens", "nothing")[0] == 2
    assert proofglass("list", "attacks", "pgd", "--threat", "user")[0] == 2


def test_at_80_columns_no_line_of_a_list_is_wider(proofglass, monkeypatch) -> None:
    from proofglass.cli import listing

    monkeypatch.setattr(listing, "columns", lambda: 80)
    for words in (("attacks",), ("judges",), ("victims",)):
        _, out, _ = proofglass("list", *words)
        assert max(map(len, out.splitlines())) <= 80
    rows = proofglass("list", "attacks", "bailey2023")[1].split("parameters:\n")[1].splitlines()
    assert max(map(len, rows)) <= 80


@pytest.mark.parametrize("kind", ["attacks", "defenses", "victims", "datasets", "judges", "models"])
def test_what_a_list_says_of_a_plug_is_a_whole_sentence(kind: registry.Kind) -> None:
    for each in registry.entries(kind).values():  # `list` shows the first line of the docstring and no more
        line = (inspect.getdoc(each.load()) or "").split("\n", 1)[0]
        assert line.endswith("."), f"{each.name}: {line!r} goes on in its next line"


def test_list_as_json_has_the_same_names_as_the_registry(proofglass) -> None:
    _, out, _ = proofglass("list", "attacks", "--json")
    told = json.loads(out)
    assert [one["name"] for one in told] == list(registry.entries("attacks"))
    assert next(one for one in told if one["name"] == "qi2023")["opens"] == "gradients"


def test_list_name_shows_parameters_with_the_papers_defaults_as_fractions(proofglass) -> None:
    _, out, _ = proofglass("list", "attacks", "qi2023")
    assert "= 16/255" in out
    assert "arXiv:2306.13213" in out


def test_list_of_an_unknown_name_suggests_the_nearest(proofglass) -> None:
    code, out, err = proofglass("list", "attacks", "figstp")
    assert (code, out) == (2, "")
    assert "Did you mean 'figstep' or 'figstep-pro'?" in err
    assert len(err.splitlines()) == 1


def test_an_entry_point_that_cannot_be_loaded_is_listed_with_its_error(proofglass, monkeypatch) -> None:
    monkeypatch.setattr(attacks, "CONTENTS", {**attacks.CONTENTS, "broken": "no_such_module:Thing"})
    code, out, _ = proofglass("list", "attacks")
    assert code == 0
    assert "cannot load no_such_module:Thing" in out
    code, _, err = proofglass("list", "attacks", "broken")
    assert code == 2
    assert "cannot load" in err


# ------------------------------------------------------------ errors


def test_a_missing_study_file_is_one_line_and_exit_code_2(proofglass, run_folder: Path) -> None:
    code, out, err = proofglass("run", "nope.yaml")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("proofglass: nope.yaml: no such file")


def test_an_unknown_attack_in_a_study_names_file_line_and_the_nearest(proofglass, run_folder: Path) -> None:
    study = "victims: [testbed-linear]\nattacks: [figstp]\ndatasets: [testbed]\njudges: [testbed-content]\n"
    (run_folder / "s.yaml").write_text(study)
    code, _, err = proofglass("run", "s.yaml")
    assert code == 2
    assert "s.yaml:2" in err
    assert "figstep" in err
    assert "Traceback" not in err


def test_an_epsilon_in_grey_levels_is_asked_about(proofglass, run_folder: Path) -> None:
    study = (
        "victims: [testbed-linear]\nattacks:\n  - random-noise: {epsilon: 16}\ndatasets: [testbed]\n"
        "judges: [testbed-content]\n"
    )
    (run_folder / "s.yaml").write_text(study)
    code, _, err = proofglass("run", "s.yaml")
    assert code == 2
    assert "16/255" in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2(proofglass, run_folder: Path) -> None:
    code, _, err = proofglass("report", str(run_folder))
    assert code == 2
    assert len(err.splitlines()) == 1
    assert str(run_folder) in err


def test_a_limit_of_nothing_is_refused(proofglass) -> None:
    code, _, err = proofglass("run", "quickstart", "--limit", "0")
    assert code == 2
    assert "--limit" in err


def test_a_full_disk_outside_the_run_folder_is_one_line(proofglass, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/tmp/x")

    monkeypatch.setattr(api, "run", full)
    code, _, err = proofglass("run", "demo")
    assert (code, err) == (2, "proofglass: /tmp/x: No space left on device\n")


def test_ctrl_c_ends_with_130_and_no_traceback(proofglass, monkeypatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "run", stopped)
    code, _, err = proofglass("run", "demo")
    assert code == 130
    assert "Traceback" not in err


def test_control_characters_in_an_error_are_written_out_not_obeyed(proofglass, run_folder: Path) -> None:
    code, _, err = proofglass("run", "a\x1b[31mb\u202e.yaml")
    assert code == 2
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert "U+001B" in err


def test_a_wrong_word_on_the_command_line_is_quoted_without_its_control_characters(proofglass) -> None:
    code, out, err = proofglass("run", "demo", "--lim\x1b[2J\u202eit")
    assert (code, out) == (2, "")
    assert err.startswith("Usage: proofglass run")
    assert not {"\x1b", "\u202e"} & set(err)
    assert "No such option" in err


def test_a_fault_of_ours_shows_its_traceback_made_safe(proofglass, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("\x1b]0;owned\x07 \u202e")

    monkeypatch.setattr(api, "run", broken)
    code, _, err = proofglass("run", "demo")
    assert code == 1
    assert "Traceback" in err
    assert "RuntimeError: ⟨U+001B⟩]0;owned⟨U+0007⟩ ⟨U+202E⟩" in err
    assert not {"\x1b", "\x07", "\u202e"} & set(err)


def test_the_error_of_a_broken_plug_is_one_row_of_the_list(proofglass, monkeypatch) -> None:
    monkeypatch.setattr(attacks, "CONTENTS", {**attacks.CONTENTS, "odd": "no\x1b[2J\nforged:Thing"})
    code, out, _ = proofglass("list", "attacks")
    assert code == 0
    assert "\x1b" not in out
    assert not any(line.startswith("forged") for line in out.splitlines())


# ------------------------------------------------------------ run


@dataclass(frozen=True)
class FakeRun:
    """Stands for api.Run: notes what was asked of it."""

    folder: Path

    def report(self) -> Path:
        return self.folder / "report" / "index.html"

    def summary(self) -> str:
        return "a table"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Replaces the run itself; the list holds how it was called."""
    calls: list[dict] = []

    def fake(study: object, out: Path, limit: int | None, *, progress: bool) -> FakeRun:
        calls.append({"study": study, "out": out, "limit": limit, "progress": progress})
        return FakeRun(out)

    monkeypatch.setattr(api, "run", fake)
    monkeypatch.setattr(api, "Run", FakeRun)
    return calls


def test_run_goes_to_the_folder_of_the_studys_name_and_prints_the_reports_path(proofglass, ran, run_folder) -> None:
    code, out, _ = proofglass("run", "quickstart")
    assert code == 0
    assert ran == [{"study": "quickstart", "out": Path("runs/quickstart"), "limit": None, "progress": True}]
    assert out.splitlines() == ["a table", "report: runs/quickstart/report/index.html"]


def test_quiet_and_no_report_print_nothing(proofglass, ran, run_folder) -> None:
    code, out, err = proofglass("run", "quickstart", "--quiet", "--no-report", "--limit", "3", "--out", "x")
    assert (code, out, err) == (0, "", "")
    assert ran == [{"study": "quickstart", "out": Path("x"), "limit": 3, "progress": False}]


def test_a_cell_that_measured_nothing_still_gets_its_report_and_exit_code_1(proofglass, ran, monkeypatch) -> None:
    def empty(*_: object, **__: object) -> None:
        raise NothingMeasured("1 of 4 cells measured nothing.\nmore")

    monkeypatch.setattr(api, "run", empty)
    code, out, err = proofglass("run", "demo")
    assert code == 1
    assert "report: runs/demo/report/index.html" in out
    assert err == "proofglass: 1 of 4 cells measured nothing. more\n"


def test_a_locked_run_is_one_line_and_exit_code_2(proofglass, ran, monkeypatch) -> None:
    def locked(*_: object, **__: object) -> None:
        raise StoreError("runs/demo: another process is writing to it")

    monkeypatch.setattr(api, "run", locked)
    code, out, err = proofglass("run", "demo")
    assert (code, out, err) == (2, "", "proofglass: runs/demo: another process is writing to it\n")
