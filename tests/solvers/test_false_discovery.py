"""P-values and q-values against SciPy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from convergent.solvers.false_discovery import add_one_p, benjamini_hochberg, tail_p

RNG = np.random.default_rng(0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_q_is_scipys(p: list[float]) -> None:
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)), false_discovery_control(p), atol=1e-12)


def test_nan_is_no_test() -> None:
    q = benjamini_hochberg(np.array([np.nan, 0.02, 0.01, np.nan]))
    np.testing.assert_allclose(q, [np.nan, 0.02, 0.02, np.nan])
    assert np.isnan(benjamini_hochberg(np.full(3, np.nan))).all()
    assert len(benjamini_hochberg(np.zeros(0))) == 0


def test_add_one_by_counting() -> None:
    scores, null = RNG.normal(size=20).round(1), RNG.normal(size=50).round(1)
    expected = [(1 + sum(draw >= score for draw in null)) / 51 for score in scores]
    np.testing.assert_allclose(add_one_p(scores, null), expected)
    np.testing.assert_allclose(add_one_p(np.array([np.nan, 9.0]), np.array([1.0, np.nan])), [np.nan, 0.5])


def test_copies_count_once() -> None:
    null = np.arange(10.0)
    scores = np.array([0.5, 4.0])
    once = tail_p(scores, null, n_independent=4)
    np.testing.assert_allclose(tail_p(scores, null.repeat(5), n_copies=5, n_independent=4), once)
    np.testing.assert_allclose(once, add_one_p(scores, null))


def test_the_tail_falls_on_and_is_wider_the_less_is_known() -> None:
    null = RNG.exponential(size=4000)
    scores = np.array([3.0, 6.0, 9.0, 12.0])
    wide, narrow = (tail_p(scores, null, n_independent=k) for k in (4, 4000))
    assert (np.diff(wide) < 0).all()
    assert (wide >= narrow).all()
    np.testing.assert_allclose(np.log(narrow), -scores, atol=1.0)  # the truth is exp(-score)
    assert (wide > np.exp(-scores)).all()


def test_without_a_null_nothing_is_surprising() -> None:
    assert tail_p(np.array([5.0, np.nan]), np.array([np.nan]), n_independent=4).tolist() == pytest.approx(
        [1, np.nan], nan_ok=True
    )
    # Equal null scores have no tail.
    assert tail_p(np.array([2.0]), np.ones(9), n_independent=4).tolist() == [0.1]
