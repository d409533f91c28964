"""From a setting to a curve: a study asks for the chances of yes and no, and the report holds what follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from proofglass import images
from proofglass.errors import UsageError
from proofglass.registry import build
from proofglass.report.measures import measures
from proofglass.report.run import ReportedRun
from proofglass.studies import load, run_study
from proofglass.types import Ask, Image, Settings

QUESTIONS = ["Is there a kite?", "Is there a drum?", "Is there a broom, or two?", "Is it a kite?", "A silver drum?"]

STUDY = """\
name: choices
settings: {max_new_tokens: 2, choices: CHOICES}
victims: [testbed-linear]
attacks: [no-attack]
datasets: [unicorns-sketch: {root: ROOT}]
success: not-refused
judges: [yes-no, p-yes, not-refused]
metrics: [accuracy, macro-f1, auroc]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten questions of the official layout, every second one with the answer yes."""
    root = tmp_path_factory.mktemp("unicorns")
    rows = []
    for k in range(10):
        picture = np.random.default_rng(k).integers(0, 256, (28, 28, 3), np.uint8)
        images.write(Image.from_array(picture), root / "ood" / "sketchy-vqa" / f"{k}.png")
        rows.append({"image": f"{k}.png", "question": QUESTIONS[k % 5], "answer": ("Yes", "No")[k % 2]})
    for table in ("sketchy-vqa", "sketchy-challenging"):
        (root / "ood" / "sketchy-vqa" / f"{table}.json").write_text(json.dumps(rows))
    return root


def report(root: Path, folder: Path, choices: str) -> dict[str, Any]:
    text = STUDY.replace("ROOT", str(root)).replace("CHOICES", choices)
    (folder / "study.yaml").write_text(text)
    store = run_study(load(folder / "study.yaml"), folder / "run", progress=False)
    return {row["metric"]: row for row in measures(ReportedRun(store))}


def test_the_area_of_a_report_is_that_of_the_victims_own_probabilities(root: Path, tmp_path: Path) -> None:
    found = report(root, tmp_path, '["yes", "no"]')
    victim, data = build("victims", "testbed-linear"), list(build("datasets", "unicorns-sketch", root=root))
    replies = victim.reply([Ask(sample.chat, Settings(2, choices=("yes", "no"))) for sample in data])
    chances = [reply.choices["yes"] / (reply.choices["yes"] + reply.choices["no"]) for reply in replies]
    truths = [sample.references[0].casefold() == "yes" for sample in data]
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(truths, chances), abs=1e-6)
    assert found["auroc"]["n"] == len(data)
    assert found["accuracy"]["n"] == len(data)  # whatever it says: what is neither yes nor no is wrong


def test_bare_words_that_yaml_takes_for_truth_values_are_an_error_that_says_so(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"settings.choices: found \[True, False\]. .* YAML reads a bare Yes or No"):
        report(root, tmp_path, "[Yes, No]")


def test_a_study_that_asks_for_none_is_told_what_to_set(root: Path, tmp_path: Path) -> None:
    found = report(root, tmp_path, "[]")
    assert (found["auroc"]["value"], found["auroc"]["reason"]) == (None, "no row was judged")
    scores = run_study(load(tmp_path / "study.yaml"), tmp_path / "run", progress=False).scores()
    (reason,) = set(scores.filter(judge="p-yes")["reason"])
    assert "settings: {choices: ['Yes', 'No']}" in reason
