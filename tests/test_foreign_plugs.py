"""Plugs of other packages, as they may come: found by their entry points, broken in every way that was thought of."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proofglass import registry
from proofglass.cli.main import main

# ruff: noqa: E501
# What a module of a package raises or holds -> what its row and the error of a study say.
SOUND = """
from dataclasses import dataclass
from proofglass.interfaces import Attack, Dataset, Defense, Judge
from proofglass.types import BadSample, Chat, Sample, Score
"""
BROKEN = {
    "raises": ("raise RuntimeError('no licence found')", "RuntimeError: no licence found (raises_mod.py:1)"),
    "misspelt": ("def f(:\n    pass", "SyntaxError: invalid syntax (misspelt_mod.py, line 1)"),
    "exits": ("import sys\nsys.exit('I need Windows')", "SystemExit: I need Windows (exits_mod.py:2)"),
    "lacks": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "own-exception": ("class E(BaseException): pass\nraise E('mine')", "E: mine (own-exception_mod.py:2)"),
    "function": ("def Plug(): pass", "is a function, expected a class that is a proofglass.interfaces.Attack"),
    "value": ("Plug = 3", "is a int, expected a class that is a proofglass.interfaces.Attack"),
    "stranger": ("class Plug: pass", "is Plug, which is no Attack"),
    "other-kind": (SOUND + "class Plug(Judge): pass", "is Plug, which is no Attack"),
    "plain": (SOUND + "class Plug(Attack):\n    name = 'plain'\n    x: int = 1", "write @dataclass(frozen=True) above"),
    "half": (
        SOUND + "@dataclass(frozen=True)\nclass B(Attack):\n    name = 'half'\nclass Plug(B):\n    x: int = 1",
        "write @dataclass(frozen=True) above the class",
    ),
    "nameless": (SOUND + "@dataclass(frozen=True)\nclass Plug(Attack):\n    x: int = 1", 'write name = "..." in'),
    "odd-name": (SOUND + "@dataclass(frozen=True)\nclass Plug(Attack):\n    name = 5", 'write name = "..." in'),
    "own-metaclass": (
        "class M(type):\n    def __getattribute__(self, name): raise RuntimeError('mine')\nclass Plug(metaclass=M): pass",
        "RuntimeError: mine (own-metaclass_mod.py:2)",
    ),
    "odd-paper": (
        SOUND + "@dataclass(frozen=True)\nclass Plug(Attack):\n    name = 'odd-paper'\n    paper = 'Me 2024'",
        "cannot be described: TypeError",
    ),
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`installed(package, kind, {name: code})`: a package with an entry point for each, as pip would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(package: str, kind: str, plugs: dict[str, str], points: str | None = None) -> None:
        place = tmp_path / f"{package}-1.0.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        for name, code in plugs.items():
            (tmp_path / f"{name}_mod.py").write_text(code)
        lines = [f"{name} = {name}_mod:Plug" for name in plugs]
        (place / "entry_points.txt").write_text(points or "\n".join([f"[proofglass.{kind}]", *lines]))

    yield install
    for name in set(sys.modules) - before:
        if name.endswith("_mod"):
            del sys.modules[name]


@pytest.fixture
def proofglass(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """`proofglass(*words)` -> (exit code, standard output, standard error)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["proofglass", *words])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return call


def study_of(folder: Path, **lists: object) -> str:
    told = {"victims": ["testbed-linear"], "attacks": ["no-attack"], "datasets": [{"testbed": {"n": 2}}], **lists}
    path = folder / "study.yaml"
    path.write_text(json.dumps({"name": "mine", **told}))
    return str(path)


