"""JPEG compression as a defense (Guo et al. 2018): every picture is written as a JPEG file and read back.

Departures: the paper measures classifiers; the codec is that of the installed Pillow, with its default subsampling of
colour (4:2:0), so that another version may move single grey levels.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Interval

from proofglass.defenses.opened import Lens, Opened
from proofglass.flow import Flow
from proofglass.interfaces import Defense, Paper, WhiteBoxVictim
from proofglass.types import Ask, Reply

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class JPEG(Defense):
    """Compresses each picture before the victim sees it; no call is added.

    An attacker who looks through it sees the very pixels of the file; rounding has no gradient, so that of the result
    is taken for that of the picture (straight-through).

    quality: as Pillow numbers it, 75 in the paper; None: pictures pass as they are.
    """

    name = "jpeg"
    paper = Paper("Guo et al. 2018", "Countering Adversarial Images using Input Transformations", "arXiv:1711.00117")
    adaptive: ClassVar[str] = "pgd, qi2023 through the lens (straight-through)"
    needs_model: ClassVar[str] = ""

    quality: Annotated[int, Interval(ge=1, le=100)] | None = 75

    @property
    def lens(self) -> Lens:
        return Lens() if self.quality is None else Lens(pixels=self.compressed, straight_through=True)

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply: Reply = yield ask.on(self.lens.shown(ask.chat))
        return reply

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, self.lens)

    def compressed(self, x: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        """float [1, 3, H, W] as it is read back from a JPEG file; no gradient."""
        import numpy as np
        import torch
        from PIL import Image as Pillow

        levels = (255 * x[0].detach()).round().byte().permute(1, 2, 0).cpu().numpy()
        file = io.BytesIO()
        Pillow.fromarray(np.ascontiguousarray(levels)).save(file, "JPEG", quality=self.quality)
        with Pillow.open(file) as opened:
            found = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)[None]
        return (torch.from_numpy(found.copy()).double() / 255).to(x)
