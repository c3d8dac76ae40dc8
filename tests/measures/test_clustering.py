"""Clusters of units: planted subspaces in two and three nets, hierarchy, baselines, angles, stability, conv1."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles as angles_of_spans
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from convergent.errors import InvalidArgumentError, MismatchError
from convergent.measures.clustering import DEAD, ISOLATED, UnitClusters, cluster_units, stability
from convergent.measures.subspace_angles import subspace_angles
from convergent.solvers.spectral import by_first_appearance
from convergent.statistics import JointMoments, PairMoments

MATRICES = Path(__file__).parents[3] / "shared" / "li2016" / "conv1_correlations.npz"
N = 600


def planted(
    nets: str = "ab",
    *,
    groups: int = 5,
    units: int = 6,
    latents: int = 3,
    noise: float = 0.05,
    rotated: bool = False,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Samples by net, and the group of each unit.

    Each group has latents of its own; in each net its units are a random mixture of them with positive weights (or
    a random rotation of as many latents as units), in mixed order.
    """
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(groups, N, units if rotated else latents))
    truth = {net: rng.permutation(np.repeat(np.arange(groups), units)) for net in nets}
    samples = {}
    for net in nets:
        columns = np.zeros((N, groups * units))
        for group in range(groups):
            mixing = rng.normal(size=(hidden.shape[2], units))
            mixing = np.linalg.qr(mixing)[0] if rotated else np.abs(mixing)
            columns[:, truth[net] == group] = hidden[group] @ mixing
        samples[net] = columns + noise * rng.normal(size=columns.shape)
    return samples, np.concatenate(list(truth.values()))


def clustered(**options: Any) -> UnitClusters:
    return cluster_units(JointMoments.from_samples(planted()[0]), **options)


@pytest.mark.parametrize("nets", ["ab", "abc", "abcd", "a"])
@pytest.mark.parametrize("seed", range(3))
def test_planted_subspaces_are_found(nets: str, seed: int) -> None:
    samples, truth = planted(nets, seed=seed)
    for k, max_leaf in ((None, None), (5, None), (2, 6)):
        found = cluster_units(JointMoments.from_samples(samples), k=k, max_leaf=max_leaf)
        assert adjusted_rand_score(truth, found.labels) >= 0.95
        assert not found.isolated.any()
        assert found.n_several == (found.n_clusters if len(nets) > 1 else 0)
    assert (found.eigenvalues[:5] < 0.3).all()


@pytest.mark.parametrize("nets", ["ab", "abc"])
def test_rotated_subspaces_are_found_by_correlations_of_either_sign(nets: str) -> None:
    samples, truth = planted(nets, rotated=True)
    joint = JointMoments.from_samples(samples)
    found = cluster_units(joint, edges="absolute")
    assert adjusted_rand_score(truth, found.labels) >= 0.95
    angles = subspace_angles(found)
    assert (angles.mean_angle < 10).all()
    assert angles.random_mean > 60
    # Within nets these units are uncorrelated: only the other nets tell what belongs together.
    alone = cluster_units(JointMoments.from_samples({"a": samples["a"]}), edges="absolute")
    assert alone.isolated.all()


def test_scikit_learn_finds_the_same() -> None:
    joint = JointMoments.from_samples(planted()[0])
    graph = np.maximum(joint.correlation(), 0) - np.eye(60)  # connected, as its eigen-solver wants it
    peer = SpectralClustering(5, affinity="precomputed", random_state=0).fit_predict(graph)
    np.testing.assert_array_equal(
        cluster_units(joint, threshold=0.0, k=5).labels, by_first_appearance(peer.astype(np.int64))
    )


def test_within_a_cluster_angles_are_small_and_between_random_groups_large() -> None:
    joint = JointMoments.from_samples(planted(groups=10, noise=0.01)[0])
    found = subspace_angles(cluster_units(joint, k=10), floor=0.001)
    assert (found.mean_angle < 10).all()
    assert (found.random > 30).all()
    assert (found.ranks == 3).all()
    assert found.mean < 5 < 55 < found.random_mean
    table = found.table()
    assert list(table.columns[:5]) == ["cluster", "a", "b", "n_units_a", "n_units_b"]
    assert (table.n_units_a == 6).all()
    assert (table.random_lowest <= table.random_mean).all()


