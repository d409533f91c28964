"""White-box optimisation: objectives, constraints, step rules, and `minimise`, the only pixel loop."""

from proofglass.engine.constraints import Box, LInf
from proofglass.engine.minimise import Found, Schedule, minimise, quantise
from proofglass.engine.objectives import Evaluation, TargetNLL
from proofglass.engine.steps import SignStep

__all__ = ["Box", "Evaluation", "Found", "LInf", "Schedule", "SignStep", "TargetNLL", "minimise", "quantise"]
