"""What an attack reads of its victim: gradients (white box), or the loss of a target alone (score-based black box)."""

from __future__ import annotations

from proofglass.engine.pictures import check_sees
from proofglass.errors import UsageError
from proofglass.interfaces import Attack, Victim, WhiteBoxVictim


def with_gradients(attack: Attack, victim: Victim) -> WhiteBoxVictim:
    """`victim`, for a white-box attack. Raises UsageError if it gives replies only."""
    if not isinstance(victim, WhiteBoxVictim):
        raise UsageError(
            f"{attack.name}: needs gradients, and {victim.name} gives replies only (so does a victim behind a defense: "
            "craft on the model itself, or on what `defense.opened(model)` gives); choose a white-box victim, or craft "
            "on a surrogate"
        )
    check_sees(victim)
    return victim


def with_losses(attack: Attack, victim: Victim) -> WhiteBoxVictim:
    """`victim`, for an attack that searches by losses. Raises UsageError if it gives replies only."""
    if not isinstance(victim, WhiteBoxVictim):
        raise UsageError(
            f"{attack.name}: searches by the target's loss (a score-based black box), and {victim.name} gives replies "
            "only; choose a victim that opens its loss, or craft on a surrogate"
        )
    check_sees(victim)
    return victim
