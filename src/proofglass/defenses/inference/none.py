"""No defense: the row that every defense is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from proofglass.interfaces import Defense, WhiteBoxVictim


@dataclass(frozen=True)
class NoDefense(Defense):
    """The identity: every ask and every reply passes unchanged."""

    name = "none"

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return model
