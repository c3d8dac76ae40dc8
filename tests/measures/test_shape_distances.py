"""Shape distances: laws of a metric, netrep, planted answers, errors."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.errors import InvalidArgumentError
from convergent.measures import cca, permutation_distance, procrustes, shape_distance
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)) * [3, 1, 1, 2, 1]
Y = X @ RNG.normal(size=(5, 5)) + RNG.normal(size=(200, 5))
ANGULAR = pytest.mark.parametrize("angular", [True, False])
pair_of = PairMoments.from_samples


@ANGULAR
@pytest.mark.parametrize("alpha", [0, 0.4, 1.0])
@settings(max_examples=15)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_laws_of_a_metric(alpha: float, angular: bool, widths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(40, 3))
    x, y, z = (shared @ rng.normal(size=(3, w)) * rng.uniform(0, 2) + rng.normal(size=(40, w)) for w in widths)

    def d(one: np.ndarray, other: np.ndarray) -> float:
        return shape_distance(pair_of(one, other), alpha=alpha, angular=angular)

    assert d(x, x) == pytest.approx(0, abs=1e-6)
    assert d(x, y) == pytest.approx(d(y, x), abs=1e-9)
    assert d(x, z) <= d(x, y) + d(y, z) + 1e-9
    assert d(x, y) >= 0


@ANGULAR
@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_permutation_distance_obeys_the_laws_of_a_metric(angular: bool, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(40, width))
    x, y, z = (shared[:, rng.permutation(width)] + rng.normal(size=(40, width)) for _ in range(3))
    y[:, 0] = 1  # a dead unit faces a zero

    def d(one: np.ndarray, other: np.ndarray) -> float:
        return permutation_distance(pair_of(one, other), angular=angular)

    if width > 1:
        assert d(x, y) == pytest.approx(d(y, x), abs=1e-9)
        assert d(x, z) <= d(x, y) + d(y, z) + 1e-9
    assert d(x, x) == pytest.approx(0, abs=1e-6)


@ANGULAR
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("width", [5, 3])
def test_netrep_agrees(alpha: float, angular: bool, width: int) -> None:
    metrics = pytest.importorskip("netrep.metrics", reason="netrep is not installed (it is not on PyPI)")
    # Its covariances are sums over samples, which matters for 0 < alpha < 1: ours are means.
    x, y = ((one - one.mean(0)) / np.sqrt(len(one)) for one in (X, Y[:, :width]))
    method = "angular" if angular else "euclidean"
    if width == 5 or angular or alpha == 1:  # else it counts the zeros that it fills up with as variance
        found = shape_distance(pair_of(X, Y[:, :width]), alpha=alpha, angular=angular)
        theirs = metrics.LinearMetric(alpha=alpha, score_method=method).fit_score(x, y)
        assert found == pytest.approx(theirs, abs=1e-7)
    found = permutation_distance(pair_of(X, Y[:, :width]), angular=angular)
    assert found == pytest.approx(metrics.PermutationMetric(score_method=method).fit_score(x, y), abs=1e-9)


def test_the_ends_are_procrustes_and_cca() -> None:
    pair = pair_of(X, Y)
    assert shape_distance(pair) == pytest.approx(procrustes(pair).angular_distance, abs=1e-12)
    assert shape_distance(pair, alpha=0) == pytest.approx(np.arccos(cca(pair).mean), abs=1e-9)


def test_partial_whitening_is_that_of_samples() -> None:
    def whitened(x: np.ndarray, alpha: float) -> np.ndarray:
        centred = x - x.mean(0)
        variances, axes = np.linalg.eigh(np.cov(x.T, ddof=0))
        return centred @ (alpha * np.eye(len(axes)) + (1 - alpha) * axes @ np.diag(variances**-0.5) @ axes.T)

    x, y = whitened(X, 0.3), whitened(Y, 0.3)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    nuclear = np.linalg.svd(x.T @ y, compute_uv=False).sum()
    assert shape_distance(pair_of(X, Y), alpha=0.3) == pytest.approx(np.arccos(nuclear), abs=1e-9)
    lengths = [np.sqrt(one.var(0).sum()) for one in (X, Y)]
    euclidean = np.linalg.norm(x * lengths[0] @ _turn(x, y) - y * lengths[1])
    assert shape_distance(pair_of(X, Y), alpha=0.3, angular=False) == pytest.approx(euclidean, abs=1e-9)


def _turn(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(x.T @ y)
    return left @ right


@pytest.mark.parametrize("n_b", [5, 3])
def test_no_permutation_comes_nearer(n_b: int) -> None:
    x, y = (one - one.mean(0) for one in (X, np.pad(Y[:, :n_b], ((0, 0), (0, 5 - n_b)))))
    nearest = min(float(np.linalg.norm(x - y[:, list(p)])) for p in permutations(range(5)))
    found = permutation_distance(pair_of(X, Y[:, :n_b]), angular=False)
    assert found == pytest.approx(nearest / np.sqrt(200), abs=1e-10)


def test_directions_below_the_floor_are_not_whitened() -> None:
    doubled = np.hstack([X, X[:, :1] + 1e-9 * RNG.normal(size=(200, 1))])
    assert shape_distance(pair_of(doubled, X), alpha=0) == pytest.approx(0, abs=1e-6)


def test_a_dead_layer_is_unknown() -> None:
    pair = pair_of(np.ones((200, 2)), X)
    assert np.isnan([shape_distance(pair), shape_distance(pair, alpha=0), permutation_distance(pair)]).all()


def test_what_cannot_be_asked() -> None:
    with pytest.raises(InvalidArgumentError, match=r"between CCA \(alpha = 0\) and Procrustes.* Found alpha = 2"):
        shape_distance(pair_of(X, Y), alpha=2)
    with pytest.raises(InvalidArgumentError, match=r"noise floor is a share .* Found 1"):
        shape_distance(pair_of(X, Y), alpha=0, floor=1.0)
    with pytest.raises(
        InvalidArgumentError, match=r"Asked for a shape distance with alpha = 0.5 of 'a' .* Found 10"
    ):
        shape_distance(pair_of(X[:10], Y[:10]), alpha=0.5)
    assert shape_distance(pair_of(X[:10], Y[:10])) > 0
