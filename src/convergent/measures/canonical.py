"""Canonical correlation analysis of two layers: plain, of principal components (SVCCA), weighted (PWCCA)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.canonical import canonical_correlations
from ..statistics.pairs import PairMoments
from .living import FLOOR, check_enough_samples, check_floor, of_living
from .standardised import standardised


@dataclass(frozen=True, eq=False)
class CanonicalCorrelations:
    """Correlations of the pairs of directions in two layers that correlate most, best first.

    Attributes:
        a: name of the first layer.
        b: name of the second layer.
        method: "cca", "svcca" or "pwcca".
        correlations: (directions,), in [0, 1], descending; none where a layer is dead.
        weights: (directions,), what each counts in the means; sums to 1.
        rank_a: how many directions of a took part: those above the noise floor, or the components kept.
        rank_b: likewise for b. The smaller is the number of correlations.
        n_samples: samples behind the numbers, or None where only matrices were given.
    """

    a: str
    b: str
    method: str
    correlations: Float64[Array, " directions"]
    weights: Float64[Array, " directions"]
    rank_a: int
    rank_b: int
    n_samples: int | None

    @property
    def mean(self) -> float:
        """Weighted mean of the correlations, in [0, 1]; NaN where there are none."""
        return float(self.weights @ self.correlations) if len(self.weights) else float("nan")

    @property
    def r2(self) -> float:
        """Weighted mean of their squares, in [0, 1]; NaN where there are none."""
        return float(self.weights @ self.correlations**2) if len(self.weights) else float("nan")

    def table(self) -> pd.DataFrame:
        """One row a direction: both layers, method, r, weight."""
        return pd.DataFrame(
            {
                "a": self.a,
                "b": self.b,
                "method": self.method,
                "direction": np.arange(len(self.correlations)),
                "r": self.correlations,
                "weight": self.weights,
            }
        )


def cca(pair: PairMoments, *, floor: float = FLOOR) -> CanonicalCorrelations:
    """Canonical correlations: singular values of C_aa^-1/2 C_ab C_bb^-1/2, all counting alike.

    Args:
        pair: joint moments of the two layers.
        floor: directions with at most this share of the variance of the largest are noise and left out (units
            standardised). Sums of float32 products carry errors of about a tenth of the default.

    Returns:
        Correlations in [0, 1] with the ranks they rest on.

    Raises:
        InvalidArgumentError: if both layers together have as many living units as there are samples, or more; or
            the floor is not between 0 and 1.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (yes);
        scaling of single units (yes); invertible linear maps (yes, as long as no direction falls below the
        floor).

    Cost: O(units^3): two eigendecompositions and the singular values of one matrix.

    Reference: Hotelling 1936; Bjorck & Golub 1973.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> found = cca(PairMoments.from_samples(x, x @ [[1, 2], [0, 3]]))
        >>> found.correlations.round(9).tolist(), found.rank_a
        ([1.0, 1.0], 2)
    """
    aa, bb, ab = _standardised(pair, floor, "canonical correlations")
    if not ab.size:
        return _nothing(pair, "cca")
    found = canonical_correlations(aa, bb, ab, floor=floor)
    return _result(pair, "cca", found.correlations, np.ones(len(found.correlations)), found.rank_x, found.rank_y)


def svcca(pair: PairMoments, *, variance: float | int = 0.99, floor: float = FLOOR) -> CanonicalCorrelations:
    """Canonical correlations of the leading principal components of each layer.

    Args:
        pair: joint moments of the two layers.
        variance: share of each layer's variance that the components kept explain at least, in (0, 1].
        floor: components with at most this share of the variance of the largest are left out all the same.

    Returns:
        Correlations in [0, 1]; ranks are the numbers of components.

    Raises:
        InvalidArgumentError: if both layers together keep as many components as there are samples, or more; or the
            variance or the floor is out of its range.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (yes);
        scaling of single units (no: it changes which components lead); invertible linear maps (no).

    Cost: O(units^3).

    Reference: Raghu et al. 2017.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3)) * [9, 9, 0.1]
        >>> svcca(PairMoments.from_samples(x, x)).rank_a
        2
    """
    check_floor(floor)
    if not 0 < variance <= 1:
        raise InvalidArgumentError(
            f"SVCCA keeps a share of the variance, above 0 and at most 1. Found {variance}. 0.99 is usual."
        )
    living = of_living(pair)
    if not living.cov_ab.size:
        return _nothing(pair, "svcca")
    (kept_a, axes_a), (kept_b, axes_b) = (_leading(cov, variance) for cov in (living.cov_aa, living.cov_bb))
    check_enough_samples(pair, len(kept_a) + len(kept_b), asked=f"SVCCA at {variance:g} of the variance")
    within_a, within_b, between = np.diag(kept_a), np.diag(kept_b), axes_a.T @ living.cov_ab @ axes_b
    found = canonical_correlations(within_a, within_b, between, floor=floor)
    equal = np.ones(len(found.correlations))
    return _result(pair, "svcca", found.correlations, equal, found.rank_x, found.rank_y)


def pwcca(pair: PairMoments, *, floor: float = FLOOR) -> CanonicalCorrelations:
    """Canonical correlations weighted by how much of the units of a lies in each direction.

    weight_i is proportional to sum_j |cov(h_i, a_j)|, with h_i the i-th canonical variate of a. Not symmetric:
    `pwcca(pair.swapped)` weights by the units of b.

    Args:
        pair: joint moments of the two layers.
        floor: as in `cca`.

    Returns:
        Correlations in [0, 1]; `mean` is PWCCA.

    Raises:
        InvalidArgumentError: as `cca` does.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (no, of a:
        the sum of absolute values depends on the basis); scaling of single units (no, of a); invertible linear
        maps (no, of a; of b yes).

    Cost: O(units^3).

    Reference: Morcos, Raghu & Bengio 2018.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> round(pwcca(PairMoments.from_samples(x, x)).mean, 9)
        1.0
    """
    aa, bb, ab = _standardised(pair, floor, "PWCCA")
    if not ab.size:
        return _nothing(pair, "pwcca")
    found = canonical_correlations(aa, bb, ab, floor=floor)
    weights = np.abs(pair.std_a[pair.alive_a, None] * found.loadings_x).sum(axis=0)
    return _result(pair, "pwcca", found.correlations, weights, found.rank_x, found.rank_y)


def _standardised(pair: PairMoments, floor: float, asked: str) -> tuple[Array, Array, Array]:
    """Correlations of living units within a, within b, and between."""
    check_floor(floor)
    living = of_living(standardised(pair))
    check_enough_samples(pair, sum(living.cov_ab.shape), asked=asked)
    return living.cov_aa, living.cov_bb, living.cov_ab


def _leading(covariance: Array, share: float | int) -> tuple[Array, Array]:
    """Variances and axes of as few principal components as explain that share of the variance."""
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    explained = np.cumsum(variances) / variances.sum()
    n_kept = int(np.searchsorted(explained, share * (1 - 1e-12))) + 1
    return variances[:n_kept], axes[:, :n_kept]


def _nothing(pair: PairMoments, method: str) -> CanonicalCorrelations:
    return CanonicalCorrelations(pair.a, pair.b, method, np.empty(0), np.empty(0), 0, 0, pair.n_samples)


def _result(
    pair: PairMoments, method: str, correlations: Array, weights: Array, rank_a: int, rank_b: int
) -> CanonicalCorrelations:
    shares = frozen(weights / weights.sum())
    return CanonicalCorrelations(
        pair.a, pair.b, method, frozen(correlations), shares, rank_a, rank_b, pair.n_samples
    )
