"""Matchings: planted answers, references, invariances, scores on held-out data."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.errors import InvalidArgumentError, MismatchError
from convergent.measures import Matching, correlation, held_out_scores, match_best, match_one_to_one, overlap
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6))
BOTH = pytest.mark.parametrize("match", [match_best, match_one_to_one])
Match = Callable[[PairMoments], Matching]


def rotation(n: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0]


def of_correlations(between: list[list[float]]) -> PairMoments:
    matrix = np.array(between)
    return PairMoments.from_correlation(np.eye(len(matrix)), np.eye(matrix.shape[1]), matrix)


@settings(max_examples=25)
@given(st.permutations(range(6)), st.integers(0, 2**32 - 1))
def test_a_permuted_copy_is_found_exactly(order: list[int], seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=X.shape)
    pair = PairMoments.from_samples(X, (X + 0.1 * noise)[:, order] * 3 + 1)
    best, one_to_one = match_best(pair), match_one_to_one(pair)
    assert best.partner.tolist() == one_to_one.partner.tolist() == np.argsort(order).tolist()
    assert overlap(best, one_to_one) == 1
    assert best.mean > 0.98
    assert best.n_used == 6
    assert best.share_below(0.5) == 0


@BOTH
def test_a_rotated_copy_is_matched_poorly(match: Match) -> None:
    x = RNG.normal(size=(2000, 40))
    assert match(PairMoments.from_samples(x, x @ rotation(40))).mean < 0.6


@BOTH
def test_scale_shift_and_order_of_units_do_not_matter(match: Match) -> None:
    y = X @ rotation(6) + 0.3 * RNG.normal(size=X.shape)
    expected = match(PairMoments.from_samples(X, y))
    moved = match(PairMoments.from_samples(X * [1, 1e4, 3, 1e-4, 1, 2] - 7, y * 0.1 + 5))
    np.testing.assert_array_equal(moved.partner, expected.partner)
    np.testing.assert_allclose(moved.score, expected.score, atol=1e-9)
    p, q = RNG.permutation(6), RNG.permutation(6)
    permuted = match(PairMoments.from_samples(X[:, p], y[:, q]))
    np.testing.assert_array_equal(q[permuted.partner], expected.partner[p])
    np.testing.assert_allclose(permuted.score, expected.score[p], atol=1e-9)


@BOTH
def test_rotation_of_units_matters(match: Match) -> None:
    assert (
        match(PairMoments.from_samples(X, X)).mean - match(PairMoments.from_samples(X, X @ rotation(6))).mean > 0.1
    )


@BOTH
def test_dead_units_are_left_out_on_both_sides(match: Match) -> None:
    x, y = X.copy(), X[:, ::-1].copy()
    x[:, 1], y[:, 0] = 2, 0  # a[1] is dead, and b[0], the copy of a[5]
    found = match(PairMoments.from_samples(x, y))
    assert found.alive_a.tolist() == [True, False, True, True, True, True]
    assert found.partner[[0, 2, 3, 4]].tolist() == [5, 3, 2, 1]
    assert found.partner[1] == -1
    assert np.isnan(found.score[1])
    assert 0 not in found.partner
    assert found.partner[5] == 4 or match is match_best
    # Four of five living units are matched perfectly; the dead one is not counted.
    assert found.share_below(0.5) == pytest.approx(1 / 5)


@BOTH
def test_all_dead(match: Match) -> None:
    found = match(PairMoments.from_samples(np.ones((5, 3)), X[:5]))
    assert found.partner.tolist() == [-1] * 3
    assert found.n_used == 0
    assert np.isnan([found.mean, found.share_below(0.5), overlap(found, found)]).all()
    other = match(PairMoments.from_samples(X[:5], np.ones((5, 3))))
    assert (other.share_below(0.5), overlap(other, other)) == (1, 0)


@pytest.mark.parametrize(("n_a", "n_b"), [(4, 6), (6, 4)])
def test_rectangular(n_a: int, n_b: int) -> None:
    pair = PairMoments.from_samples(X[:, :n_a], X[:, ::-1][:, :n_b])
    best, one_to_one = match_best(pair), match_one_to_one(pair)
    assert (best.partner >= 0).all()
    assert (one_to_one.partner >= 0).sum() == 4 == one_to_one.n_used
    copies = [i for i in range(n_a) if 5 - i < n_b]
    assert one_to_one.partner[copies].tolist() == best.partner[copies].tolist() == [5 - i for i in copies]
    assert overlap(best, one_to_one) >= len(copies) / n_a


def test_the_first_of_equal_partners_is_best() -> None:
    assert match_best(of_correlations([[0.3, 0.7, 0.7], [0.2, 0.2, 0.2]])).partner.tolist() == [1, 0]


def test_best_is_signed() -> None:
    assert match_best(of_correlations([[-0.9, 0.1], [-0.5, -0.4]])).partner.tolist() == [1, 1]


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_no_other_one_to_one_matching_has_a_larger_sum(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair = PairMoments.from_samples(rng.normal(size=(20, n)), rng.normal(size=(20, n)))
    between = correlation(pair).between
    largest = max(between[np.arange(n), list(p)].sum() for p in permutations(range(n)))
    found = match_one_to_one(pair)
    assert found.score.sum() == pytest.approx(largest)
    assert match_best(pair).mean >= found.mean - 1e-12
    np.testing.assert_allclose(match_best(pair).score, between.max(axis=1))


def test_direction_matters_for_best_and_not_for_one_to_one() -> None:
    pair = of_correlations([[0.9, 0.8], [0.8, 0.1]])
    assert match_best(pair).partner.tolist() == [0, 0]
    assert match_one_to_one(pair).mean == pytest.approx(match_one_to_one(pair.swapped).mean)
    assert overlap(match_best(pair), match_one_to_one(pair)) == 0.5


def test_scored_on_keeps_the_partners() -> None:
    order = RNG.permutation(6)
    fitted = match_best(PairMoments.from_samples(X[:200], X[:200, order]))
    noise = RNG.normal(size=(200, 6))
    other = PairMoments.from_samples(X[200:], X[200:, order] + noise)
    scored = fitted.scored_on(other)
    np.testing.assert_array_equal(scored.partner, fitted.partner)
    r = [np.corrcoef(X[200:, i], (X[200:, order] + noise)[:, j])[0, 1] for i, j in enumerate(fitted.partner)]
    np.testing.assert_allclose(scored.score, r, atol=1e-12)
    assert scored.mean < fitted.mean


@pytest.mark.parametrize("other", [(X, X[:, :5], "a", "b"), (X, X, "b", "a"), (X, X, "a", "c")])
def test_scored_on_other_layers_is_refused(other: tuple[np.ndarray, np.ndarray, str, str]) -> None:
    x, y, a, b = other
    with pytest.raises(MismatchError, match=r"Cannot score a matching of 'a' with 'b' \(6 x 6 units\) on"):
        match_best(PairMoments.from_samples(X, X)).scored_on(PairMoments.from_samples(x, y, a=a, b=b))


@BOTH
def test_held_out_scores_are_those_of_a_slow_loop(match: Match) -> None:
    y = X[:, ::-1] + RNG.normal(size=X.shape)
    y[:100, 2] = 4  # dead in the first fold
    parts = np.split(np.arange(400), [100, 130, 270])
    folds, sums = [], np.zeros((3, 6))
    for part in parts:
        rest = np.setdiff1d(np.arange(400), part)
        folds.append((PairMoments.from_samples(X[rest], y[rest]), PairMoments.from_samples(X[part], y[part])))
        for i, j in enumerate(match(folds[-1][0]).partner):
            if y[part, j].std() > 0:
                (va, c), (_, vb) = np.cov(X[part, i], y[part, j], bias=True)
                sums[:, i] += len(part) * np.array([c, va, vb])
    expected = sums[0] / np.sqrt(sums[1] * sums[2])
    np.testing.assert_allclose(held_out_scores(iter(folds), match), expected, atol=1e-12)


def test_held_out_scores_of_noise_are_near_zero_where_fitted_ones_are_not() -> None:
    x, y = RNG.normal(size=(100, 30)), RNG.normal(size=(100, 30))
    first, second = (PairMoments.from_samples(x[s], y[s]) for s in (slice(50), slice(50, 100)))
    held_out = held_out_scores([(first, second), (second, first)], match_best)
    assert match_best(first).mean > 0.2
    assert abs(held_out.mean()) < 0.1


def test_held_out_scores_of_dead_units_and_of_no_folds() -> None:
    x = X.copy()
    x[:, 0] = 1
    pair = PairMoments.from_samples(x, X)
    scores = held_out_scores([(pair, pair)], match_best)
    assert np.isnan(scores[0])
    np.testing.assert_allclose(scores[1:], 1)
    with pytest.raises(InvalidArgumentError, match=r"Asked for scores on held-out folds\. Found no folds"):
        held_out_scores([], match_best)


def test_overlap_is_of_the_same_layers() -> None:
    one = match_best(PairMoments.from_samples(X, X))
    for y, b in ((X, "c"), (X, "b")):
        other = match_one_to_one(PairMoments.from_samples(X if b == "c" else X[:, :5], y, b=b))
        with pytest.raises(
            MismatchError, match=r"Asked for the overlap of two matchings\. Found 'a' with 'b' \(6 units\)"
        ):
            overlap(one, other)


def test_share_below_counts_units_without_partner() -> None:
    found = match_one_to_one(of_correlations([[0.9, 0.0], [0.0, 0.5], [0.1, 0.1], [0.4, 0.4]]))
    assert found.share_below(0.5) == 0.5
    assert found.share_below(0.95) == 1


def test_aligned_columns_have_the_matches_on_the_diagonal() -> None:
    pair = PairMoments.from_samples(X, X[:, [3, 0, 5, 1]])
    found, between = match_one_to_one(pair), correlation(pair).between
    aligned = found.align(between)
    assert aligned.shape == (6, 6)
    np.testing.assert_array_equal(aligned.diagonal(), found.score)
    assert np.isnan(aligned[:, [2, 4]]).all()


@given(st.permutations(range(7)))
def test_cycles_put_matches_just_above_the_diagonal(order: list[int]) -> None:
    between = np.zeros((7, 7))
    between[np.arange(7), order] = 0.9
    found = match_one_to_one(of_correlations(between.tolist()))
    cycle = found.cycle_order()
    assert sorted(cycle) == list(range(7))
    permuted = between[cycle][:, cycle]
    follows = found.partner[cycle[:-1]] == cycle[1:]
    np.testing.assert_array_equal(permuted.diagonal(1) == 0.9, follows)
    # A walk ends only where it closes: at a unit it has visited.
    for place in np.flatnonzero(~follows):
        assert found.partner[cycle[place]] in cycle[: place + 1]
        assert cycle[place + 1] == min(set(range(7)) - set(cycle[: place + 1].tolist()))


def test_cycles_pass_over_units_without_partner() -> None:
    x = X.copy()
    x[:, 2] = 0
    assert sorted(match_one_to_one(PairMoments.from_samples(x, x)).cycle_order()) == list(range(6))


@pytest.mark.parametrize("between", [[[0.9, 0.8], [0.8, 0.1]], [[0.9, 0.1, 0.1], [0.1, 0.9, 0.1]]])
def test_cycles_need_one_to_one(between: list[list[float]]) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"Cycles exist in a one-to-one matching of equally many units\. Found 2"
    ):
        match_best(of_correlations(between)).cycle_order()


def test_tables_and_read_only_arrays() -> None:
    found = match_best(PairMoments.from_samples(X, X[:, ::-1], a="n1/conv", b="n2/conv"))
    table = found.table()
    assert list(table.columns) == ["a", "unit_a", "b", "partner", "r", "dead", "method"]
    assert table.partner.tolist() == [5, 4, 3, 2, 1, 0]
    assert table.iloc[0].tolist()[:4] == ["n1/conv", 0, "n2/conv", 5]
    for array in (found.partner, found.score, found.alive_a):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
