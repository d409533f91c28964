"""The seven plugs: Dataset, Victim (and WhiteBoxVictim), Attack, Defense, Judge, Metric, Model.

A plug is a frozen dataclass whose fields are its configuration, with the paper's defaults, checked in
`__post_init__`. Its `key` names what it is: two plugs with the same key give the same results.
"""

from __future__ import annotations

from proofglass.interfaces.attacks import Access, Attack
from proofglass.interfaces.datasets import Dataset
from proofglass.interfaces.defenses import Defended, Defense, innermost, opened_through, rebased
from proofglass.interfaces.judges import Calibration, HelperSilent, Judge, Measured
from proofglass.interfaces.metrics import CELL, SUCCESS, Group, Measure, Metric
from proofglass.interfaces.models import Detector, Encoder, Model
from proofglass.interfaces.plugs import Paper, Plug, key_of
from proofglass.interfaces.victims import Victim, in_run
from proofglass.interfaces.white_box import (
    SLOTS,
    Layer,
    LossAndGrad,
    Pixels,
    Places,
    Prepared,
    Target,
    Weighting,
    WhiteBoxVictim,
    by_slot,
    checked,
    in_form_of,
)

__all__ = [
    "CELL",
    "SLOTS",
    "SUCCESS",
    "Access",
    "Attack",
    "Calibration",
    "Dataset",
    "Defended",
    "Defense",
    "Detector",
    "Encoder",
    "Group",
    "HelperSilent",
    "Judge",
    "Layer",
    "LossAndGrad",
    "Measure",
    "Measured",
    "Metric",
    "Model",
    "Paper",
    "Pixels",
    "Places",
    "Plug",
    "Prepared",
    "Target",
    "Victim",
    "Weighting",
    "WhiteBoxVictim",
    "by_slot",
    "checked",
    "in_form_of",
    "in_run",
    "innermost",
    "key_of",
    "opened_through",
    "rebased",
]
