"""The benchmark of the attack step, at a tiny shape: all sides give one gradient, and what is printed is measured."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

from proofglass.victims.llava import Llava

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import attack_step
from attack_step_parts import cells, memory, model, steps, tables

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from Linux's /proc")


TINY = model.SHAPES["tiny"]
VOCABULARY = dict(TINY.heads)["real"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmark") / "model"
    model.save(TINY, VOCABULARY, path)
    return path


@pytest.fixture(scope="module")
def victim(folder: Path) -> Llava:
    return model.load(TINY, folder, "cpu", "float32")


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("one_prompt", [False, True])
def test_all_loops_give_the_published_gradient(victim: Llava, size: int, one_prompt: bool) -> None:
    given = steps.case(TINY, VOCABULARY, size, "cpu", one_prompt=one_prompt)
    wanted = steps.published(victim.model.model, given, None)
    assert float(wanted.abs().max()) > 0
    assert _apart(steps.encode_once(victim.model.model, given, None), wanted) <= tables.GRADIENT_GOAL
    assert _apart(steps.step_of(steps.OURS, victim, given, None)(), wanted) <= tables.GRADIENT_GOAL


@pytest.mark.parametrize("side", [steps.PUBLISHED, steps.ONCE])
@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_of_the_published_loops_change_no_gradient(victim: Llava, side: str, micro: int) -> None:
    # 5 pairs of 10 to 30 target tokens: weights per micro-batch instead of per step would move the gradient.
    given = steps.case(TINY, VOCABULARY, 5, "cpu")
    wanted = steps.PEERS[side](victim.model.model, given, None)
    assert _apart(steps.PEERS[side](victim.model.model, given, micro), wanted) <= tables.GRADIENT_GOAL


def test_another_pairing_has_another_gradient(victim: Llava) -> None:
    # The gradient goal must be able to fail: other targets are far off.
    one, other = (
        steps.published(victim.model.model, steps.case(TINY, VOCABULARY, 5, "cpu", seed=s), None) for s in (0, 1)
    )
    assert _apart(one, other) > 1000 * tables.GRADIENT_GOAL


def test_torchattacks_around_the_model_gives_the_published_gradient(victim: Llava) -> None:
    pytest.importorskip("torchattacks", reason="pip install --no-deps torchattacks")
    given = steps.case(TINY, VOCABULARY, 5, "cpu")
    found = steps.torchattacks_step(victim.model.model, given, None)
    assert _apart(found, steps.published(victim.model.model, given, None)) <= tables.GRADIENT_GOAL
    assert not victim.model.model.training


def test_the_wrapper_for_torchattacks_gives_the_published_loss(victim: Llava) -> None:
    # The mean cross-entropy of the wrapper's logits is the labels loss, so its gradient is the published one.
    given = steps.case(TINY, VOCABULARY, 5, "cpu")
    around = steps.Around(victim.model.model, given).eval()
    x = given.pixels.clone().requires_grad_(True)
    (-torch.nn.functional.cross_entropy(around(x), around.labels)).backward()
    assert _apart(around.gradient, steps.published(victim.model.model, given, None)) <= tables.GRADIENT_GOAL


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_drawn_on_the_device_run_as_saved_ones_do(tmp_path: Path, dtype: str) -> None:
    # The way to 7 billion weights: no weight file is written or read.
    shape = dataclasses.replace(TINY, drawn=True)
    model.save(shape, VOCABULARY, tmp_path)
    victim = model.load(shape, tmp_path, "cpu", dtype)
    given = steps.case(shape, VOCABULARY, 3, "cpu")
    cell = cells.measure("real", shape, VOCABULARY, victim, given, 16, 1, [steps.PUBLISHED, steps.ONCE, steps.OURS])
    assert (tmp_path / "model.safetensors").stat().st_size < 1000  # bytes: a header
    assert next(victim.model.model.parameters()).dtype == getattr(torch, dtype)
    if dtype == "float32":
        assert cell.differences[steps.OURS] <= tables.GRADIENT_GOAL
    assert cell.cosines[steps.OURS] >= 0.99


def test_a_cell_holds_what_the_report_prints(victim: Llava) -> None:
    given = steps.case(TINY, VOCABULARY, 3, "cpu")
    sides = [steps.PUBLISHED, steps.ONCE, steps.OURS]
    cell = cells.measure("real", TINY, VOCABULARY, victim, given, 2, 3, sides)
    assert all(len(cell.seconds[side]) == 3 and min(cell.seconds[side]) > 0 for side in sides)
    assert cell.path.startswith("prefix: agrees")
    assert cell.notes == ["B = 3: published and encode-once ran in micro-batches of 2"]
    text = tables.report([cell], "CPU time")
    assert f"**{cell.median(steps.PUBLISHED) / cell.median(steps.OURS):.2f}**" in text
    assert "ours went prefix" in text
    assert cell.notes[0] in text
    assert "| – |" in text  # torchattacks was not asked for


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_suffixes_are_forty_tokens_on_average_and_half_of_them_target(size: int) -> None:
    given = steps.case(TINY, VOCABULARY, size, "cpu")
    before = steps.TEXT_BEFORE + TINY.image_tokens
    suffixes = [len(p) + len(t) - before for p, t in given.pairs]
    assert sum(suffixes) / size == pytest.approx(40, abs=0.5)
    assert sum(len(t) for _, t in given.pairs) / size == pytest.approx(20, abs=0.5)
    assert size == 1 or (min(suffixes), max(suffixes)) == (20, 60)


def test_flops_of_the_7b_shape_are_those_of_its_layers() -> None:
    # LLaVA-1.5-7B by hand, B = 8: plain 155 TF, ours 25.0 TF when the last layer of the prefix runs whole; it does
    # not: 4 x (2 d^2 + 3 d f) x 576 = 0.39 TF less, attention apart.
    shape = model.SHAPES["llava-7b"]
    given = steps.case(shape, 32_064, 8, "cpu")
    plain = cells.flops(steps.PUBLISHED, shape, 32_064, given, None)
    ours = cells.flops(steps.OURS, shape, 32_064, given, None)
    assert plain / 1e12 == pytest.approx(155, rel=0.01)
    assert ours / 1e12 == pytest.approx(24.6, rel=0.02)


def test_goals_are_met_or_missed_by_their_own_side() -> None:
    assert tables.goal(5.6, 5.5) == "≥ 5.5: met"
    assert tables.goal(5.4, 5.5) == "≥ 5.5: **missed**"
    assert tables.goal(0.07, 1 / 12, at_most=True) == "≤ 1/12: met"
    assert tables.goal(0.09, 1 / 12, at_most=True) == "≤ 1/12: **missed**"
    assert tables.goal(1.0, None) == "–"


@linux
def test_peak_memory_is_what_one_step_takes(folder: Path, victim: Llava) -> None:
    # Logits of 8 rows x 111 tokens x 256 words in float32 are 0.9 MB: less would not be a step of the published loop.
    asked = attack_step.arguments(["--shape", "tiny", "--head", "real"])
    peaks = memory.Memory(asked, TINY, "real", folder, victim)
    peak, note = peaks.of(steps.PUBLISHED, 8)
    assert peak is not None
    assert 0.9e6 < peak < 1e9
    assert note == ""


def test_a_batch_that_does_not_fit_is_said_and_scaled_from_eight(victim: Llava, tmp_path: Path) -> None:
    asked = argparse.Namespace(device="cuda", shape="tiny", dtype="float32", one_prompt=False)
    peaks = memory.Memory(asked, TINY, "real", tmp_path, victim, known={(steps.PUBLISHED, 8): 1e15})
    peak, note = peaks.of(steps.PUBLISHED, 64)
    assert peak == 8e15
    assert "does not fit" in note


@linux
def test_the_script_prints_tables_and_writes_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The large head with 1,000 words instead of 32,000: the same code at a fifteenth of the time.
    monkeypatch.setitem(model.SHAPES, "tiny", dataclasses.replace(TINY, heads=(("real", VOCABULARY), ("32k", 1000))))
    file = tmp_path / "figures.json"
    attack_step.main(
        ["--shape", "tiny", "--head", "32k", "--batch", "2", "64", "--repeats", "1", "--no-memory", "--json", str(file)]
    )
    shown = capsys.readouterr().out
    assert "32k head, B = 64: left out" in shown
    assert "### 32k head, 1,000 words" in shown
    assert "threads" in shown
    written = json.loads(file.read_text())
    assert [cell["size"] for cell in written["cells"]] == [2]
    assert set(written["cells"][0]["seconds"]) >= {"published", "encode-once", "ours"}
