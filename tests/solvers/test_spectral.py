"""Normalised cuts: SciPy's Laplacian, scikit-learn's clusters, the cheapest cut of all, any order of vertices."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from scipy.sparse.csgraph import laplacian
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from convergent.errors import InvalidArgumentError
from convergent.solvers.spectral import (
    by_first_appearance,
    laplacian_eigenvectors,
    largest_eigengap,
    normalised_cut,
)


def blocks(sizes: list[int], *, between: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A graph with strong ties within blocks of these sizes, in mixed order, and the blocks."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    weights = np.where(truth[:, None] == truth, 1.0, between) * rng.uniform(0.5, 1, size=(len(truth),) * 2)
    affinity = np.triu(weights, 1)
    return affinity + affinity.T, truth


@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_eigenvectors_are_those_of_scipy(n: int, seed: int) -> None:
    affinity = np.random.default_rng(seed).uniform(0.1, 1, size=(n, n))
    affinity = affinity + affinity.T
    np.fill_diagonal(affinity, 0)
    eigenvalues, vectors = laplacian_eigenvectors(affinity, n)
    matrix, degrees = (np.asarray(part) for part in laplacian(affinity, return_diag=True))
    normed: Any = laplacian(affinity, normed=True)
    np.testing.assert_allclose(eigenvalues, eigh(matrix, np.diag(degrees), eigvals_only=True), atol=1e-10)
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(normed), atol=1e-10)
    np.testing.assert_allclose(matrix @ vectors, degrees[:, None] * vectors * eigenvalues, atol=1e-9)
    np.testing.assert_allclose(vectors.T @ (degrees[:, None] * vectors), np.eye(n), atol=1e-9)


def test_some_eigenvectors_are_the_first_of_all() -> None:
    affinity, _ = blocks([8, 5])
    some, all_of_them = laplacian_eigenvectors(affinity, 4), laplacian_eigenvectors(affinity, 13)
    np.testing.assert_allclose(some[0], all_of_them[0][:4], atol=1e-12)
    assert some[1].shape == (13, 4)


@pytest.mark.parametrize("sizes", [[10, 10], [12, 7, 5], [3, 9, 4, 8]])
def test_planted_blocks_are_found_as_scikit_learn_finds_them(sizes: list[int]) -> None:
    affinity, truth = blocks(sizes)
    found = normalised_cut(affinity)
    assert adjusted_rand_score(found.labels, truth) == 1
    peer = SpectralClustering(len(sizes), affinity="precomputed", random_state=0).fit_predict(affinity)
    np.testing.assert_array_equal(found.labels, by_first_appearance(peer.astype(np.int64)))


def cost(affinity: np.ndarray, inside: list[int]) -> float:
    """The normalised cut of a part and the rest, by its definition."""
    part = np.isin(np.arange(len(affinity)), inside)
    crossing = affinity[part][:, ~part].sum()
    return float(crossing / affinity[part].sum() + crossing / affinity[~part].sum())


@pytest.mark.parametrize("seed", range(5))
def test_no_other_cut_in_two_is_cheaper(seed: int) -> None:
    affinity, _ = blocks([5, 4], between=0.3, seed=seed)
    cheapest = min(cost(affinity, list(part)) for n in range(1, 9) for part in combinations(range(9), n))
    labels = normalised_cut(affinity, k=2).labels
    assert cost(affinity, np.flatnonzero(labels == 0).tolist()) == pytest.approx(cheapest)


@settings(max_examples=20)
@given(st.permutations(range(15)), st.integers(1, 6))
def test_the_order_of_vertices_does_not_matter(order: list[int], k: int) -> None:
    affinity, _ = blocks([6, 5, 4], between=0.5)
    expected = normalised_cut(affinity, k=k)
    found = normalised_cut(affinity[np.ix_(order, order)], k=k)
    np.testing.assert_array_equal(found.labels, by_first_appearance(expected.labels[order]))
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, atol=1e-12)


def test_parts_without_a_tie_are_separated_and_counted_by_the_gap() -> None:
    affinity = np.kron(np.eye(4), np.ones((3, 3)) - np.eye(3))
    found = normalised_cut(affinity)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    np.testing.assert_allclose(found.eigenvalues, [0] * 4 + [1.5] * 8, atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_clique_is_one_cluster_unless_told_otherwise(n: int) -> None:
    clique = np.ones((n, n)) - np.eye(n)
    assert normalised_cut(clique).labels.tolist() == [0] * n
    assert len(set(normalised_cut(clique, k=2).labels.tolist())) == 2
    assert normalised_cut(clique, k=n).labels.tolist() == list(range(n))


@pytest.mark.parametrize(
    ("eigenvalues", "k"),
    [
        ([0, 0.9, 0.91, 0.95], 3),  # the first step is not counted
        ([0, 0.1, 0.2, 0.6, 0.7], 3),
        ([0, 0.2, 0.3, 1.1, 2.0], 3),  # steps above 1 are not
        ([0, 1.2, 1.9], 1),
        ([0, 0], 1),
        ([0], 1),
    ],
)
def test_eigengaps(eigenvalues: list[float], k: int) -> None:
    assert largest_eigengap(np.array(eigenvalues, dtype=np.float64)) == k


def test_vertices_without_neighbours_are_refused() -> None:
    affinity = np.kron(np.diag([1.0, 0, 1]), np.ones((2, 2)))
    with pytest.raises(InvalidArgumentError, match=r"Found vertex 2 of degree 0\. Leave such vertices out"):
        laplacian_eigenvectors(affinity, 2)
    with pytest.raises(InvalidArgumentError, match=r"A cut is of a graph whose vertices have neighbours"):
        normalised_cut(affinity, k=2)
