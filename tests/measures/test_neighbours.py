"""Mutual nearest neighbours and CKNNA: slow loops, planted answers, chance, errors."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from convergent.errors import InvalidArgumentError
from convergent.measures import cknna, linear_cka, mutual_knn
from convergent.statistics import PairSample

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)) + 0.5
Y = X[:, :4] @ RNG.normal(size=(4, 8)) + RNG.normal(size=(40, 8))
SAMPLE = PairSample.from_samples(X, Y)
BOTH = pytest.mark.parametrize("measure", [mutual_knn, cknna])
Measure = Callable[..., float]


def slow_neighbours(x: np.ndarray, k: int) -> list[set[int]]:
    distances = cdist(x, x, "cosine")
    return [set(sorted(set(range(len(x))) - {i}, key=lambda j: distances[i, j])[:k]) for i in range(len(x))]


def slow_aligned(x: np.ndarray, y: np.ndarray, k: int) -> float:
    """Song et al. 2012, equation 5, on entries of mutual neighbours, one by one."""
    n, (near_x, near_y) = len(x), (slow_neighbours(one, k) for one in (x, y))
    masked = []
    for one in (x, y):
        kernel = 1 - cdist(one, one, "cosine")
        keep = [[j in near_x[i] and j in near_y[i] for j in range(n)] for i in range(n)]
        masked.append(np.where(keep, kernel, 0))
    a, b = masked
    sums = a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 * (a @ b).sum() / (n - 2)
    return float((np.trace(a @ b) + sums) / (n * (n - 3)))


@pytest.mark.parametrize("k", [1, 5, 20, 39])
def test_shared_neighbours_are_those_of_a_slow_loop(k: int) -> None:
    near = zip(slow_neighbours(X, k), slow_neighbours(Y, k), strict=True)
    assert mutual_knn(SAMPLE, k=k) == pytest.approx(np.mean([len(a & b) for a, b in near]) / k)


@pytest.mark.parametrize("k", [2, 5, 20, 39])
def test_cknna_is_that_of_a_slow_loop(k: int) -> None:
    both = (slow_aligned(X, Y, k) + slow_aligned(Y, X, k)) / 2
    expected = both / np.sqrt(slow_aligned(X, X, k) * slow_aligned(Y, Y, k))
    assert cknna(SAMPLE, k=k) == pytest.approx(expected, abs=1e-10)


def test_cknna_of_all_neighbours_is_debiased_cka_of_directions() -> None:
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (X, Y))
    assert cknna(SAMPLE, k=39) == pytest.approx(linear_cka(PairSample.from_samples(x, y)), abs=1e-10)


@BOTH
def test_a_rotated_copy_has_the_same_neighbours(measure: Measure) -> None:
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    assert measure(PairSample.from_samples(X, 3 * X @ turn)) == pytest.approx(1)


def test_independent_layers_share_neighbours_by_chance_alone() -> None:
    sample = PairSample.from_samples(*RNG.normal(size=(2, 500, 20)))
    assert mutual_knn(sample) == pytest.approx(10 / 499, abs=0.01)
    assert abs(cknna(sample)) < 0.05


@BOTH
def test_inputs_without_direction_are_left_out(measure: Measure) -> None:
    x, rest = X.copy(), np.delete(np.arange(40), 7)
    x[7] = 0
    found = measure(PairSample.from_samples(x, Y))
    assert found == pytest.approx(measure(PairSample.from_samples(X[rest], Y[rest])), abs=1e-12)


@BOTH
def test_what_cannot_be_asked(measure: Measure) -> None:
    with pytest.raises(InvalidArgumentError, match=r"with k=40 among 40 inputs .* to 39 neighbours"):
        measure(SAMPLE, k=40)
    with pytest.raises(InvalidArgumentError, match=r"with k=0 among 40 inputs"):
        measure(SAMPLE, k=0)
    with pytest.raises(InvalidArgumentError, match=r"compares inputs with inputs\. Found 40 samples of 20 inputs"):
        measure(PairSample.from_samples(X, Y, input_of=np.arange(40) // 2))
    with pytest.raises(InvalidArgumentError, match=r"CKNNA, which needs at least 4 inputs\. Found 3"):
        cknna(PairSample.from_samples(X[:3], Y[:3]), k=2)
