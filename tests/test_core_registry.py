"""Names: found without importing, suggested when misspelt, extended by other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from proofglass import registry
from proofglass.attacks.references import NoAttack, RandomNoise
from proofglass.errors import UnknownName, UsageError
from proofglass.registry import KINDS, build, entries, entry


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_the_tables_leads_to_a_class(kind: registry.Kind) -> None:
    for found in entries(kind).values():
        assert isinstance(found.load(), type), found


def test_build_gives_the_configured_plug() -> None:
    assert build("attacks", "random-noise", epsilon=0.25) == RandomNoise(epsilon=0.25)


def test_parameters_override_what_a_name_stands_for() -> None:
    assert entry("victims", "ocr-llm-control").build().reader == "truth"
    assert entry("victims", "ocr-llm-control").build(reader="ocr").reader == "ocr"


@pytest.mark.parametrize(
    ("kind", "misspelt", "meant"),
    [
        ("attacks", "figstp", "figstep"),
        ("defenses", "system_prompt", "system-prompt"),
        ("victims", "testbed-liner", "testbed-linear"),
        ("datasets", "safebnch", "safebench"),
        ("judges", "not-refusd", "not-refused"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(kind: registry.Kind, misspelt: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"no such {kind[:-1]}.* {meant!r}"):
        entry(kind, misspelt)


def test_a_name_like_no_other_gets_no_suggestion_but_the_command_that_lists_all() -> None:
    with pytest.raises(UnknownName) as caught:
        entry("attacks", "zzzzzzzzz")
    assert "Did you mean" not in str(caught.value)
    assert "`proofglass list attacks`" in str(caught.value)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch):
    """Pretend that an installed package has these entry points."""

    def install(*points: tuple[str, str, str]) -> None:
        found = [EntryPoint(name, value, f"proofglass.{kind}") for kind, name, value in points]
        monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in found if p.group == group])

    return install


def test_another_packages_attack_is_found_and_listed_after_ours(foreign) -> None:
    foreign(("attacks", "theirs", "proofglass.attacks.references:NoAttack"))
    assert build("attacks", "theirs") == NoAttack()
    assert list(entries("attacks"))[-1] == "theirs"
    assert "theirs" not in entries("defenses")


def test_another_package_cannot_replace_one_of_ours(foreign) -> None:
    foreign(("attacks", "no-attack", "proofglass.attacks.references:RandomNoise"))
    assert isinstance(build("attacks", "no-attack"), NoAttack)


def test_an_entry_point_that_leads_nowhere_says_so(foreign) -> None:
    foreign(("attacks", "lost", "proofglass.nowhere:Thing"), ("attacks", "gone", "proofglass.types:Nothing"))
    for name in ("lost", "gone"):
        with pytest.raises(UsageError, match=f"{name}: cannot load"):
            build("attacks", name)


def test_a_kind_without_a_table_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._PACKAGES, "models", "proofglass.nowhere")
    assert entries("models") == {}


def test_no_package_has_a_function_of_the_name_of_its_module() -> None:
    """Importing the module would put it in the function's place, whoever imports it, whenever that is."""
    import ast
    from pathlib import Path

    import proofglass

    clashes = []
    for init in Path(proofglass.__file__).parent.rglob("__init__.py"):
        own = {node.name for node in ast.parse(init.read_text()).body if isinstance(node, ast.FunctionDef)}
        beside = {
            path.stem for path in init.parent.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        clashes += [f"{init.parent.name}.{name}" for name in sorted(own & beside)]
    assert clashes == []
