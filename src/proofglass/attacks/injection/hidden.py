"""Text that nobody wrote until the picture is shrunk: hidden from whoever looks at the full size (Xiao et al. 2019).

Servers and image processors shrink what they are sent. The picture is moved as little as can be, in l2, so that the
shrunk one holds a text; the solution is in closed form (`images.downscale`) and checked by the real resize. How well
that hides depends on the filter: "nearest" reads few pixels, and only these move; all others of Pillow average, so the
mean over a few pixels moves by as much as the text stands out, and only its edges are hidden. Departures: the paper
solves a convex program per row and column of other libraries' filters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from proofglass.attacks.crafting.fields import Epsilon
from proofglass.attacks.injection.slots import filled
from proofglass.attacks.injection.third_party import TEXT
from proofglass.attacks.injection.writing import OVERFLOW, check_place, grid_of, noted, shown, size_for, written
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.images.downscale import FILTERS, MOST, Downscale, Filter, Fit, hidden
from proofglass.images.fonts import font_path
from proofglass.images.lettering import Anchor, Colour, Lettering
from proofglass.interfaces import Attack, Count, Paper, Share, Steps, Text, Victim, WhiteBoxVictim
from proofglass.interfaces.attacks import Scope
from proofglass.interfaces.wording import sha256, wording
from proofglass.types import Artefact, Ask, Budget, Chat, Image, Reply, Sample

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class DownscaleInjection(Attack):
    """A picture that shows the third party's text only after the server, or the victim's processor, has shrunk it.

    text: what the shrunk picture says; {target}, {question} and the texts of the sample's meta may stand in it.
    text_file: a file that holds it. filter: of the resize: "victim" finds it by asking the victim's own processor for a
    picture's pixels (no model is run), which takes a white-box victim. fit: "squash" gives every picture the victim's
    shape, "crop" shrinks the shorter side and cuts out the middle; with filter "victim" it is found too. size: width
    and height that it shrinks to; None: the victim's. scale: a picture that is not so many times as large is enlarged
    first (it is the third party's own). epsilon: how far a value may move, in pixels of [0, 1]; None: as far as it
    must. rounds: of projections at most. at: where it stands then: an edge, a corner, "center", a point or a box.
    layout: "victim": a victim that states on which grid it reads gets its letters there; "plain": never. font: name of
    a font, or a file. letters: their size in pixels, None: max(16, height // 18). fill: RGB of the letters. opacity: 1
    is plain to read, 0.05 hardly. box: the text stands on a rectangle of `background`. background: its RGB. margin:
    pixels of that rectangle around the text. sheet: width and height of a white sheet for samples without a picture;
    None: such a sample fails.

    The trace says what it took: distances at full size, and at the model's size what is left between the shrunk picture
    and the one that was meant ("residual", in grey levels; where it is large, the text could not be hidden there).
    """

    name = "downscale-injection"
    paper = Paper(
        "Xiao et al. 2019",
        "Seeing is Not Believing: Camouflage Attacks on Image Scaling Algorithms",
        "https://www.usenix.org/conference/usenixsecurity19/presentation/xiao",
    )
    reports = "demonstrations against image classifiers, no figure on a multimodal model"
    threat, changes = "third party", ("image",)
    version = 3  # what hangs below the last row of a grid is drawn, and told where it is lost, like ink at any edge

    text: Text = TEXT
    text_file: Path | None = None
    filter: Filter | Literal["victim"] = "victim"
    fit: Fit = "squash"
    size: tuple[Count, Count] | None = None
    scale: Count = 4
    epsilon: Epsilon | None = None
    rounds: Count = 200
    at: Anchor | tuple[int, ...] = "bottom"
    layout: Literal["victim", "plain"] = "victim"
    font: str = "DejaVuSans"
    letters: Count | None = None
    fill: Colour = (0, 0, 0)
    opacity: Share = 1.0
    box: bool = True
    background: Colour = (255, 255, 255)
    margin: Steps = 4
    sheet: tuple[Count, Count] | None = None

    def __post_init__(self) -> None:
        check_place(self.at)

    @property
    def scope(self) -> Scope:
        return "sample"

    def reads(self) -> tuple[Path, ...]:
        """The wording of `text_file`, and the font: another file under the same name draws another picture."""
        drawn = font_path(self.font)
        return (drawn,) if self.text_file is None else (self.text_file, drawn)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        """One picture per sample; what cannot be hidden in is an artefact that says why, and costs its sample alone."""
        text = wording(self.text, self.text_file, "downscale-injection.text_file")
        size = self._size(victim)
        for sample in samples:
            try:
                yield self._crafted(victim, sample, text, size)
            except ValueError as error:
                yield Artefact(sample.id, crafted_on=victim.key, meta={"failed": str(error)})

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        if failed := artefact.meta.get("failed"):
            raise ValueError(failed)
        return sample.chat.with_image(artefact.images[0])

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat = self.apply(artefact, sample)
        reply = yield ask.on(chat)
        return chat, noted(reply, str(artefact.meta.get("note", "")))

    def _crafted(self, victim: Victim, sample: Sample, text: str, size: tuple[int, int]) -> Artefact:
        cover = self._enlarged(shown(sample, self.sheet, self.name), size)
        downscale = self._downscale(victim, cover, size)
        small = downscale(cover)
        gridded = grid_of(victim, self.layout)
        drawn = written(small, filled(text, sample), self._lettering(small), self.at, gridded)  # type: ignore[arg-type]
        most = None if self.epsilon is None else math.floor(255 * self.epsilon + 1e-6)
        found = hidden(cover, drawn.image, downscale, most=most, rounds=self.rounds)
        return Artefact(
            sample.id,
            (found.image,),
            clean=cover,
            crafted_on=victim.key,
            trace={
                "linf_levels": found.linf,
                "l2": round(found.l2, 4),
                "pixels changed": round(found.changed, 4),
                "residual": found.residual_max,
                "mean residual": round(found.residual_mean, 4),
                "text stands out by": _most_moved(small, drawn.image),
                "mean moved by": found.blurred,
                "rounds": found.rounds,
            },
            meta={
                "template_sha256": sha256(text),
                "filter": downscale.filter,
                "fit": downscale.fit,
                "size": list(size),
                "full size": [cover.width, cover.height],
                "font": drawn.font,
                "font_sha256": drawn.font_sha256,
                "note": OVERFLOW if drawn.overflow else "",
            },
        )

    def _size(self, victim: Victim) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        if victim.image_size is None:
            raise UsageError(
                f"{self.name}.size: {victim.name} states no size that it shrinks every picture to; give the width and "
                "height that its server or processor shrinks to"
            )
        return victim.image_size

    def _enlarged(self, photo: Image, size: tuple[int, int]) -> Image:
        """`photo`, whole times larger where it is less than `scale` times the size that it is shrunk to."""
        times = max(math.ceil(self.scale * size[0] / photo.width), math.ceil(self.scale * size[1] / photo.height))
        if times <= 1:
            return photo
        width, height = photo.width * times, photo.height * times
        if width * height > MOST:
            raise ValueError(
                f"picture: {photo.width} x {photo.height} px would be enlarged to {width} x {height}, more than "
                f"{MOST} pixels; lower scale"
            )
        import numpy as np
        from PIL import Image as Pillow

        larger = Pillow.fromarray(photo.array()).resize((width, height), Pillow.Resampling.BICUBIC)
        return Image.from_array(np.array(larger), copy=False)

    def _downscale(self, victim: Victim, cover: Image, size: tuple[int, int]) -> Downscale:
        if self.filter != "victim":
            return Downscale(*size, self.filter, self.fit)
        if not isinstance(victim, WhiteBoxVictim):
            raise UsageError(
                f"{self.name}.filter: {victim.name} does not show what it makes of a picture; name the filter of its "
                f"server or processor: {', '.join(FILTERS)}"
            )
        return found_in(victim, cover, size)

    def _lettering(self, small: Image) -> Lettering:
        return Lettering(
            font=self.font,
            size=self.letters or size_for(small),
            fill=self.fill,
            background=self.background,
            opacity=self.opacity,
            box=self.box,
            margin=self.margin,
        )


def found_in(victim: WhiteBoxVictim, cover: Image, size: tuple[int, int]) -> Downscale:
    """The downscale that gives just the pixels which the victim's own processor makes of `cover`, level by level.

    Raises ValueError where none does: a processor that pads or tiles, or another resize than Pillow's.
    """
    seen = _levels(victim, cover)
    for fit in get_args(Fit):
        for name in FILTERS:
            tried = Downscale(*size, name, fit)
            if seen.shape[:2] == size[::-1] and bool((tried.pixels(cover.array()) == seen).all()):
                return tried
    raise ValueError(
        f"picture: what {victim.name} makes of {cover.width} x {cover.height} px is no resize of Pillow's to "
        f"{size[0]} x {size[1]}, squashed or cropped (it may pad or tile); name filter, fit and size"
    )


def _levels(victim: WhiteBoxVictim, cover: Image) -> np.ndarray:
    """uint8 [h, w, 3]: the picture at the model's size."""

    pixels: Any = victim.pixels(cover)
    found: np.ndarray = (255 * pixels[0]).round().byte().permute(1, 2, 0).cpu().numpy()
    return found


def _most_moved(one: Image, other: Image) -> int:
    import numpy as np

    return int(np.abs(one.array().astype(np.int16) - other.array()).max())
