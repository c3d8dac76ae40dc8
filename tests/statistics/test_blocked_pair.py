"""Blocked pairs of samples at hand: what is refused, which units are dead, and what is printed."""

from typing import Any

import numpy as np
import pytest
import torch

from convergent import held_out_matching
from convergent.batch import block_of
from convergent.errors import InvalidArgumentError
from convergent.statistics import BlockedPair, PairMoments, PairSample

X = np.random.default_rng(0).normal(size=(40, 3))


def test_one_block_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"held out in turn\. Found n_blocks=1\. Give at least 2"):
        BlockedPair.from_samples(X, X, n_blocks=1)


def test_a_pair_of_one_name_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"names of their own\. Found 'a/u' twice\. Name the second"):
        BlockedPair.from_samples(X, -X, a="a/u", b="a/u")


@pytest.mark.parametrize("input_of", [["x"] * 40, np.arange(40) / 2, np.zeros((40, 1), dtype=int), [True] * 40])
@pytest.mark.parametrize("kind", [BlockedPair, PairSample])
def test_inputs_are_numbered_by_whole_numbers(kind: Any, input_of: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"one whole number a sample\. Found shape .* of type .*Number"):
        kind.from_samples(X, X, input_of=input_of)


@pytest.mark.parametrize("n_samples_each", [1, 2])
def test_units_are_dead_as_in_moments_of_samples(n_samples_each: int) -> None:
    """In float64, 1e7 +- 1 is far from rounding; in float32 it is not."""
    far = np.column_stack([X[:, 0] + 1e7, X[:, 1], np.full(40, 0.1), np.full(40, 1e7)])
    input_of = np.arange(40) // n_samples_each
    for x, y in ((far, far.astype(np.float32)), (torch.from_numpy(far), far.tolist())):
        expected, blocked = PairMoments.from_samples(x, y), BlockedPair.from_samples(x, y, input_of=input_of)
        for found in (blocked, *blocked.rolled, blocked.alone, blocked.swapped.swapped):
            for pair in (found.total, *found.halves, *(rest for rest, _ in found.folds())):
                np.testing.assert_array_equal(pair.alive_a, expected.alive_a)
                np.testing.assert_array_equal(pair.alive_b, expected.alive_b)
    assert expected.alive_a.tolist() == [True, True, False, False]
    mixed = BlockedPair.from_samples(far, far.astype(np.float32)).total
    assert (mixed.alive_a[0], mixed.alive_b[0]) == (True, False)


def test_a_file_keeps_the_precision() -> None:
    moments = BlockedPair.from_samples(X + 1e7, (X + 1e7).astype(np.float32)).blocks.total
    again = type(moments).rebuild(moments.header(), moments.arrays(), moments.layers, moments.fingerprint)
    assert again.float64 == moments.float64
    assert [str(ref) for ref in again.float64] == ["a/units"]
    old = {key: value for key, value in moments.header().items() if key != "float64"}
    assert not type(moments).rebuild(old, moments.arrays(), moments.layers, moments.fingerprint).float64


def test_what_is_printed_is_short() -> None:
    blocked = BlockedPair.from_samples(X, X, input_of=np.arange(40) // 2, n_blocks=2)
    assert repr(blocked) == "BlockedPair(a/units, b/units; 20 inputs, 40 samples, 2 blocks)"
    assert repr(blocked.rolled[1]) == "BlockedPair(a/units, b/units; 20 inputs, 40 samples, 2 blocks, rolled by 2)"
    assert repr(blocked.blocks.total) == "Moments(a/units, b/units; 20 inputs, 40 samples)"


@pytest.mark.parametrize("n_blocks", [2, 3, 4, 5, 8])
def test_all_blocks_but_two(n_blocks: int) -> None:
    blocked = BlockedPair.from_samples(X, -X, n_blocks=n_blocks)
    found = list(blocked.without_two())
    near = [(i, j) for i in range(n_blocks) for j in range(i + 1, n_blocks) if min(j - i, n_blocks + i - j) <= 2]
    assert [(i, j) for i, j, _ in found] == (near if n_blocks > 2 else [])
    block = block_of(np.arange(40), n_blocks)
    for i, j, rest in found:
        kept = X[(block != i) & (block != j)]
        assert rest.n_inputs == len(kept)
        np.testing.assert_allclose(rest.cov_ab, PairMoments.from_samples(kept, -kept).cov_ab, rtol=0, atol=1e-14)


def test_folds_at_hand_are_those_that_would_be_made() -> None:
    blocked = BlockedPair.from_samples(X, X[:, :2])
    kept = blocked.with_folds()
    assert blocked.with_folds(at_most=100) is blocked
    for seen, made in ((kept, blocked), (kept.swapped, blocked.swapped), (kept.rolled[1], blocked.rolled[1])):
        for one, other in zip(seen.folds(), made.folds(), strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a.cov_ab, b.cov_ab)
                assert (a.a, a.b, a.n_samples) == (b.a, b.b, b.n_samples)
        for (i, j, rest), (k, m, expected) in zip(seen.without_two(), made.without_two(), strict=True):
            np.testing.assert_array_equal(rest.cov_ab, expected.cov_ab)
            assert (i, j) == (k, m)


def test_a_layer_with_itself() -> None:
    blocked = BlockedPair.from_samples(X, -X)
    own = BlockedPair.of(blocked.blocks, blocked.a, blocked.a).with_folds()
    assert own.shape == (3, 3)
    np.testing.assert_allclose(held_out_matching(own).units.value, 1)
