"""How many directions a layer's variance is spread over."""

from typing import NamedTuple

import numpy as np

from .._typing import Array
from ..statistics.pairs import PairMoments
from .living import of_living


class EffectiveDimension(NamedTuple):
    """Participation ratios of the two layers of a pair, each from 1 to its number of living units; NaN if none.

    Attributes:
        a: of the first layer.
        b: of the second.
    """

    a: float
    b: float


def effective_dimension(pair: PairMoments) -> EffectiveDimension:
    """Participation ratio of the principal components: (sum v)^2 / sum v^2 over their variances v.

    It is the number of components where all have the same variance, and 1 where one has all of it.

    Args:
        pair: joint moments of the two layers.

    Returns:
        For each layer, from 1 to the number of its living units. With few samples it is too small: n samples of
            many independent units give less than n.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (yes);
        scaling of single units (no); invertible linear maps (no).

    Cost: units^2; no decomposition.

    Reference: Gao et al. 2017.

    Example:
        >>> pair = PairMoments.from_correlation(np.eye(3), np.ones((2, 2)), np.zeros((3, 2)))
        >>> tuple(round(side, 9) for side in effective_dimension(pair))
        (3.0, 1.0)
    """
    living = of_living(pair)
    return EffectiveDimension(_participation(living.cov_aa), _participation(living.cov_bb))


def _participation(covariance: Array) -> float:
    total = np.trace(covariance)
    return float(1 / ((covariance / total) ** 2).sum()) if total > 0 else float("nan")
