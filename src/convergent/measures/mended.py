"""Correlations that no data can have had, published pictures for instance, mended as an explicit step."""

from dataclasses import replace

import numpy as np

from .._typing import Array
from ..errors import InvalidArgumentError
from ..results import frozen
from ..statistics.pairs import PairMoments
from .correlation import correlation


def mended(pair: PairMoments, *, floor: float = 1e-3) -> tuple[PairMoments, float]:
    """Raise the eigenvalues of both within-layer correlations to a floor, so that regressions have an answer.

    Correlations read off a picture, or rounded, can have negative eigenvalues; a linear map that predicts from
    such a layer has no best weights. The eigenvalues below the floor are raised to it and the diagonal is brought
    back to 1. Correlations between the layers, means and standard deviations stay as they are.

    Args:
        pair: moments of two layers.
        floor: the smallest eigenvalue that is left as it is, above 0.

    Returns:
        The mended pair, and the largest change of a correlation, in [0, 2]; 0 where nothing had to be done.

    Raises:
        InvalidArgumentError: if the floor is not between 0 and 1.

    Cost: one eigendecomposition a layer.
    """
    if not 0 < floor < 1:
        raise InvalidArgumentError(
            f"Eigenvalues of correlations average 1, and are raised to a floor below. Found floor={floor:.6g}. "
            "Give one between 0 and 1."
        )
    found = correlation(pair)
    cov_aa, change_a = _raised(pair.cov_aa, found.within_a, found.alive_a, floor)
    cov_bb, change_b = _raised(pair.cov_bb, found.within_b, found.alive_b, floor)
    return replace(pair, cov_aa=cov_aa, cov_bb=cov_bb), max(change_a, change_b)


def _raised(covariance: Array, within: Array, alive: Array, floor: float) -> tuple[Array, float]:
    living = np.ix_(alive, alive)
    old = within[living]
    eigenvalues, vectors = np.linalg.eigh(old)
    if eigenvalues.min(initial=1) >= floor:
        return covariance, 0.0
    raised = (vectors * np.maximum(eigenvalues, floor)) @ vectors.T
    std = np.sqrt(np.diagonal(raised))
    new = raised / np.outer(std, std)
    scale = np.sqrt(np.diagonal(covariance)[alive])
    mended_covariance = covariance.copy()
    mended_covariance[living] = new * np.outer(scale, scale)
    return frozen(mended_covariance), float(np.abs(new - old).max())
