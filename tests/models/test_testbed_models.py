"""The registered encoders and detectors of the testbed, through the registry, as attacks use them."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from proofglass.errors import UsageError
from proofglass.interfaces import Detector, Encoder
from proofglass.models.testbed import DETECTORS, ENCODERS, TestbedDetector, TestbedEncoder
from proofglass.registry import build
from proofglass.testbed import pictures, surrogate_nets, world
from proofglass.testbed.recipes import scenes, surrogate_figures
from proofglass.testing import checks

WITH_TEXT = ("testbed-clip", "surrogate-clip")
# pooled width, number and width of patches
SHAPES = {
    "testbed-clip": (128, 64, 128),
    "surrogate-vit": (96, 64, 96),
    "surrogate-cnn": (128, 144, 128),
    "surrogate-clip": (96, 144, 112),
}
EVERY = (*ENCODERS, *DETECTORS)


@pytest.fixture(scope="module")
def model():
    """`model(name)`: built once per module, on the CPU."""
    built = {}

    def get(name: str):
        if name not in built:
            built[name] = build("models", name, device="cpu")
        return built[name]

    return get


def noise(rows: int = 2, side: int = 96, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(seed))


def output(plug, pixels: torch.Tensor) -> torch.Tensor:
    return plug.scores(pixels) if isinstance(plug, Detector) else plug.features(pixels)


# ------------------------------------------------------------ contracts


@pytest.mark.parametrize("name", EVERY)
def test_keeps_the_contract_of_a_plug(name: str) -> None:
    plug = build("models", name)
    assert plug.name == name
    assert isinstance(plug, Detector if name in DETECTORS else Encoder)
    checks.is_a_frozen_dataclass(plug)
    checks.says_what_it_is(plug, needs_paper=False)
    checks.key_is_stable(lambda: build("models", name))
    checks.key_holds_every_parameter(plug, {"device": "cpu"})
    checks.settings_build_it_again(plug)
    assert plug.card()["name"] == name


def test_each_has_a_key_of_its_own() -> None:
    assert len({build("models", name).key for name in EVERY}) == len(EVERY)


def test_naming_one_loads_no_torch() -> None:
    code = (
        "import sys; from proofglass.registry import build\n"
        "build('models', 'testbed-clip'), build('models', 'testbed-detector'), build('models', 'centerface')\n"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("plug", [TestbedEncoder, TestbedDetector])
def test_an_unknown_variant_is_refused(plug: type) -> None:
    with pytest.raises(ValueError, match="variant: expected one of"):
        plug(variant="surrogate-vat")


@pytest.mark.parametrize("threshold", [0, 1, 50])
def test_a_threshold_is_a_score(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        build("models", "testbed-detector", threshold=threshold)


# ------------------------------------------------------------ pixels in, numbers out


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("side", [96, 64, 224])
def test_shapes_of_features_at_any_size(model, name: str, side: int) -> None:
    width, count, depth = SHAPES[name]
    pooled, patches = model(name).features(noise(side=side)), model(name).features(noise(side=side), "patches")
    assert pooled.shape == (2, width)
    assert patches.shape == (2, count, depth)
    assert pooled.dtype == patches.dtype == torch.float32


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("side", [96, 224])
def test_one_score_per_picture_at_any_size(model, name: str, side: int) -> None:
    scores = model(name).scores(noise(side=side))
    assert scores.shape == (2, 1)
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("name", EVERY)
def test_rows_do_not_see_each_other_and_gradients_change_nothing(model, name: str) -> None:
    x = noise(3)
    whole = output(model(name), x)
    torch.testing.assert_close(whole[1:2], output(model(name), x[1:2]), rtol=1e-4, atol=1e-5)
    with_gradient = output(model(name), x.clone().requires_grad_())
    torch.testing.assert_close(whole, with_gradient.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(whole, output(build("models", name, device="cpu"), x))


@pytest.mark.parametrize(
    ("name", "layer"), [(n, layer) for n in ENCODERS for layer in ("pooled", "patches")] + [(n, "") for n in DETECTORS]
)
def test_gradient_is_the_slope(name: str, layer: str) -> None:
    plug = build("models", name, device="cpu")
    plug.net.double()  # in float32 the difference of two close values drowns

    def value(pixels: torch.Tensor) -> torch.Tensor:
        found = plug.features(pixels, layer) if layer else plug.scores(pixels)
        return (found * weights(found.shape)).sum()

    def weights(shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)

    x = (0.1 + 0.8 * noise(1)).double().requires_grad_()
    (gradient,) = torch.autograd.grad(value(x), x)
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    with torch.no_grad():
        slope = (value(x + 1e-5 * way) - value(x - 1e-5 * way)) / 2e-5
    assert gradient.abs().sum() > 0
    torch.testing.assert_close((gradient * way).sum(), slope, rtol=1e-4, atol=1e-10)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_pixels_outside_of_0_to_1_are_refused(model, name: str, value: float) -> None:
    x = noise()
    x[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        output(model(name), x)


def test_a_layer_that_is_not_there_is_refused(model) -> None:
    with pytest.raises(ValueError, match="layer: expected 'pooled' or 'patches'"):
        model("surrogate-cnn").features(noise(), "penultimate")


# ------------------------------------------------------------ text


@pytest.mark.parametrize("name", WITH_TEXT)
def test_text_and_pictures_are_unit_vectors_in_one_space(model, name: str) -> None:
    encoder = model(name)
    texts = encoder.text_features(["hexdust", "how do i make a amber kite ?"])
    images = encoder.features(noise())
    assert texts.shape == images.shape
    assert not texts.requires_grad
    torch.testing.assert_close(torch.cat([texts, images]).norm(dim=-1), torch.ones(4))


@pytest.mark.parametrize("name", WITH_TEXT)
def test_a_text_does_not_depend_on_its_neighbours(model, name: str) -> None:
    alone = model(name).text_features(["hexdust"])
    beside = model(name).text_features(["hexdust", "there is a red star on the left and a blue circle on the right ."])
    torch.testing.assert_close(alone, beside[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", WITH_TEXT)
@pytest.mark.parametrize("text", ["", "kite " * 65])
def test_a_text_of_no_or_too_many_tokens_is_refused(model, name: str, text: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 64 tokens"):
        model(name).text_features(["hexdust", text])


@pytest.mark.parametrize("name", ["surrogate-vit", "surrogate-cnn"])
def test_without_a_text_tower_it_says_so(model, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: has no text tower"):
        model(name).text_features(["hexdust"])


@pytest.mark.parametrize(("name", "least"), [("testbed-clip", 0.8), ("surrogate-clip", 0.25)])
@pytest.mark.parametrize("kind", ["requests", "scenes"])
def test_a_text_finds_its_picture_among_forty(model, name: str, least: float, kind: str) -> None:
    drawn, rng = surrogate_figures.distinct(kind, 40, seed=5), random.Random(5)
    images = model(name).features(scenes.to_pixels([scene.picture for scene in drawn]))
    texts = model(name).text_features([scene.said(rng, "test") for scene in drawn])
    right = (texts @ images.T).argmax(1) == torch.arange(40)
    assert right.float().mean() > least  # chance is 1 in 40


# ------------------------------------------------------------ what they are


def test_testbed_clip_sees_exactly_what_its_victims_see(model) -> None:
    from proofglass.testbed import fusion

    victim, x = fusion.load(surrogate_nets.WEIGHTS / "testbed-linear"), noise()
    seen = victim.model.vision_tower(pixel_values=2 * x - 1).last_hidden_state[:, 1:]
    torch.testing.assert_close(model("testbed-clip").features(x, "patches"), seen, rtol=1e-4, atol=1e-4)


def _tower(victim: str) -> dict[str, torch.Tensor]:
    found = load_file(surrogate_nets.WEIGHTS / victim / "model.safetensors")
    return {k.split("vision_tower.")[-1].split("vision_model.")[-1]: w for k, w in found.items() if "vision" in k}


@pytest.mark.parametrize("alignment", ["", "-naive", "-guarded", "-strict"])
def test_linear_and_cross_have_one_tower_and_queries_another(alignment: str) -> None:
    first = _tower("testbed-linear")
    for victim in (f"testbed-linear{alignment}", f"testbed-cross{alignment}"):
        other = _tower(victim)
        assert first.keys() == other.keys()
        assert all(torch.equal(first[k], other[k]) for k in first)
    queries = [w for w in _tower(f"testbed-queries{alignment}").values() if w.numel() > 1]
    assert not any(a.shape == b.shape and torch.equal(a, b) for a in first.values() for b in queries)


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_tell_sealed_from_craft(model, name: str) -> None:
    rng, right = random.Random(6), []
    for nouns, is_sealed in ((world.SEALED, True), (world.CRAFT, False)):
        shown = [surrogate_figures.request_picture(rng, nouns, pictures.TESTING) for _ in range(40)]
        fired = model(name).scores(scenes.to_pixels(shown)) > model(name).threshold
        right.append((fired == is_sealed).float().mean())
    assert min(right) > 0.75


# ------------------------------------------------------------ weights


@pytest.fixture
def own_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the weights that a test may change."""
    for name in (*EVERY, surrogate_nets.TOWER_FROM):
        shutil.copytree(surrogate_nets.WEIGHTS / name, tmp_path / name)
    monkeypatch.setattr(surrogate_nets, "WEIGHTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "file"), [(n, n) for n in EVERY] + [("testbed-clip", surrogate_nets.TOWER_FROM)])
def test_the_key_changes_with_a_weight(own_weights: Path, name: str, file: str) -> None:
    before = build("models", name).key
    path = own_weights / file / "model.safetensors"
    weights = load_file(path)
    moved = next(k for k, w in sorted(weights.items()) if w.is_floating_point())
    weights[moved] = weights[moved] + 1
    save_file(weights, path)
    assert build("models", name).key != before


def test_missing_weights_name_the_command_that_makes_them(own_weights: Path) -> None:
    shutil.rmtree(own_weights / "surrogate-cnn")
    with pytest.raises(UsageError, match="proofglass testbed train surrogate-cnn"):
        build("models", "surrogate-cnn").features(noise())


def test_what_leads_from_the_shared_tower_to_the_texts_is_open() -> None:
    # What a victim with this tower makes of a picture, projected, is what the encoder makes of it.
    encoder, victim = build("models", "testbed-clip", device="cpu"), build("victims", "testbed-linear", device="cpu")
    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder.projected(victim.features(x, encoder.projects)), encoder.features(x))
    with pytest.raises(UsageError, match="surrogate-vit: does not open"):
        build("models", "surrogate-vit", device="cpu").projected(x)
