"""What is handed to the figures is what the measures found, on planted data."""

import numpy as np
import pytest

from convergent.measures.agglomeration import agglomerate_map
from convergent.measures.clustering import cluster_units
from convergent.measures.sparse_map import SparseMap, sparse_map
from convergent.report.drawables import (
    cluster_boxes,
    cluster_splits,
    early_subtrees,
    joint_density,
    targets_at,
)
from convergent.statistics.joint_moments import JointMoments
from convergent.statistics.pair_histograms import PairHistograms
from convergent.statistics.pairs import PairMoments


def a_map(**options: object) -> SparseMap:
    x = np.random.default_rng(0).normal(size=(400, 5))
    y = np.column_stack([x[:, 2], x[:, 0] + x[:, 3], np.zeros(400)])
    pair = PairMoments.from_samples(x, y, a="n/conv", b="m/conv")
    return sparse_map(pair, penalties=[0.3, 0.1, 0.0], **options)  # type: ignore[arg-type]


def test_targets_have_the_contributors_that_were_planted() -> None:
    one, two = targets_at(a_map(), [0, 1], penalty=0.29)
    assert [unit for unit, _ in one.sources] == [2]
    assert [unit for unit, _ in two.sources] == [0, 3]
    assert one.sources[0][1] == pytest.approx(0.7)
    assert one.r2 == pytest.approx(1 - 0.3**2)


def test_early_subtrees_are_the_planted_groups_and_do_not_overlap() -> None:
    weights = np.kron(np.diag([0.6, 0.4, 0.5]), np.ones((2, 2))) + 0.001
    within = np.where(weights > 0.1, 0.3, 0) + 0.7 * np.eye(6)
    found = agglomerate_map(weights, within_a=within, within_b=within)
    first, second = early_subtrees(found)
    assert sorted(zip(first.sides, first.units, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert sorted(zip(second.sides, second.units, strict=True)) == [(0, 4), (0, 5), (1, 4), (1, 5)]
    at = first.sides.index(0), first.sides.index(1)
    assert first.matrix[at] == pytest.approx(0.601)
    assert len(early_subtrees(found, n=9)) == 3
    assert early_subtrees(found, least=5, most=7) == []
    assert len(early_subtrees(found, height=0.36)) == 2
    assert len(early_subtrees(found, height=0.43)) == 1
    eight, four = early_subtrees(found, height=0.0001)
    assert (len(eight.units), len(four.units)) == (8, 4)


def planted() -> JointMoments:
    """Two nets whose units belong to three concepts, and one unit of the second net alone."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 4))
    x = z[:, [0, 0, 1, 2]] + [0.3, 0.9, 0.5, 0.5] * rng.normal(size=(2000, 4))
    y = z[:, [2, 1, 1, 0]] + 0.5 * rng.normal(size=(2000, 4))
    return JointMoments.from_samples({"net1/conv": x, "net2/conv": y})


def test_clusters_are_boxes_of_units_by_net_most_alike_first() -> None:
    found = cluster_units(planted(), k=3)
    boxes = cluster_boxes(found)
    members = [{net: sorted(units) for net, units in box.members.items()} for box in boxes]
    assert {tuple(map(tuple, box.values())) for box in members} == {((0, 1), (3,)), ((2,), (1, 2)), ((3,), (0,))}
    assert all(set(box) == {"net1", "net2"} for box in members)
    between = [box.between for box in boxes]
    assert between == sorted(between, reverse=True)
    np.testing.assert_allclose(sorted(between), sorted(found.similarities().between))


def test_the_most_typical_unit_comes_first() -> None:
    noisy = next(box for box in cluster_boxes(cluster_units(planted(), k=3)) if len(box.members["net1"]) == 2)
    assert noisy.members["net1"] == [0, 1]  # unit 1 has three times the noise of unit 0


def test_layers_of_one_net_keep_their_names_apart() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 2))
    joint = JointMoments.from_samples({"net/conv1": z, "net/conv2": z + 0.1 * rng.normal(size=(300, 2))})
    assert {tuple(box.members) for box in cluster_boxes(cluster_units(joint, k=2))} == {("net/conv1", "net/conv2")}


def test_splits_are_the_tree_of_the_clusters() -> None:
    found = cluster_units(planted(), k=3, max_leaf=1)
    tree = cluster_splits(found)
    assert len(tree) == len(found.tree)
    assert sum(len(units) for units in tree[0].cluster.members.values()) == 8
    for place, split in enumerate(tree):
        assert all(found.tree[child].parent == place for child in split.children)
        assert (not split.children) == (found.tree[place].label is not None)


def test_a_joint_density_has_open_ends_and_only_the_bins_of_its_units() -> None:
    edges = (np.array([0.5, 1.5]), np.array([1.5, 2.5, 3.5]))
    counts = np.zeros((2, 2, 4, 4), dtype=np.int64)
    counts[0, 1, :3] = [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    units = np.array([0, 7])
    pair = PairHistograms("n/conv", "m/conv", units, units, edges, edges, counts, 4, 4)
    found = joint_density(pair, 0, 1, r=0.5, mi=0.2)
    assert found.edges_a.tolist() == [-np.inf, 0.5, 1.5, np.inf]
    assert found.edges_b.tolist() == [-np.inf, 1.5, 2.5, 3.5, np.inf]
    assert found.counts.tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (found.name_a, found.name_b) == ("n/conv[0]", "m/conv[7]")
