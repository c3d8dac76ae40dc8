"""Effective dimension: from eigenvalues, planted, dead units."""

import numpy as np
import pytest

from convergent.measures import effective_dimension
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)


def test_is_that_of_the_eigenvalues() -> None:
    x, y = RNG.normal(size=(100, 5)) * [5, 3, 1, 1, 0.1], RNG.normal(size=(100, 3))
    found = effective_dimension(PairMoments.from_samples(x, y))
    for side, one in ((found.a, x), (found.b, y)):
        v = np.linalg.eigvalsh(np.cov(one.T))
        assert side == pytest.approx(v.sum() ** 2 / (v**2).sum(), abs=1e-10)


def test_planted_dimension_in_a_wide_layer() -> None:
    basis = np.linalg.qr(RNG.normal(size=(50, 4)))[0]
    latent = np.linalg.qr(RNG.normal(size=(500, 5)) - [1, 0, 0, 0, 0])[0][:, :4]
    latent = np.linalg.qr(latent - latent.mean(0))[0]
    found = effective_dimension(PairMoments.from_samples(latent @ basis.T * 7 + 2, latent[:, :1]))
    assert tuple(found) == pytest.approx((4, 1), abs=1e-9)


def test_dead_units_do_not_count() -> None:
    x = np.hstack([RNG.normal(size=(50, 2)), np.full((50, 1), 0.1)])
    found = effective_dimension(PairMoments.from_samples(x, np.ones((50, 2))))
    assert 1 < found.a < 2
    assert np.isnan(found.b)
