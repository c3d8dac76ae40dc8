"""Representational similarity analysis: do two layers agree on which inputs are unlike?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, rankdata

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.gram import cosines, squared_distances
from ..solvers.pooling import check_level
from ..statistics.pair_sample import PairSample
from .per_input import both_defined, check_one_per_input, check_samples_left

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class RSA:
    """How far two layers agree on the dissimilarities of inputs.

    Attributes:
        a: name of the first layer.
        b: name of the second layer.
        dissimilarity: "correlation", "euclidean" or "cosine".
        comparison: "spearman", "pearson", "kendall" or "cosine".
        similarity: in [-1, 1], of all inputs; NaN where a layer finds all inputs equally unlike.
        n_inputs: inputs that took part; those whose dissimilarities are undefined do not.
        bootstrap: (draws,), the similarity of inputs drawn with replacement.
    """

    a: str
    b: str
    dissimilarity: str
    comparison: str
    similarity: float
    n_inputs: int
    bootstrap: Float64[Array, " draws"]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval over the draws; NaN where there are none.

        Args:
            level: share of the draws within, between 0 and 1.

        Raises:
            InvalidArgumentError: if the level is out of its range.
        """
        check_level(level)
        known = self.bootstrap[~np.isnan(self.bootstrap)]
        if not len(known):
            return float("nan"), float("nan")
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def rsa(
    sample: PairSample,
    *,
    dissimilarity: str = "correlation",
    comparison: str = "spearman",
    n_bootstrap: int = 0,
    seed: int = 0,
) -> RSA:
    """Compare the dissimilarities of every two inputs in one layer with those in another.

    Args:
        sample: the samples of both layers, one an input.
        dissimilarity: between two inputs: "correlation" (1 - r over the features), "euclidean", or "cosine"
            (1 - cosine).
        comparison: of the two lists: "spearman", "pearson", "kendall" (tau-b), or "cosine" (uncentred).
        n_bootstrap: draws of inputs with replacement, for an interval. An input beside itself has dissimilarity
            0 in every layer, so such pairs are left out of a draw.
        seed: of the draws.

    Returns:
        Similarity in [-1, 1], and its draws.

    Raises:
        InvalidArgumentError: if an option is unknown or negative, an input has several samples, or fewer than
            three have dissimilarities. Samples of one input are alike in any net, and would raise the score.

    Invariant to: isotropic scaling (yes); shift (euclidean yes, else no); permutation of units (yes); rotation
        of units (euclidean and cosine yes, correlation no); scaling of single units (no); invertible linear maps
        (no).

    Cost: 2 n^2 d multiplications and a sort of n^2 / 2 numbers; a draw costs as much as the comparison.

    Reference: Kriegeskorte, Mur & Bandettini 2008; Schutt et al. 2023 (bootstrap).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(20, 5))
        >>> round(rsa(PairSample.from_samples(x, 2 * x), n_bootstrap=10).similarity, 9)
        1.0
    """
    _check_options(dissimilarity, comparison, n_bootstrap)
    check_one_per_input(sample, asked="RSA")
    unlike = _DISSIMILARITIES[dissimilarity]
    a, b = both_defined(unlike(sample.x), unlike(sample.y))
    check_samples_left(len(a), 3, asked="RSA")
    compare, rows = _COMPARISONS[comparison], np.arange(len(a))
    rng = np.random.default_rng(seed)
    drawn = [_compared(a, b, rng.integers(0, len(a), len(a)), compare) for _ in range(n_bootstrap)]
    return RSA(
        a=sample.a,
        b=sample.b,
        dissimilarity=dissimilarity,
        comparison=comparison,
        similarity=_compared(a, b, rows, compare),
        n_inputs=len(a),
        bootstrap=frozen(np.array(drawn, dtype=np.float64)),
    )


def _compared(a: Array, b: Array, rows: Array, compare: Callable[[Array, Array], float]) -> float:
    """Compare the dissimilarities of every two of these inputs, none with itself."""
    first, second = np.triu_indices(len(rows), 1)
    i, j = rows[first], rows[second]
    different = i != j
    i, j = i[different], j[different]
    return compare(a[i, j], b[i, j])


def _correlation(x: Array) -> Array:
    deviations = x - x.mean(axis=1, keepdims=True)
    equal = np.linalg.norm(deviations, axis=1) <= _ROUNDING * np.linalg.norm(x, axis=1)
    deviations[equal] = 0
    return 1 - cosines(deviations)


def _pearson(u: Array, v: Array) -> float:
    return _cosine(u - u.mean(), v - v.mean()) if len(u) else float("nan")


def _cosine(u: Array, v: Array) -> float:
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    return float(np.clip(u @ v / lengths, -1, 1)) if lengths > 0 else float("nan")


def _spearman(u: Array, v: Array) -> float:
    return _pearson(rankdata(u), rankdata(v))


def _kendall(u: Array, v: Array) -> float:
    return float(kendalltau(u, v).statistic) if len(u) else float("nan")


_DISSIMILARITIES: dict[str, Callable[[Array], Array]] = {
    "correlation": _correlation,
    "euclidean": lambda x: np.sqrt(squared_distances(x)),
    "cosine": lambda x: 1 - cosines(x),
}
_COMPARISONS: dict[str, Callable[[Array, Array], float]] = {
    "spearman": _spearman,
    "pearson": _pearson,
    "kendall": _kendall,
    "cosine": _cosine,
}


def _check_options(dissimilarity: str, comparison: str, n_bootstrap: int) -> None:
    for what, asked, known in (
        ("dissimilarity", dissimilarity, _DISSIMILARITIES),
        ("comparison", comparison, _COMPARISONS),
    ):
        if asked not in known:
            raise InvalidArgumentError(
                f"Asked for {what} {asked!r}. There are {', '.join(map(repr, known))}. Choose one of these."
            )
    if n_bootstrap < 0:
        raise InvalidArgumentError(
            f"The bootstrap draws inputs some number of times. Found n_bootstrap={n_bootstrap}. Give 0 or more."
        )
