"""The gates on a model's accuracy, one file each: setting, measurement, direction, TFMA's threshold, and messages.

A kind is the class that `KIND` of a module here names, or of a module that an installed package registers under the
entry point group `gateline.gates`. The module's name is its key in the configuration: `gates: {brier: 0.1}`.
"""

from schemas.gates._bounds import Ceiling, Floor, Share
from schemas.gates._family import family_wise, upper_bound
from schemas.gates._protocol import ROUNDING, Gate, Measured, Planned, Rules, Threshold, kinds

__all__ = [
    "ROUNDING",
    "Ceiling",
    "Floor",
    "Gate",
    "Measured",
    "Planned",
    "Rules",
    "Share",
    "Threshold",
    "family_wise",
    "kinds",
    "upper_bound",
]
