"""Linear predictivity: scikit-learn's ridge, both ways, held out, noise, dead units."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from convergent.errors import InvalidArgumentError, MismatchError
from convergent.measures import linear_predictivity
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6))
Y = X @ RNG.normal(size=(6, 3)) + RNG.normal(size=(300, 3))
Pairs = list[tuple[PairMoments, PairMoments]]


def folds(x: np.ndarray, y: np.ndarray, n: int = 3) -> Pairs:
    parts = np.array_split(np.arange(len(x)), n)
    rest = [np.setdiff1d(np.arange(len(x)), part) for part in parts]
    return [
        (PairMoments.from_samples(x[r], y[r]), PairMoments.from_samples(x[p], y[p]))
        for r, p in zip(rest, parts, strict=True)
    ]


def test_r2_is_that_of_scikit_learn() -> None:
    z, t = ((one - one.mean(0)) / one.std(0) for one in (X, Y))
    found = linear_predictivity(PairMoments.from_samples(X, Y * 5 + 1), penalties=[0.1])
    for way, (one, other) in ((found.a_to_b, (z, t)), (found.b_to_a, (t, z))):
        model = Ridge(alpha=0.1 * 300, fit_intercept=False).fit(one, other)
        np.testing.assert_allclose(way.r2, 1 - ((other - model.predict(one)) ** 2).mean(0), atol=1e-10)
        assert way.mean == pytest.approx(way.r2.mean())
        assert np.isnan(way.r2_held_out).all()
        assert np.isnan(way.mean_held_out)


def test_held_out_r2_is_that_of_predictions() -> None:
    pair = PairMoments.from_samples(X, Y)
    found = linear_predictivity(pair, iter(folds(X, Y)), penalties=[0.0]).b_to_a
    errors, spread = np.zeros(6), np.zeros(6)
    for part in np.array_split(np.arange(300), 3):
        rest = np.setdiff1d(np.arange(300), part)
        design = np.c_[np.ones(300), Y]
        weights = np.linalg.lstsq(design[rest], X[rest], rcond=None)[0]
        errors += ((X[part] - design[part] @ weights) ** 2).sum(0)
        spread += len(part) * X[part].var(0)
    np.testing.assert_allclose(found.r2_held_out, 1 - errors / spread, atol=1e-10)
    assert found.mean_held_out < found.mean


def test_noise_is_not_predicted_on_inputs_held_out() -> None:
    x, y = RNG.normal(size=(2, 120, 60))
    found = linear_predictivity(PairMoments.from_samples(x, y), folds(x, y))
    for way in (found.a_to_b, found.b_to_a):
        assert way.mean_held_out < 0.02
    assert linear_predictivity(PairMoments.from_samples(x, y)).a_to_b.mean > 0.3


def test_each_unit_has_the_penalty_that_does_best() -> None:
    found = linear_predictivity(PairMoments.from_samples(X, Y), folds(X, Y), penalties=[10.0, 1e-3]).a_to_b
    np.testing.assert_array_equal(found.penalty, 1e-3)


def test_dead_units_are_unknown_and_listed() -> None:
    y = Y.copy()
    y[:, 1] = 2
    found = linear_predictivity(PairMoments.from_samples(X, y), folds(X, y))
    assert np.isnan(found.a_to_b.r2).tolist() == np.isnan(found.a_to_b.penalty).tolist() == [False, True, False]
    assert not np.isnan(found.b_to_a.r2_held_out).any()
    table = found.table()
    assert list(table) == ["predictor", "predicted", "unit", "penalty", "r2", "r2_held_out"]
    assert table.predicted.tolist() == ["b"] * 3 + ["a"] * 6


def test_a_dead_layer_is_unknown() -> None:
    found = linear_predictivity(PairMoments.from_samples(np.ones((300, 2)), Y))
    assert np.isnan(found.b_to_a.mean)
    np.testing.assert_array_equal(found.a_to_b.r2, 0)


def test_folds_of_other_layers_and_too_few() -> None:
    pair = PairMoments.from_samples(X, Y)
    with pytest.raises(MismatchError, match="Folds are of the pair that is judged"):
        linear_predictivity(pair, folds(X[:, :4], Y))
    with pytest.raises(InvalidArgumentError, match="Found 1 folds"):
        linear_predictivity(pair, folds(X, Y)[:1])
