"""Canonical correlations from covariances: SciPy's principal angles between samples, and ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from convergent.solvers.canonical import Canonical, canonical_correlations


def of_samples(x: np.ndarray, y: np.ndarray, floor: float = 1e-8) -> Canonical:
    x, y = x - x.mean(0), y - y.mean(0)
    return canonical_correlations(x.T @ x, y.T @ y, x.T @ y, floor=floor)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_cosines_of_the_angles_between_the_spans_of_samples(n_x: int, n_y: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, n_x))
    y = x[:, :1] + rng.normal(size=(30, n_y))
    found = of_samples(x, y)
    expected = np.sort(np.cos(subspace_angles(x - x.mean(0), y - y.mean(0))))[::-1]
    np.testing.assert_allclose(found.correlations, expected, atol=1e-7)
    assert found[1:3] == (n_x, n_y)


def test_repeated_directions_count_once() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    mixed = np.hstack([x, x @ rng.normal(size=(3, 4))])
    found = of_samples(mixed, x[:, :2])
    assert found[1:3] == (3, 2)
    np.testing.assert_allclose(found.correlations, 1, atol=1e-7)


@pytest.mark.parametrize(("floor", "rank"), [(1e-3, 1), (1e-5, 2)])
def test_directions_below_the_floor_are_left_out(floor: float, rank: int) -> None:
    found = canonical_correlations(np.diag([1.0, 1e-4]), np.eye(2), np.diag([0.5, 1e-3]), floor=floor)
    np.testing.assert_allclose(found.correlations, [0.5, 0.1][:rank])
    assert found[1:3] == (rank, 2)


def test_loadings_are_covariances_with_the_canonical_variates() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3))
    y = x[:, :2] + rng.normal(size=(50, 2))
    x, y = x - x.mean(0), y - y.mean(0)
    found = canonical_correlations(x.T @ x, y.T @ y, x.T @ y, floor=1e-8)
    basis = np.linalg.qr(x)[0]
    variates = basis @ np.linalg.svd(basis.T @ np.linalg.qr(y)[0], full_matrices=False)[0]
    np.testing.assert_allclose(np.abs(found.loadings_x), np.abs(x.T @ variates), atol=1e-10)
    np.testing.assert_allclose(found.correlations, of_samples(x, y).correlations, atol=1e-10)
    assert (found.rank_x, found.rank_y) == (3, 2)
