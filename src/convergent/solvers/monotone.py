"""Two sequences aligned in order: dynamic time warping of a matrix of gains."""

import numpy as np

from .._typing import Array, Float64


def monotone_plan(gain: Float64[Array, "points_a points_b"]) -> Float64[Array, "points_a points_b"]:
    """The alignment of two sequences that keeps their order and has the largest sum of plan x gain.

    A path leads from the first two points to the last two; each step goes on by one point in a, in b, or in both.
    A cell holds one share for each side that the step into it goes on in (two for the first cell), so that a long
    path is no better than a short one, and a number added to all gains changes no plan.

    Args:
        gain: any finite numbers, at least one a side.

    Returns:
        Shares, at least 0, that sum to 1: multiples of 1 / (points_a + points_b).

    Cost: O(points_a x points_b).

    Reference: Sakoe & Chiba 1978 (the symmetric form).

    Example:
        >>> (monotone_plan(np.array([[0.9, 0.8, 0.1], [0.2, 0.3, 0.7]])) * 5).round().astype(int).tolist()
        [[2, 1, 0], [0, 0, 2]]
    """
    best = _best_sums(gain)
    plan = np.zeros(gain.shape)
    i, j = gain.shape[0] - 1, gain.shape[1] - 1
    while (i, j) != (0, 0):
        step = max(_STEPS, key=lambda step: _sum_by(best, gain, (i, j), step))
        plan[i, j] = sum(step)
        i, j = i - step[0], j - step[1]
    plan[0, 0] = 2
    return plan / sum(gain.shape)


_STEPS = ((1, 1), (1, 0), (0, 1))


def _best_sums(gain: Array) -> Array:
    """Of each cell, the sum of the best path to it."""
    best = np.full(gain.shape, -np.inf)
    best[0, 0] = 2 * gain[0, 0]
    for cell in np.ndindex(*gain.shape):
        if cell != (0, 0):
            best[cell] = max(_sum_by(best, gain, cell, step) for step in _STEPS)
    return best


def _sum_by(best: Array, gain: Array, cell: tuple[int, int], step: tuple[int, int]) -> float:
    i, j = cell[0] - step[0], cell[1] - step[1]
    return float(best[i, j] + sum(step) * gain[cell]) if i >= 0 and j >= 0 else -np.inf
