"""What Li et al. (2016) published, as numbers: the other column of `convergent reproduce li2016`.

Printed in the paper's figures and text, or in its released notebook (matchings, best and worst pairs) and
logs (losses of conv1 and conv2). `CONV1_RUNS`, contributors and merges were computed from the released weights.
"""

from collections.abc import Mapping
from typing import NamedTuple

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


class LayerFigures(NamedTuple):
    """Scores of one layer, Net1 with Net2.

    Attributes:
        best: mean correlation by semi-matching.
        one_to_one: mean correlation by one-to-one matching.
        overlap: share of units with the same partner under both.
        alone: share of units without a partner of at least .5, as the paper states it.
        n_units: units of the layer.
    """

    best: float
    one_to_one: float
    overlap: float
    alone: float
    n_units: int


MATCHING: Mapping[str, LayerFigures] = {
    "conv1": LayerFigures(0.70299, 0.662868, 70 / 96, 0.17, 96),
    "conv2": LayerFigures(0.55595, 0.50739, 148 / 256, 0.37, 256),
    "conv3": LayerFigures(0.477509, 0.445778, 237 / 384, 0.63, 384),
    "conv4": LayerFigures(0.368536, 0.341896, 223 / 384, 0.92, 384),
    "conv5": LayerFigures(0.41557, 0.38489, 165 / 256, 0.75, 256),
}

BEST_AND_WORST: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "conv1": (
        (1.00, 0.98, 0.98, 0.97, 0.97, 0.96, 0.96, 0.95),
        (0.40, 0.37, 0.36, 0.35, 0.33, 0.28, 0.28, 0.18),
    ),
    "conv2": (
        (0.92, 0.91, 0.89, 0.87, 0.87, 0.86, 0.86, 0.85),
        (0.32, 0.32, 0.31, 0.31, 0.30, 0.28, 0.28, 0.24),
    ),
    "conv3": (
        (0.90, 0.85, 0.85, 0.84, 0.84, 0.81, 0.80, 0.79),
        (0.27, 0.26, 0.26, 0.26, 0.25, 0.24, 0.24, 0.20),
    ),
    "conv4": (
        (0.67, 0.66, 0.64, 0.61, 0.61, 0.61, 0.59, 0.58),
        (0.24, 0.24, 0.24, 0.23, 0.23, 0.22, 0.22, 0.21),
    ),
}

INFORMATION: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "conv1": (
        (1.08, 1.04, 0.97, 0.92, 0.87, 0.83, 0.83, 0.83),
        (0.11, 0.10, 0.10, 0.09, 0.08, 0.08, 0.07, 0.04),
    ),
    "conv2": (
        (0.46, 0.39, 0.34, 0.34, 0.33, 0.32, 0.30, 0.30),
        (0.04, 0.04, 0.04, 0.04, 0.04, 0.03, 0.03, 0.02),
    ),
}

# Table 1: validation loss, 0.5 (1 - mean R2), against the paper's lambda.
LAMBDAS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
SPARSE_LOSS: Mapping[str, tuple[float, ...]] = {
    "conv1": (0.170, 0.169, 0.162, 0.172, 0.484, 0.517),
    "conv2": (0.372, 0.368, 0.337, 0.392, 0.518, 0.514),
    "conv3": (0.434, 0.427, 0.383, 0.462, 0.497, 0.496),
    "conv4": (0.478, 0.470, 0.423, 0.477, 0.489, 0.488),
    "conv5": (0.484, 0.478, 0.439, 0.436, 0.478, 0.477),
}


class SparseRun(NamedTuple):
    """One released run of the sparse prediction of conv1.

    Attributes:
        exponent: log10 of lambda.
        loss: validation loss after 4,501 updates.
        n_contributors: mean number of weights above 3e-5 per target.
        norm: of all weights.
        largest: weight in size.
    """

    exponent: float
    loss: float
    n_contributors: float
    norm: float
    largest: float


CONV1_RUNS = (
    SparseRun(-5.0, 0.1687, 95.95, 7.66, 0.650),
    SparseRun(-4.0, 0.1618, 91.81, 7.11, 0.644),
    SparseRun(-3.0, 0.1719, 18.95, 4.37, 0.586),
    SparseRun(-2.6, 0.2348, 4.69, 3.39, 0.489),
    SparseRun(-2.0, 0.4850, 2.72, 0.07, 0.056),
)
# Units of Net2 by their number of contributors in Net1, from 0 on; conv1, lambda 10^-2.6, weights above 3e-5.
CONV1_CONTRIBUTORS = (0, 5, 9, 15, 20, 9, 18, 12, 7, 1)


class Merges(NamedTuple):
    """Agglomeration of a released map of conv1.

    Attributes:
        first: height of the first merge.
        of_two: merges of two units, each of them of one unit of either net.
        above_05: merges above a height of .05.
        above_01: likewise, .01.
    """

    first: float
    of_two: int
    above_05: int
    above_01: int


CONV1_MERGES: Mapping[float, Merges] = {
    -2.6: Merges(0.4888, 77, 113, 149),
    -3.0: Merges(0.5857, 81, 127, 167),
}

CLUSTERS = {"conv1": 43, "conv2": 113, "conv3": 130, "conv4": 155, "conv5": 131}
CLUSTER_THRESHOLD = 0.2
