"""Judged replies of a run, exported and learned from; a judge as reward. Minutes long."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from defenses.layered import judged, victim_of
from proofglass import api, studies
from proofglass.defenses.training.dpo import DPO
from proofglass.defenses.training.rloo import RLOO
from proofglass.defenses.tuning import CARD
from proofglass.evaluation.datasets.preferences import Preferences
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import Victim
from proofglass.registry import build
from proofglass.types import Ask, Attempt, Sample, Settings

pytest.importorskip("peft", reason="needs peft")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:measure:UserWarning")]


def refused(victim: Victim, samples: Sequence[Sample]) -> int:
    replies = victim.reply([Ask(sample.chat, Settings(24)) for sample in samples])
    attempts = [Attempt(s, s.chat, reply) for s, reply in zip(samples, replies, strict=True)]
    return sum(score.value == 0 for score in build("judges", "not-refused").score(attempts))


def test_pairs_of_a_run_of_two_victims_teach_one_of_them_to_refuse(tmp_path: Path) -> None:
    model = victim_of("testbed-linear")
    data, not_refused = TestbedData(part="typographic", n=60), build("judges", "not-refused")
    study = api.cell_study(model, "no-attack", data, "none", [not_refused], 0, Settings(64), 60)
    (one,) = study.victims
    strict = victim_of("testbed-linear-strict")
    two = (one, replace(one, name="strict", label="strict", plug=strict, make=lambda: strict))
    studies.run_study(replace(study, victims=two), tmp_path / "run", progress=False)
    written = api.write_preferences(tmp_path / "run", tmp_path / "pairs.jsonl")
    assert written.pairs > 20
    dpo = DPO(Preferences(written.file), steps=40, batch=8, rank=16, alpha=32.0, rate=1e-3)
    tuned = dpo.fitted(model, tmp_path / "fit")(model)
    held = judged("typographic-held", 40)  # other nouns, and other samples than those of the run
    assert refused(tuned, held) > refused(model, held) + 10


def test_a_judge_as_reward_moves_what_is_sometimes_refused(tmp_path: Path) -> None:
    model = victim_of("testbed-queries-strict")
    prompts = TestbedData(part="typographic", n=1, craft_n=64)
    rloo = RLOO(prompts, build("judges", "not-refused"), max_new_tokens=24, steps=30, rank=16, alpha=32.0, rate=1e-3)
    fitted = rloo.fitted(model, tmp_path / "fit")
    assert fitted.tuned is not None
    told = json.loads((fitted.tuned / CARD).read_text())["data"]["rewards"]
    assert told["last"] > told["first"]
    held = judged("typographic", 40)
    assert refused(fitted(model), held) > refused(model, held)
