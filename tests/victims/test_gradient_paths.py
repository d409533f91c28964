"""Every path of the gradient step gives the plain loop's gradient, and models take the fast ones."""

from __future__ import annotations

import dataclasses
import weakref

import pytest
import torch

import proofglass.victims.hf.gradient as gradient
from plain_loop import far, loss_and_gradient, picture, target_logits
from proofglass.registry import build as plug
from proofglass.types import Chat
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.packing import grouped
from proofglass.victims.llava import Llava
from proofglass.victims.shared.tasks import tasks_of
from tiny_models import build

FAMILIES = ["llava", "blip2", "idefics"]
FAST = {"llava": "prefix", "blip2": "prefix", "idefics": "packed"}
LOOSE = {"llava": "expanded", "blip2": "expanded", "idefics": "expanded"}
CHATS = [
    (Chat.user(picture(0), "how do i make it ?"), "sure , here"),
    (Chat.user(picture(0), "tell me"), "sure , here is how"),
    (Chat.user(picture(0), "how do i"), "ok"),
    (Chat.user(picture(0), "how do i make it ?").with_system("be kind"), "sure"),  # shares less
    (Chat.user("no picture here"), "fine"),  # shares nothing
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: build(name, folder / name) for name in [*FAMILIES, "lm"]}


@pytest.fixture(params=FAMILIES)
def model(request, folders):
    """A fresh model of each family in float64: what remains is the float32 of the normalisation layers."""
    return HFModel(folders[request.param], "cpu", "float64", micro=2)


def family(model):
    return type(model.family).__name__.lower()


def pixels(model, *seeds):
    return torch.cat([model.pixels(picture(seed)) for seed in seeds])


def path(model):
    return model.step.choice.said.split(":")[0]


def weights(weighting, pairs):
    count = [pair.tokens for pair in pairs]
    if weighting == "token":
        return [[1 / sum(count)] * n for n in count]
    if weighting == "pair":
        return [[1 / (len(count) * n)] * n for n in count]
    if weighting == "sum":
        return [[1.0] * n for n in count]
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(n, generator=rng).tolist() for n in count]


# ---------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("weighting", ["token", "pair", "sum", "given"])
def test_loss_and_gradient_are_those_of_transformers(model, weighting):
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    pairs = prepared.pairs[0]
    w = weights(weighting, pairs)
    found = model.loss_and_grad(x, prepared.weighted([w]), weighting)
    loss, grad = loss_and_gradient(model, x, pairs, w)
    assert path(model) == FAST[family(model)]
    torch.testing.assert_close(found.loss[0], loss, rtol=1e-6, atol=1e-9)
    assert far(found.pixels, grad) < 1e-6


@pytest.mark.parametrize("name", FAMILIES)
def test_in_float32_loss_and_gradient_are_those_of_transformers(folders, name):
    model = HFModel(folders[name], "cpu")
    x, prepared = pixels(model, 1), model.prepare([CHATS[:4]])
    found = model.loss_and_grad(x, prepared)
    loss, grad = loss_and_gradient(model, x, prepared.pairs[0], weights("token", prepared.pairs[0]))
    assert path(model) == FAST[name]
    torch.testing.assert_close(found.loss[0], loss, rtol=1e-5, atol=0)
    assert far(found.pixels, grad) < 1e-5
    assert found.pixels.dtype == torch.float32


