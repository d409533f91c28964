"""Any defense with a threshold, its threshold found on the victim at a share of false alarms."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from proofglass.defenses.calibration import calibrated
from proofglass.defenses.learned import check_either, once, rows_of, unlearned, write_json
from proofglass.errors import UsageError
from proofglass.flow import Flow
from proofglass.interfaces import Count, Dataset, Defense, Share, Victim, WhiteBoxVictim, passed_on
from proofglass.types import Ask, Reply, Settings

FOUND = "threshold.json"


@dataclass(frozen=True)
class CalibratedDefense(Defense):
    """A defense at the threshold at which a share of harmless prompts, and no more, makes it intervene on this victim.

    The threshold is found on replies of the victim behind the defense (`defenses/calibration.py`). It is as open as the
    defense is.

    defense: one with a field `threshold`, such as guard-output, guard-input or jailguard. benign: a data set of
    harmless prompts (its crafting rows). rate: the share of false alarms among them. max_new_tokens: of a reply that is
    asked for meanwhile. found: folder with the threshold; None: it is learned in the run.
    """

    name = "calibrated"
    needs_model = passed_on("defense", "needs_model")
    adaptive = passed_on("defense", "adaptive")
    decodes = passed_on("defense", "decodes")
    not_in_key = ("found",)
    learned_in, learns_from, learned_files = "found", ("benign",), (FOUND,)

    defense: Defense
    benign: Dataset | None = None
    rate: Share = 0.05
    max_new_tokens: Count = 64
    found: Path | None = None

    def __post_init__(self) -> None:
        check_either("found", self.found, benign=self.benign)
        known = [field.name for field in fields(self.defense)]  # type: ignore[arg-type]
        if "threshold" not in known:
            raise ValueError(f"defense: {self.defense.name} has no field `threshold`; it has {', '.join(known)}")

    @property
    def fits_on(self) -> tuple[Dataset, ...]:
        return (*self.defense.fits_on, *super().fits_on)

    def fitted(self, model: Victim, folder: Path) -> CalibratedDefense:
        inner = self.defense.fitted(model, folder / "defense") if self.defense.fits_on else self.defense
        asks = [Ask(row.chat, Settings(self.max_new_tokens)) for row in rows_of(self.benign, "benign")]

        def learn() -> None:
            found = calibrated(inner, model, asks, self.rate)
            told = {"threshold": found.threshold, "alarms": found.alarms, "asks": len(asks), "errors": found.errors}
            write_json(folder / FOUND, told)

        once(folder, lambda: threshold_in(folder), learn, {"rows": len(asks)})
        return replace(self, defense=inner, found=folder)

    @property
    def stands_for(self) -> Defense:
        return self.defense

    @property
    def at_threshold(self) -> Defense:
        """The defense itself. Raises UsageError where no threshold was found yet."""
        if self.found is None:
            raise unlearned(self.name, "found")
        changed: Any = self.defense
        return replace(changed, threshold=threshold_in(self.found))  # type: ignore[no-any-return]

    def __call__(self, victim: Victim) -> Victim:
        return self.at_threshold(victim)

    def flow(self, ask: Ask) -> Flow[Reply]:
        return self.at_threshold.flow(ask)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim | None:
        return self.at_threshold.opened(model)


def threshold_in(folder: Path) -> float:
    """The threshold that was found. Raises UsageError for a folder that holds none."""
    try:
        return float(json.loads((folder / FOUND).read_text(encoding="utf-8"))["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / FOUND}: holds no threshold ({type(error).__name__}: {error}); find it anew"
        ) from error
