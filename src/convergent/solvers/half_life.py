"""How far a falling curve goes until half of it is left."""

import numpy as np

from .._typing import Array, Float64


def half_life(curve: Float64[Array, " lags"]) -> float:
    """The first lag at which a curve has fallen to half of its value at lag 0, linear between lags.

    No shape is assumed: a residual stream may lose little at first and much at its end, which no exponential fits.

    Args:
        curve: values at lags 0, 1, 2, ...; the first above 0. What follows a NaN is not looked at.

    Returns:
        A lag above 0; NaN where the curve does not fall so far within what was seen.

    Cost: one look at each value.

    Example:
        >>> half_life(np.array([1.0, 0.8, 0.4])), half_life(np.array([1.0, 0.9, 0.8]))
        (1.75, nan)
    """
    seen = len(curve) if not np.isnan(curve).any() else int(np.isnan(curve).argmax())
    level = curve[0] / 2
    below = np.flatnonzero(curve[:seen] <= level)
    if not len(below):
        return float("nan")
    before, after = curve[below[0] - 1], curve[below[0]]
    return float(below[0] - 1 + (before - level) / (before - after))
