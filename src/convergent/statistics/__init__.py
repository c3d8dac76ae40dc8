"""Batches to states: sums that merge, and files of them."""

from .accumulate import MomentsPlan
from .blocked import Blocked, BlockedPlan
from .blocked_pair import BlockedPair
from .files import load, save
from .histograms import Histograms
from .histograms_plan import HistogramsPlan
from .input_sample import InputSample, InputSamplePlan
from .joint_moments import JointMoments
from .minibatch_hsic import MinibatchHsic, MinibatchHsicPlan
from .moments import Moments
from .pair_histograms import PairHistograms
from .pair_sample import PairSample
from .pairs import PairMoments
from .quantiles import Quantiles, QuantilesPlan
from .top_inputs import Strongest, TopInputs, TopInputsPlan
from .zeros import ZerosPlan

__all__ = [
    "Blocked",
    "BlockedPair",
    "BlockedPlan",
    "Histograms",
    "HistogramsPlan",
    "InputSample",
    "InputSamplePlan",
    "JointMoments",
    "MinibatchHsic",
    "MinibatchHsicPlan",
    "Moments",
    "MomentsPlan",
    "PairHistograms",
    "PairMoments",
    "PairSample",
    "Quantiles",
    "QuantilesPlan",
    "Strongest",
    "TopInputs",
    "TopInputsPlan",
    "ZerosPlan",
    "load",
    "save",
]
