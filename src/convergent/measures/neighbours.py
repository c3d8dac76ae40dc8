"""Do two layers put the same inputs next to each other? Mutual nearest neighbours, and CKA of neighbours alone."""

import numpy as np

from .._typing import Array, Bool, Float64
from ..errors import InvalidArgumentError
from ..solvers.gram import cosines, hsic, normalised
from ..statistics.pair_sample import PairSample
from .per_input import both_defined, check_one_per_input, check_samples_left


def mutual_knn(sample: PairSample, *, k: int = 10) -> float:
    """Share of the k nearest neighbours of an input that are the same in both layers, averaged over inputs.

    Near means a large cosine. Inputs that are zero in either layer have none, and are left out.

    Args:
        sample: the samples of both layers, one an input: samples of one input are each other's neighbours in any
            net.
        k: neighbours of each input, itself left out.

    Returns:
        In [0, 1]; by chance k / (n - 1).

    Raises:
        InvalidArgumentError: if an input has several samples, or k is not from 1 to n - 1.

    Invariant to: isotropic scaling (yes); shift (no); permutation of units (yes); rotation of units (yes);
        scaling of single units (no); invertible linear maps (no).

    Cost: 2 n^2 d multiplications.

    Reference: Huh, Cheung, Wang & Isola 2024.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 8))
        >>> mutual_knn(PairSample.from_samples(x, 2 * x), k=5)
        1.0
    """
    near_a, near_b = _cosines(sample, k, at_least=1, asked="mutual nearest neighbours")
    return float((_nearest(near_a, k) & _nearest(near_b, k)).sum() / (k * len(near_a)))


def cknna(sample: PairSample, *, k: int = 10) -> float:
    """Debiased CKA of cosines, of which only those of nearest neighbours count.

    With K and L the cosines in a and b, and A(K, L) their debiased HSIC after every entry (i, j) is set to 0
    whose j is not among the k nearest of i in both, CKNNA = A(K, L) / sqrt(A(K, K) A(L, L)). With k = n - 1 it
    is the debiased CKA of the cosines. Such kernels are not symmetric, and A(K, L) changes a little with which
    comes first; it is the mean of both orders here, of one in the code that came with the paper.

    Args:
        sample: the samples of both layers, one an input.
        k: neighbours of each input, itself left out.

    Returns:
        At most about 1, not clamped; by chance about k / n for k well below n.

    Raises:
        InvalidArgumentError: if an input has several samples, there are fewer than four, or k is not from 2 to n
            - 1.

    Invariant to: isotropic scaling (yes); shift (no); permutation of units (yes); rotation of units (yes);
        scaling of single units (no); invertible linear maps (no).

    Cost: 2 n^2 d multiplications.

    Reference: Huh, Cheung, Wang & Isola 2024, appendix A.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 8))
        >>> round(cknna(PairSample.from_samples(x, 2 * x), k=5), 9)
        1.0
    """
    near_a, near_b = _cosines(sample, k, at_least=2, asked="CKNNA")
    check_samples_left(len(near_a), 4, asked="CKNNA")
    nearest_a, nearest_b = _nearest(near_a, k), _nearest(near_b, k)
    both = nearest_a & nearest_b
    ab = (_aligned(near_a, near_b, both) + _aligned(near_b, near_a, both)) / 2
    return normalised(ab, _aligned(near_a, near_a, nearest_a), _aligned(near_b, near_b, nearest_b))


def _aligned(a: Array, b: Array, counts: Array) -> float:
    return hsic(np.where(counts, a, 0), np.where(counts, b, 0), estimator="debiased")


def _cosines(sample: PairSample, k: int, *, at_least: int, asked: str) -> tuple[Array, Array]:
    check_one_per_input(sample, asked=asked)
    a, b = both_defined(cosines(sample.x), cosines(sample.y))
    if not at_least <= k < len(a):
        raise InvalidArgumentError(
            f"Asked for {asked} with k={k} among {len(a)} inputs (zero ones left out). "
            f"An input has from {at_least} to {len(a) - 1} neighbours here. Choose k among these."
        )
    return a, b


def _nearest(near: Float64[Array, "inputs inputs"], k: int) -> Bool[Array, "inputs inputs"]:
    """True at (i, j) where j is one of the k nearest of i, and not i."""
    distances = -near
    np.fill_diagonal(distances, np.inf)
    nearest = np.zeros(near.shape, dtype=bool)
    np.put_along_axis(nearest, np.argpartition(distances, k - 1, axis=1)[:, :k], True, axis=1)
    return nearest
