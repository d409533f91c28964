"""The docs stay true: links lead somewhere, commands exist, code blocks are tested, lists are generated."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conformance import fixtures
from conformance.broken_plugs import Scripted
from proofglass.registry import entries
from proofglass.studies import load, shipped
from proofglass.testing import checks

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def example(name: str) -> str:
    """The code of an example, without its docstring."""
    return (ROOT / "examples" / f"{name}.py").read_text().split('"""', 2)[2].strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    from typer.main import get_command

    from proofglass.cli.main import app

    top = get_command(app)
    groups = {name: set(getattr(command, "commands", {})) for name, command in top.commands.items()}  # type: ignore[attr-defined]
    for command, word in re.findall(r"^proofglass ([a-z]+)(?: ([a-z]+))?", _code(page.read_text()), re.M):
        assert command in groups, f"{page.name}: proofglass {command}"
        assert not groups[command] or word in groups[command], f"{page.name}: proofglass {command} {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", _code(page.read_text()))) <= targets


@pytest.mark.parametrize("name", ["measure_a_cell", "add_an_attack"])
def test_the_readme_shows_the_tested_examples_word_for_word(name: str) -> None:
    blocks = re.findall(r"```python\n(.*?)\n```", (ROOT / "README.md").read_text(), re.S)
    assert example(name) in blocks


def test_the_examples_are_as_short_as_the_readme_says() -> None:
    assert len(example("measure_a_cell").splitlines()) <= 10
    body = example("add_an_attack").split("\n\n\nif __name__")[0]
    assert len(body.splitlines()) <= 30


@pytest.mark.parametrize("name", ["measure_a_cell", "add_an_attack"])
def test_the_examples_run(name: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / "examples" / f"{name}.py"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "n=20" in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:font 'FreeMonoBold' is not installed")
def test_the_examples_attack_keeps_the_contract_of_attacks() -> None:
    import runpy

    attack = runpy.run_path(str(ROOT / "examples" / "add_an_attack.py"))["Inverted"]()
    samples = fixtures.samples(with_image=True)
    checks.is_a_frozen_dataclass(attack)
    checks.settings_build_it_again(attack)
    checks.crafts_alike_for_one_seed(attack, Scripted(), samples)
    checks.crafts_what_its_scope_says(attack, Scripted(), samples)
    (artefact,) = attack.craft(Scripted(), samples, seed=3)
    for sample in samples:
        checks.apply_is_pure(attack, artefact, sample)
        checks.apply_survives_the_store(attack, artefact, sample)
        checks.changes_what_it_says(attack, artefact, sample)
        checks.converse_ends_with_the_victims_reply(attack, artefact, sample)


def test_the_defense_of_the_docs_keeps_the_contract_of_defenses(tmp_path: Path) -> None:
    """By the command and by the test that the page shows, in files of their own, as it says."""
    page = (ROOT / "docs" / "extending.md").read_text()
    blocks = re.findall(r"```python\n(.*?)\n```", page, re.S)
    (defense,) = (block for block in blocks if "class AskTwice" in block)
    (test,) = (block for block in blocks if "testing.cases(" in block)
    (command,) = re.findall(r"```sh\nPYTHONPATH=. proofglass (check .*?)\n```", page)
    (tmp_path / "ask_twice.py").write_text(defense + "\n")
    (tmp_path / "test_ask_twice.py").write_text(test + "\n")
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    for words in (["-m", "proofglass", *command.split()], ["-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]):
        ended = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "10 passed, 6 skipped" in ended.stdout  # how it is switched off was not told; it does not open itself


def test_the_method_pages_are_what_the_registry_says() -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_docs.py", "--check"], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def test_the_studies_of_the_docs_are_studies(tmp_path: Path) -> None:
    found = []
    page = re.sub(
        r"<!-- not run: part of a study -->\n```yaml\n.*?\n```",
        "",
        (ROOT / "docs" / "studies.md").read_text(),
        flags=re.S,
    )
    for text in re.findall(r"```yaml\n(.*?)\n```", page, re.S):
        (tmp_path / "study.yaml").write_text(text)
        found.append(load(tmp_path / "study.yaml").attacks)
    first, combined, both = found
    assert [item.label for item in combined] == ["figstep + random-noise", "two items, loud"]
    assert [item.label for item in first] == ["no-attack", "random-noise", "qi2023, 150 steps"]
    assert [(item.label, item.adaptive) for item in both] == [("pgd", None), ("pgd, static", False)]


def test_the_docs_name_every_shipped_study_and_how_long_it_takes() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| (.+) \|$", (ROOT / "docs" / "studies.md").read_text(), re.M)
    told = {name: takes for name, takes in rows if name in shipped()}
    assert sorted(told) == shipped()
    assert all(re.search(r"\d+ (s|min)|not measured", takes) for takes in told.values())


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_study_loads(name: str) -> None:
    assert load(name).name == name


def test_the_readme_counts_the_data_sets_that_there_are() -> None:
    ours = [entry.load() for entry in entries("datasets").values() if entry.target.startswith("proofglass.")]
    # The screens are drawn by a program after their paper: nobody published them.
    papers = [made for made in ours if made.paper and made.name != "fictional-screens"]
    compared = [made for made in papers if made.origin and made.origin.checked == "data"]
    told = " ".join((ROOT / "README.md").read_text().split())
    assert f"{len(papers)} data sets of {len({made.paper.link for made in papers})} papers" in told
    assert f"{len(compared)} were compared with the official files, {len(papers) - len(compared)} were tried" in told


def test_the_navigation_names_every_page() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert {page for entry in nav for page in entry.values()} == {p.name for p in (ROOT / "docs").glob("*.md")}


def test_ci_runs_the_tests_and_hides_nothing() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert "make test" in script
    assert "|| true" not in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def _code(text: str) -> str:
    """What a page shows as code: fenced blocks and `spans`."""
    found = re.findall(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", text, re.S)
    return "\n".join(block or span for block, span in found)
