"""Models take the fast path of the gradient step, and a wrong one is found out; the features of the tower."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import proofglass.victims.hf.gradient as gradient
from plain_loop import far, loss_and_gradient, picture, target_logits
from proofglass.registry import build as plug
from proofglass.types import Chat
from proofglass.victims.hf.model import HFModel
from proofglass.victims.llava import Llava
from tiny_models import build
from victims.gradient_models import CHATS, FAMILIES, FAST, family, path, pixels, weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: build(name, folder / name) for name in [*FAMILIES, "lm"]}


@pytest.fixture(params=FAMILIES)
def model(request, folders):
    """A fresh model of each family in float64: what remains is the float32 of the normalisation layers."""
    return HFModel(folders[request.param], "cpu", "float64", micro=2)


@pytest.mark.parametrize(("name", "takes"), [("linear", "prefix"), ("queries", "prefix"), ("cross", "packed")])
def test_the_shipped_victims_take_the_fast_path(name, takes):
    victim = plug("victims", f"testbed-{name}")
    assert victim.gradient_path() == ""
    samples = list(plug("datasets", "testbed", part="restricted-image", craft_n=4).crafting())
    prepared = victim.prepare([[(s.chat, s.target) for s in samples]])
    x = victim.pixels(samples[0].chat.images[0])
    found = victim.loss_and_grad(x, prepared)
    assert victim.gradient_path().startswith(f"{takes}: agrees with the plain loop, loss ")
    model = victim.model
    _, grad = loss_and_gradient(model, x, prepared.pairs[0], weights("token", prepared.pairs[0]))
    assert far(found.pixels, grad) < 1e-5


def test_one_pair_is_one_plain_pass_without_a_check(model):
    calls = []
    encode = model.family.encode
    model.family.encode = lambda values: calls.append(1) or encode(values)
    model.loss_and_grad(pixels(model, 1, 2), model.prepare([CHATS[:1], CHATS[1:2]]))
    assert calls == [1]
    assert model.step.choice.said == "plain: one pair per picture, nothing to share"


def test_a_model_is_checked_once(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    model.loss_and_grad(x, prepared)
    calls = []
    encode = model.family.encode
    model.family.encode = lambda values: calls.append(1) or encode(values)
    model.loss_and_grad(x, prepared)
    assert calls == [1]


def test_a_wrong_fast_path_is_found_out_and_the_next_one_is_taken(model, monkeypatch):
    whole = gradient.packed

    def forgets_to_restart(*arguments):
        rows = whole(*arguments)
        return dataclasses.replace(rows, positions=rows.positions[:, :1] + torch.arange(rows.ids.shape[1])[None])

    monkeypatch.setattr(gradient, "packed", forgets_to_restart)
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    found = model.loss_and_grad(x, prepared)
    said = model.step.choice.said
    assert said.startswith(f"expanded: {FAST[family(model)]}: disagrees with the plain loop, loss ")
    assert "; agrees with the plain loop" in said
    _, grad = loss_and_gradient(model, x, prepared.pairs[0], weights("token", prepared.pairs[0]))
    assert far(found.pixels, grad) < 1e-6


def test_when_every_shared_path_fails_the_plain_loop_runs_and_says_so(model, monkeypatch):
    def fails(*arguments, **named):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(type(model.step), "shared", fails)
    original = type(model.step).padded
    monkeypatch.setattr(
        type(model.step),
        "padded",
        lambda self, tasks, seen: original(self, tasks, seen) * (1 if len(tasks) == 1 else 2),
    )
    x, prepared = pixels(model, 1), model.prepare([CHATS[:3]])
    found = model.loss_and_grad(x, prepared)
    said = model.step.choice.said
    assert said.startswith("plain: ")
    assert "prefix: RuntimeError: no such kernel; " in said
    assert "vision: disagrees" in said
    _, grad = loss_and_gradient(model, x, prepared.pairs[0], weights("token", prepared.pairs[0]))
    assert far(found.pixels, grad) < 1e-6


def test_a_cache_of_another_length_than_the_prefix_is_refused(model, monkeypatch):
    fill = type(model.step).fill
    monkeypatch.setattr(type(model.step), "fill", lambda *a: [(k[:, :, 1:], v[:, :, 1:]) for k, v in fill(*a)])
    model.loss_and_grad(pixels(model, 1), model.prepare([CHATS]))
    assert path(model) == "vision"
    assert "RuntimeError: cache: expected" in model.step.choice.said


@pytest.mark.parametrize("name", FAMILIES)
def test_eager_attention_gets_an_additive_mask(folders, name):
    model = HFModel(folders[name], "cpu")
    model.model.set_attn_implementation("eager")
    x, prepared = pixels(model, 1), model.prepare([CHATS[:4]])
    found = model.loss_and_grad(x, prepared)
    assert path(model) == FAST[name]
    _, grad = loss_and_gradient(model, x, prepared.pairs[0], weights("token", prepared.pairs[0]))
    assert far(found.pixels, grad) < 1e-5


def test_a_window_shorter_than_the_sequence_is_not_packed(folders):
    model = HFModel(folders["llava"], "cpu")
    model.model.config.get_text_config().sliding_window = 12
    model.loss_and_grad(pixels(model, 1), model.prepare([CHATS]))
    assert model.step.choice.said.startswith(
        "vision: a sliding window of 12 tokens is shorter than the sequence; agrees"
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_is_judged_by_the_cosine(folders, name):
    model = HFModel(folders[name], "cpu", "bfloat16")
    found = model.loss_and_grad(pixels(model, 1), model.prepare([CHATS[:3]]))
    assert "cosine" in model.step.choice.said
    assert found.pixels.dtype == found.loss.dtype == torch.float32


def test_a_gradient_of_zero_proves_nothing_about_a_path(model):
    model.family.encode = lambda values, encode=model.family.encode: 0 * encode(values)
    found = model.loss_and_grad(pixels(model, 1), model.prepare([CHATS]))
    assert not found.pixels.any()
    assert model.step.choice.said.startswith("plain: the plain gradient is zero or not finite")
    assert model.step.choice.verdicts == {}


def test_a_text_only_model_scores_text_and_refuses_a_picture_gradient(folders):
    model = HFModel(folders["lm"], "cpu")
    x, prepared = torch.zeros(1, 3, 4, 4), model.prepare([[(Chat.user("hi"), "yes"), (Chat.user("you"), "no")]])
    with pytest.raises(ValueError, match="text-only model"):
        model.loss_and_grad(x, prepared)
    found = model.loss_and_grad(x, prepared, need_grad=False)
    wanted = [
        torch.nn.functional.cross_entropy(target_logits(model, x, pair), torch.tensor(pair.ids[pair.start :]))
        for pair in prepared.pairs[0]
    ]
    torch.testing.assert_close(found.nll[0], torch.stack(wanted), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- the tower


def test_patches_are_what_the_rest_of_the_model_reads(folders):
    x = None
    for layer in (-1, -2, [-2, -1]):
        model = HFModel(folders["llava"], "cpu")
        model.model.config.vision_feature_layer = layer
        x = pixels(model, 1, 2)
        patches = model.features(x, "patches")
        if isinstance(layer, list):
            assert patches.shape == (2, 16, 2 * 32)
        else:
            projected = model.model.model.multi_modal_projector(patches)
            torch.testing.assert_close(projected, model.family.encode(model.values(x)))
    blip = HFModel(folders["blip2"], "cpu")
    seen = blip.model.vision_model(pixel_values=blip.values(x)["pixel_values"])
    torch.testing.assert_close(blip.features(x, "patches"), seen.last_hidden_state)
    torch.testing.assert_close(blip.features(x), seen.pooler_output)


def test_pooled_features_are_differentiable_float32_and_other_layers_are_refused(model):
    x = pixels(model, 1, 2).requires_grad_(True)
    pooled = model.features(x)
    assert pooled.shape == (2, 32)
    assert pooled.dtype == torch.float32
    pooled[0].square().sum().backward()
    assert x.grad[0].abs().max() > 0
    assert not x.grad[1].any()
    with pytest.raises(ValueError, match="pooled or patches"):
        model.features(x, "logits")


def test_a_users_llava_forwards_all_of_it(folders):
    victim = Llava(folders["llava"], micro=2)
    x, prepared = victim.pixels(picture(1)), victim.prepare([CHATS[:3]], append_eos=True)
    assert victim.model.step.micro == 2
    assert victim.embedding_width == victim.features(x).shape[-1] == 32
    text = [[torch.zeros(n, 32) for n in prepared.text_tokens[0]]]
    assert victim.loss_and_grad(x, prepared, text=text).text[0][0].shape == text[0][0].shape
    assert [t.shape[0] for t in victim.target_logits(x, prepared)[0]] == [sum(s) for s in prepared.spans[0]]
    assert victim.gradient_path().startswith("vision: ")
