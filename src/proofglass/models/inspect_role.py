"""A helper that stands for one of Inspect's model roles: which model that is, the command line of the task says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proofglass.errors import ClosedVictim
from proofglass.interfaces import Model, Text, Victim
from proofglass.types import Ask, Reply


@dataclass(frozen=True)
class InspectRole(Victim, Model):
    """The model of the role `role` in the Inspect task that runs: `helper: {inspect-role: {role: attacker}}` and
    `--model-role attacker=provider/name`. Its key holds the role, not the model. Outside of a task nobody answers.

    role: the name of the model role.
    """

    role: Text = "helper"

    name = "inspect-role"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """Raises ClosedVictim: a task takes the answers elsewhere."""
        raise ClosedVictim(
            f"{self.name} {self.role!r}: a model role is known inside an Inspect task only. In a study name a model"
        )