def test_without_noise_angles_vanish() -> None:
    joint = JointMoments.from_samples(planted("abc", noise=0)[0])
    found = subspace_angles(cluster_units(joint, k=5), n_random=2)
    assert len(found.mean_angle) == 5 * 3
    assert sorted(set(zip(found.table().a, found.table().b, strict=True))) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (found.mean_angle < 1e-3).all()
    assert (found.ranks == 3).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_angles_are_scipys_between_the_samples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(80, 1))
    samples = {net: 2 * shared + rng.normal(size=(80, n)) for net, n in (("a", 4), ("b", 3))}
    found = subspace_angles(cluster_units(JointMoments.from_samples(samples), threshold=0.0, k=1), n_random=3)
    centred = [values - values.mean(0) for values in samples.values()]
    expected = np.degrees(angles_of_spans(*centred).mean())
    assert found.mean_angle == pytest.approx([expected], abs=1e-4)
    np.testing.assert_allclose(found.random, expected, atol=1e-4)  # all there is: every draw is the same set
    assert found.ranks.tolist() == [[4, 3]]


def test_angles_do_not_change_under_mixing_of_members_and_do_under_mixing_across() -> None:
    samples, truth = planted(noise=0.3)
    joint = JointMoments.from_samples(samples)
    clusters = cluster_units(joint, k=5)
    expected = subspace_angles(clusters, floor=1e-9).mean_angle
    rng = np.random.default_rng(3)
    mixed = samples["b"].copy()
    for label in range(5):
        members = clusters.labels[30:] == label
        mixed[:, members] = mixed[:, members] @ rng.normal(size=(6, 6))
    within = JointMoments.from_samples({"a": samples["a"] * 3 - 1, "b": mixed})
    across = JointMoments.from_samples({"a": samples["a"], "b": samples["b"] @ rng.normal(size=(30, 30))})

    def moved(moments: JointMoments) -> np.ndarray:
        same = UnitClusters(moments, clusters.labels, clusters.tree, clusters.eigenvalues, 0.2, "positive", None)
        return subspace_angles(same, floor=1e-9).mean_angle

    np.testing.assert_allclose(moved(within), expected, atol=1e-4)
    assert (moved(across) - expected > 20).all()
    assert truth.shape == clusters.labels.shape


@settings(max_examples=15)
@given(st.permutations(range(60)), st.integers(0, 2**32 - 1))
def test_scale_shift_and_order_of_units_do_not_matter(order: list[int], seed: int) -> None:
    samples = np.hstack(list(planted(noise=1)[0].values()))
    expected = cluster_units(JointMoments.from_samples({"a": samples}), k=7, max_leaf=8)
    rng = np.random.default_rng(seed)
    moved = samples[:, order] * rng.uniform(0.1, 10, size=60) + rng.normal(size=60)
    found = cluster_units(JointMoments.from_samples({"a": moved}), k=7, max_leaf=8)
    assert adjusted_rand_score(expected.labels[order], found.labels) == 1
    np.testing.assert_allclose(found.eigenvalues, expected.eigenvalues, atol=1e-9)
    np.testing.assert_allclose(
        np.sort(found.similarities().within), np.sort(expected.similarities().within), atol=1e-9
    )


def test_negation_and_rotation_of_units_matter() -> None:
    samples, truth = planted(latents=1, units=4)
    expected = cluster_units(JointMoments.from_samples({net: x.copy() for net, x in samples.items()})).labels
    signs = np.random.default_rng(1).choice([-1, 1], size=20)
    negated = cluster_units(JointMoments.from_samples(samples | {"a": samples["a"] * signs})).labels
    turned = samples["a"] @ np.linalg.qr(np.random.default_rng(2).normal(size=(20, 20)))[0]
    rotated = cluster_units(JointMoments.from_samples(samples | {"a": turned})).labels
    assert adjusted_rand_score(expected, negated) < 0.9
    assert adjusted_rand_score(truth, rotated) < 0.9


