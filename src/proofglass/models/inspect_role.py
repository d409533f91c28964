"""A helper that stands for one of Inspect's model roles: which model that is, the command line of the task says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.errors import ClosedVictim
from proofglass.interfaces import Model, Victim
from proofglass.types import Ask, Reply


@dataclass(frozen=True)
class InspectRole(Victim, Model):
    """A helper: the model that an Inspect task gives the role `role`.

    role: in a study or task `helper: {inspect-role: {role: attacker}}`, on the command line
    `--model-role attacker=provider/name`. The key holds the role, not the model. Outside of a task nobody answers.
    """

    role: str = "helper"

    name = "inspect-role"

    def __post_init__(self) -> None:
        if not self.role.strip():
            raise ValueError("role: expected the name of a model role, found nothing")

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """Raises ClosedVictim: a task takes the answers elsewhere."""
        raise ClosedVictim(
            f"{self.name} {self.role!r}: a model role is known inside an Inspect task only. In a study name a model"
        )
