"""Fields that attacks share: `epsilon: Epsilon = 16 / 255`."""

from typing import Annotated

from proofglass.engine.constraints import check_epsilon, check_radius
from proofglass.engine.steps import check_size
from proofglass.interfaces import Checked

Epsilon = Annotated[float, Checked(check_epsilon, "1/255 to 1")]
"""An l-infinity radius in pixel units of [0, 1]."""
Radius = Annotated[float, Checked(check_radius, "1/255 or more")]
"""An l2 radius: the Euclidean norm of a whole difference, in [0, 1] units."""
StepSize = Annotated[float, Checked(check_size, "more than 0, at most 1")]
"""How far a sign step moves a value, in pixel units of [0, 1]."""