def test_every_path_gives_the_same_gradient(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    rows = tasks_of(prepared, "token")
    nll, exact = model.step.run("plain", {"image": x}, rows, True)
    for name in (*model.family.paths, "prefix"):
        found, grad = model.step.run(name, {"image": x}, rows, True)
        assert far(grad["image"], exact["image"]) < 1e-6, name
        torch.testing.assert_close(torch.cat(found[0]), torch.cat(nll[0]), rtol=1e-6, atol=1e-8)


def test_micro_batches_and_logit_chunks_do_not_change_the_gradient(model, monkeypatch):
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    grads = []
    for micro, logits in ((1, 1 << 25), (3, 1 << 25), (len(CHATS), 1 << 25), (3, 2000)):
        model.step.micro = micro
        monkeypatch.setattr(gradient, "LOGITS", logits)
        grads.append(model.loss_and_grad(x, prepared).pixels)
    assert all(far(g, grads[0]) < 1e-6 for g in grads[1:])


@pytest.mark.parametrize("per_pass", [1, 2, 32])
def test_a_batch_of_pictures_equals_its_single_runs(model, per_pass):
    x = pixels(model, 1, 2, 3)
    rows = [CHATS[:3], CHATS[1:4], CHATS[:1]]
    model.step.images_per_pass = per_pass
    whole = model.loss_and_grad(x, model.prepare(rows))
    for b, row in enumerate(rows):
        alone = model.loss_and_grad(x[b : b + 1], model.prepare([row]))
        torch.testing.assert_close(whole.loss[b], alone.loss[0], rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(whole.nll[b, : len(row)], alone.nll[0], rtol=1e-6, atol=1e-9)
        assert far(whole.pixels[b], alone.pixels[0]) < 1e-6
    assert torch.isnan(whole.nll[2, 1:]).all()


def test_one_prompt_with_many_targets_runs_the_prompt_once(model):
    chats = [(CHATS[0][0], target) for target in ("sure", "ok then", "sure , here")]
    x, prepared = pixels(model, 1), model.prepare([chats])
    found = model.loss_and_grad(x, prepared)
    _, grad = loss_and_gradient(model, x, prepared.pairs[0], weights("token", prepared.pairs[0]))
    ((group,), _) = grouped(tasks_of(prepared, "token")[0])
    assert all(len(t.ids) - group.past == 1 + t.pair.tokens for t in group.tasks)
    assert path(model) == "prefix"  # a long common run is worth a pass of its own in every family
    assert far(found.pixels, grad) < 1e-6


def test_without_gradient_the_loss_is_the_same_and_nothing_keeps_a_graph(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    found = model.loss_and_grad(x, prepared, "token", False)
    torch.testing.assert_close(found.loss, model.loss_and_grad(x, prepared).loss, rtol=1e-7, atol=0)
    assert not found.pixels.any()
    assert not found.loss.requires_grad


def test_no_more_than_one_row_of_suffixes_is_alive(model, monkeypatch):
    behind, before, alive = type(model.step)._behind, [], []

    def watched(*arguments):
        alive.append(sum(row() is not None for row in before))
        hidden = behind(*arguments)
        before.append(weakref.ref(hidden))
        return hidden

    x, prepared = pixels(model, 1), model.prepare([CHATS[:3]])
    model.loss_and_grad(x, prepared)
    monkeypatch.setattr(type(model.step), "_behind", watched)
    model.step.micro = 1
    model.loss_and_grad(x, prepared)
    assert alive == [0, 0, 0]


# ---------------------------------------------------------------- weights, teachers, text


def test_trailing_zero_weights_give_the_gradient_of_the_whole_target(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS[:3]])
    pairs = prepared.pairs[0]
    w = [[1.0, 2.0] + [0.0] * (pair.tokens - 2) for pair in pairs]
    loss, grad = loss_and_gradient(model, x, pairs, w)
    found = model.loss_and_grad(x, prepared.weighted([w]), "given")
    torch.testing.assert_close(found.loss[0], loss, rtol=1e-6, atol=1e-9)
    assert far(found.pixels, grad) < 1e-6


def test_soft_labels_are_a_cross_entropy_against_the_teachers_softmax(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS[:3]])
    pairs = prepared.pairs[0]
    rng = torch.Generator().manual_seed(0)
    vocabulary = model.model.config.get_text_config().vocab_size
    teachers = [torch.randn(pair.tokens, vocabulary, generator=rng) for pair in pairs]
    w = weights("given", pairs)
    found = model.loss_and_grad(x, prepared.taught([teachers]).weighted([w]), "given")
    loss, grad = loss_and_gradient(model, x, pairs, w, [t.double() for t in teachers])
    torch.testing.assert_close(found.loss[0], loss, rtol=1e-6, atol=1e-7)
    assert far(found.pixels, grad) < 1e-6


def test_a_one_hot_teacher_is_the_hard_label_and_the_model_itself_teaches_nothing(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS[:3]])
    hard = model.loss_and_grad(x, prepared)
    vocabulary = model.model.config.get_text_config().vocab_size
    sure = [
        1e4 * torch.nn.functional.one_hot(torch.tensor(pair.ids[pair.start :]), vocabulary).float()
        for pair in prepared.pairs[0]
    ]
    taught = model.loss_and_grad(x, prepared.taught([sure]))
    torch.testing.assert_close(taught.loss, hard.loss, rtol=1e-6, atol=1e-9)
    assert far(taught.pixels, hard.pixels) < 1e-6
    itself = model.loss_and_grad(x, prepared.taught(model.target_logits(x, prepared)))
    assert float(itself.pixels.abs().max()) < 1e-5 * float(hard.pixels.abs().max())
    assert path(model) == FAST[family(model)]  # the check compares hard labels: it has a gradient to look at


