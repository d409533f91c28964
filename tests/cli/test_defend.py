"""`proofglass defend`: what it fits, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofglass.defenses.inference.calibrated import CalibratedDefense, threshold_in
from proofglass.defenses.inference.inferaligner import InferAligner
from proofglass.errors import UsageError
from proofglass.interfaces import fitted_in
from proofglass.registry import build
from proofglass.types import Ask

BAD, GOOD = "testbed: {part: restricted-image, n: 1, craft_n: 6}", "testbed: {part: benign-image, n: 1, craft_n: 6}"


def test_vectors_are_fitted_into_a_folder_and_a_study_line_names_it(proofglass, tmp_path: Path) -> None:
    out = tmp_path / "vectors"
    words = ["defend", "testbed-linear", "--with", "inferaligner", "--data", BAD, "--data", f"harmless={GOOD}"]
    code, said, fault = proofglass(*words, "--set", "gate=best_layer", "--out", str(out))
    assert code == 0, fault
    assert f"- inferaligner: {{gate: best_layer, vectors: {out}}}" in said
    assert json.loads((out / "cost.json").read_text())["rows"] == 12
    before = (out / "vectors.safetensors").read_bytes()
    assert proofglass(*words, "--out", str(out))[0] == 0  # what is there is taken as it is
    assert (out / "vectors.safetensors").read_bytes() == before
    code, _, fault = proofglass(*words[:4], "--set", f"vectors={out}", "--out", str(out))
    assert code == 2
    assert "names what it has learned already" in fault


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--with", "jpeg"], "jpeg: learns nothing about a victim"),
        (["--with", "inferaligner", "--data", "testbed"], "found no harmless"),
        (["--with", "inferaligner", "--data", "odd=testbed"], "expected FIELD=DATASET with one of harmful, harmless"),
        (["--with", "inferaligner", *(["--data", "testbed"] * 3)], "each once"),
        (["--with", "inferaligner", "--data", "tesbed"], "did you mean"),
        (["--with", "nothing"], "no such defense"),
    ],
)
def test_what_cannot_be_done_is_one_line(proofglass, tmp_path: Path, words: list[str], said: str) -> None:
    code, _, fault = proofglass("defend", "testbed-linear", *words, "--out", str(tmp_path / "out"))
    assert code == 2
    assert said.lower() in fault.lower()
    assert len(fault.splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def test_a_threshold_is_found_at_the_rate_of_false_alarms(tmp_path: Path) -> None:
    benign = build("datasets", "testbed", part="benign-image", n=1, craft_n=20)
    wall = build("defenses", "guard-input", detector=build("models", "testbed-detector", device="cpu"))
    found = fitted_in(CalibratedDefense(wall, benign, rate=0.1), build("victims", "testbed-linear"), tmp_path)
    assert isinstance(found, CalibratedDefense)
    assert found.found is not None
    told = json.loads((found.found / "threshold.json").read_text())
    assert told["alarms"] <= 2
    assert found.at_threshold.threshold == threshold_in(found.found) == told["threshold"]
    assert dict(found.spent)["rows"] == 20


def test_what_has_not_learned_yet_says_how_it_learns(tmp_path: Path) -> None:
    data = build("datasets", "testbed", part="benign-image", n=1, craft_n=4)
    victim = build("victims", "testbed-linear", device="cpu")
    for defense in (InferAligner(harmful=data, harmless=data), CalibratedDefense(build("defenses", "jailguard"), data)):
        with pytest.raises(UsageError, match=r"has not learned about this victim yet.*proofglass defend VICTIM"):
            defense(victim).reply([Ask(next(iter(data)).chat)])
    with pytest.raises(ValueError, match=r"vectors: expected the folder .* found no harmless"):
        InferAligner(harmful=data)
    with pytest.raises(ValueError, match="defense: jpeg has no field `threshold`; it has quality"):
        CalibratedDefense(build("defenses", "jpeg"), data)
    (tmp_path / "threshold.json").write_text('{"threshold": "high"}')
    with pytest.raises(UsageError, match=r"threshold\.json: holds no threshold"):
        threshold_in(tmp_path)