def test_a_broken_package_costs_its_row_only(installed, proofglass) -> None:
    installed("broken", "attacks", {name: code for name, (code, _) in BROKEN.items()})
    installed("sound", "attacks", {"fine": SOUND + "@dataclass(frozen=True)\nclass Plug(Attack):\n    name = 'fine'"})
    code, out, err = proofglass("list", "attacks", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert (code, err) == (0, "")
    assert [name for name in registry.entries("attacks") if "error" in rows[name]] == sorted(BROKEN)
    for name, (_, why) in BROKEN.items():
        assert why in rows[name]["error"]
        assert "broken 1.0" in rows[name]["error"] or "described" in why
    assert "error" not in rows["fine"]
    _, out, _ = proofglass("list", "attacks")
    assert len([line for line in out.splitlines() if "broken: " in line]) == len(BROKEN)


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "odd-paper"])
def test_a_study_that_names_a_broken_plug_gets_one_line_with_its_place(
    installed, proofglass, tmp_path: Path, name: str
) -> None:
    installed("broken", "attacks", {name: BROKEN[name][0]})
    code, out, err = proofglass("run", study_of(tmp_path, attacks=[name]), "--out", str(tmp_path / "run"))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "study.yaml:1: attacks[0]: " in err
    assert BROKEN[name][1].replace("\n", " ") in err
    assert proofglass("list", "attacks", name)[0] == 2


def test_two_packages_with_one_name_are_both_named_and_neither_is_taken(installed, proofglass, tmp_path: Path) -> None:
    sound = SOUND + "@dataclass(frozen=True)\nclass Plug(Attack):\n    name = 'twin'"
    installed("first", "attacks", {"twin": sound})
    installed("second", "attacks", {"twin": sound})
    _, out, _ = proofglass("list", "attacks")
    row = " ".join(out.partition("\ntwin")[2].split())
    code, _, err = proofglass("run", study_of(tmp_path, attacks=["twin"]), "--out", str(tmp_path / "run"))
    assert code == 2
    for told in (row, err):
        assert "2 packages add this name: first 1.0 (twin_mod:Plug) and second 1.0 (twin_mod:Plug)" in told


def test_a_name_of_ours_stays_ours_and_the_list_says_who_wanted_it(installed, proofglass) -> None:
    installed("thief", "attacks", {"no-attack": SOUND + "@dataclass(frozen=True)\nclass Plug(Attack):\n    name = 'x'"})
    assert registry.entry("attacks", "no-attack").package == ""
    code, out, _ = proofglass("list", "attacks")
    assert code == 0
    said = "hidden: Proofglass has a plug of this name; its package must give it another (thief 1.0)"
    assert said in " ".join(out.split())


def test_malformed_entry_points_of_one_package_hide_no_other(installed, proofglass) -> None:
    installed("garbled", "attacks", {}, points="[proofglass.attacks]\nno equals sign here\n")
    installed("sound", "attacks", {"fine": SOUND + "@dataclass(frozen=True)\nclass Plug(Attack):\n    name = 'fine'"})
    code, out, _ = proofglass("list", "attacks")
    assert code == 0
    assert "garbled" in out
    assert "its entry points are malformed" in out
    assert any(line.startswith("fine ") for line in out.splitlines())


# ------------------------------------------------------------ plugs that fail when they are made or named

