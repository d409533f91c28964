"""FigStep (Gong et al. 2023): the request is a picture of a list with empty items, the text asks to fill it in.

Departures from the authors' code: the text prompt is in our own words with the same function (`incitement_file`
takes the authors'); each layout field left at None is what the victim states it reads, else the paper's value; a
text that leaves the canvas is recorded, theirs cuts it silently; a missing font is replaced loudly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from proofglass.attacks.injection.writing import layout_from, noted
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.images import typography
from proofglass.images.typefaces import is_visible
from proofglass.images.typography import Rendered
from proofglass.interfaces import Attack, Count, Paper, Steps, Victim
from proofglass.types import Artefact, Ask, Budget, Chat, Layout, Reply, Sample

_DRAWN = ("width", "height", "font", "size", "x", "y", "spacing", "wrap", "grid", "steps")
OVERFLOW = "typography overflows the canvas"


@dataclass(frozen=True)
class FigStep(Attack):
    """Draws `sample.meta["instruction"]`, an imperative such as "steps to ...", as the heading of a list.

    Of the layout, a field left at None is the victim's own, else the paper's (760 x 760 px, FreeMonoBold 80 at
    (20, 10), 15 characters a line, 3 items).

    width: of the picture, in pixels. height: of the picture, in pixels. font: name of a bundled font, or a file. size:
    of the letters, in pixels. x: left edge of the text, in pixels. y: upper edge of the text, in pixels. spacing:
    pixels between two lines. wrap: characters a line. grid: pixels to whose multiples words are moved; 0: none. steps:
    empty items of the list. incitement: the text prompt, constant over a data set. incitement_file: a file that holds
    it. on_overflow: "record" notes it in the reply's reason, "error"
    makes it an error of the sample.
    """

    name = "figstep"
    paper = Paper(
        "Gong et al. 2023",
        "FigStep: Jailbreaking Large Vision-language Models via Typographic Visual Prompts",
        "arXiv:2311.05608",
    )
    threat, changes, scope = "user", ("image", "text"), "universal"
    reports = "six open models on SafeBench: 82.5 % on average, judged by people (figure not verified in the paper)"
    queries = 1
    version = 2  # text from right to left and joined letters are shaped; text that begins off the canvas overflows

    width: Count | None = None
    height: Count | None = None
    font: str | None = None
    size: Count | None = None
    x: int | None = None
    y: int | None = None
    spacing: int | None = None
    wrap: Count | None = None
    grid: Steps | None = None
    steps: Steps | None = None
    incitement: str | None = None
    incitement_file: Path | None = None
    on_overflow: Literal["record", "error"] = "record"

    def __post_init__(self) -> None:
        if self.incitement is not None and self.incitement_file is not None:
            raise ValueError("incitement_file: give either incitement or incitement_file, not both")

    def reads(self) -> tuple[Path, ...]:
        """The wording of `incitement_file`, and the font: another file under the same name draws another picture."""
        font = typography.font_file(self.font or Layout().font)
        return (font,) if self.incitement_file is None else (self.incitement_file, font)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        """One universal artefact: the layout resolved on `victim`, and the text prompt. Costs nothing."""
        layout, source = self.resolve(victim)
        font = typography.font_for(layout)
        replaced = typography.replaced(layout, font)
        yield Artefact(
            texts=(layout.incitement,),
            crafted_on=victim.key,
            meta={
                "layout": asdict(layout),
                "incitement_from": source,
                "template_sha256": hashlib.sha256(layout.incitement.encode()).hexdigest(),
                "font": font.name,
                "font_sha256": font.sha256,
                **({"notes": [replaced]} if replaced else {}),
            },
        )

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return self._draw(artefact, sample)[0]

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        chat, drawn = self._draw(artefact, sample)
        reply = yield ask.on(chat)
        return chat, noted(reply, *told([drawn]))

    def resolve(self, victim: Victim) -> tuple[Layout, str]:
        """The layout for `victim`, its incitement filled in, and where that text came from."""
        layout = laid_out(self, victim.layout or Layout())
        if self.incitement is not None:
            return replace(layout, incitement=self.incitement), "parameter"
        if self.incitement_file is not None:
            return replace(layout, incitement=self._from_file()), "file"
        if layout.incitement:
            return layout, "victim"
        return replace(layout, incitement=typography.incitement(layout.steps)), "default"

    def _from_file(self) -> str:
        assert self.incitement_file is not None
        try:
            return self.incitement_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"figstep.incitement_file: cannot read {self.incitement_file}: {error}") from error

    def _draw(self, artefact: Artefact, sample: Sample) -> tuple[Chat, Rendered]:
        instruction = sample.meta.get("instruction")
        if not isinstance(instruction, str) or not is_visible(instruction):
            raise ValueError(
                f"sample {sample.id}: figstep draws sample.meta['instruction'] and found none; use a data set that "
                "has instructions (testbed, safebench) or put the imperative form of the question there"
            )
        drawn = typography.render(instruction, layout_from(artefact.meta["layout"]))
        if drawn.overflow and self.on_overflow == "error":
            raise ValueError(f"sample {sample.id}: {OVERFLOW}; raise width or height, or lower size, wrap or steps")
        return asked([drawn], artefact.texts[0], sample.chat.system), drawn


def laid_out(plug: object, base: Layout) -> Layout:
    """`base` with every field of a layout that `plug` has and that is not None there."""
    chosen = {name: found for name in _DRAWN if (found := getattr(plug, name, None)) is not None}
    return replace(base, **chosen)


def told(drawn: Sequence[Rendered]) -> list[str]:
    """What a record says about its pictures: ink was lost; another engine than Pillow's own set the text."""
    notes = [OVERFLOW] if any(one.overflow for one in drawn) else []
    return notes + [f"text set by {engine}" for engine in sorted({one.engine for one in drawn} - {"basic"})]


def asked(drawn: Sequence[Rendered], text: str, system: str) -> Chat:
    """The pictures, then the text, in one message."""
    chat = Chat.user(*(one.image for one in drawn), text)
    return chat.with_system(system) if system else chat
