"""The weights of a model while they learn, as a victim with weights opens them (`WhiteBoxVictim.learner`,
`WhiteBoxVictim.tower_learner`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.types import Ask, Chat, Image, Reply

if TYPE_CHECKING:
    from torch import Tensor, nn


class Learner(ABC):
    """A model of its own, apart from the victim that replies: what it learns changes no reply until it is saved.

    micro: rows that one pass holds at once.
    """

    micro: int = 8

    @property
    @abstractmethod
    def parameters(self) -> Sequence[nn.Parameter]:
        """The weights that learn, in a fixed order."""

    @abstractmethod
    def row(self, chat: Chat, answer: str) -> Any:
        """`chat` and the answer to it, tokenised, its pictures looked at once. Raises ValueError or ImageError for what
        this model cannot be shown."""

    @abstractmethod
    def answer(self, row: Any) -> Sequence[int]:
        """The token ids of a row's answer, the end token included."""

    @abstractmethod
    def nll(self, rows: Sequence[Any]) -> list[Tensor]:
        """Of each row [T]: the negative log-likelihood of every token of its answer, on the graph of `parameters`."""

    @abstractmethod
    def logits(self, rows: Sequence[Any]) -> list[Tensor]:
        """Of each row [T, V]: the logits, as float, by which every token of its answer is predicted, on the same
        graph."""

    @abstractmethod
    def said(self, asks: Sequence[Ask]) -> list[tuple[Reply, Any]]:
        """What the model says as it has learned so far, and the row of the very tokens that it said; None beside the
        error of an ask that cannot be asked. The asks differ in chat and draw alone."""

    @abstractmethod
    def untaught(self) -> AbstractContextManager[None]:
        """Inside, the model is what it was before it learned."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learned, as `WhiteBoxVictim.tuned` reads it: safetensors and JSON."""


class TowerLearner(ABC):
    """The vision tower of a model while it learns, apart from the victim that replies; all its other weights stay.

    micro: pictures that one pass holds at once.
    """

    micro: int = 32

    @property
    @abstractmethod
    def parameters(self) -> Sequence[nn.Parameter]:
        """The tower's weights, in a fixed order."""

    @abstractmethod
    def pixels(self, image: Image) -> Tensor:
        """`image` as the tower takes it, float32 [1, 3, H, W] in [0, 1]. Raises ValueError or ImageError for one that
        it cannot be shown."""

    @abstractmethod
    def features(self, pixels: Tensor, layer: str) -> Tensor:
        """`WhiteBoxVictim.features` of the tower that learns, on the graph of `parameters` and `pixels`."""

    @abstractmethod
    def original(self, pixels: Tensor, layer: str) -> Tensor:
        """The same of the tower before it learned, without gradient."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model with the tower that learned, as `WhiteBoxVictim.tuned` reads it: safetensors and JSON."""
