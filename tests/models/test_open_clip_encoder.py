"""`open-clip-encoder` with open_clip itself, on random weights in its own layout; skips where it is absent."""

from __future__ import annotations

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from proofglass.errors import MissingExtra, UnsafeWeights, UsageError
from proofglass.models import folders
from proofglass.models.open_clip_encoder import OpenClipEncoder
from proofglass.testing import checks
from real_photos import assert_gradient_is_the_slope, weighed
from with_torchvision import libraries

needs_it = pytest.mark.skipif(find_spec("open_clip") is None, reason="needs open_clip: pip install open_clip_torch")
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
TOWERS = {
    "vit": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
}
PREPROCESSING = {
    "vit": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic", "resize_mode": "shortest"},
    "resnet": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"},
}


def noise(rows: int = 2, height: int = 45, width: int = 61) -> torch.Tensor:
    return torch.rand(rows, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_without_open_clip_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, tmp_path / "open_clip_model.safetensors")
    monkeypatch.setattr(folders, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'open_clip: not installed\. Run: pip install "open_clip_torch>=3\.2"$'):
        OpenClipEncoder(tmp_path).features(noise())


@pytest.mark.parametrize(
    ("present", "kind", "said"),
    [
        (("open_clip_config.json", "open_clip_pytorch_model.bin"), UnsafeWeights, "pickle checkpoint"),
        (("config.json", "open_clip_model.safetensors"), UsageError, r"no open_clip_config\.json"),
        (("open_clip_config.json", "model.safetensors"), UsageError, r"no open_clip_model\.safetensors"),
        # open_clip would open model.safetensors or the pickle, and the key would hold the other file.
        (
            ("open_clip_config.json", "open_clip_x.safetensors", "open_clip_pytorch_model.bin"),
            UnsafeWeights,
            "pickle checkpoint",
        ),
    ],
)
def test_a_folder_that_lacks_safetensors_or_configuration_is_refused(tmp_path: Path, present, kind, said: str) -> None:
    for name in present:
        (tmp_path / name).write_text("{}")
    with pytest.raises(kind, match=said):
        OpenClipEncoder(tmp_path).features(noise())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """`folder(tower)`: made once per module, by open_clip."""
    (open_clip,) = libraries("open_clip")
    root, made = tmp_path_factory.mktemp("open_clip"), {}

    def get(tower: str) -> Path:
        if tower not in made:
            torch.manual_seed(0)
            config = {"embed_dim": 16, "vision_cfg": TOWERS[tower], "text_cfg": TEXT}
            model = open_clip.CLIP(**config)
            path = root / tower
            path.mkdir()
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path / "open_clip_model.safetensors")
            told = {"model_cfg": config, "preprocess_cfg": PREPROCESSING[tower]}
            (path / "open_clip_config.json").write_text(json.dumps(told))
            made[tower] = path
        return made[tower]

    return get


@needs_it
@pytest.mark.parametrize("tower", TOWERS)
class TestWithOpenClip:
    def test_keeps_the_contract_of_a_plug(self, folder, tower: str) -> None:
        plug = OpenClipEncoder(folder(tower), device="cpu")
        checks.is_a_frozen_dataclass(plug)
        checks.says_what_it_is(plug, needs_paper=False)
        checks.key_is_stable(lambda: OpenClipEncoder(folder(tower)))
        checks.key_holds_every_parameter(plug)
        checks.settings_build_it_again(plug)
        checks.sees_pixels(plug, noise(1))

    def test_pictures_and_texts_are_as_alike_as_open_clip_says(self, folder, tower: str) -> None:
        (open_clip,) = libraries("open_clip")
        plug, texts = OpenClipEncoder(folder(tower), device="cpu"), ["a red kite", "seven drums"]
        model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder(tower)}")
        tokens = open_clip.get_tokenizer(f"local-dir:{folder(tower)}")(texts)
        levels = np.random.default_rng(1).integers(0, 256, (45, 61, 3), dtype=np.uint8)
        with torch.no_grad():
            image = model.eval().encode_image(transform(Pillow.fromarray(levels))[None], normalize=True)
            expected = image @ model.encode_text(tokens, normalize=True).T
        x = torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255
        cosines = plug.features(x) @ plug.text_features(texts).T
        torch.testing.assert_close(cosines, expected, rtol=1e-4, atol=1e-5)
        assert (cosines[0, 0] - cosines[0, 1]).abs() > 1e-4

    def test_100_pictures_of_odd_sizes_come_out_as_from_open_clips_own_transform(
        self, folder, tower: str, capsys
    ) -> None:
        (open_clip,) = libraries("open_clip")
        plug = OpenClipEncoder(folder(tower), device="cpu")
        _, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder(tower)}")
        sizes, worst = np.random.default_rng(5), 0.0
        std = torch.tensor(plug.preparation.std)[:, None, None]
        for k in range(100):
            levels = np.random.default_rng(k).integers(0, 256, (*sizes.integers(1, 200, 2), 3), dtype=np.uint8)
            found = plug.preparation(torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255)[0]
            worst = max(worst, ((found - transform(Pillow.fromarray(levels))) * std).abs().max().item())
        with capsys.disabled():
            print(f"\nopen_clip {tower}: largest difference in 100 pictures {worst * 255:.6f}/255", end=" ")
        assert worst <= 1 / 255

    @pytest.mark.parametrize("layer", ["pooled", "patches"])
    def test_gradient_is_the_slope(self, folder, tower: str, layer) -> None:
        plug = OpenClipEncoder(folder(tower), device="cpu")
        plug.net.double()
        vars(plug)["preparation"] = dataclasses.replace(plug.preparation, rounded=False)
        assert_gradient_is_the_slope(lambda x: weighed(plug.features(x, layer)), noise(1), step=1e-8, rtol=1e-3)

    @pytest.mark.parametrize("text", ["", "kite " * 11])
    def test_a_text_that_is_empty_or_would_be_cut_is_refused(self, folder, tower: str, text: str) -> None:
        plug = OpenClipEncoder(folder(tower), device="cpu")
        with pytest.raises(ValueError, match="texts: expected 1 to 12 tokens"):
            plug.text_features(["kite", text])
        assert plug.text_features(["kite " * 10]).shape == (1, 16)  # with start and end exactly 12


@needs_it
def test_patches_are_the_tokens_without_the_class_token(folder) -> None:
    plug = OpenClipEncoder(folder("vit"), device="cpu")
    assert plug.features(noise(), "patches").shape == (2, 16, 32)
    first, last = plug.layers(noise())
    assert first.shape == (2, 16, 32)
    torch.testing.assert_close(last, plug.features(noise(), "patches"))
    assert OpenClipEncoder(folder("resnet"), device="cpu").features(noise(), "patches").shape == (2, 4, 256)


@needs_it
def test_length_one_or_the_raw_projection(folder) -> None:
    unit, raw = (OpenClipEncoder(folder("vit"), device="cpu", unit=u) for u in (True, False))
    torch.testing.assert_close(unit.features(noise()).norm(dim=1), torch.ones(2))
    torch.testing.assert_close(torch.nn.functional.normalize(raw.features(noise())), unit.features(noise()))
    assert (raw.features(noise()).norm(dim=1) - 1).abs().min() > 0.01


@needs_it
def test_a_resize_without_a_twin_is_refused(folder) -> None:
    plug = OpenClipEncoder(folder("vit"), device="cpu")
    plug.net.visual.preprocess_cfg["resize_mode"] = "longest"
    with pytest.raises(UsageError, match="resize_mode 'longest' for 32 x 32 has no differentiable twin"):
        plug.features(noise())
