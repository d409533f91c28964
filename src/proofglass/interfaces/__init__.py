"""The six plugs: Dataset, Victim (and WhiteBoxVictim), Attack, Defense, Judge, Model.

A plug is a frozen dataclass whose fields are its configuration, with the paper's defaults, checked against their
annotations (`fields.py`) and in `__post_init__`. Its `key` names what it is: two plugs with the same key give the same
results.
"""

from __future__ import annotations

from proofglass.interfaces.attacks import ACCESS, NEEDS, Attack, Opens, Scope, access_of, opens_of
from proofglass.interfaces.datasets import Dataset
from proofglass.interfaces.defenses import Defended, Defense, innermost, opened_through, rebased
from proofglass.interfaces.fields import Checked, Count, NonNegative, Positive, Share, Steps, Text
from proofglass.interfaces.judges import Calibration, Judge, Measured
from proofglass.interfaces.models import Detector, Encoder, Model, Threshold
from proofglass.interfaces.plugs import Paper, Plug, key_of
from proofglass.interfaces.victims import Victim
from proofglass.interfaces.white_box import Layer, LossAndGrad, Prepared, Target, Weighting, WhiteBoxVictim, checked

__all__ = [
    "ACCESS",
    "NEEDS",
    "Attack",
    "Calibration",
    "Checked",
    "Count",
    "Dataset",
    "Defended",
    "Defense",
    "Detector",
    "Encoder",
    "Judge",
    "Layer",
    "LossAndGrad",
    "Measured",
    "Model",
    "NonNegative",
    "Opens",
    "Paper",
    "Plug",
    "Positive",
    "Prepared",
    "Scope",
    "Share",
    "Steps",
    "Target",
    "Text",
    "Threshold",
    "Victim",
    "Weighting",
    "WhiteBoxVictim",
    "access_of",
    "checked",
    "innermost",
    "key_of",
    "opened_through",
    "opens_of",
    "rebased",
]
