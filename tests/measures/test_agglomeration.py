"""Agglomeration of a map: average linkage by a slow loop, planted subspaces, what is true by construction."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster
from sklearn.cluster import AgglomerativeClustering
from sklearn.linear_model import Lasso
from sklearn.metrics import adjusted_rand_score

from convergent.errors import InvalidArgumentError
from convergent.measures import correlation
from convergent.measures.agglomeration import Agglomeration, agglomerate_map
from convergent.measures.sparse_map import sparse_map
from convergent.statistics import PairMoments

MATRICES = Path(__file__).parents[3] / "shared" / "li2016" / "conv1_correlations.npz"


def slow_average_linkage(matrix: np.ndarray) -> tuple[list[frozenset[int]], list[float]]:
    """Merge the two sets with the largest mean over their pairs, until one is left: what each merge makes."""
    sets = [frozenset([i]) for i in range(len(matrix))]
    made, heights = [], []
    while len(sets) > 1:
        pairs = [
            (matrix[np.ix_(list(x), list(y))].mean(), x, y) for x in sets for y in sets if x < y or x is not y
        ]
        height, x, y = max(pairs, key=lambda pair: pair[0])
        sets = [s for s in sets if s not in (x, y)] + [x | y]
        made.append(x | y)
        heights.append(float(height))
    return made, heights


def weights_of(n_b: int, n_a: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_b, n_a)) * 0.5


def within_of(n: int, seed: int) -> np.ndarray:
    return np.atleast_2d(np.corrcoef(np.random.default_rng(seed).normal(size=(n, 7))))


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_merges_are_those_of_a_slow_loop(n_a: int, n_b: int, seed: int) -> None:
    tree = agglomerate_map(
        weights_of(n_b, n_a, seed), within_a=within_of(n_a, seed), within_b=within_of(n_b, seed + 1)
    )
    made, heights = slow_average_linkage(tree.matrix)
    assert [frozenset(tree.members(merge).tolist()) for merge in range(len(made))] == made
    np.testing.assert_allclose(tree.heights, heights, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_heights_of_a_map_alone_are_those_of_a_slow_loop(seed: int) -> None:
    """Zeros within the nets are ties, so only the merges above zero are told apart."""
    tree = agglomerate_map(np.abs(weights_of(4, 5, seed)))
    made, heights = slow_average_linkage(tree.matrix)
    np.testing.assert_allclose(tree.heights, heights, atol=1e-12)
    assert [frozenset(tree.members(merge).tolist()) for merge in range(8)] == made


def test_scikit_learn_cuts_the_same_groups() -> None:
    tree = agglomerate_map(weights_of(9, 12, 0), within_a=within_of(12, 1), within_b=within_of(9, 2))
    for k in (2, 5, 9):
        peer = AgglomerativeClustering(k, metric="precomputed", linkage="average").fit_predict(3 - tree.matrix)
        assert adjusted_rand_score(peer, fcluster(tree.linkage, k, "maxclust")) == 1


def test_the_matrix_has_a_first_and_targets_in_rows() -> None:
    weights = weights_of(2, 3, 0)
    tree = agglomerate_map(weights, a="n/conv", b="m/conv")
    np.testing.assert_array_equal(tree.matrix[3:, :3], weights)
    np.testing.assert_array_equal(tree.matrix[:3, 3:], weights.T)
    np.testing.assert_array_equal(tree.matrix[:3, :3], np.eye(3))
    assert tree.sides.tolist() == [0, 0, 0, 1, 1]
    assert tree.units.tolist() == [0, 1, 2, 0, 1]
    assert (tree.a, tree.b, tree.with_within) == ("n/conv", "m/conv", False)


def planted(noise: float = 0.2) -> tuple[PairMoments, np.ndarray]:
    """Four subspaces of two latents, two units of each net in each, and the subspace of each unit."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(500, 8))
    sides, truth = [], []
    for turn in (0.0, 0.5):
        group = rng.permutation(np.repeat(np.arange(4), 2))
        columns = np.zeros((500, 8))
        for one in range(4):
            angle = turn * rng.uniform(0.9, 1.1)
            mixing = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            columns[:, group == one] = hidden[:, 2 * one : 2 * one + 2] @ mixing
        sides.append(columns + noise * rng.normal(size=columns.shape))
        truth.append(group)
    return PairMoments.from_samples(*sides, a="n/conv", b="m/conv"), np.concatenate(truth)


