"""Gram matrices, distances and HSIC against scipy and slow sums over samples."""

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from convergent.solvers.gram import cosines, hsic, linear_gram, normalised, squared_distances

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 5))


def test_distances_and_cosines_are_those_of_scipy() -> None:
    np.testing.assert_allclose(squared_distances(X + 1e3), cdist(X, X) ** 2, atol=1e-10)
    np.testing.assert_allclose(cosines(X), 1 - cdist(X, X, "cosine"), atol=1e-12)
    np.testing.assert_allclose(linear_gram(X + 5), (X - X.mean(0)) @ (X - X.mean(0)).T, atol=1e-12)


def test_the_cosine_of_zero_is_unknown() -> None:
    found = cosines(np.vstack([X, np.zeros(3)]))
    assert np.isnan(found[-1]).all()
    assert np.isnan(found[:, -1]).all()
    assert not np.isnan(found[:-1, :-1]).any()


def test_debiased_hsic_is_the_mean_over_all_different_samples() -> None:
    """Song et al. 2012, equation 4: a U-statistic of fourth order, summed one by one."""
    k, l = X @ X.T, Y @ Y.T  # noqa: E741
    terms = [k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in permutations(range(7), 4)]
    assert hsic(k, l, estimator="debiased") == pytest.approx(np.mean(terms), abs=1e-12)


def test_biased_hsic_is_the_trace() -> None:
    k, l, h = X @ X.T, Y @ Y.T, np.eye(7) - 1 / 7  # noqa: E741
    assert hsic(k, l, estimator="biased") == pytest.approx(np.trace(k @ h @ l @ h) / 49, abs=1e-12)


def test_nothing_is_like_what_does_not_vary() -> None:
    assert np.isnan([normalised(0.0, 0.0, 1.0), normalised(0.0, 1.0, -1e-20)]).all()
    assert normalised(-2.0, 4.0, 1.0) == -1
