"""How far from optimal a sparse fit can be at most: the duality gap of the lasso, from second moments."""

import torch

from .._typing import Float64, Tensor

_TINY = 1e-300


def relative_gaps(
    within: Float64[Tensor, "units units"],
    between: Float64[Tensor, "units targets"],
    weights: Float64[Tensor, "units targets"],
    penalty: Float64[Tensor, " targets"],
) -> Float64[Tensor, " targets"]:
    """Duality gap of 1/2 E(y - w'x)^2 + penalty |w|_1 per target, relative to E y^2 = 1 (scikit-learn's scale).

    The dual point is the residual y - w'x, scaled as is best among the scalings that the constraint
    |E x_i residual| <= penalty allows. The objective is at most this far above its minimum.

    Args:
        within: correlations of the units x.
        between: correlations of units and targets y.
        weights: one column a target.
        penalty: per target, above 0; at 0 the constraint leaves no residual but 0, and the gap says nothing.

    Returns:
        Per target, at least 0 up to rounding.

    Cost: one matrix product.
    """
    return _gaps(weights, between - within @ weights, between, penalty)


def _gaps(weights: Tensor, gradient: Tensor, between: Tensor, penalty: Tensor) -> Tensor:
    if not len(gradient):  # nothing predicts, and that is the minimum
        return torch.zeros_like(penalty)
    explained = (weights * between).sum(0)
    residual = 1 - explained - (weights * gradient).sum(0)
    primal = 0.5 * residual + penalty * weights.abs().sum(0)
    limit = penalty / gradient.abs().amax(0).clamp_min(_TINY)
    best = torch.where(residual > 0, (1 - explained) / residual.clamp_min(_TINY), limit)
    scale = torch.minimum(torch.maximum(best, -limit), limit)
    return primal - (scale * (1 - explained) - 0.5 * scale**2 * residual)
