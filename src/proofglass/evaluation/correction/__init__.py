"""Rates corrected for what a judge gets wrong, with intervals that know how well that is known.

Two situations, two names, and they are not interchangeable:

`from_labels`       people labelled some of the very replies that were measured: their labels, spread over the rest by
                    the judge's verdict. Unbiased however bad the judge is; a good one makes the interval narrower.
`from_calibration`  people labelled other replies (the counts on a judge's card): its error rates are carried over, as
                    Rogan and Gladen do. Right only if the judge errs here as it erred there.

error_rates.py         Rogan-Gladen, the delta method, the interval and the budget split of Lee et al.
prediction_powered.py  Angelopoulos et al.: scores of any kind, labels drawn at random
labelled.py            `from_labels`; parts.py puts a rate together from its parts
transported.py         `from_calibration`; calibration.py reads the counts of a judge's card
effects.py             shared questions, spread between models
"""

from proofglass.evaluation.correction.calibration import calibrations_of
from proofglass.evaluation.correction.error_rates import (
    ErrorRates,
    calibration_split,
    delta_interval,
    lee_interval,
    rogan_gladen,
)
from proofglass.evaluation.correction.labelled import from_labels
from proofglass.evaluation.correction.planning import LabelPlan, plan_labels
from proofglass.evaluation.correction.prediction_powered import prediction_powered
from proofglass.evaluation.correction.result import WITHHELD, Corrected, verdict_of
from proofglass.evaluation.correction.transported import from_calibration

__all__ = [
    "WITHHELD",
    "Corrected",
    "ErrorRates",
    "LabelPlan",
    "calibration_split",
    "calibrations_of",
    "delta_interval",
    "from_calibration",
    "from_labels",
    "lee_interval",
    "plan_labels",
    "prediction_powered",
    "rogan_gladen",
    "verdict_of",
]