def test_same_seed_same_clusters_from_a_pair_or_joint_moments() -> None:
    samples = planted(noise=1)[0]
    pair = PairMoments.from_samples(samples["a"], samples["b"])
    first, second = cluster_units(pair, k=9, seed=4), cluster_units(JointMoments.from_pair(pair), k=9, seed=4)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.eigenvalues, second.eigenvalues)


def test_dead_and_isolated_units_are_set_apart() -> None:
    samples, truth = planted()
    lonely = np.random.default_rng(9).normal(size=(N, 1))
    samples["a"] = np.hstack([samples["a"], np.full((N, 1), 3.0), lonely])
    found = cluster_units(JointMoments.from_samples(samples))
    assert found.labels[30:32].tolist() == [DEAD, ISOLATED]
    assert np.flatnonzero(found.dead).tolist() == [30]
    assert np.flatnonzero(found.isolated).tolist() == [31]
    assert adjusted_rand_score(truth, np.delete(found.labels, [30, 31])) == 1
    assert found.table().n_units.sum() == 60
    table = found.unit_table()
    assert table.iloc[30].tolist() == ["a", 30, DEAD]
    assert table.iloc[32].tolist() == ["b", 0, found.labels[32]]
    for labels in found.shuffles(0, n=3, keep_nets=False):
        assert labels[30:32].tolist() == [DEAD, ISOLATED]
    assert np.isfinite(subspace_angles(found, floor=0.01).random).all()


@pytest.mark.parametrize("k", [None, 40])
def test_a_threshold_above_all_correlations_isolates_all(k: int | None) -> None:
    found = clustered(threshold=0.9999, k=k)
    assert found.isolated.all()
    assert (found.n_clusters, found.n_several, found.tree, len(found.eigenvalues)) == (0, 0, (), 0)
    assert len(found.table()) == 0
    assert all(len(draw.between) == 0 for draw in found.baseline(0))
    angles = subspace_angles(found)
    assert len(angles.table()) == 0
    assert np.isnan([angles.mean, angles.random_mean]).all()
    dead = cluster_units(JointMoments.from_samples({"a": np.ones((5, 3))}))
    assert (dead.labels == DEAD).all()


@pytest.mark.parametrize("max_leaf", [1, 2, 3, 6, 30])
@pytest.mark.parametrize("branching", [2, 3])
@pytest.mark.parametrize("k", [None, 1, 2])
def test_splits_reach_the_leaf_size_and_form_a_tree(max_leaf: int, branching: int, k: int | None) -> None:
    found = clustered(max_leaf=max_leaf, branching=branching, k=k)
    sizes = np.bincount(found.labels)
    assert sizes.max() <= 2 * max_leaf
    leaves = [node for node in found.tree if node.label is not None]
    assert [node.label for node in leaves] == list(range(found.n_clusters))
    for node in leaves:
        np.testing.assert_array_equal(node.units, np.flatnonzero(found.labels == node.label))
    for position, node in enumerate(found.tree):
        parts = [child.units for child in found.tree if child.parent == position]
        assert (len(parts) == 0) == (node.label is not None)
        if parts:
            np.testing.assert_array_equal(np.sort(np.concatenate(parts)), node.units)
        assert node.parent is None or node.parent < position
    assert found.tree[0].parent is None
    assert len(found.tree[0].units) == 60
    assert sum(node.parent is None for node in found.tree) == 1


def test_units_that_lose_all_neighbours_in_a_cut_are_clusters_of_their_own() -> None:
    """0-1-2-3 tie closely, 4 hangs on 5 only, and the first cut is told to part them elsewhere."""
    r = np.eye(7)
    for i, j, weight in ((0, 1, 0.9), (1, 2, 0.9), (0, 2, 0.9), (3, 4, 0.3), (5, 6, 0.9)):
        r[i, j] = r[j, i] = weight
    found = cluster_units(JointMoments.from_correlation(r, sizes={"a": 7}), k=1, max_leaf=2)
    assert found.labels.tolist()[3] == found.labels.tolist()[4]
    tied = r.copy()
    tied[2, 3] = tied[3, 2] = tied[2, 5] = tied[5, 2] = 0.21
    found = cluster_units(JointMoments.from_correlation(tied, sizes={"a": 7}), k=1, max_leaf=1)
    assert sorted(np.bincount(found.labels).tolist()) == [1] * 7


