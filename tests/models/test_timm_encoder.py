"""`timm-encoder` with timm itself, on random weights saved as timm saves them; skips where timm is not installed."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from proofglass.errors import MissingExtra, UnsafeWeights, UsageError
from proofglass.models import folders
from proofglass.models.timm_encoder import TimmEncoder
from proofglass.testing import checks
from real_photos import assert_gradient_is_the_slope, weighed
from with_torchvision import libraries

# architecture: (model arguments, preprocessing, pooled width, patches of 64 x 64, their width)
MODELS: dict[str, tuple[dict, dict, int, int, int]] = {
    "resnet10t": ({}, {"input_size": (3, 64, 64), "crop_pct": 0.95}, 512, 4, 512),
    "vit_tiny_patch16_224": (
        {"img_size": 64, "embed_dim": 24, "depth": 2, "num_heads": 2},
        {"input_size": (3, 64, 64), "crop_pct": 0.9, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        24,
        16,
        24,
    ),
    "swin_tiny_patch4_window7_224": (
        {"img_size": 64, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4},
        {"input_size": (3, 64, 64), "crop_mode": "squash", "interpolation": "bilinear", "crop_pct": 1.0},
        16,
        64,
        16,
    ),
}


def noise(rows: int = 2, height: int = 75, width: int = 91) -> torch.Tensor:
    return torch.rand(rows, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_without_timm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(folders, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'timm: not installed\. Run: pip install "timm>=1\.0\.15"$'):
        TimmEncoder(tmp_path).features(noise())


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_a_timm_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type) -> None:
    def fails(name: str) -> None:
        raise error("operator torchvision::nms does not exist\nand more")

    (tmp_path / "config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(folders, "find_spec", lambda name: object())
    monkeypatch.setattr(folders, "import_module", fails)
    with pytest.raises(
        UsageError, match=r"timm: installed, but it does not load \(operator .* does not exist\)\. It needs a"
    ):
        TimmEncoder(tmp_path).features(noise())


@pytest.mark.parametrize(
    ("present", "kind", "said"),
    [
        (("config.json", "pytorch_model.bin"), UnsafeWeights, "pickle checkpoint"),
        (("model.safetensors",), UsageError, r"no config\.json"),
        (("config.json", "other.safetensors"), UsageError, r"no model\.safetensors"),
    ],
)
def test_a_folder_that_lacks_safetensors_or_configuration_is_refused(tmp_path: Path, present, kind, said: str) -> None:
    for name in present:
        (tmp_path / name).write_text("{}")
    with pytest.raises(kind, match=said):
        TimmEncoder(tmp_path).features(noise())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """`folder(architecture)`: made once per module, by timm."""
    (timm,) = libraries("timm")
    root, made = tmp_path_factory.mktemp("timm"), {}

    def get(architecture: str) -> Path:
        if architecture not in made:
            arguments, cfg, *_ = MODELS[architecture]
            torch.manual_seed(0)
            model = timm.create_model(architecture, pretrained=False, num_classes=5, **arguments)
            model.pretrained_cfg = {**model.pretrained_cfg, **cfg}
            path = root / architecture
            timm.models.save_for_hf(
                model, path, model_config={"num_classes": 5}, model_args=arguments, safe_serialization=True
            )
            made[architecture] = path
        return made[architecture]

    return get


@pytest.mark.skipif(find_spec("timm") is None, reason="needs timm: pip install timm")
@pytest.mark.parametrize("architecture", MODELS)
class TestWithTimm:
    def test_keeps_the_contract_of_a_plug(self, folder, architecture: str) -> None:
        plug = TimmEncoder(folder(architecture), device="cpu")
        checks.is_a_frozen_dataclass(plug)
        checks.says_what_it_is(plug, needs_paper=False)
        checks.key_is_stable(lambda: TimmEncoder(folder(architecture)))
        checks.key_holds_every_parameter(plug)
        checks.settings_build_it_again(plug)
        checks.sees_pixels(plug, noise(1))
        assert plug.net.pretrained_cfg["source"] == "local-dir"

    def test_features_are_those_of_timm(self, folder, architecture: str) -> None:
        timm, data = libraries("timm", "timm.data")
        _, _, width, count, depth = MODELS[architecture]
        plug = TimmEncoder(folder(architecture), device="cpu")
        model = timm.create_model(f"local-dir:{folder(architecture)}", pretrained=True).eval()
        levels = np.random.default_rng(1).integers(0, 256, (75, 91, 3), dtype=np.uint8)
        transform = data.create_transform(**data.resolve_model_data_config(model), is_training=False)
        with torch.no_grad():
            found = model.forward_features(transform(Pillow.fromarray(levels))[None])
            pooled = model.forward_head(found, pre_logits=True)
        x = torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255
        torch.testing.assert_close(plug.features(x), pooled, rtol=1e-4, atol=1e-5)
        patches = plug.features(x, "patches")
        assert pooled.shape == (1, width)
        assert patches.shape == (1, count, depth)
        # Both pool by averaging or by the class token; the mean over patches tells every layout from its transpose.
        if architecture != "vit_tiny_patch16_224":
            torch.testing.assert_close(patches.mean(1), pooled, rtol=1e-4, atol=1e-5)

    def test_100_pictures_of_odd_sizes_come_out_as_from_timms_own_transform(
        self, folder, architecture: str, capsys
    ) -> None:
        (data,) = libraries("timm.data")
        plug = TimmEncoder(folder(architecture), device="cpu")
        transform = data.create_transform(**data.resolve_model_data_config(plug.net), is_training=False)
        sizes, worst = np.random.default_rng(5), 0.0
        std = torch.tensor(plug.preparation.std)[:, None, None]
        for k in range(100):
            levels = np.random.default_rng(k).integers(0, 256, (*sizes.integers(1, 200, 2), 3), dtype=np.uint8)
            found = plug.preparation(torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255)[0]
            worst = max(worst, ((found - transform(Pillow.fromarray(levels))) * std).abs().max().item())
        with capsys.disabled():
            print(f"\ntimm {architecture}: largest difference in 100 pictures {worst * 255:.6f}/255", end=" ")
        assert worst <= 1 / 255

    @pytest.mark.parametrize("layer", ["pooled", "patches"])
    def test_gradient_is_the_slope(self, folder, architecture: str, layer) -> None:
        plug = TimmEncoder(folder(architecture), device="cpu")
        plug.net.double()
        vars(plug)["preparation"] = dataclasses.replace(plug.preparation, rounded=False)
        assert_gradient_is_the_slope(lambda x: weighed(plug.features(x, layer)), noise(1), step=1e-8, rtol=1e-3)


@pytest.mark.skipif(find_spec("timm") is None, reason="needs timm: pip install timm")
def test_layers_end_with_the_patches(folder) -> None:
    plug = TimmEncoder(folder("resnet10t"), device="cpu")
    torch.testing.assert_close(plug.layers(noise())[-1], plug.features(noise(), "patches"))
    vit = TimmEncoder(folder("vit_tiny_patch16_224"), device="cpu")
    assert [found.shape for found in vit.layers(noise())] == [(2, 16, 24)] * 2  # its two blocks, without class token


@pytest.mark.skipif(find_spec("timm") is None, reason="needs timm: pip install timm")
def test_a_crop_without_a_twin_is_refused(folder) -> None:
    plug = TimmEncoder(folder("resnet10t"), device="cpu")
    plug.net.pretrained_cfg["crop_mode"] = "border"
    with pytest.raises(UsageError, match="crop_mode 'border' for 64 x 64 has no differentiable twin"):
        plug.features(noise())
