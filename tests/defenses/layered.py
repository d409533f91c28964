"""A victim whose states are written down, and victims and samples of the testbed, for what acts inside a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from proofglass.errors import ClosedVictim
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import WhiteBoxVictim
from proofglass.registry import build
from proofglass.types import Ask, Chat, Cost, Image, Reply, Sample


@dataclass(frozen=True)
class Written(WhiteBoxVictim):
    """The state of a prompt is what `states` says of its text; a reply tells what the state has become.

    states: text of a dialogue -> state in each layer. name: of the model.
    """

    states: Mapping[str, Sequence[Sequence[float]]]
    name: str = "written"  # type: ignore[misc]
    steered: dict[int, Any] = field(default_factory=dict, compare=False)

    not_in_key = ("steered",)

    def _of(self, chat: Chat) -> torch.Tensor:
        try:
            rows = torch.tensor(self.states[chat.last_text])
        except KeyError:
            raise ValueError(f"no state is written for {chat.last_text!r}") from None
        return torch.stack([row + self.steered.get(layer, 0) for layer, row in enumerate(rows)])

    def hidden_states(self, chats: Sequence[Chat], layers: Sequence[int] | None = None) -> torch.Tensor:
        found = torch.stack([self._of(chat) for chat in chats])
        return found if layers is None else found[:, list(layers)]

    @contextlib.contextmanager
    def steering(self, vectors: Mapping[int, Any]) -> Iterator[None]:
        self.steered.update(vectors)
        try:
            yield
        finally:
            self.steered.clear()

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self._one(ask) for ask in asks]

    def _one(self, ask: Ask) -> Reply:
        try:
            said = " | ".join(" ".join(f"{x:.6g}" for x in row) for row in self._of(ask.chat).tolist())
        except ValueError as error:
            return Reply.unaskable(error)
        return Reply(said, cost=Cost(queries=1))

    # Its states are of texts: it opens no picture, as a victim that closes its tower says.

    def prompt_states(self, pixels: Any, prepared: Any, layers: Any, *, along: Any = None, text: Any = None) -> Any:
        raise ClosedVictim("written: has states of whole dialogues only")

    def pixels(self, image: Image) -> Any:
        raise ClosedVictim("written: takes no pictures")

    def prepare(self, pairs: Any, *, append_eos: bool = False, slots: Any = (), mark: Any = "") -> Any:
        raise ClosedVictim("written: scores no targets")

    def loss_and_grad(
        self, pixels: Any, prepared: Any, *, weighting: Any = "token", need_grad: bool = True, text: Any = None
    ) -> Any:
        raise ClosedVictim("written: scores no targets")


def victim_of(name: str = "testbed-linear", device: str = "cpu") -> WhiteBoxVictim:
    found: WhiteBoxVictim = build("victims", name, device=device)
    return found


def judged(part: str, n: int) -> list[Sample]:
    return [row for row in TestbedData(part=part, n=n) if isinstance(row, Sample)]


def crafting(part: str, n: int = 12) -> list[Sample]:
    return list(TestbedData(part=part, n=1, craft_n=n).crafting())
