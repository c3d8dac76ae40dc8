"""Pearson correlation of every unit with every unit, within and between two layers."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from .._typing import Array, Bool, Float64
from ..results import frozen
from ..statistics.pairs import PairMoments


@dataclass(frozen=True, eq=False)
class Correlation:
    """Correlations of the units of layers a and b, each in [-1, 1]; NaN where either unit is dead.

    Attributes:
        a: name of the first layer (rows).
        b: name of the second layer (columns).
        between: units_a x units_b.
        alive_a: False where a unit of a is dead (constant), so that its correlations are undefined.
        alive_b: likewise for b.
        n_inputs: inputs behind the numbers, or None where only matrices were given.
        n_samples: samples (inputs x locations), likewise.
        moments: of the two layers.
    """

    a: str
    b: str
    between: Float64[Array, "units_a units_b"]
    alive_a: Bool[Array, " units_a"]
    alive_b: Bool[Array, " units_b"]
    n_inputs: int | None
    n_samples: int | None
    moments: PairMoments = field(repr=False)

    @cached_property
    def within_a(self) -> Float64[Array, "units_a units_a"]:
        """Of the units of a with one another, as in `between`."""
        scale = np.where(self.alive_a, self.moments.std_a, np.nan)
        return _scaled(self.moments.cov_aa, scale, scale)

    @cached_property
    def within_b(self) -> Float64[Array, "units_b units_b"]:
        """Likewise of b."""
        scale = np.where(self.alive_b, self.moments.std_b, np.nan)
        return _scaled(self.moments.cov_bb, scale, scale)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> Array:
        return np.array(self.between, dtype=dtype, copy=copy)

    def table(self) -> pd.DataFrame:
        """One row a pair of units: net/layer of both sides, their indices, r."""
        n_a, n_b = self.between.shape
        return pd.DataFrame(
            {
                "a": self.a,
                "unit_a": np.repeat(np.arange(n_a), n_b),
                "b": self.b,
                "unit_b": np.tile(np.arange(n_b), n_a),
                "r": self.between.ravel(),
            }
        )


def correlation(pair: PairMoments) -> Correlation:
    """Correlate the units of two layers, within each and between them.

    r_ij = cov(a_i, b_j) / (std(a_i) std(b_j)).

    Args:
        pair: joint moments of the two layers.

    Returns:
        Matrices with entries in [-1, 1], and NaN in the rows and columns of dead units.

    Invariant to: scaling and shifting of single units (yes); permutation of units, up to the order of rows and
        columns (yes); rotation of units (no).

    Cost: units_a x units_b divisions.

    Reference: Li et al. 2016, section 3.1.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 2))
        >>> correlation(PairMoments.from_samples(x, -x)).between.diagonal().round(6).tolist()
        [-1.0, -1.0]
    """
    alive_a, alive_b = frozen(pair.alive_a), frozen(pair.alive_b)
    scale_a, scale_b = np.where(alive_a, pair.std_a, np.nan), np.where(alive_b, pair.std_b, np.nan)
    between = _scaled(pair.cov_ab, scale_a, scale_b)
    return Correlation(pair.a, pair.b, between, alive_a, alive_b, pair.n_inputs, pair.n_samples, pair)


def _scaled(covariance: Array, scale_rows: Array, scale_columns: Array) -> Array:
    # Rounding can carry a perfect correlation past 1 by an ulp or so.
    return frozen(np.clip(covariance / np.outer(scale_rows, scale_columns), -1, 1))
