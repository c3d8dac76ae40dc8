"""Batches to states: sums that merge, and files of them."""

from .accumulate import MomentsPlan
from .blocked import Blocked, BlockedPlan
from .files import load, save
from .joint import JointMoments
from .moments import Moments
from .pairs import PairMoments
from .top_inputs import Strongest, TopInputs, TopInputsPlan
from .zeros import ZerosPlan

__all__ = [
    "Blocked",
    "BlockedPlan",
    "JointMoments",
    "Moments",
    "MomentsPlan",
    "PairMoments",
    "Strongest",
    "TopInputs",
    "TopInputsPlan",
    "ZerosPlan",
    "load",
    "save",
]
