"""Distances between layers that obey the triangle inequality: after rotation, linear maps or permutation."""

import numpy as np

from .._typing import Array
from ..errors import InvalidArgumentError
from ..solvers.assignment import assign
from ..statistics.pairs import PairMoments
from .living import FLOOR, check_enough_samples, check_floor, of_living


def shape_distance(
    pair: PairMoments, *, alpha: float | int = 1.0, angular: bool = True, floor: float = FLOOR
) -> float:
    """Distance of two layers after the best rotation of both, each whitened in part first.

    Samples of each layer are multiplied by alpha I + (1 - alpha) C^-1/2, with C its covariance, and brought back
    to their total variance. With the nuclear norm |.|_*, similarity = |C_ab|_* / sqrt(tr C_aa tr C_bb) of what
    results; the angular distance is its arccos, the Euclidean one sqrt(tr C_aa + tr C_bb - 2 |C_ab|_*). A
    smaller layer counts as filled up with zeros.

    Args:
        pair: joint moments of the two layers.
        alpha: 1 for rotations alone (Procrustes), 0 for any invertible map (CCA).
        angular: the angle in radians, or else the Euclidean distance per sample, in the units of the activations.
        floor: directions with at most this share of the variance of the largest are not whitened.

    Returns:
        Angular in [0, pi / 2]; Euclidean from 0 up. NaN where a layer is dead. Symmetric, obeys the triangle
        inequality, and 0 only for layers that are alike up to the allowed maps.

    Raises:
        InvalidArgumentError: if alpha is not in [0, 1]; the floor not between 0 and 1; or, for alpha below 1, both
            layers together have as many living units as there are samples.

    Invariant to: isotropic scaling (alpha 0 or 1 and angular, yes; else no); shift (yes); permutation of units
        (yes); rotation of units (yes); scaling of single units (alpha 0 and angular, yes; else no); invertible
        linear maps (alpha 0 and angular, yes; else no).

    Cost: the singular values of one matrix, O(units^3); for alpha below 1 two eigendecompositions.

    Reference: Williams, Kunz, Kornblith & Linderman 2021.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> round(shape_distance(PairMoments.from_samples(x, x @ [[0, 2.0], [-2, 0]])), 6) + 0
        0.0
    """
    check_floor(floor)
    if not 0 <= alpha <= 1:
        raise InvalidArgumentError(
            f"A shape distance lies between CCA (alpha = 0) and Procrustes (alpha = 1). Found alpha = {alpha}. "
            "Give a number from 0 to 1."
        )
    living = of_living(pair)
    if not living.cov_ab.size:
        return float("nan")
    if alpha < 1:
        check_enough_samples(pair, sum(living.cov_ab.shape), asked=f"a shape distance with alpha = {alpha:g}")
    between, total_a, total_b = _partly_whitened(living, alpha, floor)
    nuclear = np.linalg.svd(between, compute_uv=False).sum()
    return _distance(living, nuclear / np.sqrt(total_a) / np.sqrt(total_b), angular=angular)


def permutation_distance(pair: PairMoments, *, angular: bool = True) -> float:
    """Distance of two layers after the best one-to-one matching of their units.

    similarity = max over permutations of sum_i cov(a_i, b_p(i)) / sqrt(tr C_aa tr C_bb). Units keep their
    variances, unlike in `match_one_to_one`, which maximises correlations. Units left over, and dead ones, face
    zeros.

    Args:
        pair: joint moments of the two layers.
        angular: the angle in radians, or else the Euclidean distance per sample, in the units of the activations.

    Returns:
        Angular in [0, pi]; Euclidean from 0 up. NaN where a layer is dead. Symmetric; obeys the triangle
        inequality among layers of one width.

    Invariant to: isotropic scaling (angular yes, Euclidean no); shift (yes); permutation of units (yes);
        rotation of units (no); scaling of single units (no); invertible linear maps (no).

    Cost: one assignment, O(units^3); 3 ms at 384 units a side.

    Reference: Williams, Kunz, Kornblith & Linderman 2021.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> round(permutation_distance(PairMoments.from_samples(x, 5 * x[:, [2, 0, 1]])), 6) + 0
        0.0
    """
    living = of_living(pair)
    if not living.cov_ab.size:
        return float("nan")
    between = np.where(np.outer(pair.alive_a, pair.alive_b), pair.cov_ab, 0)
    partner = assign(between)
    matched = np.flatnonzero(partner >= 0)
    total = between[matched, partner[matched]].sum()
    total_a, total_b = np.trace(living.cov_aa), np.trace(living.cov_bb)
    return _distance(living, total / np.sqrt(total_a) / np.sqrt(total_b), angular=angular)


def _partly_whitened(living: PairMoments, alpha: float | int, floor: float) -> tuple[Array, float, float]:
    """Covariances between the layers, each whitened in part on its own axes, and the total variance of each."""
    if alpha == 1:
        return living.cov_ab, float(np.trace(living.cov_aa)), float(np.trace(living.cov_bb))
    map_a, total_a = _whitening(living.cov_aa, alpha, floor)
    map_b, total_b = _whitening(living.cov_bb, alpha, floor)
    return map_a.T @ living.cov_ab @ map_b, total_a, total_b


def _whitening(covariance: Array, alpha: float | int, floor: float) -> tuple[Array, float]:
    """A map to the axes of a layer that whitens in part, and the total variance after it."""
    variances, axes = np.linalg.eigh(covariance)
    kept = variances > floor * variances[-1]
    factors = np.full(len(variances), float(alpha))
    factors[kept] += (1 - alpha) / np.sqrt(variances[kept])
    return axes * factors, float(factors**2 @ np.maximum(variances, 0))


def _distance(living: PairMoments, similarity: float, *, angular: bool) -> float:
    similarity = float(np.clip(similarity, -1, 1))
    if angular:
        return float(np.arccos(similarity))
    length_a, length_b = np.sqrt(np.trace(living.cov_aa)), np.sqrt(np.trace(living.cov_bb))
    return float(np.sqrt((length_a - length_b) ** 2 + 2 * length_a * length_b * (1 - similarity)))
