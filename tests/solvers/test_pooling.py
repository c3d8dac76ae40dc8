"""Folds in one number: by hand, against slow loops, and the delete-a-block jackknife against the plain one."""

import numpy as np
import pytest

from convergent.errors import InvalidArgumentError
from convergent.solvers.pooling import (
    delete_block_error,
    mean_of_known,
    pooled,
    pooled_correlation,
    student_reach,
)

RNG = np.random.default_rng(0)


def test_equal_blocks_give_the_usual_jackknife() -> None:
    x = RNG.normal(size=30)
    without = np.array([np.delete(x, i).mean() for i in range(30)])
    error = delete_block_error(np.array(x.mean()), without, np.ones(30))
    assert error == pytest.approx(x.std(ddof=1) / 30**0.5)


def test_unequal_blocks_estimate_the_error_of_a_mean() -> None:
    sizes = np.array([5, 20, 40, 10, 80, 45])
    owner = np.repeat(np.arange(6), sizes)
    squares, means = [], []
    for _ in range(2000):
        x = RNG.normal(size=200)
        without = np.array([x[owner != i].mean() for i in range(6)])
        squares.append(delete_block_error(np.array(x.mean()), without, sizes.astype(float)) ** 2)
        means.append(x.mean())
    assert np.mean(squares) == pytest.approx(1 / 200, rel=0.06)
    assert np.var(means) == pytest.approx(1 / 200, rel=0.1)


def test_a_weighted_mean_and_what_pulls_it() -> None:
    scores = np.array([[1.0, np.nan], [2.0, np.nan], [4.0, 7.0]])
    found = pooled(scores, np.array([[1.0], [1.0], [2.0]]))
    np.testing.assert_allclose(found.value, [2.75, 7])
    np.testing.assert_allclose(found.pull.sum(axis=0), 0, atol=1e-15)
    assert np.isnan(found.error).tolist() == [False, True]
    assert found.error[0] == pytest.approx(((1.75**2 / 12) + (0.75**2 / 12) + (2.5**2 / 8)) ** 0.5)
    # The second unit is known from one fold alone and takes no part in the mean, nor in how sure it is.
    assert found.over_units().value == found.value[0]
    assert found.over_units().error == pytest.approx(found.error[0])


def test_errors_of_unequal_folds_are_those_of_their_mean() -> None:
    sizes = np.array([1, 4, 16, 2, 32])
    scores = RNG.normal(size=(5, 20_000)) / np.sqrt(sizes)[:, None]
    found = pooled(scores, sizes[:, None].astype(float))
    assert (found.error**2).mean() == pytest.approx(1 / sizes.sum(), rel=0.05)
    np.testing.assert_allclose(found.share.sum(axis=0), 1)
    r = pooled_correlation(np.full((2, 1), 0.5), np.ones((2, 1)), np.ones((2, 1)), np.array([1.0, 3.0]))
    assert r.share.tolist() == [[0.25], [0.75]]


def test_equal_folds_err_as_a_mean_does() -> None:
    scores = RNG.normal(size=(7, 3))
    np.testing.assert_allclose(pooled(scores, np.ones((7, 1))).error, scores.std(axis=0, ddof=1) / 7**0.5)


def test_one_correlation_of_all_folds() -> None:
    x, y = RNG.normal(size=(2, 4, 50))
    y += x
    deviations = [values - values.mean(axis=1, keepdims=True) for values in (x, y)]
    parts = [
        (a * b).mean(axis=1)
        for a, b in ((deviations[0], deviations[1]), (deviations[0],) * 2, (deviations[1],) * 2)
    ]
    xy, xx, yy = parts
    found = pooled_correlation(xy, xx, yy, np.full(4, 50.0))
    assert found.value == pytest.approx(np.corrcoef(deviations[0].ravel(), deviations[1].ravel())[0, 1])
    assert found.pull.sum() == pytest.approx(0, abs=1e-12)
    assert np.isnan(pooled_correlation(0 * xy, 0 * xx, 0 * yy, np.full(4, 50.0)).value)


def test_means_of_what_is_known() -> None:
    np.testing.assert_allclose(mean_of_known(np.array([[1, np.nan], [np.nan, np.nan]]), axis=1), [1, np.nan])


def test_reach_is_students() -> None:
    assert student_reach(0.95, 10) == pytest.approx(2.262157)
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(InvalidArgumentError, match=rf"a share {level} of all cases\..*Give level=0.95"):
            student_reach(level, 10)


def test_what_folds_have_in_common_adds_to_the_error_and_never_takes_away() -> None:
    plain = pooled(RNG.normal(size=(4, 2)), np.ones((4, 2)))
    moved = np.full((4, 4, 2), np.nan)
    moved[0, 1], moved[1, 0], moved[2, 3], moved[3, 2] = [0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.1, -0.2]
    found = plain._replace(moved=moved)  # products .02 and .03; .02 and -.06
    np.testing.assert_allclose(found.error**2 - plain.error**2, [4 * 3 * 0.025, 0], atol=1e-15)
    together = found.over_units()
    assert together.moved is not None
    np.testing.assert_allclose(together.moved, moved.mean(axis=2))
    assert together.error > plain.over_units().error


def test_what_no_two_folds_are_known_to_have_in_common_adds_nothing() -> None:
    plain = pooled(RNG.normal(size=(2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(plain._replace(moved=np.full((2, 2, 3), np.nan)).error, plain.error)
