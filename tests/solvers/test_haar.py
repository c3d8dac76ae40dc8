"""Random rotations: orthogonal, and no direction preferred."""

import numpy as np

from convergent.solvers.haar import haar


def test_draws_are_orthogonal_and_a_seed_gives_the_same() -> None:
    one, again = haar(7, np.random.default_rng(3)), haar(7, np.random.default_rng(3))
    np.testing.assert_allclose(one @ one.T, np.eye(7), atol=1e-12)
    np.testing.assert_array_equal(one, again)
    assert haar(0, np.random.default_rng(0)).shape == (0, 0)


def test_signs_are_fair_and_moments_are_those_of_haar() -> None:
    """Known of Haar: the trace has mean 0 and variance 1, an entry fourth moment 3 / (n (n + 2))."""
    rng = np.random.default_rng(0)
    draws = np.array([haar(4, rng) for _ in range(4000)])
    traces = np.trace(draws, axis1=1, axis2=2)
    assert abs(traces.mean()) < 0.06
    assert abs(traces.var() - 1) < 0.1
    np.testing.assert_allclose((draws**4).mean(axis=0), 3 / 24, atol=0.015)
    np.testing.assert_allclose((draws > 0).mean(axis=0), 0.5, atol=0.04)
