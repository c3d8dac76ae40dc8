"""Forward selection from second moments: how few units explain a given share of a target's variance?"""

from typing import no_type_check

import numpy as np
from numba import njit

from .._typing import Array, Float64, Int64
from ..threads import in_threads

_LEFT = 1e-6  # a unit of which less variance is left, the chosen ones given, is one of their combinations
_compiled = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


def units_needed(
    within: Float64[Array, "units units"],
    between: Float64[Array, "units targets"],
    goals: Float64[Array, " targets"],
) -> Int64[Array, " targets"]:
    """Units that greedy least squares takes until each target's R2 reaches its goal.

    Each step adds the unit that raises R2 most, and all weights are fitted again (orthogonal least squares).

    Args:
        within: correlations of the units.
        between: correlations of units and targets.
        goals: R2 to reach, one a target; 0 or less is reached by no unit.

    Returns:
        Number of units per target, 0 to units; -1 where all units together do not reach the goal.

    Cost: units x n^2 / 2 a target for n units needed.

    Reference: Chen, Billings and Luo 1989, Orthogonal least squares methods.

    Example:
        >>> units_needed(np.eye(3), np.array([[0.8], [0.5], [0.1]]), np.array([0.85])).tolist()
        [2]
    """
    n_targets = between.shape[1]
    needed = np.empty(n_targets, dtype=np.int64)
    data = (np.ascontiguousarray(within), np.ascontiguousarray(between.T), np.ascontiguousarray(goals))
    order = np.random.default_rng(0).permutation(n_targets)  # neighbours are often alike, and some cost far more
    in_threads(lambda first, last: _select(*data, order[first:last], needed), n_targets)
    return needed


@_compiled
@no_type_check
def _select(within, between, goals, targets, needed):
    n_units = len(within)
    rows = np.empty((n_units, n_units))  # chosen units, each cleared of those before it, against all units
    for target in targets:
        left, pull = np.diag(within).copy(), between[target].copy()
        r2, n = 0.0, 0
        while r2 < goals[target]:
            best, gain = -1, 0.0
            for j in range(n_units):
                if left[j] > _LEFT and pull[j] * pull[j] > gain * left[j]:
                    best, gain = j, pull[j] * pull[j] / left[j]
            if best < 0:
                n = -1
                break
            row, scale = rows[n], np.sqrt(left[best])
            row[:] = within[best]
            for m in range(n):
                share = rows[m, best]
                for j in range(n_units):
                    row[j] -= share * rows[m, j]
            weight = pull[best] / scale
            for j in range(n_units):
                row[j] /= scale
                left[j] -= row[j] * row[j]
                pull[j] -= weight * row[j]
            left[best] = 0.0
            r2, n = r2 + gain, n + 1
        needed[target] = n