JUDGE = (
    SOUND
    + """
from collections.abc import Sequence
from pathlib import Path
@dataclass(frozen=True)
class Plug(Judge):
    \"\"\"A judge.\"\"\"
    name = "odd"
    column = "odd"
{body}
    def score(self, attempts):
        return [Score("odd", 1.0) for _ in attempts]
"""
)
FAILING = {
    "constructor that raises anything": ("    def __post_init__(self): raise KeyError('x')", "KeyError: 'x' (odd_mod.py:"),
    "constructor that exits": ("    def __post_init__(self): raise SystemExit('bye')", "SystemExit: bye (odd_mod.py:"),
    "constructor without words": ("    def __post_init__(self): raise ValueError", "cannot be made: ValueError (odd_mod.py:"),
    "a field that no key can hold": ("    words: object = object()", "odd.words: no key for a object"),
    "a field that no JSON can hold": ("    words: bytes = b'x'", "odd.words: no key for a bytes"),
    "a key that raises": (
        "    @property\n    def key(self): raise RuntimeError('no key')",
        "judge odd: its settings or key: RuntimeError: no key (odd_mod.py:",
    ),
    "settings that raise": (
        "    def settings(self): raise LookupError('none')\n    key = 'mine'",
        "judge odd: its settings or key: LookupError: none (odd_mod.py:",
    ),
    "settings without end": (
        "    key = 'mine'\n    def settings(self):\n        found = []\n        found.append(found)\n        return {'a': found}",
        "judge odd: its settings or key: RecursionError: maximum recursion depth exceeded",
    ),
    "a file that is not there": ("    rules: Path = Path('/no/such/file')", "odd: cannot read /no/such/file: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAILING)
def test_a_plug_that_fails_when_it_is_made_or_named_is_a_line(
    installed, proofglass, tmp_path: Path, fault: str
) -> None:
    body, why = FAILING[fault]
    installed("theirs", "judges", {"odd": JUDGE.format(body=body)})
    code, out, err = proofglass("run", study_of(tmp_path, judges=["odd"]), "--out", str(tmp_path / "run"))
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert why in err


def test_a_type_that_cannot_be_read_is_a_line(installed, proofglass, tmp_path: Path) -> None:
    # Under `from __future__ import annotations` a misspelt type shows only when it is looked up.
    installed(
        "theirs", "judges", {"odd": "from __future__ import annotations\n" + JUDGE.format(body="    n: Nowhere = 1")}
    )
    study = study_of(tmp_path, judges=[{"odd": {"n": 2}}])
    code, _, err = proofglass("run", study, "--out", str(tmp_path / "run"))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "the types of the fields of Plug cannot be read: NameError: name 'Nowhere' is not defined" in err


def test_a_set_in_a_field_has_one_key_in_every_process(installed, proofglass, tmp_path: Path) -> None:
    installed("theirs", "judges", {"odd": JUDGE.format(body="    words: frozenset = frozenset({'a', 'b', 'c'})")})
    odd = registry.entry("judges", "odd").load()
    assert odd(frozenset("cab")).key == odd(frozenset("abc")).key != odd(frozenset("ab")).key
    run = tmp_path / "run"
    assert proofglass("run", study_of(tmp_path, judges=["odd"]), "--out", str(run), "--quiet")[0] == 0
    # What the manifest holds must not depend on this process's hashes either: the letters, in order.
    assert json.loads((run / "manifest.json").read_text())["plugs"]["judges"]["odd"]["settings"]["words"] == [
        "a",
        "b",
        "c",
    ]


# ------------------------------------------------------------ files

FILED = (
    SOUND
    + """
from pathlib import Path
@dataclass(frozen=True)
class Plug(Dataset):
    \"\"\"Questions of a file, crafting samples of another.\"\"\"
    name = "filed"
    licence = "CC0"
    root: Path
    def __iter__(self):
        for k, line in enumerate((Path(self.root) / "judged.txt").read_text().splitlines()):
            yield Sample(str(k), self.name, Chat.user(line))
    def crafting(self):
        yield Sample("c", self.name, Chat.user((Path(self.root) / "craft.txt").read_text()), split="craft", target="sure")
"""
)


@pytest.mark.parametrize("file", ["judged.txt", "craft.txt"])
def test_a_data_set_whose_file_was_edited_is_read_again(installed, proofglass, tmp_path: Path, file: str) -> None:
    # An edit of the crafting split alone left every cell "done": judged samples were in a cell's key, these were not.
    installed("theirs", "datasets", {"filed": FILED})
    root = tmp_path / "data"
    root.mkdir()
    (root / "judged.txt").write_text("how do i open a kite ?\nhow do i mend a drum ?\n")
    (root / "craft.txt").write_text("how do i paint a broom ?")
    attack = {"qi2023": {"steps": 1, "targets_per_step": 1}}
    study = study_of(tmp_path, attacks=[attack], datasets=[{"filed": {"root": str(root)}}])
    words = ("run", study, "--out", str(tmp_path / "run"))
    assert proofglass(*words)[0] == 0
    assert "1 cells are done already" in proofglass(*words)[2]
    (root / file).write_text("how do i wash a kite ?\n")
    code, _, err = proofglass(*words)
    assert code == 0
    assert "done already" not in err


def test_listing_and_help_read_no_file(installed, proofglass, monkeypatch, tmp_path: Path) -> None:
    installed("theirs", "datasets", {"filed": FILED})
    monkeypatch.setattr("proofglass.digests._of_file", lambda path: pytest.fail(f"{path} was read"))
    for words in (["list", "datasets"], ["list", "datasets", "filed"], ["list", "attacks"], ["run", "--help"]):
        assert proofglass(*words)[0] == 0
