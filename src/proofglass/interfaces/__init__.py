"""The seven plugs: Dataset, Victim (and WhiteBoxVictim), Attack, Defense, Judge, Metric, Model.

A plug is a frozen dataclass whose fields are its configuration, with the paper's defaults, checked against their
annotations (`fields.py`) and in `__post_init__`. Its `key` names what it is: two plugs with the same key give the same
results.
"""

from __future__ import annotations

from proofglass.interfaces.attacks import ACCESS, NEEDS, Attack, Opens, Scope, access_of, opens_of
from proofglass.interfaces.composed import Composed
from proofglass.interfaces.datasets import Dataset, Source, learned_from
from proofglass.interfaces.defenses import COST, Defended, Defense, innermost, opened_through, rebased
from proofglass.interfaces.fields import Checked, Count, NonNegative, Positive, Share, Steps, Text
from proofglass.interfaces.judges import PROBABILITY, Calibration, HelperSilent, Judge, Measured
from proofglass.interfaces.learners import Learner, TowerLearner
from proofglass.interfaces.metrics import CELL, SUCCESS, Group, Measure, Metric
from proofglass.interfaces.models import Detector, Encoder, Model, Painter, Reward, Threshold
from proofglass.interfaces.pairs import Places, Prepared
from proofglass.interfaces.plugs import Paper, Plug, key_of, passed_on
from proofglass.interfaces.stack import Stack, fitted_in
from proofglass.interfaces.victims import Victim, in_run
from proofglass.interfaces.white_box import (
    SLOTS,
    Change,
    Layer,
    LossAndGrad,
    Pixels,
    Rescored,
    Target,
    Weighting,
    WhiteBoxVictim,
    by_slot,
    checked,
    in_form_of,
)

__all__ = [
    "ACCESS",
    "CELL",
    "COST",
    "NEEDS",
    "PROBABILITY",
    "SLOTS",
    "SUCCESS",
    "Attack",
    "Calibration",
    "Change",
    "Checked",
    "Composed",
    "Count",
    "Dataset",
    "Defended",
    "Defense",
    "Detector",
    "Encoder",
    "Group",
    "HelperSilent",
    "Judge",
    "Layer",
    "Learner",
    "LossAndGrad",
    "Measure",
    "Measured",
    "Metric",
    "Model",
    "NonNegative",
    "Opens",
    "Painter",
    "Paper",
    "Pixels",
    "Places",
    "Plug",
    "Positive",
    "Prepared",
    "Rescored",
    "Reward",
    "Scope",
    "Share",
    "Source",
    "Stack",
    "Steps",
    "Target",
    "Text",
    "Threshold",
    "TowerLearner",
    "Victim",
    "Weighting",
    "WhiteBoxVictim",
    "access_of",
    "by_slot",
    "checked",
    "fitted_in",
    "in_form_of",
    "in_run",
    "innermost",
    "key_of",
    "learned_from",
    "opened_through",
    "opens_of",
    "passed_on",
    "rebased",
]
