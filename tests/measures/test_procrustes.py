"""Procrustes: planted rotations, scipy, held-out scores from samples, unequal widths, dead units."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from convergent.errors import MismatchError
from convergent.measures import procrustes
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)) * [5, 3, 1, 1, 2] + 4
TURN = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
Y = X @ TURN * 2 + RNG.normal(size=(300, 5)) - 7


def test_a_planted_rotation_is_found() -> None:
    found = procrustes(PairMoments.from_samples(X, 3 * X @ TURN + 1))
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-10)
    assert (found.similarity, found.scale) == pytest.approx((1, 3))
    assert (found.distance, found.angular_distance) == pytest.approx((0, 0), abs=1e-7)
    score = found.scored_on(found.fitted_on)
    np.testing.assert_allclose(score.r2, 1)
    assert score.overall == pytest.approx(1)


def test_the_rotation_is_that_of_scipy() -> None:
    x, y = (one - one.mean(0) for one in (X, Y))
    turn, total = orthogonal_procrustes(x, y)
    found = procrustes(PairMoments.from_samples(X, Y))
    np.testing.assert_allclose(found.rotation, turn, atol=1e-10)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    assert found.similarity == pytest.approx(total / 300 / np.sqrt(X.var(0).sum() * Y.var(0).sum()), abs=1e-12)
    assert found.distance == pytest.approx(np.linalg.norm(x @ turn - y), abs=1e-10)
    assert found.angular_distance == pytest.approx(np.arccos(np.vdot(x @ turn, y)), abs=1e-10)


@pytest.mark.parametrize(("n_a", "n_b"), [(5, 3), (3, 5)])
def test_unequal_widths_are_filled_up_with_zeros(n_a: int, n_b: int) -> None:
    x, y = X[:, :n_a], Y[:, :n_b]
    found = procrustes(PairMoments.from_samples(x, y))
    assert found.rotation.shape == (n_a, n_b)
    short = found.rotation if n_a < n_b else found.rotation.T
    np.testing.assert_allclose(short @ short.T, np.eye(3), atol=1e-12)
    filled = [
        np.hstack([one, np.zeros((300, 5 - one.shape[1]))]) - np.pad(one.mean(0), (0, 5 - one.shape[1]))
        for one in (x, y)
    ]
    total = orthogonal_procrustes(*filled)[1]
    assert found.similarity == pytest.approx(total / np.prod([np.linalg.norm(one) for one in filled]), abs=1e-12)


def test_dead_units_take_no_part() -> None:
    x = np.insert(X, 2, 0.1, axis=1)
    found, expected = (procrustes(PairMoments.from_samples(one, Y)) for one in (x, X))
    np.testing.assert_array_equal(found.rotation[2], 0)
    np.testing.assert_allclose(np.delete(found.rotation, 2, axis=0), expected.rotation, atol=1e-12)
    assert found.similarity == pytest.approx(expected.similarity)
    back = procrustes(PairMoments.from_samples(Y, x))
    score = back.scored_on(back.fitted_on)
    assert np.isnan(score.r2).tolist() == [False, False, True, False, False, False]
    assert 0 < score.overall < 1


def test_a_dead_layer_is_unknown() -> None:
    found = procrustes(PairMoments.from_samples(np.ones((9, 2)), X[:9]))
    assert np.isnan([found.similarity, found.distance, found.angular_distance, found.scale]).all()
    back = procrustes(PairMoments.from_samples(X[:9], np.ones((9, 2))))
    assert np.isnan(back.scored_on(back.fitted_on).overall)
    assert (found.rotation == 0).all()


def test_held_out_scores_are_those_of_predictions() -> None:
    found = procrustes(PairMoments.from_samples(X[:100], Y[:100]))
    x, y = X[100:] + 0.3, Y[100:]  # a shift of the data costs
    predicted = Y[:100].mean(0) + found.scale * (x - X[:100].mean(0)) @ found.rotation
    errors = ((y - predicted) ** 2).mean(0)
    score = found.scored_on(PairMoments.from_samples(x, y))
    np.testing.assert_allclose(score.r2, 1 - errors / y.var(0), atol=1e-10)
    assert score.overall == pytest.approx(1 - errors.sum() / y.var(0).sum(), abs=1e-10)
    assert score.overall < found.scored_on(found.fitted_on).overall


def test_no_other_scale_or_rotation_predicts_better() -> None:
    found = procrustes(PairMoments.from_samples(X, Y))
    x, y = (one - one.mean(0) for one in (X, Y))

    def error(scale: float, turn: np.ndarray) -> float:
        return float(((y - scale * x @ turn) ** 2).sum())

    best = error(found.scale, found.rotation)
    for _ in range(20):
        other = found.rotation @ np.linalg.qr(np.eye(5) + 0.1 * RNG.normal(size=(5, 5)))[0]
        assert error(found.scale * RNG.uniform(0.9, 1.1), found.rotation) >= best
        assert error(found.scale, other) >= best


def test_table_and_other_layers() -> None:
    found = procrustes(PairMoments.from_samples(X, Y))
    (row,) = found.table().to_dict("records")
    assert (row["a"], row["b"], row["similarity"]) == ("a", "b", found.similarity)
    with pytest.raises(
        MismatchError, match=r"Cannot score a rotation from 'a' to 'b' \(5 to 5 units\) on 'a' with"
    ):
        found.scored_on(PairMoments.from_samples(X, Y[:, :4]))
