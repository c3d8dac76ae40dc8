"""Least squares from second moments: minimum norm, or held down by a ridge penalty."""

import numpy as np

from .._typing import Array, Float64

_FLOOR = 1e-8


def ridge_path(
    within: Float64[Array, "units units"],
    between: Float64[Array, "units targets"],
    penalties: Float64[Array, " penalties"],
) -> Float64[Array, "penalties targets units"]:
    """Weights that minimise 1/2 E(y - w'x)^2 + penalty/2 |w|^2 for all targets y and all penalties.

    w = (Q + penalty I)^-1 q. A penalty of 0 gives the least-squares weights of smallest norm; directions in which
    the units vary less than 1e-8 of the largest eigenvalue (equal or collinear units) then take no part.

    Args:
        within: correlations Q of the units.
        between: correlations q of units and targets.
        penalties: each at least 0, in any order.

    Cost: one eigendecomposition, then one product (units x units x targets) a penalty.
    """
    eigenvalues, vectors = np.linalg.eigh(within)
    turned = vectors.T @ between
    takes_part = eigenvalues > _FLOOR * eigenvalues.max(initial=0)
    weights = np.empty((len(penalties), between.shape[1], len(between)))
    for i, penalty in enumerate(penalties):
        kept = takes_part if penalty == 0 else np.ones_like(takes_part)
        shrunk = turned[kept] / (eigenvalues[kept] + penalty)[:, None]
        weights[i] = shrunk.T @ vectors[:, kept].T
    return weights


def least_squares_gaps(
    within: Float64[Array, "units units"],
    between: Float64[Array, "units targets"],
    weights: Float64[Array, "targets units"],
) -> Float64[Array, " targets"]:
    """How far 1/2 E(y - w'x)^2 is above its minimum, for E y^2 = 1: half g' Q^+ g, with g = q - Q w.

    Args:
        within: correlations Q of the units; Q^+ leaves out what `ridge_path` leaves out at penalty 0.
        between: correlations q of units and targets.
        weights: one row a target.
    """
    eigenvalues, vectors = np.linalg.eigh(within)
    kept = eigenvalues > _FLOOR * eigenvalues.max(initial=0)
    turned = vectors[:, kept].T @ (between - within @ weights.T)
    return 0.5 * (turned**2 / eigenvalues[kept][:, None]).sum(axis=0)
