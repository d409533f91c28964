"""`hf-encoder` on tiny random models of every family, against transformers' own models and image processors."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file

import tiny_encoders
from proofglass.attacks.crafting.surrogates import check_trained_apart, encoder_named, surrogate
from proofglass.attacks.image.dong2023 import Dong2023
from proofglass.errors import UnsafeWeights, UsageError
from proofglass.models.hf_encoder import HFEncoder, preparation_of
from proofglass.registry import build
from proofglass.studies import load
from proofglass.testing import checks
from proofglass.types import Chat, Image, Sample
from real_photos import assert_gradient_is_the_slope, weighed
from tiny_encoders import MODELS, OF_FAMILY, PROCESSORS, WITH_TEXT
from tiny_models import build as tiny_victim

# pooled width; number and width of patches, of pictures 45 x 61
SHAPES = {
    "clip": (16, 16, 32),
    "siglip": (32, 16, 32),
    "siglip2": (32, 15, 32),
    "blip": (16, 16, 32),
    "blip-itm": (16, 16, 32),
    "clip-vision": (16, 16, 32),
    "vit": (32, 16, 32),
    "vit-backbone": (32, 16, 32),
    "dinov2": (32, 16, 32),
    "convnext": (32, 1, 32),
    "resnet": (32, 1, 32),
    "swin": (16, 64, 16),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """`folder(family)`: made once per module."""
    root, made = tmp_path_factory.mktemp("encoders"), {}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = tiny_encoders.build(family, root / family)
        return made[family]

    return get


@pytest.fixture
def own(folder, tmp_path: Path):
    """`own(family)`: a copy that a test may spoil."""
    return lambda family: Path(shutil.copytree(folder(family), tmp_path / family))


def noise(rows: int = 2, height: int = 45, width: int = 61, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, 3, height, width, generator=torch.Generator().manual_seed(seed))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(levels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels.copy()).permute(2, 0, 1)[None].float() / 255


def official(path: Path):
    """transformers' own model, as the architecture of the folder says."""
    architecture = json.loads((path / "config.json").read_text())["architectures"][0]
    return getattr(transformers, architecture).from_pretrained(path).eval()


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ------------------------------------------------------------ contract


@pytest.mark.parametrize("family", MODELS)
def test_keeps_the_contract_of_a_plug(folder, family: str) -> None:
    plug = build("models", "hf-encoder", path=folder(family), device="cpu")
    checks.is_a_frozen_dataclass(plug)
    checks.says_what_it_is(plug, needs_paper=False)
    checks.key_is_stable(lambda: HFEncoder(folder(family)))
    checks.key_holds_every_parameter(plug)
    checks.settings_build_it_again(plug)
    checks.sees_pixels(plug, noise(1))


@pytest.mark.parametrize("family", MODELS)
def test_shapes_are_those_of_the_family(folder, family: str) -> None:
    plug, (width, count, depth) = HFEncoder(folder(family), device="cpu"), SHAPES[family]
    pooled, patches = plug.features(noise()), plug.features(noise(), "patches")
    assert pooled.shape == (2, width)
    assert patches.shape == (2, count, depth)
    assert pooled.dtype == patches.dtype == torch.float32


