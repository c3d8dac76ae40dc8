"""Joint moments of several layers: the numbers of NumPy, from samples, pairs, matrices and accumulated sums."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convergent.batch import ActivationBatch, Activations
from convergent.errors import (
    ConvergentError,
    InvalidArgumentError,
    MismatchError,
    NonFiniteError,
    UnknownNameError,
)
from convergent.measures import correlation
from convergent.results import Fingerprint
from convergent.statistics import JointMoments, Moments, MomentsPlan, PairMoments
from convergent.units import LayerRef, LayerUnits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) * [1, 5, 0.1] + 2
Y = X[:, [2, 0]] + RNG.normal(size=(60, 2))
Z = RNG.normal(size=(60, 4))


def accumulated(pairs: Any = "all") -> Moments:
    maps = {
        LayerRef(net, "conv"): torch.tensor(values)[:, :, None]
        for net, values in zip("abc", (X, Y, Z), strict=True)
    }
    layers = [LayerUnits(ref, v.shape[1], (1,), 1, "all") for ref, v in maps.items()]
    batch = ActivationBatch(np.arange(60), {ref: Activations(v) for ref, v in maps.items()})
    accumulator = MomentsPlan(pairs=pairs).start(layers, batch)
    accumulator.update(batch)
    return accumulator.finish(Fingerprint())


def test_means_covariances_and_correlations_are_numpys() -> None:
    joint = JointMoments.from_samples({"a": X, "b": torch.tensor(Y), "c": Z.tolist()})
    together = np.hstack([X, Y, Z])
    assert (joint.names, joint.sizes, joint.n_inputs, joint.n_samples) == (("a", "b", "c"), (3, 2, 4), 60, 60)
    assert joint.slices == {"a": slice(0, 3), "b": slice(3, 5), "c": slice(5, 9)}
    assert joint.layer_of.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    np.testing.assert_allclose(joint.mean, together.mean(0))
    np.testing.assert_allclose(joint.cov, np.cov(together.T, bias=True), atol=1e-12)
    np.testing.assert_allclose(joint.std, together.std(0))
    np.testing.assert_allclose(joint.correlation(), np.corrcoef(together.T), atol=1e-12)


def test_a_pair_goes_in_and_comes_out() -> None:
    pair = PairMoments.from_samples(X, Y, a="n/conv", b="m/conv")
    joint = JointMoments.from_pair(pair)
    for (a, b), expected in {("n/conv", "m/conv"): pair, ("m/conv", "n/conv"): pair.swapped}.items():
        found = joint.pair(a, b)
        assert (found.a, found.b, found.n_inputs, found.n_samples) == (a, b, 60, 60)
        for part in ("mean_a", "mean_b", "cov_aa", "cov_bb", "cov_ab"):
            np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    whole = joint.correlation()
    np.testing.assert_allclose(whole[:3, 3:], correlation(pair).between, atol=1e-15)
    np.testing.assert_array_equal(joint.pair("n/conv", "n/conv").cov_ab, pair.cov_aa)


def test_dead_units_are_marked_and_their_correlations_are_unknown() -> None:
    joint = JointMoments.from_samples({"a": np.c_[X, np.full(60, 1e3)], "b": np.c_[np.zeros(60), Y]})
    assert joint.alive.tolist() == [True] * 3 + [False] * 2 + [True] * 2
    found = joint.correlation()
    assert np.isnan(found[[3, 4]]).all()
    assert np.isnan(found[:, [3, 4]]).all()
    living = np.ix_(joint.alive, joint.alive)
    np.testing.assert_allclose(found[living], np.corrcoef(np.hstack([X, Y]).T), atol=1e-12)
    pair = joint.pair("a", "b")
    assert (pair.alive_a.tolist(), pair.alive_b.tolist()) == ([True] * 3 + [False], [False, True, True])


def test_accumulated_sums_give_the_same_as_samples() -> None:
    found = accumulated().joint([LayerRef("c", "conv"), "a/conv", "b/conv"])
    expected = JointMoments.from_samples({"c/conv": Z, "a/conv": X, "b/conv": Y})
    assert (found.names, found.sizes, found.n_samples) == (expected.names, expected.sizes, 60)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(found.cov, expected.cov, atol=1e-5)
    np.testing.assert_array_equal(found.cov, found.cov.T)
    alone = accumulated().joint(["b/conv"])
    np.testing.assert_allclose(alone.cov, np.cov(Y.T, bias=True), atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "error", "text"),
    [
        (
            ["a/conv", "b/conv", "c/conv"],
            UnknownNameError,
            "'a/conv' with 'c/conv'. That pair was not accumulated",
        ),
        (["a/conv", "d/conv"], UnknownNameError, "Asked for layer 'd/conv'. These moments have 3 layers"),
        (["a/conv", "a/conv"], InvalidArgumentError, "Found ['a/conv', 'a/conv'] with [3, 3] units. Name each"),
        ([], InvalidArgumentError, "Found [] with [] units. Name each layer once, and at least one"),
    ],
)
def test_what_was_not_accumulated_cannot_be_joined(layers: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        accumulated([("a/conv", "b/conv"), ("b/conv", "c/conv")]).joint(layers)


def test_no_samples_no_joint() -> None:
    with pytest.raises(InvalidArgumentError, match=r"They hold no samples\. Accumulate at least two inputs"):
        accumulated().identity().joint(["a/conv", "b/conv"])


@pytest.mark.parametrize(
    ("samples", "error", "text"),
    [
        ({"a": X, "b": Y[:50]}, MismatchError, "Found rows: 60 of 'a', 50 of 'b'. Give the same inputs to all"),
        ({"a": X[:1]}, InvalidArgumentError, "Asked to join 1 layers over samples. Found 1 samples"),
        ({}, InvalidArgumentError, "Asked to join 0 layers over samples. Found 0 samples"),
        ({"a": X, "b": Y[:, 0]}, InvalidArgumentError, "Samples of 'b' are a matrix, samples x units"),
        ({"a": X * np.inf}, NonFiniteError, "Samples of 'a' must be finite"),
    ],
)
def test_samples_that_do_not_fit(samples: Any, error: type[ConvergentError], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        JointMoments.from_samples(samples)


def test_sizes_must_add_up() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"Found 3 units in 2 layers and moments of 2\. Give sizes that"
    ):
        JointMoments.from_correlation(np.eye(2), sizes={"a": 1, "b": 2})


def test_a_layer_with_itself_is_one_layer() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"Found \['a', 'a'\] with \[3, 3\] units\. Name each layer once"
    ):
        JointMoments.from_pair(PairMoments.from_samples(X, X, a="a", b="a"))


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(
        UnknownNameError, match=r"Asked for layer 'q'\. These joint moments have 1 layers\. Known: 'a'"
    ):
        JointMoments.from_samples({"a": X}).pair("a", "q")


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_correlation_matrix_is_itself(n_a: int, n_b: int, seed: int) -> None:
    matrix = np.corrcoef(np.random.default_rng(seed).normal(size=(n_a + n_b, 9)))
    joint = JointMoments.from_correlation(matrix, sizes={"a": n_a, "b": n_b})
    np.testing.assert_allclose(joint.correlation(), matrix, atol=1e-9)
    assert (joint.n_inputs, joint.n_samples, joint.sizes) == (None, None, (n_a, n_b))


def test_dead_in_a_matrix() -> None:
    matrix = np.array([[1, np.nan, 0.5], [np.nan, np.nan, np.nan], [0.5, np.nan, 1]])
    joint = JointMoments.from_correlation(matrix, sizes={"a": 2, "b": 1})
    assert joint.alive.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        ([[1, 0.5], [0.4, 1]], "are a symmetric matrix. Found shape (2, 2), or entries that differ"),
        ([[1, 0.5, 0.5], [0.5, 1, 0.2]], "are a symmetric matrix. Found shape (2, 3)"),
        ([1, 0.5], "are a symmetric matrix. Found shape (2,)"),
        ([[1, 2], [2, 1]], "Correlations lie between -1 and 1. Found 2"),
        ([[3, 0], [0, 1]], "Correlations lie between -1 and 1. Found 3"),
        ([[0.5, 0], [0, 1]], "A unit's correlation with itself is 1"),
        ([[1, np.nan], [np.nan, 1]], "Units whose correlation is NaN are dead"),
    ],
)
def test_what_is_no_correlation_matrix(matrix: Any, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        JointMoments.from_correlation(matrix, sizes={"a": len(matrix)})
