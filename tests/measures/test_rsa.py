"""RSA: scipy's distances and rank correlations, bootstrap, undefined inputs, errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import kendalltau, pearsonr, spearmanr

from convergent.errors import InvalidArgumentError
from convergent.measures import rsa
from convergent.statistics import PairSample

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 6))
Y = X[:, :4] @ RNG.normal(size=(4, 8)) + RNG.normal(size=(30, 8))
SAMPLE = PairSample.from_samples(X, Y)
THEIRS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": lambda u, v: spearmanr(u, v)[0],
    "pearson": lambda u, v: pearsonr(u, v)[0],
    "kendall": lambda u, v: kendalltau(u, v)[0],
    "cosine": lambda u, v: u @ v / np.linalg.norm(u) / np.linalg.norm(v),
}


@pytest.mark.parametrize("comparison", THEIRS)
@pytest.mark.parametrize("dissimilarity", ["correlation", "euclidean", "cosine"])
def test_is_that_of_scipy(dissimilarity: Any, comparison: str) -> None:
    found = rsa(SAMPLE, dissimilarity=dissimilarity, comparison=comparison)
    above = np.triu_indices(30, 1)
    expected = THEIRS[comparison](*(cdist(one, one, dissimilarity)[above] for one in (X, Y)))
    assert found.similarity == pytest.approx(expected, abs=1e-10)
    assert (found.n_inputs, len(found.bootstrap)) == (30, 0)
    assert np.isnan(found.interval()).all()


def test_bootstrap_leaves_out_inputs_beside_themselves() -> None:
    found = rsa(SAMPLE, dissimilarity="euclidean", comparison="pearson", n_bootstrap=5, seed=3)
    a, b = squareform(pdist(X)), squareform(pdist(Y))
    rng = np.random.default_rng(3)
    for value in found.bootstrap:
        rows = rng.integers(0, 30, 30)
        pairs = [(i, j) for n, i in enumerate(rows) for j in rows[n + 1 :] if i != j]
        i, j = np.array(pairs).T
        assert value == pytest.approx(pearsonr(a[i, j], b[i, j])[0], abs=1e-10)


def test_independent_layers_do_not_agree_in_the_bootstrap() -> None:
    """With self-pairs kept, each draw would have zeros in common and a score far above 0."""
    found = rsa(PairSample.from_samples(*RNG.normal(size=(2, 60, 30))), comparison="pearson", n_bootstrap=100)
    assert abs(found.bootstrap.mean()) < 0.1
    low, high = found.interval()
    assert low < found.similarity < high
    assert low < found.interval(0.5)[0]


def test_draws_repeat_by_seed() -> None:
    first, again, other = (rsa(SAMPLE, n_bootstrap=3, seed=seed).bootstrap for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_inputs_without_direction_are_left_out() -> None:
    x = X.copy()
    x[4], x[9] = 0, 0.1
    rest = np.delete(np.arange(30), [4, 9])
    found = rsa(PairSample.from_samples(x, Y))
    assert found.n_inputs == 28
    assert found.similarity == pytest.approx(rsa(PairSample.from_samples(X[rest], Y[rest])).similarity, abs=1e-12)
    assert rsa(PairSample.from_samples(x, Y), dissimilarity="cosine").n_inputs == 29
    assert rsa(PairSample.from_samples(x, Y), dissimilarity="euclidean").n_inputs == 30


@pytest.mark.parametrize("comparison", THEIRS)
def test_a_layer_that_finds_all_inputs_alike_is_unknown(comparison: str) -> None:
    sample = PairSample.from_samples(np.ones((9, 2)), Y[:9])
    found = rsa(sample, dissimilarity="euclidean", comparison=comparison, n_bootstrap=2)
    assert np.isnan([found.similarity, *found.bootstrap]).all()


@pytest.mark.parametrize("comparison", THEIRS)
def test_a_draw_of_one_input_is_unknown(comparison: str) -> None:
    found = rsa(PairSample.from_samples(X[:3], Y[:3]), comparison=comparison, n_bootstrap=100)
    assert 0 < np.isnan(found.bootstrap).sum() < 100


def test_what_cannot_be_asked() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"Asked for dissimilarity 'mahalanobis'\. There are 'correlation'"
    ):
        rsa(SAMPLE, dissimilarity="mahalanobis")
    with pytest.raises(InvalidArgumentError, match=r"Asked for comparison 'rank'\. There are 'spearman'"):
        rsa(SAMPLE, comparison="rank")
    with pytest.raises(InvalidArgumentError, match=r"Found n_bootstrap=-1"):
        rsa(SAMPLE, n_bootstrap=-1)
    with pytest.raises(InvalidArgumentError, match=r"RSA, which needs at least 3 inputs\. Found 2"):
        rsa(PairSample.from_samples(X[:2], Y[:2]))
    with pytest.raises(InvalidArgumentError, match=r"compares inputs with inputs\. Found 30 samples of 15 inputs"):
        rsa(PairSample.from_samples(X, Y, input_of=np.arange(30) // 2))
    with pytest.raises(InvalidArgumentError, match=r"a share 95\S* of all cases\. That is no share"):
        rsa(SAMPLE).interval(95.0)
