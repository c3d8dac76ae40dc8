"""A pair without its dead units is the pair of the others."""

import numpy as np

from convergent.measures.living import of_living
from convergent.statistics import PairMoments


def test_is_the_pair_of_the_other_units() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 20, 4))
    x[:, 1], y[:, 3] = 5, 0
    found = of_living(PairMoments.from_samples(x, y))
    expected = PairMoments.from_samples(x[:, [0, 2, 3]], y[:, :3])
    for name in ("mean_a", "mean_b", "cov_aa", "cov_bb", "cov_ab", "floor_a", "floor_b"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-15)


def test_published_matrices_have_no_floor() -> None:
    within = np.array([[1, np.nan], [np.nan, np.nan]])
    found = of_living(PairMoments.from_correlation(within, np.eye(1), np.array([[0.5], [np.nan]])))
    assert (found.cov_aa.tolist(), found.cov_ab.tolist(), found.floor_a) == ([[1.0]], [[0.5]], None)
    whole = PairMoments.from_correlation(np.eye(2), np.eye(2), np.eye(2))
    assert of_living(whole) is whole
