"""From scores and null scores to p-values, and from p-values to the share of false discoveries."""

import numpy as np

from .._typing import Array, Float64


def add_one_p(scores: Float64[Array, " scores"], null: Float64[Array, " draws"]) -> Float64[Array, " scores"]:
    """P-values (1 + number of null scores at least as large) / (1 + number of null scores): never 0.

    Args:
        scores: larger is more surprising; NaN stays NaN.
        null: scores by chance, all scores' together; NaN is left out.

    Cost: one sort of the null.

    Reference: Phipson & Smyth 2010.

    Example:
        >>> add_one_p(np.array([2.0, 0.0]), np.array([1.0, 0.0, -1.0])).tolist()
        [0.25, 0.75]
    """
    drawn = np.sort(null[~np.isnan(null)])
    at_least = len(drawn) - np.searchsorted(drawn, scores, side="left")
    return np.where(np.isnan(scores), np.nan, (1 + at_least) / (1 + len(drawn)))


def tail_p(
    scores: Float64[Array, " scores"],
    null: Float64[Array, " draws"],
    *,
    n_copies: int = 1,
    n_independent: int,
    share: float = 0.1,
) -> Float64[Array, " scores"]:
    """P-values as by `add_one_p`, with a tail that goes on beyond the largest null score.

    Up to the threshold u above which a share of the null lies, p = (1 + c) / (1 + n), with c and n the null scores
    at least as large and all of them, each counted 1 / n_copies. Beyond, p(u) (1 + (score - u) / (k m))^-k, with m
    the mean excess of the null over u and k = n_independent: what is to be expected beyond u of an exponential
    tail whose mean is known from k independent numbers. Tails of correlations are lighter than that.

    Args:
        scores: larger is more surprising; NaN stays NaN.
        null: scores by chance, all scores' together; NaN is left out.
        n_copies: how many null scores are worth one, since they were drawn from the same data.
        n_independent: how many independent numbers the tail is known from, at least; few make p larger.
        share: of the null that is the tail.

    Cost: one sort of the null.

    Reference: Knijnenburg et al. 2009 (tails beyond the permutations).

    Example:
        >>> null = np.arange(1.0, 21)
        >>> tail_p(np.array([5.0, 20.0, 100.0]), null, n_independent=4).round(5).tolist()
        [0.80952, 0.0444, 0.0]
    """
    drawn = np.sort(null[~np.isnan(null)])
    at_least = (len(drawn) - np.searchsorted(drawn, scores, side="left")) / n_copies
    p = (1 + at_least) / (1 + len(drawn) / n_copies)
    threshold = np.quantile(drawn, 1 - share) if len(drawn) else np.inf
    excess = drawn[drawn > threshold] - threshold
    if len(excess):
        start = (1 + len(excess) / n_copies) / (1 + len(drawn) / n_copies)
        beyond = np.maximum(scores - threshold, 0) / (n_independent * excess.mean())
        p = np.where(scores > threshold, start * (1 + beyond) ** -float(n_independent), p)
    return np.where(np.isnan(scores), np.nan, p)


def benjamini_hochberg(p: Float64[Array, " tests"]) -> Float64[Array, " tests"]:
    """q-values: the smallest false discovery rate at which a test is still a discovery.

    q of the k-th smallest p of n is the smallest n p / rank over all ranks from k up, at most 1.

    Args:
        p: p-values; NaN is no test, and stays NaN.

    Cost: one sort.

    Reference: Benjamini & Hochberg 1995.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.5, 0.02, np.nan])).round(3).tolist()
        [0.03, 0.5, 0.03, nan]
    """
    q = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return q
