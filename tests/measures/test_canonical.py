"""CCA, SVCCA and PWCCA: scikit-learn, planted directions, weights from samples, errors."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.cross_decomposition import CCA

from convergent.errors import InvalidArgumentError
from convergent.measures import CanonicalCorrelations, cca, pwcca, svcca
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)) @ RNG.normal(size=(6, 6))
Y = X[:, :4] @ RNG.normal(size=(4, 5)) + 2 * RNG.normal(size=(400, 5))
PAIR = PairMoments.from_samples(X, Y)
ALL = pytest.mark.parametrize("measure", [cca, svcca, pwcca])
Measure = Callable[[PairMoments], CanonicalCorrelations]


def q_r(x: np.ndarray) -> np.ndarray:
    return np.linalg.qr(x - x.mean(0))[0]


def test_cca_is_that_of_scikit_learn() -> None:
    u, v = CCA(n_components=5, max_iter=100_000, tol=1e-15).fit(X, Y).transform(X, Y)
    theirs = [np.corrcoef(u[:, i], v[:, i])[0, 1] for i in range(5)]
    found = cca(PAIR)
    np.testing.assert_allclose(found.correlations, theirs, atol=1e-6)
    assert (found.rank_a, found.rank_b, found.n_samples) == (6, 5, 400)
    assert found.mean == pytest.approx(np.mean(theirs), abs=1e-6)
    assert found.r2 == pytest.approx(np.mean(np.square(theirs)), abs=1e-6)


def test_cca_is_the_angles_between_orthonormal_bases_of_the_samples() -> None:
    expected = np.linalg.svd(q_r(X).T @ q_r(Y), compute_uv=False)
    np.testing.assert_allclose(cca(PAIR).correlations, expected, atol=1e-10)


def test_planted_directions() -> None:
    shared, own = RNG.normal(size=(3000, 2)), RNG.normal(size=(2, 3000, 2))
    x, y = (np.hstack([shared, one]) @ RNG.normal(size=(4, 4)) for one in own)
    found = cca(PairMoments.from_samples(x, y)).correlations
    np.testing.assert_allclose(found[:2], 1, atol=1e-9)
    assert found[2] < 0.1


def test_svcca_is_cca_of_the_leading_principal_components() -> None:
    x, y = X * [9, 5, 1, 1, 0.1, 0.01], Y * [1, 1, 3, 0.01, 0.01]
    kept, explained = [], []
    for one in (x, y):
        centred = one - one.mean(0)
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        share = np.cumsum(values**2) / (values**2).sum()
        n = int(np.argmax(share >= 0.9)) + 1
        kept.append(left[:, :n])
        explained.append(n)
    found = svcca(PairMoments.from_samples(x, y), variance=0.9)
    assert (found.rank_a, found.rank_b) == tuple(explained)
    np.testing.assert_allclose(found.correlations, np.linalg.svd(kept[0].T @ kept[1])[1], atol=1e-10)


def test_svcca_of_all_the_variance_is_cca() -> None:
    np.testing.assert_allclose(svcca(PAIR, variance=1).correlations, cca(PAIR).correlations, atol=1e-9)


def test_pwcca_weights_are_those_of_projected_samples() -> None:
    x = X * [9, 5, 1, 1, 0.1, 2]
    basis = q_r(x)
    turned, rho, _ = np.linalg.svd(basis.T @ q_r(Y), full_matrices=False)
    variates = basis @ turned  # samples x directions, orthonormal
    weights = np.abs(variates.T @ (x - x.mean(0))).sum(axis=1)
    found = pwcca(PairMoments.from_samples(x, Y))
    np.testing.assert_allclose(found.weights, weights / weights.sum(), atol=1e-10)
    assert found.mean == pytest.approx((weights * rho).sum() / weights.sum(), abs=1e-10)
    assert found.mean != pytest.approx(pwcca(PairMoments.from_samples(Y, x)).mean, abs=1e-3)


def test_collinear_units_and_dead_ones_take_no_part() -> None:
    x = np.hstack([X, X[:, :1] - X[:, 1:2], np.full((400, 1), 0.1)])
    found = cca(PairMoments.from_samples(x, Y))
    assert found.rank_a == 6
    np.testing.assert_allclose(found.correlations, cca(PAIR).correlations, atol=1e-9)


@ALL
def test_a_dead_layer_has_no_directions(measure: Measure) -> None:
    found = measure(PairMoments.from_samples(np.ones((400, 3)), Y))
    assert (len(found.correlations), found.rank_a, found.rank_b) == (0, 0, 0)
    assert np.isnan([found.mean, found.r2]).all()


@ALL
def test_table(measure: Measure) -> None:
    table = measure(PAIR).table()
    assert isinstance(table, pd.DataFrame)
    assert list(table) == ["a", "b", "method", "direction", "r", "weight"]
    assert table.weight.sum() == pytest.approx(1)
    assert table.r.is_monotonic_decreasing
    assert set(table.method) == {measure.__name__}


@ALL
def test_more_units_than_samples_is_an_error_with_advice(measure: Measure) -> None:
    pair = PairMoments.from_samples(X[:11], Y[:11])
    with pytest.raises(InvalidArgumentError, match=r"Found \d+ units.*, and 11 samples: correlations of 1 are"):
        measure(pair) if measure is not svcca else svcca(pair, variance=1)


@ALL
def test_options_out_of_range(measure: Callable[..., CanonicalCorrelations]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"noise floor is a share of the largest variance.* Found 0"):
        measure(PAIR, floor=0.0)
    with pytest.raises(InvalidArgumentError, match=r"SVCCA keeps a share of the variance.* Found 0"):
        svcca(PAIR, variance=0.0)
