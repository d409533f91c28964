"""MTCNN (Zhang et al. 2016, arXiv:1604.02878), a real face detector of three small networks (extra `real`).

Weights: the files that the package `facenet-pytorch` carries (MIT licence); nothing of it is imported. `scores` is the
first network, P-net, over the pyramid of the picture: every score an attack could push down, with gradient. P-net only
proposes (it fires on many things that are no face): `faces` runs all three, without gradient, and says what is found in
the end. Sizes, thresholds and the area filter of the pyramid are those of facenet-pytorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from proofglass.interfaces import Detector, Paper, Threshold, checked, key_of
from proofglass.interfaces.devices import Device, placed
from proofglass.weights import packaged, tensors_of

if TYPE_CHECKING:
    import torch

    Weights = dict[str, torch.Tensor]

INSTALL = "pip install --no-deps facenet-pytorch==2.6.0"  # its own pins (numpy < 2, torch < 2.3) are not needed
SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
CELL, STRIDE = 12, 2
"""P-net looks at squares of 12 pixels, two pixels apart."""

SHRINK = 0.709  # from one step of the pyramid to the next: half the area
LATER = (0.7, 0.7)  # thresholds of R-net and O-net


@dataclass(frozen=True)
class MTCNN(Detector):
    """Faces of `smallest` pixels and more: scores [B, anchors], of P-net, the finest step of the pyramid first.

    pixels: RGB, float32 [B, 3, H, W] in [0, 1]; the shorter side at least `smallest`. smallest: side of the smallest
    face, in pixels. threshold: score from which P-net proposes. device: "auto", "cpu", "cuda". Raises MissingExtra
    where the package is absent, UnsafeWeights for other files.
    """

    smallest: Annotated[int, Ge(CELL)] = 20
    threshold: Threshold = 0.6
    device: Device = "auto"

    name = "mtcnn"
    paper = Paper(
        "Zhang et al. 2016",
        "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks",
        "arXiv:1604.02878",
    )

    @property
    def key(self) -> str:
        return key_of([type(self).__name__, self.version, SHA256, self.settings()])

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        x = _levels(checked(pixels, "scores", placed(self.device)))
        return torch.cat([_proposed(self._nets["pnet"], shown)[0].flatten(1) for shown in self._pyramid(x).values()], 1)

    def faces(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Per picture: left, top, right, bottom (pixels) and score of each face, float [n, 5], the surest first."""
        import torch

        with torch.no_grad():
            return [self._cascade(x[None]) for x in _levels(checked(pixels, "faces", placed(self.device)))]

    # ---- the pyramid ------------------------------------------------------------------------------------------------

    def _pyramid(self, x: torch.Tensor) -> dict[float, torch.Tensor]:
        """The picture at each scale: a face of `smallest` pixels fills P-net's square at the first, ever larger ones
        later. Raises ValueError for a picture smaller than such a face."""
        import torch.nn.functional as F

        height, width = x.shape[-2:]
        if min(height, width) < self.smallest:
            raise ValueError(f"pixels: expected sides of at least {self.smallest} pixels, found {height} x {width}")
        scale, found = CELL / self.smallest, {}
        while min(height, width) * scale >= CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            found[scale] = F.interpolate(x, size, mode="area")
            scale *= SHRINK
        return found

    def _cascade(self, x: torch.Tensor) -> torch.Tensor:
        """Boxes and scores of one picture [1, 3, H, W]."""
        import torch

        steps = [self._boxes(shown, scale) for scale, shown in self._pyramid(x).items()]
        boxes, shifts = (torch.cat(parts) for parts in zip(*steps, strict=True))
        kept = suppressed(boxes, 0.7)
        boxes = _square(_moved(boxes[kept], shifts[kept], inclusive=False))
        boxes = self._refined(x, boxes, "rnet", 24, LATER[0])
        return self._refined(x, _square(boxes), "onet", 48, LATER[1])

    def _boxes(self, shown: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        """P-net's proposals at one scale: boxes with score [n, 5], how they want to be moved [n, 4]."""
        import torch

        score, shift = _proposed(self._nets["pnet"], shown)
        rows, columns = (score[0] >= self.threshold).nonzero(as_tuple=True)
        corner = torch.stack([columns, rows], 1).to(score) * STRIDE
        box = torch.cat([((corner + 1) / scale).floor(), ((corner + CELL) / scale).floor()], 1)
        found = torch.cat([box, score[0, rows, columns][:, None]], 1)
        kept = suppressed(found, 0.5)
        return found[kept], shift[0, :, rows, columns].T[kept]

    def _refined(self, x: torch.Tensor, boxes: torch.Tensor, name: str, side: int, threshold: float) -> torch.Tensor:
        """Those of `boxes` that the next network calls faces, moved as it says; the last one suppresses harder."""
        import torch

        cuts = {k: cut for k, box in enumerate(boxes) if (cut := _cut(x, box, side)) is not None}
        if not cuts:
            return boxes[:0]
        score, shift = _judged(self._nets[name], torch.cat(list(cuts.values())))
        sure = score > threshold
        boxes = torch.cat([boxes[list(cuts), :4][sure], score[sure, None]], 1)
        shift = shift[sure]
        if name == "onet":
            boxes = _moved(boxes, shift)
            return boxes[suppressed(boxes, 0.7, of_smaller=True)]
        kept = suppressed(boxes, 0.7)
        return _moved(boxes[kept], shift[kept])

    @cached_property
    def _nets(self) -> dict[str, Weights]:
        device = placed(self.device)
        files = {
            name: packaged("facenet_pytorch", f"data/{name}.pt", digest, INSTALL) for name, digest in SHA256.items()
        }
        return {name: {n: w.to(device) for n, w in tensors_of(file).items()} for name, file in files.items()}


# ------------------------------------------------------------------------------------------------------- the networks


def _levels(pixels: torch.Tensor) -> torch.Tensor:
    return (255 * pixels - 127.5) / 128


def _convolved(net: Weights, x: torch.Tensor, pools: Sequence[int]) -> torch.Tensor:
    """Convolution, PReLU and, where a side is named, max pooling with stride 2, one after the other."""
    import torch.nn.functional as F

    for k, side in enumerate(pools, 1):
        x = F.prelu(F.conv2d(x, net[f"conv{k}.weight"], net[f"conv{k}.bias"]), net[f"prelu{k}.weight"])
        x = F.max_pool2d(x, side, 2, ceil_mode=True) if side else x
    return x


def _proposed(net: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """P-net: scores [B, h, w] and shifts [B, 4, h, w]."""
    import torch.nn.functional as F

    x = _convolved(net, x, (2, 0, 0))
    score, shift = (F.conv2d(x, net[f"conv4_{k}.weight"], net[f"conv4_{k}.bias"]) for k in (1, 2))
    return score.softmax(1)[:, 1], shift


def _judged(net: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """R-net or O-net: scores [n] and shifts [n, 4] of cuts [n, 3, side, side]."""
    import torch.nn.functional as F

    last = 5 if "dense5.weight" in net else 4
    x = _convolved(net, x, (3, 3, 2, 0) if last == 5 else (3, 3, 0))
    x = x.permute(0, 3, 2, 1).flatten(1)  # the order of the networks that the weights come from
    x = F.prelu(F.linear(x, net[f"dense{last}.weight"], net[f"dense{last}.bias"]), net[f"prelu{last}.weight"])
    score, shift = (F.linear(x, net[f"dense{last + 1}_{k}.weight"], net[f"dense{last + 1}_{k}.bias"]) for k in (1, 2))
    return score.softmax(1)[:, 1], shift


# ------------------------------------------------------------------------------------------------------------- boxes


def suppressed(boxes: torch.Tensor, overlap: float, of_smaller: bool = False) -> list[int]:
    """Indices of the boxes [n, 5] that stay, the surest first: each drops those that overlap it by more than `overlap`
    of their union, or (of_smaller) of the smaller of the two, and there the last pixel counts as part of a box."""
    import torch

    last = float(of_smaller)
    area = (boxes[:, 2:4] - boxes[:, :2] + last).prod(1)
    left, kept = boxes[:, 4].argsort(descending=True, stable=True).tolist(), []
    while left:
        best, rest = left[0], left[1:]
        kept.append(best)
        sides = torch.minimum(boxes[best, 2:4], boxes[rest, 2:4]) - torch.maximum(boxes[best, :2], boxes[rest, :2])
        common = (sides + last).clamp_min(0).prod(1)
        whole = torch.minimum(area[rest], area[best]) if of_smaller else area[rest] + area[best] - common
        left = [k for k, keep in zip(rest, (common / whole <= overlap).tolist(), strict=True) if keep]
    return kept


def _moved(boxes: torch.Tensor, shifts: torch.Tensor, inclusive: bool = True) -> torch.Tensor:
    """Corners moved by shares of the box's own width and height. inclusive: the last pixel counts as part of it."""
    import torch

    sides = boxes[:, 2:4] - boxes[:, :2] + float(inclusive)
    return torch.cat([boxes[:, :4] + shifts * sides.repeat(1, 2), boxes[:, 4:]], 1)


def _square(boxes: torch.Tensor) -> torch.Tensor:
    """The square around the same middle with the longer side."""
    import torch

    sides = boxes[:, 2:4] - boxes[:, :2]
    side = sides.amax(1, keepdim=True)
    corner = boxes[:, :2] + (sides - side) / 2
    return torch.cat([corner, corner + side, boxes[:, 4:]], 1)


def _cut(x: torch.Tensor, box: torch.Tensor, side: int) -> torch.Tensor | None:
    """The part of the picture in `box`, [1, 3, side, side]; None if it lies outside."""
    import torch.nn.functional as F

    height, width = x.shape[-2:]
    left, top, right, bottom = (int(n) for n in box[:4].trunc().tolist())
    left, top, right, bottom = max(left, 1), max(top, 1), min(right, width), min(bottom, height)
    if bottom < top or right < left:
        return None
    return F.interpolate(x[..., top - 1 : bottom, left - 1 : right], (side, side), mode="area")
