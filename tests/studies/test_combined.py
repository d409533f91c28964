"""`a + b` in a study: attacks one after the other, defenses around each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofglass.errors import UsageError
from proofglass.interfaces import Composed
from proofglass.studies.execute import run_cell, trial_of
from proofglass.studies.plan import expand
from proofglass.studies.sink import Memory
from scripted_plugs import OwnSpeck, Speck, noise
from scripted_study import run, tables

STUDY = """\
name: composed
chunk: 2
victims: [echo: {log: LOG}]
attacks:
  - speck + own-speck:
      speck: {epsilon: 8/255}
  - own-speck + speck
defenses: [none, ask-twice + ask-twice]
datasets: [lines: {n: 3}]
judges: [long]
"""


def test_a_study_names_them_with_a_sign_between(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = study(STUDY)
    first, second = found.attacks
    assert (first.label, second.label) == ("speck + own-speck", "own-speck + speck")
    assert first.plug == Composed((Speck(epsilon=8 / 255), OwnSpeck()))
    assert first.build() == first.plug
    store = run(found, tmp_path / "one")
    assert store.frame()["reply"].is_not_null().all()
    told = [cell["craft"] for cell in store.cells()]
    assert all(craft["artefacts"] == 3 + 1 for craft in told)  # one for each sample, and what is shared
    again = run(found, tmp_path / "one")
    assert tables(again) == tables(store)
    assert {len(images) for images in store.frame()["attacked_images"]} == {1}


def test_what_is_shared_is_crafted_on_the_crafting_split_alone(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = study(STUDY)
    crafting = found.datasets[0].plug.crafting()
    for cell in expand(found).cells[:1]:
        trial = trial_of(cell, cell.victim.build(), found.settings)
        chunks = list(run_cell(trial, Memory()))
        (drawn,) = chunks[0].shared.artefacts
        assert all(chunk.shared is chunks[0].shared for chunk in chunks)
        assert drawn.images == (noise(f"{cell.seed}{''.join(sample.id for sample in crafting)}"),)
        assert {a.parts[0].images for chunk in chunks for a in chunk.bought.artefacts} == {drawn.images}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("speck + nothing-such", "nothing-such"),
        ("speck + ", "Expected names between the signs"),
        ("speck + own-speck: {other: {}}", "no member of 'speck \\+ own-speck'"),
        ("speck + own-speck: 5", "Expected parameters by member"),
        ("speck + own-speck: {speck: {epsilom: 3}}", "no such parameter"),
    ],
)
def test_a_line_that_is_wrong_is_shown_with_its_place(study: Any, line: str, told: str) -> None:
    text = STUDY[: STUDY.index("  - speck")] + f"  - {line}\n" + STUDY[STUDY.index("defenses:") :]
    with pytest.raises(UsageError, match=told):
        study(text)


def test_a_defense_inside_the_model_is_skipped_behind_a_victim_of_replies(study: Any) -> None:
    found = study(
        "name: inside\nvictims: [echo]\nattacks: [no-attack]\ndefenses: [none, coca, ask-twice + coca]\n"
        "datasets: [lines: {n: 3}]\njudges: [long]\n"
    )
    reasons = [cell.skip for cell in expand(found).cells]
    told = "coca needs the logits of a model, this victim gives replies only"
    assert reasons == ["", told, told]
