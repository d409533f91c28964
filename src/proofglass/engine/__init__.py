"""White-box optimisation: objectives, constraints, step rules, and `minimise`, the only loop.

Parts combine freely: any objective (`objectives`, `expectation`, `estimate`) under any constraint with any step rule
(`steps`, `apgd`, `transfer`, `search`), schedule and selector.
"""

from proofglass.engine.apgd import APGDStep
from proofglass.engine.constraints import (
    L2,
    Between,
    Border,
    Box,
    LInf,
    Patch,
    Rows,
    Within,
    check_epsilon,
    check_radius,
)
from proofglass.engine.estimate import Estimated
from proofglass.engine.expectation import Cycle, Placed, Transformed
from proofglass.engine.found import Found, quantise
from proofglass.engine.memory import Memory
from proofglass.engine.minimise import minimise
from proofglass.engine.objectives import (
    Differentiable,
    Evaluation,
    Objective,
    TargetNLL,
    Weighted,
    embedding_distance,
    mean_of,
    negated,
)
from proofglass.engine.pasting import pasted
from proofglass.engine.points import Point, named, shaped
from proofglass.engine.schedule import A_GRADIENT, A_LOSS, Check, Look, Schedule, replies_cost
from proofglass.engine.search import SquareStep
from proofglass.engine.seeds import seed_of
from proofglass.engine.steps import Adam, GradientStep, Iterate, MomentumStep, NormalisedStep, Rule, SignStep
from proofglass.engine.transfer import CommonWeakness, Spectrum
from proofglass.engine.variables import On

__all__ = [
    "A_GRADIENT",
    "A_LOSS",
    "L2",
    "APGDStep",
    "Adam",
    "Between",
    "Border",
    "Box",
    "Check",
    "CommonWeakness",
    "Cycle",
    "Differentiable",
    "Estimated",
    "Evaluation",
    "Found",
    "GradientStep",
    "Iterate",
    "LInf",
    "Look",
    "Memory",
    "MomentumStep",
    "NormalisedStep",
    "Objective",
    "On",
    "Patch",
    "Placed",
    "Point",
    "Rows",
    "Rule",
    "Schedule",
    "SignStep",
    "Spectrum",
    "SquareStep",
    "TargetNLL",
    "Transformed",
    "Weighted",
    "Within",
    "check_epsilon",
    "check_radius",
    "embedding_distance",
    "mean_of",
    "minimise",
    "named",
    "negated",
    "pasted",
    "quantise",
    "replies_cost",
    "seed_of",
    "shaped",
]
