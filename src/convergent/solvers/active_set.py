"""The lasso by active sets: exact, one target at a time, compiled, as many targets at once as there are threads.

The compiled code holds no interpreter lock and starts no threads of its own; Python threads share out the targets.
So there is no threading layer that could meet another (OpenMP of torch, forks) in one process.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from .._typing import Array, Float64
from ..threads import in_threads

DIAGONAL = 1e-8  # added to the diagonal inside the solver: equal and collinear units would stop it otherwise
_SHARE_OF_WORST = 0.3  # units enter together if their excess is at least this share of the largest
_compiled = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


def solve_by_active_sets(
    within: Float64[Array, "units units"],
    between: Float64[Array, "units targets"],
    penalties: Float64[Array, "targets penalties"],
    *,
    tolerance: float,
    max_iterations: int,
    diagonal: float = DIAGONAL,
) -> tuple[Float64[Array, "penalties targets units"], Float64[Array, "penalties targets"]]:
    """Weights and relative duality gaps along falling penalties.

    For each penalty: units whose gradient exceeds it enter, several at a time; the equations of the active units
    are solved exactly (Cholesky); the step ends where a weight would change its sign, and that unit leaves. A path
    step ends when no unit wants to enter. The small `diagonal` draws weights towards 0; where the gap of the
    problem without it is not yet small enough, it draws them towards the last answer instead, and again.

    Args:
        within: correlations of the units, positive semi-definite up to `diagonal`.
        between: correlations of units and targets.
        penalties: per target, largest first, all above 0.
        tolerance: the gap at which a penalty is done.
        max_iterations: linear systems solved for one target and penalty at the most.
        diagonal: what is added to the diagonal of `within`.

    Cost: about 2 systems a target and penalty, each n_active^2 to n_active^3 / 3, and n_active x units.
    """
    n_units, n_targets = between.shape
    weights = np.zeros((penalties.shape[1], n_targets, n_units))
    gaps = np.zeros((penalties.shape[1], n_targets))
    data = (np.ascontiguousarray(within), np.ascontiguousarray(between.T), np.ascontiguousarray(penalties))
    order = np.random.default_rng(0).permutation(n_targets)  # neighbours are often alike, and some cost far more

    def solve(first: int, last: int) -> None:
        _solve_targets(*data, order[first:last], diagonal, tolerance, max_iterations, weights, gaps)

    in_threads(solve, n_targets)
    return weights, gaps


@_compiled
@no_type_check
def _solve_targets(within, between, penalties, targets, diagonal, tolerance, max_iterations, weights, gaps):
    n_units = len(within)
    factor = np.empty((n_units, n_units))
    for target in targets:
        linear = between[target]
        w, centre, gradient = np.zeros(n_units), np.zeros(n_units), linear.copy()
        active, sign, is_active = np.empty(n_units, np.int64), np.zeros(n_units), np.zeros(n_units, np.bool_)
        state = np.zeros(2, np.int64)  # how many units are active, how many rows of the factor are valid
        for step in range(penalties.shape[1]):
            penalty = penalties[target, step]
            gap, solved = np.inf, False
            centre[:] = 0
            for _ in range(max_iterations):
                if _enter(gradient, centre, diagonal, penalty, active, sign, is_active, state):
                    solved = False
                if solved:
                    before, gap = gap, _gap(w, gradient, linear, penalty)
                    if gap <= tolerance or gap > 0.5 * before:
                        break
                    centre[:] = w
                _solve_active(within, linear, centre, diagonal, penalty, active, sign, is_active, factor, state, w)
                _update_gradient(within, linear, w, active, state, gradient)
                solved = True
            gaps[step, target] = _gap(w, gradient, linear, penalty)
            weights[step, target] = w


@_compiled
@no_type_check
def _enter(gradient, centre, diagonal, penalty, active, sign, is_active, state):
    """Let in the units whose gradient exceeds the penalty most; say whether there were any."""
    worst = 0.0
    for j in range(len(gradient)):
        if not is_active[j]:
            worst = max(worst, abs(gradient[j] + diagonal * centre[j]) - penalty)
    if worst <= 1e-9 * penalty + 1e-13:
        return False
    for j in range(len(gradient)):
        pull = gradient[j] + diagonal * centre[j]
        if not is_active[j] and abs(pull) - penalty >= _SHARE_OF_WORST * worst:
            active[state[0]] = j
            sign[j] = 1.0 if pull > 0 else -1.0
            is_active[j] = True
            state[0] += 1
    return True


@_compiled
@no_type_check
def _factorise(within, diagonal, active, factor, state):
    """Complete the Cholesky factor of the active units, from the first row that is not valid."""
    for k in range(state[1], state[0]):
        row = factor[k]
        pivot = within[active[k], active[k]] + diagonal
        for i in range(k):
            total = within[active[k], active[i]]
            for m in range(i):
                total -= row[m] * factor[i, m]
            row[i] = total / factor[i, i]
            pivot -= row[i] * row[i]
        row[k] = np.sqrt(max(pivot, 0.5 * diagonal))
    state[1] = state[0]


@_compiled
@no_type_check
def _solve_active(within, linear, centre, diagonal, penalty, active, sign, is_active, factor, state, w):
    """Move to the minimum over the active units; those whose weight would change its sign on the way leave."""
    wanted = np.empty(len(w))
    while True:
        _factorise(within, diagonal, active, factor, state)
        n = state[0]
        for k in range(n):
            j = active[k]
            wanted[k] = linear[j] - penalty * sign[j] + diagonal * centre[j]
        _solve_factored(factor, wanted, n)
        length = 1.0
        for k in range(n):
            j = active[k]
            if wanted[k] * sign[j] < 0:
                length = min(length, w[j] / (w[j] - wanted[k]))
        n_kept, first_left = 0, n
        for k in range(n):
            j = active[k]
            if wanted[k] * sign[j] < 0 and w[j] / (w[j] - wanted[k]) <= length:
                w[j], is_active[j] = 0.0, False
                first_left = min(first_left, k)
            else:
                w[j] += length * (wanted[k] - w[j])
                active[n_kept] = j
                n_kept += 1
        if n_kept == n:
            return
        state[0], state[1] = n_kept, first_left


@_compiled
@no_type_check
def _solve_factored(factor, x, n):
    """Solve factor factor' x = x in place."""
    for k in range(n):
        total = x[k]
        for m in range(k):
            total -= factor[k, m] * x[m]
        x[k] = total / factor[k, k]
    for k in range(n - 1, -1, -1):
        x[k] /= factor[k, k]
        for m in range(k):
            x[m] -= x[k] * factor[k, m]


@_compiled
@no_type_check
def _update_gradient(within, linear, w, active, state, gradient):
    gradient[:] = linear
    for k in range(state[0]):
        j = active[k]
        for i in range(len(gradient)):
            gradient[i] -= w[j] * within[j, i]


@_compiled
@no_type_check
def _gap(w, gradient, linear, penalty):
    """Relative duality gap, as in `duality.relative_gaps`."""
    explained, left, size, steepest = 0.0, 0.0, 0.0, 0.0
    for j in range(len(w)):
        explained += w[j] * linear[j]
        left += w[j] * gradient[j]
        size += abs(w[j])
        steepest = max(steepest, abs(gradient[j]))
    residual = 1 - explained - left
    limit = penalty / max(steepest, 1e-300)
    scale = limit if residual <= 0 else min(max((1 - explained) / residual, -limit), limit)
    return 0.5 * residual + penalty * size - (scale * (1 - explained) - 0.5 * scale * scale * residual)
