"""Every registered defense that opens itself, set so that it does something to what the tests show it."""

from __future__ import annotations

from typing import Any

from conformance.fixtures import Bench
from proofglass.interfaces import Defense, WhiteBoxVictim, opened_through
from proofglass.registry import build

# Name -> settings in which it is open and acts. A defense that opens itself is in here, or its tests fail.
OPENED: dict[str, dict[str, Any]] = {
    "none": {},
    "system-prompt": {},
    "inferaligner": {"threshold": -1000.0},  # fitted on eight dialogues, its gates open for none of ours
    "hiddendetect": {},
    "astra": {},
    "coca": {},
    "self-reminder": {},
    "goal-priority": {},
    "adashield-static": {},
    "adashield": {"beta": 0.0},
    "guard-input": {"judge": None, "detector": "testbed-detector"},
    "jpeg": {},
    "bit-depth": {},
    "resize": {},
    "blur": {},
    "random-crop": {},
    "random-resize-pad": {},
    "smooth-vlm": {},
    "jailguard": {},
}
GATES_ALONE = {"none", "hiddendetect", "guard-input"}  # those that change no loss


def built(bench: Bench, name: str, **more: Any) -> Defense:
    settings = OPENED.get(name, {}) | more
    if isinstance(settings.get("detector"), str):
        settings = settings | {"detector": build("models", settings["detector"], device="cpu")}
    made: Defense = bench.build("defenses", name, **settings)
    return made


def view_of(defense: Defense, model: WhiteBoxVictim) -> WhiteBoxVictim:
    view = opened_through(defense, model)
    assert view is not None, f"{defense.name} stays closed: it does not belong into OPENED"
    return view