def slow_similarities(found: UnitClusters, label: int) -> tuple[float, float, float]:
    """By loops over single pairs of units, from the definition."""
    r, nets = found.joint.correlation(), found.joint.layer_of
    members = {i: [u for u in np.flatnonzero(found.labels == label) if nets[u] == i] for i in range(3)}
    between = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        values = [r[p, q] for p in members[i] for q in members[j]]
        between.append(np.mean(values) if values else 0)
    within = [np.mean([r[p, q] for p in m for q in m]) for m in members.values() if m]
    others = [np.mean([r[p, q] for p in m for q in m if p != q]) for m in members.values() if len(m) > 1]
    return float(np.mean(between)), float(np.mean(within)), float(np.mean(others)) if others else float("nan")


def test_similarities_and_table_by_their_definition() -> None:
    samples, _ = planted("abc", noise=1, units=3)
    samples["c"] = samples["c"][:, :7]
    found = cluster_units(JointMoments.from_samples(samples), k=9)
    table = found.table()
    slow = np.array([slow_similarities(found, label) for label in range(9)])
    np.testing.assert_allclose(table[["between", "within", "within_others"]], slow, atol=1e-12)
    for label, row in table.iterrows():
        members = np.bincount(found.joint.layer_of[found.labels == label], minlength=3)
        assert row[["n_units a", "n_units b", "n_units c"]].tolist() == members.tolist()
        assert row[["share a", "share b", "share c"]].tolist() == (members / members.sum()).tolist()
        assert row.n_units == members.sum()
        assert row.n_nets == (members > 0).sum()
    assert found.n_several == (table.n_nets > 1).sum()


def test_clusters_of_one_net_have_no_similarity_between_nets() -> None:
    z = np.random.default_rng(0).normal(size=(N, 2))
    samples = {"a": z[:, [0, 0, 1]] + 0.1 * np.random.default_rng(1).normal(size=(N, 3)), "b": z[:, [1]]}
    table = cluster_units(JointMoments.from_samples(samples)).table()
    assert table.n_nets.tolist() == [1, 2]
    assert table.between[0] == 0
    assert table.between[1] > 0.9
    assert table.within[1] == pytest.approx(1)
    assert np.isnan(table.within_others[1])


@pytest.mark.parametrize("keep_nets", [True, False])
def test_random_groups_keep_sizes_and_lose_similarity(keep_nets: bool) -> None:
    found = clustered(k=8, max_leaf=4)
    real = found.similarities()
    draws = found.baseline(0, n=30, keep_nets=keep_nets)
    for draw in draws:
        np.testing.assert_array_equal(draw.n_units.sum(1), real.n_units.sum(1))
    same = [np.array_equal(draw.n_units, real.n_units) for draw in draws]
    assert all(same) if keep_nets else not any(same)
    assert real.between.mean() > max(draw.between.mean() for draw in draws)
    r = found.joint.correlation()
    assert np.mean([draw.between.mean() for draw in draws]) == pytest.approx(r[:30, 30:].mean(), abs=0.02)
    again = found.baseline(0, n=30, keep_nets=keep_nets)
    np.testing.assert_array_equal(draws[3].between, again[3].between)
    assert any((draws[3].between != draw.between).any() for draw in found.baseline(1, n=1, keep_nets=keep_nets))


def slow_adjusted_rand(x: np.ndarray, y: np.ndarray) -> float:
    """Hubert and Arabie's index by counting pairs of units."""
    i, j = np.triu_indices(len(x), 1)
    same_x, same_y = x[i] == x[j], y[i] == y[j]
    both, expected = (same_x & same_y).sum(), same_x.sum() * same_y.sum() / len(i)
    return float((both - expected) / ((same_x.sum() + same_y.sum()) / 2 - expected))


