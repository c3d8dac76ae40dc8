"""The assignment problem: partners for all, the sum of scores as large as can be."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from .._typing import Array, Float64, Int64


def assign(scores: Float64[Array, "units_a units_b"]) -> Int64[Array, " units_a"]:
    """One-to-one partners that maximise the sum of scores.

    Args:
        scores: any finite numbers; the matrix may be rectangular.

    Returns:
        For each row, its column, or -1 for rows left over where there are more rows than columns.

    Cost: O(n^3); 4 ms at 384 x 384.

    Example:
        >>> assign(np.array([[0.9, 0.8], [0.8, 0.1]])).tolist()
        [1, 0]
    """
    partner = np.full(len(scores), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    partner[rows] = columns
    return partner
