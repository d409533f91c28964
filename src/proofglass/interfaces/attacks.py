"""The plug Attack: spend once, then apply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from proofglass.flow import Flow
from proofglass.interfaces.plugs import Plug
from proofglass.interfaces.victims import Victim
from proofglass.types import Artefact, Ask, Budget, Chat, Reply, Sample

Access = Literal["black", "encoder", "white"]


class Attack(Plug, ABC):
    """Spend once (`craft`), then apply cheaply. Class attributes say what it is; lists and docs come from them.

    access: black, encoder or white. threat: "user" or "third party". changes: "image", "text".
    scope: "universal" crafts on the crafting split and serves all samples, "sample" crafts per judged sample.
    reports: what its paper reports, one line with victim, data and figure; "" where nothing could be verified.
    reads_loss: a black box that returns scores: it takes the target's loss from the victim, never a gradient.
    """

    access: ClassVar[Access] = "black"
    threat: ClassVar[str] = "user"
    changes: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[Literal["universal", "sample"]] = "universal"
    reports: ClassVar[str] = ""
    reads_loss: ClassVar[bool] = False

    @property
    def opens_victim(self) -> bool:
        """Whether crafting looks inside the victim (a `WhiteBoxVictim`). An encoder attack that is given an encoder of
        its own does not: what it makes is shown to any victim."""
        return self.access in ("encoder", "white") or self.reads_loss

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        """Artefacts for `samples` against `victim`. Default: one empty universal artefact (nothing to buy).

        budget: cap on what one picture may cost, in the unit that it names; None for the attack's own steps.
        """
        yield Artefact(crafted_on="", meta={"seed": seed})

    @abstractmethod
    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        """The attacked chat. Pure and cheap; never changes `sample`."""

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        """The dialogue with the victim. Default: one ask of `apply`. Returns the final chat and reply."""
        chat = self.apply(artefact, sample)
        reply = yield ask.on(chat)
        return chat, reply
