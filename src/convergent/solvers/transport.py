"""Optimal transport between two sets of equal points each: how mass moves where it gains most."""

import numpy as np

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from .assignment import assign

_SOLVER_ITERATIONS = 10_000_000


def transport_plan(
    gain: Float64[Array, "points_a points_b"], *, mass: float | int = 1.0
) -> Float64[Array, "points_a points_b"]:
    """The plan that carries a mass with the largest sum of plan x gain.

    Every point of a holds 1 / points_a and takes part with at most that; every point of b with at most
    1 / points_b. Solved exactly, by the network simplex; all the mass between equally many points is a one-to-one
    assignment, and solved as such.

    Args:
        gain: any finite numbers.
        mass: how much is carried, above 0 and at most 1.

    Returns:
        Numbers at least 0 that sum to `mass`; at most points_a + points_b of them are not 0.

    Raises:
        InvalidArgumentError: if the mass is not a share, or there are no points.

    Cost: 10 ms at 384 x 384.

    Reference: Bonneel et al. 2011 (solver, of POT); Chapel, Alaya & Gasso 2020 (part of the mass).

    Example:
        >>> transport_plan(np.array([[0.9, 0.8, 0.1]])).round(3).tolist()
        [[0.333, 0.333, 0.333]]
        >>> transport_plan(np.array([[0.9, 0.8, 0.1]]), mass=0.5).round(3).tolist()
        [[0.333, 0.167, 0.0]]
    """
    if not 0 < mass <= 1:
        raise InvalidArgumentError(
            f"Asked to carry a mass of {mass}. All there is is 1. Give a share above 0 and at most 1."
        )
    n_a, n_b = gain.shape
    if not gain.size:
        raise InvalidArgumentError(
            f"Asked to carry mass between points. Found {n_a} and {n_b}. Give at least one on each side."
        )
    if mass == 1 and n_a == n_b:
        plan = np.zeros(gain.shape)
        plan[np.arange(n_a), assign(gain)] = 1 / n_a
        return plan
    return _whole(gain) if mass == 1 else _part(gain, float(mass))


def _whole(gain: Array) -> Array:
    n_a, n_b = gain.shape
    return _simplex(np.full(n_a, 1 / n_a), np.full(n_b, 1 / n_b), gain.max() - gain)


def _part(gain: Array, mass: float) -> Array:
    """What is not carried goes to or from one more point on each side, at no cost, and never between those two."""
    n_a, n_b = gain.shape
    cost = np.zeros((n_a + 1, n_b + 1))
    cost[:-1, :-1] = gain.max() - gain
    cost[-1, -1] = 2 * cost.max() + 1
    rows = np.append(np.full(n_a, 1 / n_a), 1 - mass)
    columns = np.append(np.full(n_b, 1 / n_b), 1 - mass)
    return _simplex(rows, columns, cost)[:-1, :-1]


def _simplex(rows: Array, columns: Array, cost: Array) -> Array:
    import ot  # takes seconds, which only those who solve should wait

    plan: Array = ot.emd(rows, columns * (rows.sum() / columns.sum()), cost, numItermax=_SOLVER_ITERATIONS)
    return plan
