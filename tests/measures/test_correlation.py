"""Correlation, and the pairs it is read from."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.errors import InvalidArgumentError, MismatchError, NonFiniteError
from convergent.measures import correlation
from convergent.statistics import JointMoments, PairMoments


def samples(seed: int = 0, n: int = 60, units: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, units)) @ rng.normal(size=(units, units)) + rng.normal(size=units)


def spoiled(values: np.ndarray, sample: int, unit: int, value: float) -> np.ndarray:
    values = values.copy()
    values[sample, unit] = value
    return values


X, Y = samples(), samples()[:, ::-1] + samples(1)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 5), st.integers(1, 5))
def test_numpy_agrees(seed: int, n: int, n_a: int, n_b: int) -> None:
    x, y = samples(seed, n, n_a), samples(seed + 1, n, n_b)
    pair = PairMoments.from_samples(x, y)
    reference = np.corrcoef(x.T, y.T)
    found = correlation(pair)
    np.testing.assert_allclose(found.between, reference[:n_a, n_a:], atol=1e-9)
    np.testing.assert_allclose(found.within_a, reference[:n_a, :n_a], atol=1e-9)
    np.testing.assert_allclose(found.within_b, reference[n_a:, n_a:], atol=1e-9)
    assert np.abs(found.between).max() <= 1
    assert (found.n_inputs, found.n_samples) == (n, n)


def test_scaling_and_shifting_single_units_changes_nothing() -> None:
    expected = correlation(PairMoments.from_samples(X, Y)).between
    moved = PairMoments.from_samples(X * [1, 1e-6, 1e6, 3] + [0, 1, -5, 1e3], Y * 7 - 2)
    np.testing.assert_allclose(correlation(moved).between, expected, atol=1e-9)
    turned = PairMoments.from_samples(X * [1, -1, 1, 1], Y)
    np.testing.assert_allclose(correlation(turned).between, expected * [[1], [-1], [1], [1]], atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e154, 1e200, 1e300])
def test_no_scale_is_too_large_or_too_small(scale: float) -> None:
    expected = correlation(PairMoments.from_samples(X, Y)).between
    for x, y in ((X * scale, Y), (X, Y * scale), (X * scale, Y * scale)):
        np.testing.assert_allclose(correlation(PairMoments.from_samples(x, y)).between, expected, atol=1e-9)
    joint = JointMoments.from_samples({"a": X * scale, "b": Y})
    np.testing.assert_allclose(joint.correlation()[:4, 4:], expected, atol=1e-9)


def test_a_shift_is_lost_in_the_rounding_of_the_samples_not_in_ours() -> None:
    for shift in (1e7, 1e10, -1e12):
        moved = X + shift
        expected = correlation(PairMoments.from_samples(moved - shift, Y)).between
        np.testing.assert_allclose(correlation(PairMoments.from_samples(moved, Y)).between, expected, atol=1e-9)
    narrow = torch.from_numpy(X * 1e-7 + 1).float()  # a few roundings of float32 are no variation
    assert not PairMoments.from_samples(narrow, Y).alive_a.any()


def test_permuting_units_permutes_rows_and_columns() -> None:
    p, q = [2, 0, 3, 1], [3, 2, 0, 1]
    found = correlation(PairMoments.from_samples(X[:, p], Y[:, q]))
    np.testing.assert_allclose(
        found.between, correlation(PairMoments.from_samples(X, Y)).between[p][:, q], atol=1e-12
    )


def test_rotating_units_changes_it() -> None:
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    found = correlation(PairMoments.from_samples(X @ rotation, Y)).between
    assert np.abs(found - correlation(PairMoments.from_samples(X, Y)).between).max() > 0.1


def test_dead_units_are_nan_and_marked() -> None:
    x, y = X.copy(), Y.copy()
    x[:, 1], y[:, 2] = 0.1, 0
    found = correlation(PairMoments.from_samples(x, y))
    assert found.alive_a.tolist() == [True, False, True, True]
    assert found.alive_b.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(np.isnan(found.between), ~np.outer(found.alive_a, found.alive_b))
    np.testing.assert_array_equal(np.isnan(found.within_a), ~np.outer(found.alive_a, found.alive_a))


def test_tables_are_labelled() -> None:
    table = correlation(PairMoments.from_samples(X[:, :2], Y, a="n1/conv", b="n2/conv")).table()
    assert list(table.columns) == ["a", "unit_a", "b", "unit_b", "r"]
    assert len(table) == 8
    row = table.iloc[6]
    assert (row.a, row.unit_a, row.b, row.unit_b) == ("n1/conv", 1, "n2/conv", 2)
    assert row.r == pytest.approx(np.corrcoef(X[:, 1], Y[:, 2])[0, 1])


def test_it_is_an_array_that_cannot_be_written_to() -> None:
    found = correlation(PairMoments.from_samples(X, Y))
    assert np.asarray(found) is not None
    np.testing.assert_array_equal(np.asarray(found), found.between)
    assert np.array(found, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        found.between[0, 0] = 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64])
def test_tensors_are_taken(dtype: torch.dtype) -> None:
    x, y = (torch.tensor(values * 10).to(dtype) for values in (X, Y))
    expected = PairMoments.from_samples(x.double().numpy(), y.double().tolist())
    found = PairMoments.from_samples(x.requires_grad_() if dtype.is_floating_point else x, y)
    np.testing.assert_array_equal(found.cov_ab, expected.cov_ab)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_pair_from_correlations_has_these_correlations(seed: int, dead: bool) -> None:
    x, y = samples(seed, 30, 3), samples(seed + 1, 30, 5)
    y[:, 2] = 1.5 if dead else y[:, 2]
    first = correlation(PairMoments.from_samples(x, y, a="p", b="q"))
    within_a, within_b, between = map(torch.tensor, (first.within_a, first.within_b, first.between))
    again = correlation(PairMoments.from_correlation(within_a, within_b, between, a="p", b="q"))
    for name in ("between", "within_a", "within_b"):
        np.testing.assert_allclose(getattr(again, name), getattr(first, name), atol=1e-12)
    assert (again.a, again.b, again.n_samples) == ("p", "q", None)
    np.testing.assert_array_equal(again.alive_b, first.alive_b)


def test_a_diagonal_of_zero_is_a_dead_unit() -> None:
    pair = PairMoments.from_correlation(np.diag([1.0, 0.0]), np.eye(2), np.zeros((2, 2)))
    assert pair.alive_a.tolist() == [True, False]


def test_a_pair_does_not_change_with_the_matrices_it_came_from() -> None:
    between = np.zeros((2, 2))
    pair = PairMoments.from_correlation(np.eye(2), np.eye(2), between)
    between[:] = 1
    assert not pair.cov_ab.any()


def test_swapped_twice_is_the_same_pair() -> None:
    pair = PairMoments.from_samples(X, Y[:, :3], a="p", b="q")
    assert (pair.swapped.a, pair.swapped.b) == ("q", "p")
    np.testing.assert_array_equal(correlation(pair.swapped).between, correlation(pair).between.T)
    np.testing.assert_array_equal(pair.swapped.swapped.cov_aa, pair.cov_aa)
    np.testing.assert_array_equal(correlation(pair).within_a, correlation(pair).within_a.T)


@pytest.mark.parametrize(
    ("x", "y", "error", "text"),
    [
        (
            X,
            Y[:5],
            MismatchError,
            r"Cannot pair 'a' with 'b': one row must be one sample of both\. Found 60 and 5 rows",
        ),
        (
            X[:1],
            Y[:1],
            InvalidArgumentError,
            r"Asked to compare 'a' with 'b' over samples\. Found 1\. Give at least two",
        ),
        (X[:0], Y[:0], InvalidArgumentError, r"Found 0\. Give at least two"),
        (X, Y[:, 0], InvalidArgumentError, r"Samples of 'b' are a matrix, samples x units\. Found shape \(60,\)"),
        (X[:, :0], Y, InvalidArgumentError, r"Samples of 'a' are a matrix.*Found shape \(60, 0\)"),
        (spoiled(X, 3, 1, np.nan), Y, NonFiniteError, r"Found nan at sample 3, unit 1"),
        (
            X,
            spoiled(Y, 2, 0, -np.inf),
            NonFiniteError,
            r"Samples of 'b' must be finite\. Found -inf at sample 2",
        ),
    ],
)
def test_samples_that_cannot_be_compared(x: Any, y: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        PairMoments.from_samples(x, y)


EYE, ZERO = np.eye(2), np.zeros((2, 2))


@pytest.mark.parametrize(
    ("within_a", "within_b", "between", "text"),
    [
        (np.eye(3), EYE, ZERO, r"Found \(3, 3\), \(2, 2\) and \(2, 2\)\. Give three matrices that fit"),
        (EYE, EYE, np.zeros(4), r"Found \(2, 2\), \(2, 2\) and \(4,\)"),
        (EYE, EYE, ZERO + 1.5, r"Correlations lie between -1 and 1\. Found 1\.5 in between"),
        (EYE, EYE * -9, ZERO, r"Found 9 in within_b"),
        (EYE / 2, EYE, ZERO, r"A unit's correlation with itself is 1 .*Found 0\.5 for unit 0 of within_a"),
        (EYE, EYE, np.diag([0, np.nan]), r"Found NaN between unit 1 of a and unit 1 of b, and 1 on both"),
    ],
)
def test_matrices_that_are_not_correlations(within_a: Any, within_b: Any, between: Any, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        PairMoments.from_correlation(within_a, within_b, between)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (X + 1j, "numbers of type complex128"),
        (torch.from_numpy(X) * 1j, "numbers of type complex128"),
        ([["a", "b"], ["c", "d"]], "numbers of type <U1"),
        ([[1.0, 2.0], [3.0]], "what NumPy cannot read"),
        ([[None, 1.0]], "numbers of type object"),
    ],
)
def test_what_is_not_real_numbers_is_refused(values: Any, found: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"Cannot use samples of 'b'. Found {found}.*Give a matrix"):
        PairMoments.from_samples(X, values)
    with pytest.raises(InvalidArgumentError, match=rf"Cannot use a correlation matrix. Found {found}"):
        PairMoments.from_correlation(np.eye(4), np.eye(2), values)
