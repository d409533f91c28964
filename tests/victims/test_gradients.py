"""Every path of the gradient step gives the plain loop's gradient."""

from __future__ import annotations

import weakref

import pytest
import torch

import proofglass.victims.hf.gradient as gradient
from plain_loop import far, loss_and_gradient, target_logits
from proofglass.victims.hf.model import HFModel
from proofglass.victims.hf.packing import grouped
from proofglass.victims.shared.tasks import tasks_of
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
    behind, before, alive = type(model.step).behind, [], []

    def watched(*arguments):
        alive.append(sum(row() is not None for row in before))
        hidden = behind(*arguments)
        before.append(weakref.ref(hidden))
        return hidden

    x, prepared = pixels(model, 1), model.prepare([CHATS[:3]])
    model.loss_and_grad(x, prepared)
    monkeypatch.setattr(type(model.step), "behind", watched)
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
