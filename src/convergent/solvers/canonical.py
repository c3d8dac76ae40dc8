"""Canonical correlations from covariances, with directions below the noise floor left out."""

from typing import NamedTuple

import numpy as np

from .._typing import Array, Float64


class Canonical(NamedTuple):
    """How two sets of variables are related, best direction first.

    Attributes:
        correlations: in [0, 1], descending, as many as the smaller rank.
        rank_x: how many directions of x are above the noise floor.
        rank_y: likewise for y.
        explained_x: share of the variance of x, all variables together, that y explains linearly, in [0, 1].
        explained_y: likewise of y by x.
        loadings_x: covariance of each variable of x with each canonical variate of x, which have variance 1.
    """

    correlations: Float64[Array, " directions"]
    rank_x: int
    rank_y: int
    explained_x: float
    explained_y: float
    loadings_x: Float64[Array, "units_x directions"]


def canonical_correlations(
    xx: Float64[Array, "units_x units_x"],
    yy: Float64[Array, "units_y units_y"],
    xy: Float64[Array, "units_x units_y"],
    *,
    floor: float,
) -> Canonical:
    """Cosines of the principal angles between the spans of x and y: singular values of X'Y, both whitened.

    Args:
        xx: covariance (or correlation) within x.
        yy: within y.
        xy: between x and y.
        floor: directions whose variance is at most this share of the largest are left out.

    Cost: O(units^3).

    Reference: Bjorck & Golub 1973.

    Example:
        >>> one = np.ones((1, 1))
        >>> canonical_correlations(one, one * 4, one, floor=1e-5).correlations.tolist()
        [0.5]
    """
    white_x, white_y = _whitener(xx, floor), _whitener(yy, floor)
    x_to_y, y_to_x = white_x.T @ xy, xy @ white_y
    turned, cosines, _ = np.linalg.svd(x_to_y @ white_y, full_matrices=False)
    explained_x, explained_y = (
        float(np.clip((half**2).sum() / np.trace(whole), 0, 1)) for half, whole in ((y_to_x, xx), (x_to_y, yy))
    )
    ranks, loadings_x = (white_x.shape[1], white_y.shape[1]), xx @ white_x @ turned
    return Canonical(np.clip(cosines, 0, 1), *ranks, explained_x, explained_y, loadings_x)


def _whitener(covariance: Array, floor: float) -> Array:
    variances, directions = np.linalg.eigh(covariance)
    kept = variances > floor * variances[-1]
    return directions[:, kept] / np.sqrt(variances[kept])
