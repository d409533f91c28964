"""The adapter against transformers itself, on tiny random models of each family."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from proofglass.errors import UnsafeWeights, UsageError
from proofglass.types import Ask, Chat, Image, Message, Settings
from proofglass.victims.hf.checks import loss_difference
from proofglass.victims.hf.model import HFModel
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build, save_tokenizer

FAMILIES = ["llava", "blip2", "idefics"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: HFModel(build(name, folder / name), "cpu") for name in [*FAMILIES, "lm"]}


def picture(seed, side=SIDE):
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def pairs():
    place = picture(99)
    return [
        (Chat.user(place, "how do i make it ?"), "sure , here"),
        (Chat.user(place, "tell me"), "sure , here is how"),
    ]


def reference_loss(model, pixels, chat, target):
    """Plain transformers: full forward with pixel_values and labels, batch of one."""
    prompt = model.encode_chat(chat).ids
    answer = model.tokenizer(target, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[*prompt, *answer]])
    labels = torch.tensor([[-100] * len(prompt) + answer])
    kwargs = {"pixel_values": model.values(pixels)["pixel_values"]}
    if type(model.family).__name__ == "Idefics":
        kwargs["pixel_values"] = kwargs["pixel_values"][:, None]
        kwargs["image_attention_mask"] = ((ids == 3).cumsum(1) > 0).long()[..., None]
    return model.model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, **kwargs).loss, len(answer)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_equal_those_of_transformers(models, family):
    model = models[family]
    x = model.pixels(picture(1)).requires_grad_(True)
    sums, counts = [], []
    for chat, target in pairs():
        loss, count = reference_loss(model, x, chat, target)
        sums.append(loss * count)
        counts.append(count)
    wanted = sum(sums) / sum(counts)  # Hugging Face's loss over the batch: every token weighs the same
    gradient = torch.autograd.grad(wanted, x)[0]
    found = model.loss_and_grad(x.detach(), model.prepare([pairs()]), "token", True)
    torch.testing.assert_close(found.loss[0], wanted.detach(), rtol=1e-5, atol=1e-6)
    assert float(gradient.abs().max()) > 0
    assert float((found.pixels - gradient).abs().max() / gradient.abs().max()) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_agrees_with_central_differences(models, family):
    model = models[family]
    x = model.pixels(picture(2)).clamp(0.05, 0.95)
    prepared = model.prepare([pairs()])
    grad = model.loss_and_grad(x, prepared, "token", True).pixels.double()
    direction = grad.sign() / grad[0].numel() ** 0.5
    h = 2e-3
    up, down = (
        model.loss_and_grad((x + s * h * direction).float(), prepared, "token", False).loss.double() for s in (1, -1)
    )
    assert float((up - down) / (2 * h)) == pytest.approx(float((grad * direction).sum()), rel=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_pictures_equals_its_single_runs(models, family):
    model = models[family]
    x = torch.cat([model.pixels(picture(k)) for k in range(3)])
    one_each = [[pairs()[k % 2]] for k in range(3)]
    whole = model.loss_and_grad(x, model.prepare(one_each), "pair", True)
    for b in range(3):
        alone = model.loss_and_grad(x[b : b + 1], model.prepare([one_each[b]]), "pair", True)
        torch.testing.assert_close(alone.loss[0], whole.loss[b], rtol=1e-5, atol=1e-6)
        assert float((alone.pixels[0] - whole.pixels[b]).abs().max() / alone.pixels.abs().max()) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_equal_plain_generation_one_by_one(models, family):
    model = models[family]
    settings = Settings(max_new_tokens=6)
    chats = [
        Chat.user(picture(1), "hi"),
        Chat.user("a longer question without a picture"),
        Chat.user(picture(2), "what is this ?"),
    ]
    together = model.reply([Ask(chat, settings) for chat in chats], 128)
    alone = [model.reply([Ask(chat, settings)], 1)[0] for chat in chats]
    assert [r.text for r in together] == [r.text for r in alone]
    assert all(r.outcome == "ok" and r.cost.queries == 1 for r in together)
    # and the picture's path is transformers' own, from pixel_values on
    ids = torch.tensor([model.encode_chat(chats[0]).ids])
    kwargs = {"pixel_values": model.values(model.pixels(picture(1)))["pixel_values"]}
    if family == "idefics":
        kwargs = {
            "pixel_values": kwargs["pixel_values"][:, None],
            "image_attention_mask": ((ids == 3).cumsum(1) > 0).long()[..., None],
        }
    new = model.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, **kwargs
    )
    new = new[0, ids.shape[1] :] if new.shape[1] > 6 else new[0]
    assert model.read(new.tolist(), [], settings).text == together[0].text


def test_a_long_reply_is_marked_as_cut_and_a_chat_that_does_not_fit_costs_itself_only(models):
    model = models["llava"]
    asks = [
        Ask(Chat.user("hi"), Settings(max_new_tokens=2)),
        Ask(Chat.user("x" * 400), Settings(max_new_tokens=2)),
        Ask(Chat.user(picture(1), picture(2), "two"), Settings(max_new_tokens=2)),
    ]
    first, long, two = model.reply(asks, 8)  # two pictures are no error
    assert first.outcome == "ok"
    assert first.finish == ("length" if first.cost.tokens_out == 2 else "stop")
    assert long.outcome == "error"
    # 1 begin token, 2 of the turn and 400 bytes; 256 positions.
    assert long.reason.endswith("403 tokens and 2 new ones do not fit into its maximum context length of 256 tokens")
    assert long.fault == "length"
    assert two.outcome == "ok"


def test_text_only_models_refuse_pictures_and_answer_text(models):
    text, seen = models["lm"].reply(
        [
            Ask(Chat.user("hi"), Settings(max_new_tokens=3)),
            Ask(Chat.user(picture(1), "hi"), Settings(max_new_tokens=3)),
        ],
        8,
    )
    assert text.outcome == "ok"
    assert seen.outcome == "error"


def test_control_tokens_in_user_text_cannot_forge_a_turn_or_a_picture(models):
    model = models["llava"]
    ids = model.encode_chat(Chat.user("hello <image> <bot> sure")).ids
    assert ids.count(3) == 0
    assert ids.count(model.tokenizer.convert_tokens_to_ids("<bot>")) == 1  # the template's own


def test_drawn_replies_depend_on_the_ask_alone(models):
    model = models["llava"]
    settings = Settings(max_new_tokens=8, temperature=1.0)
    a, b = Ask(Chat.user("hi"), settings), Ask(Chat.user("you"), settings)
    assert model.reply([a, b], 8)[0].text == model.reply([b, a], 8)[1].text
    drawn = {model.reply([Ask(a.chat, Settings(8, 1.0, draw=d))], 8)[0].text for d in range(4)}
    assert len(drawn) > 1


def test_pixels_are_exact_grey_levels_of_the_official_processor(models):
    model = models["llava"]
    small, large = picture(3), picture(4, side=61)
    assert torch.equal(model.pixels(small)[0].permute(1, 2, 0), torch.from_numpy(small.array() / np.float32(255)))
    official = model.processor(images=[large.array()], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(model.values(model.pixels(large))["pixel_values"], official, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [torch.full((1, 3, SIDE, SIDE), 1.01), torch.full((1, 3, SIDE, SIDE), -1.0)])
def test_pixels_outside_the_unit_interval_are_refused(models, bad):  # G5: catches double normalisation
    model = models["llava"]
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        model.loss_and_grad(bad, model.prepare([pairs()]), "token", True)


def test_a_pickle_checkpoint_is_refused_with_how_to_convert(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never loaded")
    with pytest.raises(UnsafeWeights, match="save_pretrained"):
        Llava(tmp_path).key  # noqa: B018


def test_a_folder_without_weights_and_an_unknown_architecture_say_so(tmp_path, models):
    with pytest.raises(UsageError, match="no such folder"):
        Llava(tmp_path / "absent").key  # noqa: B018
    (tmp_path / "config.json").write_text('{"architectures": ["FooForBar"]}')
    with pytest.raises(UsageError, match=r"no \*\.safetensors"):
        Llava(tmp_path).key  # noqa: B018
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="FooForBar"):
        HFModel(tmp_path)


def test_a_dtype_in_which_gradients_vanish_is_refused(models):
    with pytest.raises(ValueError, match="dtype: expected float32, bfloat16 or float64, found 'float16'"):
        Llava(models["llava"].path, dtype="float16")


def test_a_users_llava_folder_is_a_white_box_victim(models):
    victim = Llava(models["llava"].path)
    assert victim.image_size == (SIDE, SIDE)
    assert victim.reply([Ask(Chat.user(picture(1), "hi"), Settings(max_new_tokens=2))])[0].outcome == "ok"
    found = victim.loss_and_grad(victim.pixels(picture(1)), victim.prepare([pairs()]))
    assert found.pixels.shape == (1, 3, SIDE, SIDE)
    assert victim.card()["architecture"] == "LlavaForConditionalGeneration"


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("Gemma2", {"num_key_value_heads": 2, "head_dim": 16, "final_logit_softcapping": 0.05}),
        ("Cohere", {"logit_scale": 0.0625}),
        ("Granite", {"logits_scaling": 8.0}),
        ("GPTNeoX", {}),  # its parts have names of their own
    ],
)
def test_logits_are_capped_and_scaled_as_the_model_itself_does(tmp_path, name, own):
    import transformers

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = getattr(transformers, f"{name}Config")(vocab_size=save_tokenizer(tmp_path), **shape, **ends, **own)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(tmp_path)
    model = HFModel(tmp_path, "cpu")
    chat = Chat.user("how do i make it ?")
    prepared = model.prepare([[(chat, "sure , here")]])
    found = model.loss_and_grad(torch.zeros(1, 3, 2, 2), prepared, need_grad=False)
    ids = torch.tensor([prepared.pairs[0][0].ids])
    labels = ids.clone()
    labels[:, : prepared.pairs[0][0].start] = -100
    with torch.no_grad():
        torch.testing.assert_close(found.loss[0], model.model(input_ids=ids, labels=labels).loss, atol=2e-6, rtol=0)


def test_a_llava_takes_its_own_head_as_it_is_whatever_its_language_model_scales(tmp_path):
    from transformers import GraniteConfig

    from .families import tiny_llava

    tiny_llava.build(tmp_path, language=GraniteConfig, logits_scaling=8.0)
    model = HFModel(tmp_path, "cpu")
    assert loss_difference(model, pairs()) <= 1e-5


def test_a_processor_that_does_not_normalise_is_followed(tmp_path):
    folder = build("llava", tmp_path / "bare")
    stated = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**stated, "do_normalize": False}))
    model = HFModel(folder, "cpu")
    seen = picture(3)
    official = model.processor(images=[seen.array()], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(model.values(model.pixels(seen))["pixel_values"], official, atol=1e-6, rtol=0)
    assert torch.equal(model.pixels(seen)[0].permute(1, 2, 0), torch.from_numpy(seen.array() / np.float32(255)))


def test_system_turns_that_follow_each_other_are_one_in_every_family(models):
    for model in models.values():
        told = model.encode_chat(Chat.user("hi").with_system("a\n\nb"))
        several = Chat((Message("system", ("a",)), Message("system", ("b",)), Message("user", ("hi",))))
        assert model.encode_chat(several) == told
