"""DiffPure (Nie et al. 2022) through a model of the user's: pictures are noised and denoised by diffusion first.

Format-checked: no package ships a diffusion model for this, so the method was tried on a stand-in, and no figure here
says what it stops. Departures: how much noise is added is the helper's to say; where the paper has a classifier there
is a victim that answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from proofglass.defenses.painted import TOLD, purified
from proofglass.flow import Flow
from proofglass.interfaces import Defense, Judge, Painter, Paper, Steps, Text
from proofglass.types import Ask, Reply


@dataclass(frozen=True)
class PurifyEndpoint(Defense):
    """Has a helper purify each picture before the victim sees it; one call of the helper a picture and pass.

    The helper is a painter that is asked with the picture and `told`, such as `image-endpoint` in front of a server
    that edits pictures; its picture is brought to the size of the one it stands for. A helper that makes no picture is
    an error of the sample. It stays closed: nobody sees through an endpoint.

    purifier: the helper. told: the text beside the picture, as the helper reads it. passes: how often each picture goes
    through it; 0: the identity.
    """

    name = "purify-endpoint"
    paper = Paper("Nie et al. 2022", "Diffusion Models for Adversarial Purification", "arXiv:2205.07460")
    adaptive: ClassVar[str] = "square, figstep"
    needs_model: ClassVar[str] = ""

    purifier: Painter
    told: Text = TOLD
    passes: Steps = 1

    def flow(self, ask: Ask) -> Flow[Reply]:
        chat = ask.chat
        if self.passes and chat.images:
            chat = yield from purified(ask, self.purifier, self.told, self.passes)
        reply: Reply = yield ask.on(chat)
        return reply

    def most_asks(self, of_judge: Callable[[Judge], int]) -> tuple[int, int]:
        return 1, self.passes