def test_naming_one_loads_no_torch(folder) -> None:
    code = (
        "import sys; from proofglass.registry import build\n"
        f"build('models', 'hf-encoder', path={str(folder('vit'))!r}).key\n"
        "build('models', 'timm-encoder', path='x'), build('models', 'open-clip-encoder', path='x')\n"
        "build('models', 'mtcnn').key, build('models', 'open-nsfw').key, build('models', 'efficientnet-lite0').key\n"
        "build('models', 'easyocr-recogniser').key\n"
        "assert not {'torch', 'transformers', 'onnx', 'timm', 'open_clip'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_key_is_that_of_the_weights_and_texts_wherever_they_lie(folder, own) -> None:
    before, path = HFEncoder(folder("vit")).key, own("vit")
    assert HFEncoder(path).key == before
    edit(path / "preprocessor_config.json", resample=3)
    changed = HFEncoder(path).key
    weights = load_file(path / "model.safetensors")
    weights["vit.layernorm.bias"] += 1
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    assert len({before, changed, HFEncoder(path).key}) == 3


# ------------------------------------------------------------ equal to transformers


@pytest.mark.parametrize("kind", PROCESSORS)
def test_100_pictures_of_odd_sizes_come_out_as_from_the_official_processor(folder, kind: str, capsys) -> None:
    family = next(f for f in MODELS if OF_FAMILY.get(f, f) == kind)
    plug, processor = HFEncoder(folder(family), device="cpu"), PROCESSORS[kind]()
    std = torch.tensor(processor.image_std)[:, None, None]
    if kind == "siglip2":  # in patches: the three channels come last
        std = std.flatten().repeat(64)
    sizes, worst = np.random.default_rng(5), 0.0
    for k in range(100):
        levels = picture(*sizes.integers(1, 200, 2), k)
        expected = processor(images=[Pillow.fromarray(levels)], return_tensors="pt")
        found = plug.inputs(pixels(levels))
        assert found.keys() == expected.keys()
        for name in found.keys() - {"pixel_values"}:
            assert torch.equal(found[name].long(), expected[name].long()), name
        gap = ((found["pixel_values"] - expected["pixel_values"]) * std).abs().max().item()
        worst = max(worst, gap)
    with capsys.disabled():
        print(f"\n{type(processor).__name__}: largest difference in 100 pictures {worst * 255:.6f}/255", end=" ")
    assert worst <= 1 / 255


@pytest.mark.parametrize("family", WITH_TEXT)
def test_pictures_and_texts_are_as_alike_as_the_official_model_says(folder, family: str) -> None:
    path = folder(family)
    plug, model, levels = HFEncoder(path, device="cpu"), official(path), picture(47, 33)
    texts = ["a red kite", "seven blue drums on a table"[:22]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    if family.startswith("siglip"):
        told = tokenizer(texts, padding="max_length", max_length=24, return_tensors="pt")
        told = {"input_ids": told["input_ids"]}
    else:
        told = tokenizer(texts, padding=True, return_tensors="pt")
        told = {name: told[name] for name in ("input_ids", "attention_mask")}
    shown = PROCESSORS[OF_FAMILY.get(family, family)]()(images=[Pillow.fromarray(levels)], return_tensors="pt")
    with torch.no_grad():
        if family == "blip-itm":
            expected = model(**shown, **told, use_itm_head=False).itm_score
        else:
            out = model(**shown, **told)
            expected = out.image_embeds @ out.text_embeds.T
    cosines = plug.features(pixels(levels)) @ plug.text_features(texts).T
    torch.testing.assert_close(cosines, expected, rtol=1e-4, atol=1e-5)
    assert (cosines[0, 0] - cosines[0, 1]).abs() > 1e-4


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("unit", [True, False])
def test_the_towers_pooled_output_projected_is_the_feature(folder, family: str, unit: bool) -> None:
    plug = HFEncoder(folder(family), device="cpu", unit=unit)
    inputs = plug.inputs(noise())
    pooled = plug.net.vision_model(**inputs).pooler_output
    torch.testing.assert_close(plug.projected(pooled), plug.features(noise()))
    with pytest.raises(UsageError, match="does not open what leads from its tower"):
        HFEncoder(folder("vit"), device="cpu").projected(pooled)


@pytest.mark.parametrize("family", ["vit", "convnext", "resnet", "swin"])
def test_what_a_classifier_pools_is_what_its_last_layer_gets(folder, family: str) -> None:
    plug, model, levels = HFEncoder(folder(family), device="cpu"), official(folder(family)), picture(40, 70)
    shown = PROCESSORS[OF_FAMILY.get(family, family)]()(images=[Pillow.fromarray(levels)], return_tensors="pt")
    with torch.no_grad():
        out = model(**shown, output_hidden_states=True)
        last = model.classifier(plug.features(pixels(levels)).unsqueeze(-1)) if family == "resnet" else None
        last = last if last is not None else model.classifier(plug.features(pixels(levels)))
    torch.testing.assert_close(last, out.logits, rtol=1e-4, atol=1e-4)


def test_patches_leave_out_class_token_and_registers(folder) -> None:
    levels = picture(32, 32)
    for family, prefix in (("clip", 1), ("dinov2", 4), ("siglip", 0), ("vit-backbone", 1)):
        shown = PROCESSORS[OF_FAMILY.get(family, family)]()(images=[Pillow.fromarray(levels)], return_tensors="pt")
        model = official(folder(family))
        with torch.no_grad():
            whole = getattr(model, "vision_model", model)(**shown).last_hidden_state
        found = HFEncoder(folder(family), device="cpu").features(pixels(levels), "patches")
        torch.testing.assert_close(found, whole[:, prefix:], rtol=1e-4, atol=1e-5)


def test_without_a_trained_pooler_the_mean_of_the_patches_stands_in(folder) -> None:
    plug = HFEncoder(folder("vit-backbone"), device="cpu")
    torch.testing.assert_close(plug.features(noise()), plug.features(noise(), "patches").mean(1))


def test_length_one_or_the_raw_projection(folder) -> None:
    unit, raw = HFEncoder(folder("clip"), device="cpu"), HFEncoder(folder("clip"), device="cpu", unit=False)
    torch.testing.assert_close(unit.features(noise()).norm(dim=1), torch.ones(2))
    torch.testing.assert_close(unit.text_features(["a kite"]).norm(dim=1), torch.ones(1))
    torch.testing.assert_close(torch.nn.functional.normalize(raw.features(noise())), unit.features(noise()))
    assert (raw.features(noise()).norm(dim=1) - 1).abs().min() > 0.01


# ------------------------------------------------------------ gradients


@pytest.mark.parametrize("layer", ["pooled", "patches"])
@pytest.mark.parametrize("family", MODELS)
def test_gradient_is_the_slope(folder, family: str, layer) -> None:
    plug = HFEncoder(folder(family), device="cpu")
    plug.net.double()  # in float32 the difference of two close values drowns
    if family == "siglip2":
        x = noise(1, 32, 32)  # its own size: rounding has no slope
    else:
        # `preparation` is a cached property: without rounding its slope is the one that is meant.
        vars(plug)["preparation"] = dataclasses.replace(plug.preparation, rounded=False)
        x = noise(1)
    assert_gradient_is_the_slope(lambda x: weighed(plug.features(x, layer)), x, step=1e-7, rtol=1e-4)


# ------------------------------------------------------------ text


@pytest.mark.parametrize("family", WITH_TEXT)
def test_a_text_does_not_depend_on_its_neighbours(folder, family: str) -> None:
    plug = HFEncoder(folder(family), device="cpu")
    both = plug.text_features(["kite", "a drum on a table"])
    torch.testing.assert_close(plug.text_features(["kite"]), both[:1], rtol=1e-4, atol=1e-5)
    assert not both.requires_grad


@pytest.mark.parametrize("family", WITH_TEXT)
@pytest.mark.parametrize("text", ["", " ", "k" * 60])
def test_a_text_that_is_empty_or_too_long_is_refused(folder, family: str, text: str) -> None:
    with pytest.raises(ValueError, match="texts: expected 1 to 24 tokens"):
        HFEncoder(folder(family), device="cpu").text_features(["kite", text])


def test_without_a_text_tower_it_says_so(folder) -> None:
    with pytest.raises(UsageError, match="has no text tower"):
        HFEncoder(folder("vit"), device="cpu").text_features(["kite"])


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize("bad", [torch.full((1, 3, 8, 8), 255.0), torch.zeros(3, 8, 8), -noise()])
def test_pixels_that_are_none_are_refused(folder, bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="pixels: expected"):
        HFEncoder(folder("vit"), device="cpu").features(bad)


def test_a_layer_that_is_not_there_is_refused(folder) -> None:
    with pytest.raises(ValueError, match="layer: expected 'pooled' or 'patches'"):
        HFEncoder(folder("vit"), device="cpu").features(noise(), "penultimate")


def test_a_language_model_is_no_encoder(tmp_path: Path, own) -> None:
    path = tiny_victim("lm", tmp_path / "lm")
    shutil.copy(own("vit") / "preprocessor_config.json", path)
    with pytest.raises(UsageError, match=r"'LlamaForCausalLM' is no image encoder; known are contrastive models"):
        HFEncoder(path, device="cpu").features(noise())


def test_a_multimodal_language_model_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'LlavaForConditionalGeneration' is no image encoder"):
        HFEncoder(tiny_victim("llava", tmp_path / "llava"), device="cpu").features(noise())


def test_an_architecture_that_transformers_lacks_is_named(own) -> None:
    edit((path := own("vit")) / "config.json", architectures=["FooNet"])
    with pytest.raises(UsageError, match="'FooNet' is unknown to transformers"):
        HFEncoder(path, device="cpu").features(noise())


def test_weights_that_lack_a_tensor_are_refused_not_made_up(own) -> None:
    path = own("vit")
    weights = load_file(path / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match=r"the weights lack 1 tensors, the first is classifier\.weight"):
        HFEncoder(path, device="cpu").features(noise())


def test_a_folder_without_preprocessing_is_refused(own) -> None:
    (path := own("vit")).joinpath("preprocessor_config.json").unlink()
    with pytest.raises(UsageError, match=r"no preprocessor_config\.json"):
        HFEncoder(path, device="cpu").features(noise())


def test_a_pickle_and_a_missing_folder_are_refused(own, tmp_path: Path) -> None:
    path = own("vit")
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(UnsafeWeights, match="pickle checkpoint"):
        HFEncoder(path).key  # noqa: B018
    with pytest.raises(UsageError, match="no such folder"):
        HFEncoder(tmp_path / "absent").key  # noqa: B018


def test_a_hub_name_that_cannot_be_had_is_one_line() -> None:
    with pytest.raises(UsageError, match="neither a folder here nor to be had from the hub"):
        HFEncoder("nobody/nothing-here").key  # noqa: B018


@pytest.mark.parametrize(
    "processor",
    [
        transformers.EfficientNetImageProcessorPil(size={"height": 32, "width": 32}),  # shifts levels by itself
        transformers.ViTImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64}),
        transformers.ViTImageProcessorPil(do_pad=True, pad_size={"height": 64, "width": 64}),
    ],
    ids=["own steps", "two edges", "padding"],
)
def test_a_processor_that_does_more_is_refused(processor, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no differentiable twin"):
        preparation_of(processor, tmp_path)


# ------------------------------------------------------------ as a surrogate


def test_the_study_of_the_docs_is_a_study(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "encoders.md"
    (text,) = re.findall(r"```yaml\n(.*?)\n```", page.read_text(encoding="utf-8"), re.S)
    (tmp_path / "study.yaml").write_text(text)
    attack = load(tmp_path / "study.yaml").attacks[-1].plug
    assert attack.surrogates == ("hf-encoder:google/siglip-base-patch16-224", "open-clip-encoder:/models/clip-vit-b-32")


def test_a_name_with_a_folder_builds_the_encoder(folder) -> None:
    built = encoder_named(f"hf-encoder:{folder('vit')}")
    assert built.key == HFEncoder(folder("vit")).key
    assert surrogate(built.name).key == built.key
    assert str(surrogate(f"llava:{folder('vit')}").path) == str(folder("vit"))
    with pytest.raises(UsageError, match=r"hf-encoder: .*path.*; write hf-encoder:VALUE"):
        encoder_named("hf-encoder")


@pytest.mark.parametrize("layer", [-1, -2])
def test_the_tower_of_the_victim_is_no_surrogate_whichever_layer_is_read(folder, tmp_path: Path, layer: int) -> None:
    path = tiny_victim("llava", tmp_path / "llava")
    edit(path / "config.json", vision_feature_layer=layer)
    victim = build("victims", "llava", path=path, device="cpu")
    tower = transformers.LlavaForConditionalGeneration.from_pretrained(path).model.vision_tower
    tower.save_pretrained(tmp_path / "tower")
    shutil.copy(path / "preprocessor_config.json", tmp_path / "tower")
    assert json.loads((tmp_path / "tower" / "config.json").read_text())["architectures"] == ["CLIPVisionModel"]
    with pytest.raises(UsageError, match="shares weights with the victim"):
        check_trained_apart(HFEncoder(tmp_path / "tower", device="cpu"), victim)
    for family in ("clip", "vit", "convnext", "swin", "siglip2", "blip-itm"):
        check_trained_apart(HFEncoder(folder(family), device="cpu"), victim)


def test_a_picture_crafted_on_two_encoders_leaves_both(folder, tmp_path: Path) -> None:
    victim = build("victims", "llava", path=tiny_victim("llava", tmp_path / "llava"), device="cpu")
    names = (f"hf-encoder:{folder('clip')}", f"hf-encoder:{folder('vit')}")
    sample = Sample("a", "test", Chat.user(Image.from_array(picture(28, 28)), "what is it ?"))
    (found,) = Dong2023(surrogates=names, rounds=4, draws=4).craft(victim, [sample], seed=1)
    assert found.trace["surrogates"] == ", ".join(names)
    clean, ours = (pixels(image.array()) for image in (sample.chat.images[0], found.images[0]))
    random = clean + 16 / 255 * (2 * torch.rand(clean.shape, generator=torch.Generator().manual_seed(0)) - 1).sign()
    for name in names:
        there = encoder_named(name).features(clean)
        away = [(encoder_named(name).features(x.clamp(0, 1)) - there).pow(2).mean() for x in (ours, random)]
        assert away[0] > 1.5 * away[1]  # random signs of the same size are the control
