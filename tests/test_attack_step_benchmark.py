"""The benchmark of the attack step, at a tiny shape: all sides give one gradient, and what is printed is measured."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from proofglass.victims.llava import Llava

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "attack_step.py"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from Linux's /proc")


def _script():
    spec = importlib.util.spec_from_file_location("attack_step", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["attack_step"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


step = _script()
TINY = step.SHAPES["tiny"]
VOCABULARY = dict(TINY.heads)["real"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmark") / "model"
    step.save(TINY, VOCABULARY, path)
    return path


@pytest.fixture(scope="module")
def victim(folder: Path) -> Llava:
    return step.load(TINY, folder, "cpu", "float32")


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("one_prompt", [False, True])
def test_all_loops_give_the_published_gradient(victim: Llava, size: int, one_prompt: bool) -> None:
    given = step.case(TINY, VOCABULARY, size, "cpu", one_prompt=one_prompt)
    wanted = step.published(victim.model.model, given, None)
    assert float(wanted.abs().max()) > 0
    assert _apart(step.encode_once(victim.model.model, given, None), wanted) <= step.GRADIENT_GOAL
    assert _apart(step.step_of(step.OURS, victim, given, None)(), wanted) <= step.GRADIENT_GOAL


@pytest.mark.parametrize("side", [step.PUBLISHED, step.ONCE])
@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_of_the_published_loops_change_no_gradient(victim: Llava, side: str, micro: int) -> None:
    # 5 pairs of 10 to 30 target tokens: weights per micro-batch instead of per step would move the gradient.
    given = step.case(TINY, VOCABULARY, 5, "cpu")
    wanted = step.PEERS[side](victim.model.model, given, None)
    assert _apart(step.PEERS[side](victim.model.model, given, micro), wanted) <= step.GRADIENT_GOAL


def test_another_pairing_has_another_gradient(victim: Llava) -> None:
    # The gradient goal must be able to fail: other targets are far off.
    one, other = (
        step.published(victim.model.model, step.case(TINY, VOCABULARY, 5, "cpu", seed=s), None) for s in (0, 1)
    )
    assert _apart(one, other) > 1000 * step.GRADIENT_GOAL


def test_torchattacks_around_the_model_gives_the_published_gradient(victim: Llava) -> None:
    pytest.importorskip("torchattacks", reason="pip install --no-deps torchattacks")
    given = step.case(TINY, VOCABULARY, 5, "cpu")
    found = step.torchattacks_step(victim.model.model, given, None)
    assert _apart(found, step.published(victim.model.model, given, None)) <= step.GRADIENT_GOAL
    assert not victim.model.model.training


def test_the_wrapper_for_torchattacks_gives_the_published_loss(victim: Llava) -> None:
    # The mean cross-entropy of the wrapper's logits is the labels loss, so its gradient is the published one.
    given = step.case(TINY, VOCABULARY, 5, "cpu")
    around = step.Around(victim.model.model, given).eval()
    x = given.pixels.clone().requires_grad_(True)
    (-torch.nn.functional.cross_entropy(around(x), around.labels)).backward()
    assert _apart(around.gradient, step.published(victim.model.model, given, None)) <= step.GRADIENT_GOAL


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_drawn_on_the_device_run_as_saved_ones_do(tmp_path: Path, dtype: str) -> None:
    # The way to 7 billion weights: no weight file is written or read.
    shape = dataclasses.replace(TINY, drawn=True)
    step.save(shape, VOCABULARY, tmp_path)
    victim = step.load(shape, tmp_path, "cpu", dtype)
    given = step.case(shape, VOCABULARY, 3, "cpu")
    cell = step.measure("real", shape, VOCABULARY, victim, given, 16, 1, [step.PUBLISHED, step.ONCE, step.OURS])
    assert (tmp_path / "model.safetensors").stat().st_size < 1000  # bytes: a header
    assert next(victim.model.model.parameters()).dtype == getattr(torch, dtype)
    if dtype == "float32":
        assert cell.differences[step.OURS] <= step.GRADIENT_GOAL
    assert cell.cosines[step.OURS] >= 0.99


def test_a_cell_holds_what_the_report_prints(victim: Llava) -> None:
    given = step.case(TINY, VOCABULARY, 3, "cpu")
    sides = [step.PUBLISHED, step.ONCE, step.OURS]
    cell = step.measure("real", TINY, VOCABULARY, victim, given, 2, 3, sides)
    assert all(len(cell.seconds[side]) == 3 and min(cell.seconds[side]) > 0 for side in sides)
    assert cell.path.startswith("prefix: agrees")
    assert cell.notes == ["B = 3: published and encode-once ran in micro-batches of 2"]
    text = step.report([cell], "CPU time")
    assert f"**{cell.median(step.PUBLISHED) / cell.median(step.OURS):.2f}**" in text
    assert "ours went prefix" in text
    assert cell.notes[0] in text
    assert "| – |" in text  # torchattacks was not asked for


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_suffixes_are_forty_tokens_on_average_and_half_of_them_target(size: int) -> None:
    given = step.case(TINY, VOCABULARY, size, "cpu")
    before = step.TEXT_BEFORE + TINY.image_tokens
    suffixes = [len(p) + len(t) - before for p, t in given.pairs]
    assert sum(suffixes) / size == pytest.approx(40, abs=0.5)
    assert sum(len(t) for _, t in given.pairs) / size == pytest.approx(20, abs=0.5)
    assert size == 1 or (min(suffixes), max(suffixes)) == (20, 60)


def test_flops_of_the_7b_shape_are_those_of_its_layers() -> None:
    # LLaVA-1.5-7B by hand, B = 8: plain 155 TF, ours 25.0 TF when the last layer of the prefix runs whole; it does
    # not: 4 x (2 d^2 + 3 d f) x 576 = 0.39 TF less, attention apart.
    shape = step.SHAPES["llava-7b"]
    given = step.case(shape, 32_064, 8, "cpu")
    plain = step.flops(step.PUBLISHED, shape, 32_064, given, None)
    ours = step.flops(step.OURS, shape, 32_064, given, None)
    assert plain / 1e12 == pytest.approx(155, rel=0.01)
    assert ours / 1e12 == pytest.approx(24.6, rel=0.02)


def test_goals_are_met_or_missed_by_their_own_side() -> None:
    assert step.goal(5.6, 5.5) == "≥ 5.5: met"
    assert step.goal(5.4, 5.5) == "≥ 5.5: **missed**"
    assert step.goal(0.07, 1 / 12, at_most=True) == "≤ 1/12: met"
    assert step.goal(0.09, 1 / 12, at_most=True) == "≤ 1/12: **missed**"
    assert step.goal(1.0, None) == "–"


@linux
def test_peak_memory_is_what_one_step_takes(folder: Path, victim: Llava) -> None:
    # Logits of 8 rows x 111 tokens x 256 words in float32 are 0.9 MB: less would not be a step of the published loop.
    asked = step.arguments(["--shape", "tiny", "--head", "real"])
    memory = step.Memory(asked, TINY, "real", folder, victim)
    peak, note = memory.of(step.PUBLISHED, 8)
    assert peak is not None
    assert 0.9e6 < peak < 1e9
    assert note == ""


def test_a_batch_that_does_not_fit_is_said_and_scaled_from_eight(victim: Llava, tmp_path: Path) -> None:
    asked = argparse.Namespace(device="cuda", shape="tiny", dtype="float32", one_prompt=False)
    memory = step.Memory(asked, TINY, "real", tmp_path, victim, known={(step.PUBLISHED, 8): 1e15})
    peak, note = memory.of(step.PUBLISHED, 64)
    assert peak == 8e15
    assert "does not fit" in note


@linux
def test_the_script_prints_tables_and_writes_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The large head with 1,000 words instead of 32,000: the same code at a fifteenth of the time.
    monkeypatch.setitem(step.SHAPES, "tiny", dataclasses.replace(TINY, heads=(("real", VOCABULARY), ("32k", 1000))))
    file = tmp_path / "figures.json"
    step.main(
        ["--shape", "tiny", "--head", "32k", "--batch", "2", "64", "--repeats", "1", "--no-memory", "--json", str(file)]
    )
    shown = capsys.readouterr().out
    assert "32k head, B = 64: left out" in shown
    assert "### 32k head, 1,000 words" in shown
    assert "threads" in shown
    written = json.loads(file.read_text())
    assert [cell["size"] for cell in written["cells"]] == [2]
    assert set(written["cells"][0]["seconds"]) >= {"published", "encode-once", "ours"}
