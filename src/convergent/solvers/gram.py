"""Samples against samples: Gram matrices, distances, and how alike two kernels are."""

import numpy as np

from .._typing import Array, Float64

ESTIMATORS = ("debiased", "biased")


def linear_gram(x: Float64[Array, "samples features"]) -> Float64[Array, "samples samples"]:
    """Inner products of the samples about their mean.

    Cost: samples^2 features multiplications.
    """
    deviations = x - x.mean(axis=0)
    return deviations @ deviations.T


def squared_distances(x: Float64[Array, "samples features"]) -> Float64[Array, "samples samples"]:
    """Squared Euclidean distances of every two samples, at least 0, and 0 on the diagonal.

    Cost: samples^2 features multiplications.
    """
    inner = linear_gram(x)
    squares = np.diagonal(inner)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * inner, 0)
    np.fill_diagonal(distances, 0)
    return distances


def cosines(x: Float64[Array, "samples features"]) -> Float64[Array, "samples samples"]:
    """Cosine of every two samples, in [-1, 1]; NaN where either is zero.

    Cost: samples^2 features multiplications.
    """
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    directions = x / np.where(lengths > 0, lengths, np.nan)
    return np.clip(directions @ directions.T, -1, 1)


def hsic(
    k: Float64[Array, "samples samples"],
    l: Float64[Array, "samples samples"],  # noqa: E741  (the literature's letters)
    *,
    estimator: str,
) -> float:
    """Dependence of two kernels over the same samples (Hilbert-Schmidt independence criterion).

    biased: tr(K H L H) / n^2, with H = I - 1/n. debiased, on kernels whose diagonal is left out:
    (tr K L + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'K L1) / (n (n-3)).

    Args:
        k: one kernel; need not be symmetric where entries were masked.
        l: the other.
        estimator: "biased" or "debiased"; the latter needs at least four samples.

    Cost: O(samples^2).

    Reference: Gretton et al. 2005; Song et al. 2012, equation 5.
    """
    n = len(k)
    if estimator == "biased":
        centred = k - k.mean(axis=0) - k.mean(axis=1, keepdims=True) + k.mean()
        return float(np.einsum("ij,ji->", centred, l)) / n**2
    own_k, own_l = np.diagonal(k), np.diagonal(l)
    into_k, out_of_l = k.sum(axis=0) - own_k, l.sum(axis=1) - own_l
    inner = np.einsum("ij,ji->", k, l) - own_k @ own_l
    sums = into_k.sum() * out_of_l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (into_k @ out_of_l)
    return float(inner + sums) / (n * (n - 3))


def normalised(ab: float, aa: float, bb: float) -> float:
    """Ab / sqrt(aa bb), not clamped; NaN where aa or bb is not above 0.

    Args:
        ab: a dependence of two things, such as their HSIC.
        aa: of the first with itself.
        bb: of the second with itself.
    """
    return float(ab / np.sqrt(aa) / np.sqrt(bb)) if min(aa, bb) > 0 else float("nan")
