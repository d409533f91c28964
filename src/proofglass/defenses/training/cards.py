"""The card of a training: what was learned from what, of which model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.interfaces import Victim

CARD, DRAFTS = "card.json", "drafts"
DETECTOR, DETOXIFIER = "detector", "detoxifier"
AGAIN = "train it anew, into another folder"


def card_of(folder: Path) -> dict[str, Any]:
    """What a finished training says of itself. Raises UsageError for a folder without that, or with a broken one."""
    try:
        found = json.loads((folder / CARD).read_text(encoding="utf-8"))
        for name in ("defense", "training", "backbone"):
            found[name]
        found["backbone"]["weights"]
        found["learned"][DETECTOR], found["learned"][DETOXIFIER]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / CARD}: cannot be read as the card of a finished training ({type(error).__name__}: {error}); "
            f"{AGAIN}"
        ) from error
    card: dict[str, Any] = found
    return card


def check_card(folder: Path, backbone: Victim) -> None:
    """Raises UsageError where `folder` is no finished training that began from `backbone`, or was changed since."""
    card = card_of(folder)
    found = card["backbone"]
    for name, digest in learned_in(folder).items():
        if card["learned"][name] != digest:
            raise UsageError(f"{folder / name}: its files were changed since they were trained; {AGAIN}")
    if found["weights"] != weights_of(backbone):
        raise UsageError(
            f"{folder / CARD}: backbone: trained from {found.get('name')!r}, and this is {backbone.name!r} with other "
            f"weights; name that one, or {AGAIN}"
        )


def learned_in(folder: Path) -> dict[str, str]:
    """Part -> digest of what it has learned. Raises UsageError where a file cannot be read."""
    return {name: digest_of(folder / name) for name in (DETECTOR, DETOXIFIER)}


def weights_of(backbone: Victim) -> str:
    found: str = getattr(backbone, "weights_hash", "") or backbone.key
    return found
