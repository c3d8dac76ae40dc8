"""Centred kernel alignment: do two layers find the same inputs alike? Linear, exact from moments; and Gaussian."""

import numpy as np

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..solvers.gram import ESTIMATORS, hsic, linear_gram, normalised, squared_distances
from ..statistics.pair_sample import PairSample
from ..statistics.pairs import NormProducts, PairMoments
from .living import of_living


def linear_cka(pair: PairMoments | PairSample, *, estimator: str = "debiased") -> float:
    """Alignment of the inner products that two layers give to their samples.

    CKA = HSIC(a, b) / sqrt(HSIC(a, a) HSIC(b, b)). Biased, HSIC(a, b) = |C_ab|_F^2 with C the covariances.
    Debiased, with k and l the squared norms of the centred samples,
    HSIC(a, b) = |C_ab|_F^2 - mean(k l) / (n - 2) + mean(k) mean(l) / ((n - 1)(n - 2)).

    Args:
        pair: joint moments, which give the value of all samples at once; or the samples themselves, where a layer
            wider than they are many goes through Gram matrices.
        estimator: "debiased", whose expectation over independent layers is near 0; or "biased", which is large
            wherever there are many units and few samples.

    Returns:
        Biased in [0, 1]. Debiased at most about 1, not clamped: negative values are what chance looks like. NaN
            where a layer is dead.

    Raises:
        InvalidArgumentError: if the estimator is unknown; or, debiased, there are fewer than four samples or the
            moments were kept without norms.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (yes);
        scaling of single units (no); invertible linear maps (no).

    Cost: from moments units^2; from samples 2 n d^2 with d features a side, or 2 n^2 d where d > n.

    Reference: Kornblith et al. 2019; Song et al. 2012 (debiased HSIC).

    Example:
        >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 50))
        >>> pair = PairMoments.from_samples(x, y)
        >>> round(linear_cka(pair, estimator="biased"), 1), abs(linear_cka(pair)) < 0.1
        (0.3, True)
    """
    _check_estimator(estimator)
    if isinstance(pair, PairMoments):
        return _from_moments(pair, estimator)
    _check_samples(pair.n_samples, estimator)
    if max(pair.x.shape[1], pair.y.shape[1]) > pair.n_samples:
        return _alignment(linear_gram(pair.x), linear_gram(pair.y), estimator)
    return _from_moments(PairMoments.from_samples(pair.x, pair.y), estimator)


def rbf_cka(sample: PairSample, *, estimator: str = "debiased", bandwidth: float | int = 1.0) -> float:
    """Alignment of Gaussian kernels, which see near samples and not far ones.

    K_ij = exp(-|x_i - x_j|^2 / (2 s^2)), with s the bandwidth times the median distance of two samples, in each
    layer its own.

    Args:
        sample: the samples of both layers.
        estimator: "debiased" or "biased", as in `linear_cka`.
        bandwidth: multiple of the median distance; a large one gives linear CKA.

    Returns:
        Biased in [0, 1]; debiased at most about 1, not clamped. NaN where the median distance is 0.

    Raises:
        InvalidArgumentError: if the estimator is unknown, the bandwidth is not above 0, or there are too few
            samples.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (yes);
        scaling of single units (no); invertible linear maps (no).

    Cost: 2 n^2 d multiplications, and four n x n matrices.

    Reference: Kornblith et al. 2019.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 4))
        >>> round(rbf_cka(PairSample.from_samples(x, 3 * x[:, ::-1] + 1)), 9)
        1.0
    """
    _check_estimator(estimator)
    _check_samples(sample.n_samples, estimator)
    if not 0 < bandwidth < np.inf:
        raise InvalidArgumentError(
            f"The bandwidth of a Gaussian kernel is a multiple of the median distance. Found {bandwidth}. "
            "Give a number above 0; 1 is usual."
        )
    k, l = (_gaussian(values, bandwidth) for values in (sample.x, sample.y))  # noqa: E741
    if k is None or l is None:
        return float("nan")
    return _alignment(k, l, estimator)


def _from_moments(pair: PairMoments, estimator: str) -> float:
    living = of_living(pair)
    total_a, total_b = float(np.trace(living.cov_aa)), float(np.trace(living.cov_bb))
    if not min(total_a, total_b) > 0:
        return float("nan")
    # In units of the total variance, so that squares of squares stay within range.
    aa, bb = _squared(living.cov_aa / total_a), _squared(living.cov_bb / total_b)
    ab = _squared(living.cov_ab / np.sqrt(total_a) / np.sqrt(total_b))
    if estimator == "debiased":
        n, norms = _samples_of(pair), _norms_of(pair)
        expected = 1 / (n - 1)
        aa += (expected - norms.aa / total_a / total_a) / (n - 2)
        bb += (expected - norms.bb / total_b / total_b) / (n - 2)
        ab += (expected - norms.ab / total_a / total_b) / (n - 2)
    return normalised(ab, aa, bb)


def _squared(matrix: Array) -> float:
    return float((matrix**2).sum())


def _alignment(k: Array, l: Array, estimator: str) -> float:  # noqa: E741
    ab, aa, bb = (hsic(*two, estimator=estimator) for two in ((k, l), (k, k), (l, l)))
    return normalised(ab, aa, bb)


def _gaussian(x: Float64[Array, "samples features"], bandwidth: float | int) -> Array | None:
    squared = squared_distances(x)
    median = np.median(np.sqrt(squared[np.triu_indices(len(x), 1)]))
    if not median > 0:
        return None
    return np.expm1(-squared / (2 * (bandwidth * median) ** 2))  # a kernel less 1 has the same HSIC, rounded less


def _check_estimator(estimator: str) -> None:
    if estimator not in ESTIMATORS:
        raise InvalidArgumentError(
            f"Asked for estimator {estimator!r} of CKA. There are 'debiased' and 'biased'. Choose one of these."
        )


def _check_samples(n: int, estimator: str) -> None:
    if estimator == "debiased" and n < 4:
        raise InvalidArgumentError(
            f"Debiased CKA divides by n - 3. Found n = {n} samples. Give at least four, or estimator='biased'."
        )


def _samples_of(pair: PairMoments) -> int:
    if pair.n_samples is None:
        raise InvalidArgumentError(
            f"Debiased CKA of '{pair.a}' with '{pair.b}' depends on the number of samples. Found matrices alone. "
            "Give moments of samples, or estimator='biased'."
        )
    _check_samples(pair.n_samples, "debiased")
    return pair.n_samples


def _norms_of(pair: PairMoments) -> NormProducts:
    if pair.norms is None:
        raise InvalidArgumentError(
            f"Debiased CKA of '{pair.a}' with '{pair.b}' needs the squared norms of the samples. These moments "
            "were kept without. Keep them with MomentsPlan(norms=True), or give the samples."
        )
    return pair.norms
