"""MiniGPT-4 from its parts: the same function as the parts put together by hand, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import Blip2ForConditionalGeneration, LlamaForCausalLM

from proofglass.errors import UnsafeWeights, UsageError
from proofglass.types import Ask, Chat, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.families.minigpt4 import SYSTEM, assemble
from proofglass.victims.hf.model import HFModel

from . import tiny_minigpt4


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    torch.manual_seed(0)
    return tiny_minigpt4.parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def model(parts: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return HFModel(assemble(*parts, tmp_path_factory.mktemp("minigpt4") / "model"), "cpu")


def test_loss_is_that_of_the_parts_put_together_as_the_authors_do(
    model: HFModel, parts: tuple[Path, Path, Path]
) -> None:
    """The texts before and behind the picture tokenised one by one, their embeddings around the projected queries."""
    image, target = checks.odd_pictures(1, seed=3)[0], "a roof"
    blip2 = Blip2ForConditionalGeneration.from_pretrained(parts[0])
    llama = LlamaForCausalLM.from_pretrained(parts[1])
    layer = load_file(parts[2])
    words = model.tokenizer
    before = words(f"{SYSTEM}###Human: <Img>")["input_ids"]
    behind = words("</Img> what is it?###Assistant:", add_special_tokens=False)["input_ids"]
    answer = words(target, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        seen = blip2.vision_model(model.values(model.pixels(image))["pixel_values"]).last_hidden_state
        asked = blip2.qformer(query_embeds=blip2.query_tokens, encoder_hidden_states=seen).last_hidden_state
        shown = F.linear(asked, layer["llama_proj.weight"], layer["llama_proj.bias"])
        embed = llama.get_input_embeddings()
        parts_of = [embed(torch.tensor([before])), shown, embed(torch.tensor([behind + answer]))]
        logits = llama(inputs_embeds=torch.cat(parts_of, 1)).logits[0, -len(answer) - 1 : -1]
        # The marker adds a token, exactly as likely as the unknown one.
        logits = torch.cat([logits, logits[:, words.unk_token_id, None]], 1)
        plain = F.cross_entropy(logits, torch.tensor(answer))
    prepared = model.prepare([[(Chat.user(image, "what is it?"), target)]])
    found = model.loss_and_grad(model.pixels(image), prepared, need_grad=False).loss[0]
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


def test_a_system_prompt_takes_the_place_of_the_authors_and_turns_are_closed(model: HFModel) -> None:
    image = checks.odd_pictures(1)[0]
    chat = Chat.user("here", image, "what is it?").with_system("be brief").say("a cat").ask("sure?")
    assert model.chats.render(chat) == (
        "<s>be brief###Human: here <Img><image></Img> what is it?###Assistant: a cat###Human: sure?###Assistant:"
    )


def test_a_reply_ends_where_the_next_turn_would_begin(model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    script = model.tokenizer("yes### Human: more", add_special_tokens=False)["input_ids"]
    told = iter(script)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        return F.one_hot(torch.tensor(next(told)), model.family.vocabulary).float().expand(*hidden.shape[:-1], -1)

    monkeypatch.setattr(model.family, "head", head)
    asked = Ask(Chat.user(checks.odd_pictures(1)[0], "sure?"), Settings(max_new_tokens=len(script)))
    (reply,) = model.reply([asked], 1)
    assert (reply.text, reply.finish) == ("yes", "stop")
    assert reply.cost.tokens_out < len(script)


def test_the_authors_checkpoint_is_read_as_the_file_that_was_meant(
    parts: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    blip2, llama, layer = parts
    file = tmp_path / "checkpoint.pth"
    torch.save({"model": {**load_file(layer), "other": torch.ones(2)}, "epoch": 3}, file)
    stated = hashlib.sha256(file.read_bytes()).hexdigest()
    for wrong in ("", "0" * 64):
        with pytest.raises(UnsafeWeights, match=f"its sha256 is {stated}"):
            assemble(blip2, llama, file, tmp_path / "out", wrong)
    found = assemble(blip2, llama, file, tmp_path / "out", stated)
    (shard,) = (f for f in found.glob("*.safetensors") if "language_projection.bias" in load_file(f))
    assert torch.equal(load_file(shard)["language_projection.bias"], load_file(layer)["llama_proj.bias"])


def test_a_checkpoint_with_more_than_tensors_is_refused(parts: tuple[Path, Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    torch.save({"model": load_file(parts[2]), "config": Path("x")}, file)
    with pytest.raises(UnsafeWeights, match=r"holds more than tensors.* to a safetensors file"):
        assemble(*parts[:2], file, tmp_path / "out", hashlib.sha256(file.read_bytes()).hexdigest())


def test_parts_that_do_not_fit_are_named(parts: tuple[Path, Path, Path], tmp_path: Path) -> None:
    blip2, llama, layer = parts
    with pytest.raises(UsageError, match=r"expected Blip2ForConditionalGeneration, found \['LlamaForCausalLM'\]"):
        assemble(llama, llama, layer, tmp_path / "out")
    save_file({"llama_proj.weight": torch.ones(40, 24), "llama_proj.bias": torch.ones(40)}, tmp_path / "l.safetensors")
    with pytest.raises(UsageError, match=r"expected shape \[32, 24\].*found \[40, 24\]; .* 7B and 13B differ"):
        assemble(blip2, llama, tmp_path / "l.safetensors", tmp_path / "out")
    save_file({"weight": torch.ones(1)}, tmp_path / "m.safetensors")
    with pytest.raises(UsageError, match=r"expected llama_proj\.weight and llama_proj\.bias, found weight"):
        assemble(blip2, llama, tmp_path / "m.safetensors", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="is not empty"):
        assemble(blip2, llama, layer, tmp_path / "full")


def test_a_part_without_all_its_weights_is_named(parts: tuple[Path, Path, Path], tmp_path: Path) -> None:
    blip2, llama, layer = parts
    less = shutil.copytree(llama, tmp_path / "less")
    sorted(less.glob("*.safetensors"))[0].unlink()
    with pytest.raises(UsageError, match=r"names 'model-00001-of-0.*', which is not there; get all files"):
        assemble(blip2, less, layer, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["less"]  # nothing half-written is left


def test_a_tokenizer_that_writes_no_space_behind_a_picture_is_refused(
    parts: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Its class would have to know `legacy`."""
    blip2, llama, layer = parts
    other = shutil.copytree(llama, tmp_path / "other")
    described = json.loads((other / "tokenizer_config.json").read_text())
    described["tokenizer_class"] = "PreTrainedTokenizerFast"
    (other / "tokenizer_config.json").write_text(json.dumps(described))
    with pytest.raises(UsageError, match="take the tokenizer of class LlamaTokenizer"):
        assemble(blip2, other, layer, tmp_path / "out")