def halves(noise: float, seed: int = 0) -> tuple[JointMoments, JointMoments]:
    samples, _ = planted(noise=noise, seed=seed)
    a, b = ({net: x[part] for net, x in samples.items()} for part in (slice(0, N // 2), slice(N // 2, N)))
    return JointMoments.from_samples(a), JointMoments.from_samples(b)


def test_stability_is_the_agreement_of_the_halves() -> None:
    assert stability(*halves(0.05), k=5) == 1
    a, b = halves(1.5)
    labels = [cluster_units(half, k=12, max_leaf=3).labels for half in (a, b)]
    assert min(label.min() for label in labels) >= 0
    assert stability(a, b, k=12, max_leaf=3) == pytest.approx(slow_adjusted_rand(*labels))
    unrelated = JointMoments.from_samples(planted(seed=5)[0])
    assert abs(stability(a, unrelated, k=5)) < 0.1


def test_in_stability_isolated_units_are_alone_and_dead_ones_do_not_count() -> None:
    r = np.eye(6)
    r[0, 1] = r[1, 0] = r[2, 3] = r[3, 2] = 0.5
    a = JointMoments.from_correlation(r, sizes={"a": 6})
    r = r.copy()
    r[2, 3] = r[3, 2] = 0
    r[5] = r[:, 5] = np.nan
    b = JointMoments.from_correlation(r, sizes={"a": 6})
    expected = slow_adjusted_rand(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 2, 3]))
    assert stability(a, b) == pytest.approx(expected)
    assert np.isnan(stability(a, b, threshold=0.6))


def test_halves_of_other_layers_are_refused() -> None:
    a, _ = halves(0.1)
    other = JointMoments.from_samples({"a": np.eye(5), "c": np.eye(5)})
    text = "Found ['a', 'b'] of [30, 30] units against ['a', 'c'] of [5, 5]. Give moments of the same layers"
    with pytest.raises(MismatchError, match=re.escape(text)):
        stability(a, other)
    with pytest.raises(MismatchError, match=re.escape(text)):
        cluster_units(a).scored_on(other)


def test_clusters_found_on_one_half_are_scored_on_the_other() -> None:
    a, b = halves(0.5)
    found = cluster_units(a, k=12)
    moved = found.scored_on(b)
    np.testing.assert_array_equal(moved.labels, found.labels)
    assert (moved.n_clusters, moved.tree) == (found.n_clusters, found.tree)
    r, label = b.correlation(), int(np.argmax(found.similarities().between))
    of_a, of_b = (np.flatnonzero((found.labels == label) & (b.layer_of == net)) for net in (0, 1))
    assert moved.similarities().between[label] == pytest.approx(r[np.ix_(of_a, of_b)].mean())
    assert subspace_angles(moved).mean > subspace_angles(found).mean - 1


def test_units_that_are_dead_in_the_other_half_leave_their_cluster() -> None:
    z = np.random.default_rng(0).normal(size=(N, 2))
    found = cluster_units(JointMoments.from_samples({"a": z[:, [0, 1]], "b": z[:, [0, 1]]}))
    other = z[::-1].copy()
    other[:, 1] = 3
    moved = found.scored_on(PairMoments.from_samples(other, other))
    assert moved.labels.tolist() == [0, DEAD, 0, DEAD]
    table = moved.table()
    assert table.n_units.tolist() == [2, 0]
    assert np.isnan(table[["share a", "share b", "within", "within_others"]].iloc[1].to_list()).all()
    assert table.between.tolist() == pytest.approx([1, 0])
    assert subspace_angles(moved).cluster.tolist() == [0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threshold": -0.1}, "correlations above a threshold in [0, 1). Found -0.1. The paper uses 0.2"),
        ({"threshold": 1.0}, "correlations above a threshold in [0, 1). Found 1.0"),
        ({"threshold": float("nan")}, "correlations above a threshold in [0, 1). Found nan"),
        ({"k": 0}, "Asked for 0 clusters. 60 units have a correlation above 0.2. Give a whole number k between 1"),
        ({"k": 61}, "Asked for 61 clusters. 60 units have"),
        ({"max_leaf": 0}, "Clusters are split down to max_leaf units per net. Found 0. Give 1 or more"),
        ({"branching": 1}, "A split makes two parts or more. Found branching=1. Give 2 or more"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        clustered(**options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_random": 0}, "Angles stand beside those of random groups. Found n_random=0. Draw at least one"),
        ({"floor": 0.0}, "The noise floor is a share of the largest variance, between 0 and 1. Found 0.0"),
        ({"floor": 1.0}, "The noise floor is a share of the largest variance, between 0 and 1. Found 1.0"),
    ],
)
def test_options_of_angles_out_of_range(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        subspace_angles(clustered(), **options)


def test_more_units_than_samples_have_no_angles() -> None:
    x = np.random.default_rng(0).normal(size=(10, 1)) + 0.1 * np.random.default_rng(1).normal(size=(10, 10))
    clusters = cluster_units(JointMoments.from_samples({"a": x[:, :5], "b": x[:, 5:]}), k=1)
    text = "Found 10 units and 10 samples: any such spans meet. Take in more inputs, or split the clusters"
    with pytest.raises(InvalidArgumentError, match=re.escape(text)):
        subspace_angles(clusters)


def test_arrays_cannot_be_written() -> None:
    found = clustered()
    similarities, angles = found.similarities(), subspace_angles(found, n_random=1)
    for array in (found.labels, found.eigenvalues, similarities.between, angles.mean_angle, found.tree[0].units):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_published_conv1() -> None:
    """The paper has 43 clusters in conv1, from k = 40; its largest leaf there is not known."""
    if not MATRICES.exists():
        pytest.skip("the digitised matrices (../shared/li2016) are not beside this checkout")
    with np.load(MATRICES) as file:
        within = [-0.55 + 1.55 * file[f"within{i}_gray01"] for i in (0, 1)]
        for matrix in within:
            np.fill_diagonal(matrix, 1)
        pair = PairMoments.from_correlation(within[0], within[1], file["between_01"])
    found = cluster_units(pair, k=40, max_leaf=10)
    assert found.isolated.sum() == 1
    assert 40 <= found.n_clusters <= 48
    assert found.n_several >= 0.75 * found.n_clusters
    similarities, draws = found.similarities(), found.baseline(0, n=20)
    assert similarities.between.mean() > 0.3
    assert max(draw.between.mean() for draw in draws) < 0.15
    several = similarities.between > 0
    assert (similarities.within >= similarities.between)[several].mean() > 0.9
    angles = subspace_angles(found, floor=0.01)
    assert angles.mean < 60 < 70 < angles.random_mean


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.3])
def test_shared_variance_tells_a_shared_subspace_under_noise_where_angles_do_not(noise: float) -> None:
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(5000, 5, 2))

    def members(c: int) -> np.ndarray:
        return latent[:, c] @ rng.uniform(0.5, 1, (2, 4)) + noise * rng.normal(size=(5000, 4))

    samples = {net: np.concatenate([members(c) for c in range(5)], axis=1) for net in "ab"}
    found = subspace_angles(cluster_units(JointMoments.from_samples(samples)))
    assert len(found.cluster) == 5
    assert (found.shared > 0.85).all()
    assert found.random_shared.mean() < 0.7
    assert found.mean > 40


def test_shared_variance_is_that_of_least_squares_both_ways() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(400, 2))
    found = subspace_angles(cluster_units(JointMoments.from_samples({"a": x, "b": y}), threshold=0.0, k=1))
    explained = [
        1 - (target - source @ np.linalg.lstsq(source, target, rcond=None)[0]).var(axis=0) / target.var(axis=0)
        for source, target in ((y - y.mean(0), x - x.mean(0)), (x - x.mean(0), y - y.mean(0)))
    ]
    assert found.shared[0] == pytest.approx(np.concatenate(explained).mean(), abs=1e-9)
