"""How the package meets the rest: found through the entry point, loaded by nobody else, missed with a clear word."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from proofglass.errors import MissingExtra
from proofglass.inspect_ext import require

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "proofglass"
# victims/api asks APIs through Inspect's providers.
ALLOWED = {"inspect_ext", "victims/api/provider.py", "victims/api/chances.py"}


def test_only_this_package_and_the_api_victim_know_inspect() -> None:
    knowing = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] == "inspect_ai" for name in names):
                place = path.relative_to(SOURCE)
                knowing.add(place.parts[0] if place.parts[0] == "inspect_ext" else place.as_posix())
    assert knowing == ALLOWED


def test_inspect_finds_the_package_through_its_entry_point() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["inspect_ai"]
    assert declared == {"proofglass": "proofglass.inspect_ext.registered"}
    module = importlib.import_module(declared["proofglass"])
    from inspect_ai._util.registry import registry_lookup

    for kind, name in (("task", "cell"), ("solver", "attacked"), ("scorer", "not-refused"), ("metric", "interval")):
        assert registry_lookup(kind, f"proofglass/{name}") is not None  # type: ignore[arg-type]
    assert "target-string" in module.SCORERS


def test_neither_the_command_line_nor_the_package_itself_loads_inspect() -> None:
    code = "import sys, proofglass.cli.main, proofglass.inspect_ext.export; print('inspect_ai' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_without_inspect_the_command_that_gets_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    with pytest.raises(MissingExtra, match="pip install inspect-ai"):
        require()
