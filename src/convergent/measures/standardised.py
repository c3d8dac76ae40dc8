"""A pair whose units all have mean 0 and variance 1."""

from dataclasses import replace

import numpy as np

from ..statistics.pairs import PairMoments
from .correlation import correlation


def standardised(pair: PairMoments) -> PairMoments:
    """The same pair with every living unit brought to mean 0 and variance 1; dead units have variance 0.

    Args:
        pair: joint moments of two layers; norms are dropped, for they are those of other units.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 2)) * [1, 9] + 5
        >>> standardised(PairMoments.from_samples(x, x)).std_a.round(9).tolist()
        [1.0, 1.0]
    """
    found = correlation(pair)
    aa, bb, ab = (np.nan_to_num(matrix) for matrix in (found.within_a, found.within_b, found.between))
    return replace(
        pair,
        mean_a=np.zeros(len(aa)),
        mean_b=np.zeros(len(bb)),
        cov_aa=aa,
        cov_bb=bb,
        cov_ab=ab,
        floor_a=None,
        floor_b=None,
        norms=None,
    )
