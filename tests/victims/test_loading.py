"""Loading: LoRA adapters, quantised weights, and memory that runs out."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from proofglass.errors import EnvironmentFault, UnsafeWeights, UsageError
from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf.checks import gradient_difference, loss_difference, plain_reply
from proofglass.victims.hf.inside import next_token_logits
from proofglass.victims.hf.model import HFModel

from .families import tiny_llava

PICTURE = Image.from_array(np.random.default_rng(0).integers(0, 256, (33, 52, 3), dtype=np.uint8))
PAIRS = [(Chat.user(PICTURE, "what is it?"), "a cat"), (Chat.user(PICTURE, "and the roof"), "red .")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("tiny") / "llava"
    tiny_llava.build(made)
    return made


@pytest.fixture(scope="module")
def adapter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    peft = pytest.importorskip("peft", reason="needs peft")
    model = HFModel(folder, "cpu").model
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)", init_lora_weights=False)
    made = tmp_path_factory.mktemp("tiny") / "lora"
    peft.get_peft_model(model, config).save_pretrained(made)
    return made


def test_a_lora_adapter_changes_the_model_and_its_gradient_is_exact(folder: Path, adapter: Path) -> None:
    bare, tuned = HFModel(folder, "cpu"), HFModel(folder, "cpu", adapter=adapter)
    x = bare.pixels(PICTURE)
    before, after = (m.loss_and_grad(x, m.prepare([PAIRS])).nll for m in (bare, tuned))
    assert (before - after).abs().min() > 1e-3
    assert loss_difference(tuned, PAIRS) <= 1e-5
    assert gradient_difference(tuned, PAIRS) <= 1e-5


def test_an_adapter_as_pickle_is_refused(folder: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(UnsafeWeights, match="pickle"):
        HFModel(folder, "cpu", adapter=tmp_path)
    # Of the weights' one name: beside another, PEFT would open the pickle, and the key would hold the other file.
    shutil.copy(adapter / "adapter_model.safetensors", tmp_path / "adapter_model-2.safetensors")
    with pytest.raises(UnsafeWeights, match=r"adapter_model\.bin: a pickle"):
        HFModel(folder, "cpu", adapter=tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        HFModel(folder, "cpu", adapter=tmp_path / "absent")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes (extra quant)")
@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_quantised_weights_change_the_model_and_its_gradient_is_exact(tmp_path: Path, kind: str) -> None:
    tiny_llava.build(folder := tmp_path / "wide", 128)  # blocks of 64 weights share a scale
    plain, packed = HFModel(folder, "cpu"), HFModel(folder, "cpu", quantised=kind)
    x = plain.pixels(PICTURE)
    wanted, found = (m.loss_and_grad(x, m.prepare([PAIRS])) for m in (plain, packed))
    assert 0 < (wanted.nll - found.nll).abs().max() < 1.5
    assert (wanted.pixels - found.pixels).abs().max() > 0
    assert loss_difference(packed, PAIRS) <= 1e-4
    assert gradient_difference(packed, PAIRS) <= 1e-3


def test_layers_spread_over_what_there_is_give_the_same(folder: Path) -> None:
    whole, spread = HFModel(folder, "cpu"), HFModel(folder, "spread")
    x = whole.pixels(PICTURE)
    wanted, found = (m.loss_and_grad(x, m.prepare([PAIRS])) for m in (whole, spread))
    torch.testing.assert_close(found.pixels, wanted.pixels)
    assert gradient_difference(spread, PAIRS) <= 1e-5


class Small:
    """A model whose memory holds `rows` rows of a batch."""

    def __init__(self, model: HFModel, rows: int) -> None:
        self.rows, self.hidden, self.tried = rows, model.family.hidden, []

    def __call__(self, ids, *args, **kwargs):
        self.tried.append(len(ids))
        if len(ids) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return self.hidden(ids, *args, **kwargs)


def test_a_batch_too_large_for_memory_is_halved_and_nothing_is_lost(folder: Path, monkeypatch) -> None:
    model = HFModel(folder, "cpu")
    chats = [Chat.user(f"number {k}" * (k % 3 + 1)) for k in range(9)]
    asks = [Ask(chat, Settings(max_new_tokens=4)) for chat in chats]
    monkeypatch.setattr(model.family, "hidden", small := Small(model, 2))
    replies = model.reply(asks, 8)
    assert [reply.outcome for reply in replies] == ["ok"] * 9
    assert max(small.tried) == 8
    assert model.remarks == [f"out of memory with {k} rows in a batch: on with {k // 2}" for k in (8, 4)]
    monkeypatch.undo()
    assert [model.tokens([ask])[0] for ask in asks] == [plain_reply(model, chat, 4) for chat in chats]


def test_one_row_too_large_for_memory_is_a_fault_of_the_machine_and_no_reply(folder: Path, monkeypatch) -> None:
    model = HFModel(folder, "cpu")
    monkeypatch.setattr(model.family, "hidden", Small(model, 0))
    with pytest.raises(EnvironmentFault, match="out of memory, even with one chat alone"):
        model.reply([Ask(Chat.user("hi"))], 8)


def test_a_gradient_step_too_large_for_memory_holds_less_and_gives_the_same(folder: Path, monkeypatch) -> None:
    model = HFModel(folder, "cpu")
    x = torch.cat([model.pixels(PICTURE)] * 4)
    prepared = model.prepare([PAIRS] * 4)
    wanted = model.loss_and_grad(x, prepared).pixels
    encode = model.family.encode

    def small(values):
        if len(values["pixel_values"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return encode(values)

    monkeypatch.setattr(model.family, "encode", small)
    torch.testing.assert_close(model.loss_and_grad(x, prepared).pixels, wanted)
    assert model.step.images_per_pass == 1
    assert "on with 1 pictures" in model.remarks[-1]


def test_other_errors_are_not_taken_for_a_lack_of_memory(folder: Path, monkeypatch) -> None:
    model = HFModel(folder, "cpu")

    def broken(*_args, **_more):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(model.family, "hidden", broken)
    (reply,) = model.reply([Ask(Chat.user("hi"))], 8)
    assert (reply.outcome, reply.reason) == ("error", "RuntimeError: shapes do not match")
    with pytest.raises(RuntimeError, match="shapes"):
        next_token_logits(model, [Chat.user("hi"), Chat.user("ho")], 8)
    assert model.remarks == []


def test_first_token_logits_too_large_for_memory_come_in_smaller_batches(folder: Path, monkeypatch) -> None:
    model = HFModel(folder, "cpu")
    chats = [Chat.user(f"number {k}" * (k % 3 + 1)) for k in range(5)]
    wanted = next_token_logits(model, chats, 1)
    monkeypatch.setattr(model.family, "hidden", Small(model, 2))
    torch.testing.assert_close(next_token_logits(model, chats, 5), wanted, atol=1e-4, rtol=1e-4)
    assert model.remarks == ["out of memory with 5 rows in a batch: on with 2"]


def test_a_path_that_ran_out_of_memory_is_not_called_wrong(folder: Path, monkeypatch) -> None:
    model = HFModel(folder, "cpu")
    shared, full = model.step.shared, [True]

    def small(*args):
        if full.pop() if full else False:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return shared(*args)

    monkeypatch.setattr(model.step, "shared", small)
    model.loss_and_grad(model.pixels(PICTURE), model.prepare([PAIRS]))
    assert model.step.choice.said.startswith("prefix: agrees")
    assert model.remarks == ["out of memory in a gradient step: on with 32 pictures and 1 pairs at once"]
