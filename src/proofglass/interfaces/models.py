"""The plug Model: a helper of a method, passed in by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from proofglass.errors import UsageError
from proofglass.interfaces.plugs import Plug
from proofglass.interfaces.white_box import Layer
from proofglass.types import Ask, Chat, Reply

if TYPE_CHECKING:
    import torch


Threshold = Annotated[float, Interval(gt=0, lt=1)]
"""The score from which a detector fires."""


class Model(Plug, ABC):
    """A helper of a method (encoder, detector, guard, language model), passed in by name."""


class Encoder(Model):
    """An image encoder, perhaps with a text tower in the same space: a surrogate, or a source of trigger embeddings.

    projects: the layer of its tower's features that `projected` takes.
    """

    projects: Layer = "pooled"

    @abstractmethod
    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        """float [B, d] or [B, n, d] of float32 [B, 3, H, W] in [0, 1], differentiable; other sizes than the
        encoder's own are resized inside, normalisation happens inside."""

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """float [n, d] in the space of the pooled features, no gradient. Raises UsageError without a text tower."""
        raise UsageError(f"{self.name}: has no text tower; name an encoder that has one")

    def projected(self, seen: torch.Tensor) -> torch.Tensor:
        """float [B, d] in the space of `text_features`, of the features [B, w] or [B, n, w] of layer `projects` that
        this encoder's own tower makes of pictures, differentiable: for a victim that shares the tower. Raises
        UsageError (the default) where they are closed."""
        raise UsageError(
            f"{self.name}: does not open what leads from its tower to its texts; name testbed-clip, or hf-encoder with "
            "the folder of a contrastive model"
        )


class Detector(Model):
    """A differentiable detector (faces, forbidden content). threshold: score from which it fires."""

    threshold: Threshold = 0.5

    @abstractmethod
    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, anchors] in (0, 1) of float32 [B, 3, H, W] in [0, 1], differentiable; a classifier has one."""


class Painter(Model):
    """A text-to-image model. It is asked like any helper, so that what it drew is journaled, counted and never bought
    twice: `reply = yield ask.on(Chat.user(prompt), to=self.painter)`; `reply.images` holds the pictures.

    An ask is the prompt as a user's text; `Settings.draw` tells several pictures of one prompt apart.
    """

    @abstractmethod
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """One reply per ask, in order, with one picture each; an error or a refusal has none, and says why."""


class Reward(Model):
    """A reward model: how good a text is as the reply of a dialogue, the higher the better; no scale is assumed."""

    @abstractmethod
    def rewards(self, replies: Sequence[tuple[Chat, str]]) -> Sequence[float]:
        """One finite number for each (dialogue, reply or its beginning), in order."""