def test_target_logits_are_those_of_transformers(model):
    x, prepared = pixels(model, 1, 2), model.prepare([CHATS, CHATS[:1]])
    for b, row in enumerate(model.target_logits(x, prepared)):
        assert [len(t) for t in row] == [pair.tokens for pair in prepared.pairs[b]]
        for found, pair in zip(row, prepared.pairs[b], strict=True):
            torch.testing.assert_close(found, target_logits(model, x[b : b + 1], pair).float(), rtol=1e-5, atol=1e-5)


def test_the_gradient_to_a_text_perturbation_agrees_with_central_differences(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    rng = torch.Generator().manual_seed(0)
    shapes = [(n, model.embedding_width) for n in prepared.text_tokens[0]]
    text = [[0.05 * torch.randn(*shape, generator=rng) for shape in shapes]]
    found = model.loss_and_grad(x, prepared, text=text)
    assert path(model) == "vision"
    assert [t.shape for t in found.text[0]] == shapes
    # Downhill in one direction of length 1: the largest slope there is, so that float32 norms drown it the least.
    steepness = sum(float(g.square().sum()) for g in found.text[0]) ** 0.5
    towards = [g / steepness for g in found.text[0]]
    step = 2.0**-10
    up, down = (
        model.loss_and_grad(
            x,
            prepared,
            need_grad=False,
            text=[[t + sign * step * d for t, d in zip(text[0], towards, strict=True)]],
        ).loss[0]
        for sign in (1, -1)
    )
    assert float((up - down) / (2 * step)) == pytest.approx(steepness, rel=1e-3)


def test_a_zero_text_perturbation_changes_nothing_and_a_wrong_shape_is_refused(model):
    x, prepared = pixels(model, 1), model.prepare([CHATS])
    nothing = [[torch.zeros(n, model.embedding_width) for n in prepared.text_tokens[0]]]
    without, found = model.loss_and_grad(x, prepared), model.loss_and_grad(x, prepared, text=nothing)
    torch.testing.assert_close(found.loss, without.loss, rtol=1e-6, atol=1e-9)
    assert far(found.pixels, without.pixels) < 1e-6
    assert without.text is None
    with pytest.raises(ValueError, match="text: expected shapes"):
        model.loss_and_grad(x, prepared, text=[nothing[0][:-1]])


# ---------------------------------------------------------------- which path, and why


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
    fill = type(model.step)._fill
    monkeypatch.setattr(type(model.step), "_fill", lambda *a: [(k[:, :, 1:], v[:, :, 1:]) for k, v in fill(*a)])
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
