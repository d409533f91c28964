"""Encoders and detectors for the embedded testbed: what an attack may know instead of the victim.

See `docs/surrogates.md` for how each was trained and what it can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.interfaces import Detector, Encoder, Layer, Model, Threshold, checked, key_of
from proofglass.interfaces.devices import Device, placed

if TYPE_CHECKING:
    import torch

SIZE = 96
ENCODERS = ("testbed-clip", "surrogate-vit", "surrogate-cnn", "surrogate-clip")
DETECTORS = ("testbed-detector", "testbed-detector-held")


class _Network(Model):
    """What both plugs share: a network of `proofglass.testbed.surrogate_nets` by name, loaded on first use."""

    variant: str
    device: Device

    settled = ("variant",)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.variant

    @cached_property
    def key(self) -> str:
        return key_of([type(self).__name__, self.version, self.weights_hash, self.settings()])

    @cached_property
    def weights_hash(self) -> str:
        """sha256 over every weight that decides (for testbed-clip, the victim's file with the shared tower too)."""
        from proofglass.testbed import surrogate_nets

        self._check()
        return surrogate_nets.weights_hash(self.variant)

    def card(self) -> dict[str, Any]:
        from proofglass.testbed import surrogate_nets

        self._check()
        return surrogate_nets.read_card(self.variant)

    @cached_property
    def net(self) -> Any:
        from proofglass.testbed import surrogate_nets

        self._check()
        return surrogate_nets.load(self.variant).to(placed(self.device))

    def _check(self) -> None:
        from proofglass.testbed.surrogate_nets import files_of

        for path in files_of(self.variant):
            if not path.is_file():
                raise UsageError(
                    f"{self.variant}: no weights at {path}; `proofglass testbed train {self.variant}` makes them"
                )

    def _sized(self, pixels: torch.Tensor, port: str) -> torch.Tensor:
        """`pixels` at 96 x 96 (antialiased bilinear), on the network's device. Raises ValueError outside [0, 1]."""
        import torch.nn.functional as F

        pixels = checked(pixels, port, placed(self.device))
        if pixels.shape[-2:] != (SIZE, SIZE):
            # An antialiased filter can overshoot neither bound: its weights are positive and sum to one.
            pixels = F.interpolate(pixels, (SIZE, SIZE), mode="bilinear", antialias=True)
        return pixels


@dataclass(frozen=True)
class TestbedEncoder(_Network, Encoder):
    """An image encoder of the fictional world, with pixels [B, 3, H, W] resized to 96 x 96 inside.

    - ``surrogate-vit``: ViT, 12-px patches; pooled = mean of its patch tokens [B, 96], patches [B, 64, 96];
    - ``surrogate-cnn``: six 3 x 3 convolutions; pooled = mean of its last map [B, 128], patches [B, 144, 128];
    - ``surrogate-clip``: six narrower ones and a text tower; pooled [B, 96], patches [B, 144, 112];
    - ``testbed-clip``: the frozen vision tower of testbed-linear and testbed-cross (its weights are read from the
      victim's folder: this is no surrogate) and a text tower trained against it; pooled [B, 128], patches
      [B, 64, 128], exactly what those victims read.

    The two with a text tower pool to UNIT vectors in the space of `text_features`: a linear projection of the mean
    patch token, then length one (CLIP projects its class token and leaves the length; the victims' tower never
    trained its class token). variant: which of the four. device: "auto", "cpu", "cuda".
    """

    variant: str = "surrogate-vit"
    device: Device = "auto"

    projects = "patches"

    __test__ = False  # pytest: this is a model, not a test class

    def __post_init__(self) -> None:
        if self.variant not in ENCODERS:
            raise ValueError(f"variant: expected one of {', '.join(ENCODERS)}; found {self.variant!r}")

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        if layer not in ("pooled", "patches"):
            raise ValueError(f"layer: expected 'pooled' or 'patches', found {layer!r}")
        x = self._sized(pixels, "features")
        found: torch.Tensor = self.net.pooled(x) if layer == "pooled" else self.net.patches(x)
        return found

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, d], unit vectors, no gradient. Lower-case words of the world are what it knows.

        Raises UsageError without a text tower, ValueError for a text of no or of more than 64 tokens.
        """
        import torch

        from proofglass.testbed.surrogate_nets import token_ids

        if self._tokenizer is None:
            return super().text_features(texts)
        with torch.no_grad():
            found: torch.Tensor = self.net.texts(token_ids(self._tokenizer, texts).to(placed(self.device)))
        return found

    def projected(self, seen: torch.Tensor) -> torch.Tensor:
        if self._tokenizer is None:
            return super().projected(seen)
        found: torch.Tensor = self.net.project(seen.to(placed(self.device)).mean(1))
        return found

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        from proofglass.testbed.surrogate_nets import WEIGHTS

        path = WEIGHTS / self.variant / "tokenizer.json"
        return Tokenizer.from_file(str(path)) if path.is_file() else None


@dataclass(frozen=True)
class TestbedDetector(_Network, Detector):
    """Does this picture write a sealed noun? One score [B, 1]; pixels [B, 3, H, W] are resized to 96 x 96 inside.

    ``testbed-detector`` (convolutions, an 8-px grid) is what an attack may differentiate; ``testbed-detector-held``
    (other convolutions, a 12-px grid, other seeds and pictures) is where evasion is judged. variant: which of the two.
    threshold: score from which it fires. device: "auto", "cpu", "cuda".
    """

    variant: str = "testbed-detector"
    threshold: Threshold = 0.5
    device: Device = "auto"

    __test__ = False  # pytest: this is a model, not a test class

    def __post_init__(self) -> None:
        if self.variant not in DETECTORS:
            raise ValueError(f"variant: expected one of {', '.join(DETECTORS)}; found {self.variant!r}")

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.net(self._sized(pixels, "scores")).sigmoid()
        return found