def squares(tree: Agglomeration) -> list[int]:
    """Merges that make a set of two units of each net, similar by more than 0.15 to each other."""
    table = tree.table()
    return table[(table.n_units_a == 2) & (table.n_units_b == 2) & (table.height > 0.15)]["merge"].tolist()


def test_planted_subspaces_are_found_from_a_sparse_map() -> None:
    pair, truth = planted()
    found = sparse_map(pair, penalties=[0.3, 0.05])
    tree = agglomerate_map(found, penalty=0.05)
    assert (tree.a, tree.b) == ("n/conv", "m/conv")
    np.testing.assert_array_equal(tree.matrix[8:, :8], found.weights[1])
    assert adjusted_rand_score(truth, fcluster(tree.linkage, 1 - 0.02, "distance")) == 1
    fours = squares(tree)
    assert len(fours) == 4
    for merge in fours:
        assert len(set(truth[tree.members(merge)].tolist())) == 1
    # Chance has fewer such groups, though each unit keeps its weights.
    assert max(len(squares(tree.shuffled(seed))) for seed in range(10)) < 4
    alone = sparse_map(pair, penalties=[0.05])
    np.testing.assert_allclose(agglomerate_map(alone).heights, tree.heights, atol=1e-5)


def test_cross_pairs_are_true_by_construction_without_correlations_within() -> None:
    """Even of weights that say nothing; with correlations within the nets, pairing across them must be earned."""
    noise = np.abs(weights_of(20, 20, 3)) / 4
    bare = agglomerate_map(noise)
    assert bare.n_cross_leaf_merges == bare.n_leaf_merges > 10
    x = np.random.default_rng(0).normal(size=(300, 10))
    y = np.random.default_rng(1).normal(size=(300, 10))
    x, y = np.hstack([x, x + 0.3 * y]), np.hstack([y, y + 0.3 * x])  # twins within each net
    found = correlation(PairMoments.from_samples(x, y))
    fair = agglomerate_map(found.between.T, within_a=found.within_a, within_b=found.within_b)
    assert fair.with_within
    assert fair.n_cross_leaf_merges < fair.n_leaf_merges
    z = x + 0.05 * np.random.default_rng(2).normal(size=x.shape)
    copy = correlation(PairMoments.from_samples(x, z))
    earned = agglomerate_map(copy.between.T, within_a=copy.within_a, within_b=copy.within_b)
    assert earned.n_cross_leaf_merges == earned.n_leaf_merges == 20
    assert earned.shuffled(0).n_cross_leaf_merges < 20


def test_a_shuffle_keeps_the_weights_of_each_target() -> None:
    tree = agglomerate_map(weights_of(6, 9, 0), within_a=within_of(9, 1), within_b=within_of(6, 2))
    other = tree.shuffled(4)
    assert (other.matrix[9:, :9] != tree.matrix[9:, :9]).any()
    np.testing.assert_array_equal(np.sort(other.matrix[9:, :9]), np.sort(tree.matrix[9:, :9]))
    np.testing.assert_allclose(other.matrix, other.matrix.T, atol=1e-15)
    for block in (slice(0, 9), slice(9, 15)):
        np.testing.assert_array_equal(other.matrix[block, block], tree.matrix[block, block])
    np.testing.assert_array_equal(other.matrix, tree.shuffled(4).matrix)
    assert (other.matrix != tree.shuffled(5).matrix).any()
    expected = slow_average_linkage(other.matrix)[1]
    np.testing.assert_allclose(other.heights, expected, atol=1e-12)
    assert (other.a, other.with_within, other.units.tolist()) == ("a", True, tree.units.tolist())


