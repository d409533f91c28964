"""The general victim: names of usual weights, key, card, and what it says when a folder or the hub has no usable
weights."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from proofglass.errors import MissingExtra, UnsafeWeights, UsageError
from proofglass.registry import build, entries
from proofglass.types import Ask, Chat, Message, Settings
from proofglass.victims.hf import checks, families
from proofglass.victims.hf_folder import HF
from proofglass.victims.llava import Llava

from .families import tiny_idefics3, tiny_llava

HUB = {name: each.defaults for name, each in entries("victims").items() if each.target.endswith("hf_folder:HF")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("tiny") / "model"
    tiny_idefics3.smolvlm(made)
    return made


def reports(victim: HF) -> str:
    """What loading `victim` raises."""
    with pytest.raises(UsageError) as caught:
        victim.reply([Ask(Chat.user("hi"))])
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- what it is


def test_any_family_answers_and_gives_gradients(folder: Path) -> None:
    victim = build("victims", "hf", path=folder, device="cpu")
    (image,) = checks.odd_pictures(1, seed=3)
    chat = Chat.user(image, "what is it?")
    assert victim.reply([Ask(chat, Settings(max_new_tokens=3))])[0].outcome == "ok"
    x = victim.pixels(image)
    found = victim.loss_and_grad(x, victim.prepare([[(chat, "a cat"), (chat.with_text("why"), "red")]]))
    assert found.pixels.shape == x.shape
    assert found.pixels.abs().max() > 0
    assert victim.gradient_path().startswith("prefix: agrees with the plain loop")


def test_the_card_says_what_was_loaded_and_loads_no_weights(folder: Path) -> None:
    victim = HF(str(folder), device="cpu")
    card = victim.card()
    assert "model" not in vars(victim)
    assert card == {
        "name": str(folder),
        "revision": "",
        "architecture": "SmolVLMForConditionalGeneration",
        "weights_sha256": victim.weights_hash,
        "dtype": "float32",
        "quantised": "",
        "adapter": "",
        "system_role": "chat template",
        "chat_template": "of the folder",
        "begin_token": "written by template",
        "generation_not_followed": [],
        "image_processor": "SmolVLMImageProcessorPil",
        "image_processor_backend": "pil",
        "image_processor_default": "torchvision" if find_spec("torchvision") else "pil",
        "batch": {"rows": 16, "pairs": 8, "pictures": 32},
        "remarks": [],
    }
    assert json.loads(json.dumps(card)) == card


def test_generation_settings_that_replies_do_not_follow_are_on_the_card(copy: Path) -> None:
    stated = {"num_beams": 5, "top_k": 20, "repetition_penalty": 1.2, "eos_token_id": 2}
    (copy / "generation_config.json").write_text(json.dumps(stated))
    assert HF(copy, device="cpu").card()["generation_not_followed"] == ["num_beams 5", "top_k 20"]


def test_a_template_without_a_system_role_is_recorded_and_the_system_prompt_is_not_lost(copy: Path) -> None:
    template = (copy / "chat_template.jinja").read_text()
    without = template.replace("for m in messages %}", "for m in messages if m['role'] != 'system' %}", 1)
    (copy / "chat_template.jinja").write_text(without)
    victim = HF(copy, device="cpu")
    assert victim.card()["system_role"] == "put in front of the first user turn"
    said = victim.model.tokenizer.decode(victim.model.encode_chat(Chat.user("hi").with_system("be brief")).ids)
    assert "be brief\nhi" in said


def test_a_later_system_prompt_is_not_lost_either(copy: Path) -> None:
    template = (copy / "chat_template.jinja").read_text()
    without = template.replace("for m in messages %}", "for m in messages if m['role'] != 'system' %}", 1)
    (copy / "chat_template.jinja").write_text(without)
    model = HF(copy, device="cpu").model
    late = Message("system", ("be brief",))
    said = model.tokenizer.decode(model.encode_chat(Chat((*Chat.user("hi").say("ho").messages, late)).ask("so")).ids)
    assert "hi" in said.partition("be brief\nso")[0]
    with pytest.raises(ValueError, match="a system prompt needs a user turn"):
        model.encode_chat(Chat((late,)))


def test_of_several_templates_the_default_one_is_taken(copy: Path) -> None:
    text = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    described = json.loads((copy / "tokenizer_config.json").read_text())
    described["chat_template"] = [
        {"name": "default", "template": text},
        {"name": "tool_use", "template": "{{ messages[0]['tools'] }}"},
    ]
    (copy / "tokenizer_config.json").write_text(json.dumps(described))
    model = HF(copy, device="cpu").model
    assert isinstance(model.tokenizer.chat_template, dict)
    assert model.chats.template == text
    assert model.reply([Ask(Chat.user("hi"), Settings(max_new_tokens=2))], 1)[0].outcome == "ok"


def test_a_folder_without_the_processor_that_its_family_asks_is_refused(copy: Path) -> None:
    for file in copy.glob("*.json"):
        described = json.loads(file.read_text())
        described.pop("processor_class", None)
        file.write_text(json.dumps(described))
    with pytest.raises(UsageError, match="names no processor of text and pictures"):
        HF(copy, device="cpu").model.chats  # noqa: B018


def test_a_template_in_the_file_of_older_transformers_is_the_folders_own(copy: Path) -> None:
    text = "{% for m in messages %}<user>{{ m['content'] }}{% endfor %}<bot>"
    (copy / "chat_template.jinja").unlink()
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": text}))
    victim = HF(copy, device="cpu")
    assert victim.card()["chat_template"] == "of the folder"
    assert victim.model.chats.template == text


def test_a_family_gives_a_template_where_the_folder_has_none(tmp_path: Path) -> None:
    tiny_llava.build(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    victim = HF(tmp_path / "model", device="cpu")
    assert victim.card()["chat_template"] == "of the family"
    assert victim.reply([Ask(Chat.user("hi"), Settings(max_new_tokens=2))])[0].outcome == "ok"


def test_the_size_and_whether_it_sees_are_known_without_weights(folder: Path, tmp_path: Path) -> None:
    assert HF(folder).image_size is None  # depends on the picture
    assert HF(folder).sees_images
    tiny_llava.build(tmp_path / "llava")
    victim = HF(tmp_path / "llava")
    assert victim.image_size == (28, 28)
    assert "model" not in vars(victim)


def test_the_key_holds_weights_texts_and_settings_and_not_the_place(folder: Path, copy: Path) -> None:
    key = HF(folder).key
    assert HF(copy).key == key
    assert HF(copy, revision="v2", batch=1, micro=1, images_per_pass=1).key == key
    others = [HF(copy, device="cuda").key, HF(copy, dtype="bfloat16").key, HF(copy, quantised="nf4").key]
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    others.append(HF(copy).key)
    (weights,) = copy.glob("*.safetensors")
    tensors = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, weights, {"format": "pt"})
    others.append(HF(copy).key)
    assert len({key, *others}) == 6


def test_the_key_holds_an_adapter(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        HF(folder, adapter=tmp_path / "absent").key  # noqa: B018
    (tmp_path / "adapter_config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    keys = {HF(folder).key, HF(folder, adapter=tmp_path).key}
    (tmp_path / "adapter_config.json").write_text('{"r": 2}')
    assert len({*keys, HF(folder, adapter=tmp_path).key}) == 3


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dtype", "float16", "expected float32, bfloat16 or float64"),
        ("quantised", "int4", "expected int8, nf4 or nothing"),
        ("batch", 0, "expected at least 1"),
        ("micro", 0, "expected at least 1"),
        ("images_per_pass", 0, "expected at least 1"),
    ],
)
def test_a_bad_field_is_named(folder: Path, field: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: {said}, found {value!r}"):
        HF(folder, **{field: value})  # type: ignore[arg-type]


# ---------------------------------------------------------------- names


def test_llava_is_the_same_victim_under_its_own_name(folder: Path) -> None:
    assert issubclass(Llava, HF)
    assert [f.name for f in dataclasses.fields(Llava)] == [f.name for f in dataclasses.fields(HF)]
    assert Llava(folder).name == "llava"
    assert Llava(folder).card() == HF(folder).card()


def test_every_name_of_usual_weights_is_a_hub_name_that_can_be_replaced_by_a_folder(folder: Path) -> None:
    assert len(HUB) > 15
    assert HUB["llava-1.5-7b"] == {"path": "llava-hf/llava-1.5-7b-hf"}
    assert HUB["phi4-multimodal"]["revision"] == "refs/pr/70"
    for name, defaults in HUB.items():
        if name != "hf":
            assert str(defaults["path"]).count("/") == 1
        assert build("victims", name, path=folder).key == HF(folder).key


def test_naming_a_victim_loads_nothing() -> None:
    code = (
        "import sys; from proofglass.registry import build; build('victims', 'llava-1.5-7b'); "
        "print([m for m in ('torch', 'transformers', 'huggingface_hub') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---------------------------------------------------------------- what cannot be used


def test_an_unknown_family_names_the_nearest(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "architectures": ["Idefics4ForConditionalGeneration"]}))
    said = reports(HF(copy, device="cpu"))
    assert (
        "config.json: architectures: 'Idefics4ForConditionalGeneration' has no adapter; the nearest that has one: "
        in said
    )
    assert "Idefics3ForConditionalGeneration" in said.partition("There is one for")[0]
    with pytest.raises(UsageError, match="has no adapter"):
        assert HF(copy).sees_images  # so a plan says it, before any weights are loaded


def test_every_family_is_told_to_who_asks_for_an_unknown_one(copy: Path) -> None:
    (copy / "config.json").write_text('{"architectures": null}')
    said = reports(HF(copy, device="cpu"))
    assert all(name in said for name in families.FAMILIES)


def test_pickles_are_refused_with_how_to_convert(copy: Path) -> None:
    for file in copy.glob("*.safetensors"):
        file.rename(copy / "pytorch_model.bin")
    with pytest.raises(UnsafeWeights, match=r"pytorch_model\.bin: a pickle checkpoint .*CLASS\.from_pretrained"):
        HF(copy, device="cpu").reply([Ask(Chat.user("hi"))])


def test_absent_weights_say_what_to_give(copy: Path, tmp_path: Path) -> None:
    for file in copy.glob("*.safetensors"):
        file.unlink()
    assert "no *.safetensors weights" in reports(HF(copy))
    assert "no such folder; give a folder with config.json and *.safetensors" in reports(HF(tmp_path / "absent"))
    (copy / "config.json").unlink()
    assert "no config.json" in reports(HF(copy))


@pytest.mark.parametrize("keep", [0, 20, 5000])
def test_a_file_cut_off_is_named(copy: Path, keep: int) -> None:
    (file,) = copy.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:keep])
    assert reports(HF(copy, device="cpu")).startswith(f"{file}: weights that cannot be read (")


def test_a_missing_shard_and_missing_tensors_are_no_random_weights(copy: Path) -> None:
    (file,) = copy.glob("*.safetensors")
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    lost = next(name for name in tensors if name.endswith("mlp.up_proj.weight"))
    rest = {name: tensor for name, tensor in tensors.items() if name != lost}
    save_file(rest, file, {"format": "pt"})
    assert f"the weights lack 1 tensors of SmolVLMForConditionalGeneration, the first is {lost}" in reports(
        HF(copy, device="cpu")
    )
    save_file({**rest, lost: torch.zeros(2, 2)}, file, {"format": "pt"})
    assert "tensors of another shape than config.json says" in reports(HF(copy, device="cpu"))
    file.rename(copy / "model-00001-of-00002.safetensors")
    shards = dict.fromkeys(rest, "model-00001-of-00002.safetensors") | {lost: "model-00002-of-00002.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    assert "model-00002-of-00002.safetensors" in reports(HF(copy, device="cpu"))


@pytest.mark.parametrize(
    ("lost", "said"), [("tokenizer*", "tokenizer"), ("preprocessor_config.json", "image processor")]
)
def test_a_folder_without_tokenizer_or_image_processor_says_so(copy: Path, lost: str, said: str) -> None:
    for file in copy.glob(lost):
        file.unlink()
    assert f"{copy}: no {said} that can be read" in reports(HF(copy, device="cpu"))


def test_a_gated_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from unittest.mock import Mock

    def gated(*_: object, **__: object) -> str:
        raise huggingface_hub.errors.GatedRepoError("403", response=Mock(headers={}, request=None))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gated)
    said = reports(build("victims", "gemma3-4b"))
    assert "'google/gemma-3-4b-it'" in said
    assert "accept the licence on its page of the hub, then run `hf auth login`" in said


def test_a_hub_model_without_safetensors_is_refused_with_how_to_convert(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in copy.glob("*.safetensors"):
        file.unlink()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(copy))
    with pytest.raises(
        UnsafeWeights, match=r"'owner/old': the hub has no safetensors of revision 'main'.*save_pretrained"
    ):
        HF("owner/old").key  # noqa: B018


def test_a_hub_model_is_loaded_from_its_copy_and_the_card_names_the_commit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    held = Path(shutil.copytree(folder, tmp_path / "snapshots" / commit))
    asked: list[object] = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **more: asked.append((name, more["revision"])) or str(held)
    )
    victim = HF("owner/model", revision="v2", device="cpu")
    assert victim.card()["revision"] == commit
    assert victim.key == HF(folder, device="cpu").key
    assert victim.reply([Ask(Chat.user("hi"), Settings(max_new_tokens=2))])[0].outcome == "ok"
    assert set(asked) == {("owner/model", "v2")}


def test_a_package_of_quantised_weights_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proofglass.victims.hf import loading

    monkeypatch.setattr(loading, "find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match="pip install bitsandbytes"):
        HF(folder, device="cpu", quantised="nf4").reply([Ask(Chat.user("hi"))])
