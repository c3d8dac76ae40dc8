"""The lasso by alternating directions: nothing but matrix products, on any device."""

import torch

from .._typing import Float64, Tensor
from .duality import relative_gaps

_RHO = 1.0  # fits correlations, whose eigenvalues average 1
_RELAXATION = 1.7
_TEST_EVERY = 10


def solve_by_admm(
    within: Float64[Tensor, "units units"],
    between: Float64[Tensor, "units targets"],
    penalties: Float64[Tensor, "targets penalties"],
    *,
    tolerance: float,
    max_iterations: int,
) -> tuple[Float64[Tensor, "penalties targets units"], Float64[Tensor, "penalties targets"]]:
    """Weights and relative duality gaps along falling penalties, all targets at once.

    Alternating direction method of multipliers with over-relaxation. Each target goes on to its next penalty as
    soon as its gap is small enough, from where it stands, so that the products stay wide; targets at the end of
    their path are dropped.

    Args:
        within: correlations of the units, on the device that is to do the work.
        between: correlations of units and targets.
        penalties: per target, largest first, all above 0.
        tolerance: the gap at which a penalty is done.
        max_iterations: for one target and penalty; then the target goes on, and its gap says so.

    Cost: one eigendecomposition, then 1.1 products (units x units x targets) an iteration; about 50 to 200
    iterations a penalty.
    """
    n_units, n_targets = between.shape
    n_penalties = penalties.shape[1]
    eigenvalues, vectors = torch.linalg.eigh(within)
    step = (vectors / (eigenvalues + _RHO)) @ vectors.T
    weights = between.new_zeros(n_penalties, n_targets, n_units)
    gaps = between.new_full((n_penalties, n_targets), torch.inf)
    targets = torch.arange(n_targets, device=between.device)  # the targets that are still on their way
    at, spent = torch.zeros_like(targets), torch.zeros_like(targets)  # their penalty, and their iterations for it
    sparse, dual, wanted = torch.zeros_like(between), torch.zeros_like(between), between
    while len(targets):
        penalty = penalties[targets, at]
        for _ in range(_TEST_EVERY):
            dense = step @ (wanted + _RHO * (sparse - dual))
            dual += _RELAXATION * dense + (1 - _RELAXATION) * sparse
            sparse = dual.sign() * (dual.abs() - penalty / _RHO).clamp_min_(0)
            dual -= sparse
        spent += _TEST_EVERY
        gap = relative_gaps(within, wanted, sparse, penalty)
        done = (gap <= tolerance) | (spent >= max_iterations)
        weights[at[done], targets[done]] = sparse[:, done].T
        gaps[at[done], targets[done]] = gap[done]
        at, spent = at + done, spent * ~done
        left = at < n_penalties
        if not left.all():
            targets, at, spent = targets[left], at[left], spent[left]
            sparse, dual, wanted = sparse[:, left], dual[:, left], wanted[:, left]
    return weights, gaps