def test_counts_tables_and_order() -> None:
    tree = agglomerate_map([[0.9, 0.2, 0.0], [0.1, 0.5, 0.4]])
    # Leaves 0 to 2 are of a, 3 and 4 of b; set 5 is {0, 3}, set 6 is {1, 4}, set 7 joins leaf 2 to set 6.
    assert tree.joined.tolist() == [[0, 3], [1, 4], [2, 6], [5, 7]]
    np.testing.assert_allclose(tree.heights, [0.9, 0.5, 0.2, (0.2 + 0.1) / 6])
    assert (tree.n_leaf_merges, tree.n_cross_leaf_merges) == (2, 2)
    assert [tree.n_above(height) for height in (0.95, 0.5, 0.3, 0.19, -1.0)] == [0, 1, 2, 3, 4]
    table = tree.table()
    assert table.n_units_a.tolist() == [1, 1, 2, 3]
    assert table.n_units_b.tolist() == [1, 1, 1, 2]
    assert table.of_two_units.tolist() == [True, True, False, False]
    assert tree.order.tolist() == tree.members(3).tolist() == [0, 3, 2, 1, 4]
    np.testing.assert_array_equal(tree.permuted(), tree.matrix[tree.order][:, tree.order])
    leaves = tree.leaf_table()
    assert leaves.layer.tolist() == ["a", "a", "a", "b", "b"]
    assert leaves.unit.tolist() == [0, 1, 2, 0, 1]
    assert leaves.place.tolist() == [0, 3, 2, 1, 4]
    assert tree.linkage[:, 2] == pytest.approx(1 - tree.heights)
    assert tree.linkage[:, 3].tolist() == [2, 2, 3, 5]


def test_weights_above_one_are_no_trouble() -> None:
    tree = agglomerate_map([[3.0, 0.0], [0.0, -2.0]])
    np.testing.assert_allclose(tree.heights, slow_average_linkage(tree.matrix)[1])
    assert tree.heights[0] == 3
    assert (tree.linkage[:, 2] >= 0).all()


@settings(max_examples=20)
@given(st.permutations(range(5)), st.permutations(range(4)))
def test_order_of_units_and_of_nets_does_not_matter(p: list[int], q: list[int]) -> None:
    weights, within_a, within_b = weights_of(4, 5, 0), within_of(5, 1), within_of(4, 2)
    expected = agglomerate_map(weights, within_a=within_a, within_b=within_b)
    moved = agglomerate_map(
        weights[np.ix_(q, p)], within_a=within_a[np.ix_(p, p)], within_b=within_b[np.ix_(q, q)]
    )
    np.testing.assert_allclose(moved.heights, expected.heights, atol=1e-12)

    def named(tree: Agglomeration, names: list[str]) -> list[set[str]]:
        return [{names[leaf] for leaf in tree.members(merge)} for merge in range(len(tree.joined))]

    names = [f"a{i}" for i in range(5)] + [f"b{j}" for j in range(4)]
    shuffled_names = [f"a{i}" for i in p] + [f"b{j}" for j in q]
    assert named(moved, shuffled_names) == named(expected, names)
    exchanged = agglomerate_map(weights.T, within_a=within_b, within_b=within_a)
    np.testing.assert_allclose(exchanged.heights, expected.heights, atol=1e-12)


