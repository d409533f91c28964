"""The package `strangers`: plugs of every new kind as somebody else would publish them, found, checked and measured."""

from __future__ import annotations

import configparser
import csv
import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import proofglass
from proofglass import registry, testing
from proofglass.engine.pictures import grey
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Plug
from proofglass.testing.material import Scripted
from proofglass.types import Artefact
from strangers.defense_gain import DefenseGain
from strangers.random_resize import RandomResize
from strangers.rewriting import Rewriting
from strangers.two_pictures import TwoPictures

PACKAGE = Path(__file__).parent / "strangers"
# How each is made for its checks, and how a defense is switched off.
PLUGS: dict[str, tuple[Callable[[], Plug], dict[str, Any] | None]] = {
    "defense-gain": (DefenseGain, None),
    "random-resize": (lambda: RandomResize(smallest=0.9, draws=1), {"smallest": 1.0}),
    "rewriting": (lambda: Rewriting(Scripted()), None),
    "two-pictures": (lambda: TwoPictures(steps=2), None),
}
STUDY = """
name: strangers
victims: [testbed-linear]
attacks: [no-attack, {pgd: {steps: 2}}, {rewriting: {helper: testbed-lm-aligned}}, {two-pictures: {steps: 3}}]
defenses: [none, {random-resize: {smallest: 0.9, draws: 2}}]
datasets: [{testbed: {n: 4, craft_n: 4}}]
metrics: [defense-gain]
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as pip leaves it: metadata beside the code, which is importable already."""
    told = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    place = tmp_path / "site" / f"{told['name']}-{told['version']}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n")
    points = configparser.ConfigParser()
    points.read_dict(told["entry-points"])
    with (place / "entry_points.txt").open("w") as file:
        points.write(file)
    monkeypatch.syspath_prepend(str(place.parent))


def test_the_package_is_four_files_of_forty_lines_at_most() -> None:
    files = sorted(PACKAGE.glob("*.py"))
    assert len(files) == len(PLUGS)
    assert max(len(file.read_text().splitlines()) for file in files) <= 40


def cases() -> Iterator[Any]:
    for name, (make, off) in PLUGS.items():
        yield from (pytest.param(case, id=f"{name}: {case}") for case in testing.cases(make, off))


@pytest.mark.parametrize("case", list(cases()))
def test_a_strangers_plug_keeps_its_contract(case: testing.Case) -> None:
    if case.why_not:
        pytest.skip(case.why_not)
    case()


def test_the_two_pictures_lower_the_loss_of_the_dialogue_together() -> None:
    victim = proofglass.victim("testbed-linear", device="cpu")
    samples = list(TestbedData(part="restricted", n=4, craft_n=4).crafting())[:2]
    (made,) = TwoPictures(steps=8).craft(victim, samples, seed=1)
    assert len({image.sha256 for image in made.images}) == 2
    assert made.trace["linf_levels"] <= 16
    losses = []
    for artefact in (Artefact(images=(grey(victim), grey(victim))), made):
        taught = victim.prepare([[(TwoPictures().apply(artefact, each), each.target) for each in samples]], slots=())
        losses.append(float(victim.loss_and_grad(None, taught, need_grad=False).loss))
    assert losses[1] < losses[0] / 2
    assert losses[1] == pytest.approx(made.trace["loss_after_rounding"], abs=1e-3)


def test_one_study_names_them_all_and_measures(installed: None, tmp_path: Path) -> None:
    assert registry.entry("attacks", "two-pictures").package == "strangers 1.0"
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    run = proofglass.run(study, tmp_path / "run", progress=False)
    frame = run.frame()
    assert (frame.height, set(frame["outcome"])) == (32, {"ok"})
    stood = {(row["attack"], row["defense"]): row["crafting"] for row in frame.iter_rows(named=True)}
    assert {name: stood[name, "random-resize"] for name in ("pgd", "rewriting", "two-pictures")} == {
        "pgd": "adaptive",
        "rewriting": "nothing",
        "two-pictures": "adaptive",
    }
    for row in frame.filter(attack="two-pictures").iter_rows(named=True):
        roles = [turn["role"] for turn in json.loads(row["conversation"])]
        assert roles == ["user", "assistant", "user"]
        assert (len(set(row["attacked_images"])), row["queries"]) == (2, 2)
    for row in frame.filter(attack="rewriting").iter_rows(named=True):
        (spent,) = json.loads(row["helpers"]).values()
        assert (spent["queries"], row["queries"]) == (2, 2)  # apart from the victim's
    told = run.metrics()
    assert [(row["metric"], row["victim"], row["defense"], row["n"]) for row in told] == [
        ("defense-gain", "testbed-linear", "random-resize", 12)
    ]
    page = run.report().read_text()
    assert "drop of attack success (higher is better)" in page
    with (run.folder / "report" / "tables" / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["value"]) == told[0]["value"]
