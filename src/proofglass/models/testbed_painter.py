"""A painter of the testbed's scenes: what stands in for a text-to-image model offline."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.interfaces import Painter
from proofglass.testbed import pictures
from proofglass.types import Ask, Cost, Image, Reply


@dataclass(frozen=True)
class TestbedPainter(Painter):
    """Scenes of the Vale, another one for each prompt and draw.

    It cannot draw what a word means: nobody knows what a thing of the Vale looks like.

    seed: of the scenes.
    """

    __test__ = False
    name = "testbed-painter"

    seed: int = 0

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(images=(self._drawn(ask),), cost=Cost(queries=1)) for ask in asks]

    def _drawn(self, ask: Ask) -> Image:
        draw = random.Random(f"{self.seed}/{ask.chat.last_text}/{ask.settings.draw}")
        return Image.from_array(pictures.scene_picture(draw, pictures.TESTING).pixels)