def test_scale_and_shift_do_not_matter_and_rotation_does() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    y = x + 0.3 * rng.normal(size=(400, 6))

    def heights(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return agglomerate_map(sparse_map(PairMoments.from_samples(x, y), penalties=[0.05])).heights

    expected = heights(x, y)
    np.testing.assert_allclose(heights(x * [1, 9, 0.1, 2, 5, 3] + 4, y * 0.01 - 3), expected, atol=1e-4)
    turned = y @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert np.abs(heights(x, turned)[:6] - expected[:6]).max() > 0.1


def test_dead_units_are_left_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = x[:, ::-1] + 0.1 * rng.normal(size=(200, 4))
    x[:, 1], y[:, 0] = 7, 0
    pair = PairMoments.from_samples(x, y)
    tree = agglomerate_map(sparse_map(pair, penalties=[0.1]))
    assert tree.sides.tolist() == [0, 0, 0, 1, 1, 1]
    assert tree.units.tolist() == [0, 2, 3, 1, 2, 3]
    r = correlation(pair)
    same = agglomerate_map(r.between.T, within_a=r.within_a, within_b=r.within_b)
    assert same.units.tolist() == tree.units.tolist()
    bare = agglomerate_map(r.between.T)
    assert bare.units.tolist() == tree.units.tolist()
    assert np.isfinite(same.heights).all()
    zero = agglomerate_map(np.full((2, 2), 0.5), within_a=np.diag([1.0, 0]), within_b=np.eye(2))
    assert zero.units.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("weights", "options", "text"),
    [
        (np.zeros((2, 3, 4)), {}, "The weights of a map are units_b x units_a. Found shape (2, 3, 4)"),
        (np.zeros(3), {}, "The weights of a map are units_b x units_a. Found shape (3,). Give those at one"),
        (np.eye(2), {"penalty": 0.1}, "Found penalty=0.1 with an array of weights. Leave it out"),
        (np.eye(2), {"within_a": np.eye(2)}, "Found only one of within_a and within_b. Give both"),
        (np.eye(2), {"within_b": np.eye(2)}, "Found only one of within_a and within_b. Give both"),
        (
            np.ones((2, 3)),
            {"within_a": np.eye(2), "within_b": np.eye(2)},
            "fit weights of 2 x 3 (units_b x units_a). Found shapes (2, 2) within a and (2, 2) within b. "
            "Give (3, 3) and (2, 2)",
        ),
        (np.full((1, 5), np.nan), {}, "Merges are of two units or more. Found 0 that are alive"),
        (np.array([[0.1, np.nan], [0.2, 0.3]]), {}, "Found nan between living units 1 and 2, counted through a"),
        (np.array([[0.1, np.inf], [0.2, 0.3]]), {}, "Found inf between living units 1 and 2, counted through a"),
    ],
)
def test_what_cannot_be_agglomerated(weights: np.ndarray, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        agglomerate_map(weights, **options)


@pytest.mark.parametrize(("penalty", "asked"), [(None, "no penalty"), (0.2, "penalty 0.2")])
def test_a_penalty_must_be_one_of_the_map(penalty: float | None, asked: str) -> None:
    found = sparse_map(planted()[0], penalties=[0.3, 0.05])
    text = f"Found {asked} asked for, of 0.3, 0.05. Give one of these"
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        agglomerate_map(found, penalty=penalty)


def test_arrays_cannot_be_written() -> None:
    tree = agglomerate_map(np.eye(3))
    for one in (tree, tree.shuffled(0)):
        for array in (one.matrix, one.joined, one.heights, one.sides, one.units):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_the_published_conv1() -> None:
    """From the released weights: first height .489, 77 of 77 leaf merges across, 113 above .05, 149 above .01.

    Ours are of the exact solution by another solver; the released weights are not converged.
    """
    if not MATRICES.exists():
        pytest.skip("the digitised matrices (../shared/li2016) are not beside this checkout")
    with np.load(MATRICES) as file:
        within = -0.55 + 1.55 * file["within0_gray01"]
        between = file["between_01"]
    np.fill_diagonal(within, 1)
    values, vectors = np.linalg.eigh(within)
    root = vectors * np.sqrt(np.maximum(values, 1e-3)) @ vectors.T
    lasso = Lasso(alpha=96 * 10**-2.6 / 96, fit_intercept=False)  # scikit-learn divides by its 96 rows
    weights = np.array([lasso.fit(root, np.linalg.solve(root, column)).coef_ for column in between.T])
    tree = agglomerate_map(weights)
    assert tree.n_cross_leaf_merges == tree.n_leaf_merges
    assert 65 <= tree.n_leaf_merges <= 85
    assert tree.n_above(0.05) <= tree.n_above(0.01) <= 191
    assert 90 <= tree.n_above(0.05) <= 140
    chance = [tree.shuffled(seed) for seed in range(10)]
    assert all(one.n_cross_leaf_merges == one.n_leaf_merges for one in chance)
    # The number of early merges says little: chance has nearly as many.
    assert np.mean([one.n_above(0.05) for one in chance]) == pytest.approx(tree.n_above(0.05), rel=0.1)
