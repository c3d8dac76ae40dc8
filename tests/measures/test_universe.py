"""A universe shared by several nets: planted copies, dead units, cycles, and scores on other data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.errors import InvalidArgumentError, MismatchError, UnknownNameError
from convergent.measures import match_one_to_one, match_universe
from convergent.statistics import JointMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 8))


def copies(n_nets: int, *, noise: float, seed: int = 0, x: np.ndarray = X) -> tuple[JointMoments, np.ndarray]:
    """Permuted noisy copies, and which column of x each unit of them is."""
    rng = np.random.default_rng(seed)
    truth = [rng.permutation(x.shape[1]) for _ in range(n_nets)]
    nets = {f"n{i}/conv": (x + noise * rng.normal(size=x.shape))[:, order] for i, order in enumerate(truth)}
    return JointMoments.from_samples(nets), np.concatenate(truth)


def same(labels: np.ndarray) -> np.ndarray:
    return labels[:, None] == labels


def test_permuted_copies_are_one_universe() -> None:
    joint, truth = copies(4, noise=0.5)
    found = match_universe(joint)
    np.testing.assert_array_equal(same(found.element), same(truth))
    assert found.n_elements == 8
    assert found.cycle_consistency == 1
    assert found.mean == pytest.approx(0.8, abs=0.05)
    assert found.objective == pytest.approx(found.pairwise_objective) == pytest.approx(found.mean * 8 * 6)
    table = found.elements_table()
    assert (table["mean_r"].diff()[1:] <= 0).all()
    assert (table["weakest_r"] <= table["mean_r"]).all()
    units = table[[f"unit n{i}/conv" for i in range(4)]].to_numpy()
    np.testing.assert_array_equal(units, found.members)
    for element, row in enumerate(units):
        assert {truth[8 * net + unit] for net, unit in enumerate(row)} == {truth[units[element, 0]]}


def test_what_the_nets_share_is_found_under_noise_that_breaks_plain_cycles() -> None:
    x = np.random.default_rng(5).normal(size=(150, 20))
    joint, truth = copies(6, noise=2.2, x=x)
    found = match_universe(joint)
    agree = (same(found.element) & same(truth)).sum() - len(truth)
    assert found.cycle_consistency < 0.8
    assert agree / (len(truth) * 5) > 0.9  # of all pairs of units that are copies of one
    assert found.objective <= found.pairwise_objective
    assert found.table()["returns"].mean() == pytest.approx(found.cycle_consistency)


def test_matchings_by_the_universe_never_contradict() -> None:
    found = match_universe(copies(4, noise=3)[0])
    ab, bc, ca = (found.matching(f"n{i}/conv", f"n{j}/conv") for i, j in ((0, 1), (1, 2), (2, 0)))
    np.testing.assert_array_equal(ca.partner[bc.partner[ab.partner]], np.arange(8))
    assert ab.method == "universe"
    assert ab.mean <= match_one_to_one(found.joint.pair("n0/conv", "n1/conv")).mean
    with pytest.raises(UnknownNameError, match="n9"):
        found.matching("n0/conv", "n9/conv")


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_two_nets_are_matched_one_to_one(seed: int, n_a: int, n_b: int) -> None:
    rng = np.random.default_rng(seed)
    joint = JointMoments.from_samples({"a/c": rng.normal(size=(30, n_a)), "b/c": rng.normal(size=(30, n_b))})
    found, plain = match_universe(joint), match_one_to_one(joint.pair("a/c", "b/c"))
    np.testing.assert_array_equal(found.matching("a/c", "b/c").partner, plain.partner)
    np.testing.assert_array_equal(found.matching("a/c", "b/c").score, plain.score)
    assert found.objective == pytest.approx(found.pairwise_objective)
    assert np.isnan(found.cycle_consistency)
    assert found.table()["returns"].isna().all()


def test_dead_units_and_narrow_nets_miss_elements() -> None:
    x = X.copy()
    y, z = X[:, [2, 0, 1]], X[:, ::-1].copy()
    x[:, 7], z[:, 0] = 3, 0  # both are the seventh
    found = match_universe(JointMoments.from_samples({"a/c": x, "b/c": y, "c/c": z, "d/c": np.ones((600, 2))}))
    assert found.n_elements == 7
    np.testing.assert_array_equal((found.members >= 0).sum(axis=1), [3, 3, 3, 2, 2, 2, 2])
    assert (found.members[:, 3] == -1).all()
    table = found.table()
    assert table["dead"].to_numpy().nonzero()[0].tolist() == [7, 11, 19, 20]
    for column in ("r", "returns"):
        np.testing.assert_array_equal(
            table[column].isna(), table["dead"] | (table["n_nets"] == 2) & (column != "r")
        )
    np.testing.assert_allclose(found.r[~table["dead"]], 1)
    assert table["n_nets"][table["dead"]].tolist() == [0] * 4
    assert found.cycle_consistency == 1


def test_nothing_lives() -> None:
    found = match_universe(JointMoments.from_samples({"a/c": np.ones((9, 2)), "b/c": np.ones((9, 1))}))
    assert (found.n_elements, found.objective, found.pairwise_objective) == (0, 0, 0)
    assert np.isnan([found.mean, found.cycle_consistency]).all()
    assert found.element.tolist() == [-1] * 3
    assert found.members.shape == (0, 2)
    assert len(found.elements_table()) == 0
    assert found.matching("a/c", "b/c").partner.tolist() == [-1, -1]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_scale_shift_and_order_of_units_and_nets_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nets = {name: X[:, :n] + 1.5 * rng.normal(size=(600, n)) for name, n in zip("abcd", (8, 6, 8, 7), strict=True)}
    found = match_universe(JointMoments.from_samples(nets))
    order = {name: rng.permutation(x.shape[1]) for name, x in nets.items()}
    names = rng.permutation(list(nets))
    moved = {str(name): nets[name][:, order[name]] * rng.uniform(0.1, 9) + 5 for name in names}
    again = match_universe(JointMoments.from_samples(moved))
    back = np.concatenate([found.element[found.joint.slices[name]][order[name]] for name in names])
    np.testing.assert_array_equal(again.element, back)
    assert again.cycle_consistency == found.cycle_consistency


def test_rotation_of_units_matters() -> None:
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    native, turned = ({"a/c": X, "b/c": X, "c/c": X @ turn} for turn in (np.eye(8), q))
    assert match_universe(JointMoments.from_samples(native)).mean == pytest.approx(1)
    assert match_universe(JointMoments.from_samples(turned)).mean < 0.9


def test_scored_on_other_data() -> None:
    half, other = (copies(4, noise=2, x=X[rows], seed=3)[0] for rows in (slice(300), slice(300, 600)))
    found = match_universe(half)
    scored = found.scored_on(other)
    np.testing.assert_array_equal(scored.element, found.element)
    assert scored.mean < found.mean
    assert scored.pairwise_objective < found.pairwise_objective
    assert scored.mean == pytest.approx(
        np.mean(
            [other.correlation()[i, j] for i, j in zip(*np.nonzero(same(found.element)), strict=True) if i != j]
        )
    )
    with pytest.raises(MismatchError, match=r"Cannot score a universe of \['n0/conv'.*Give moments of the same"):
        found.scored_on(JointMoments.from_samples({"n0/conv": X}))
    with pytest.raises(ValueError, match="read-only"):
        found.element[0] = 0


def test_units_dead_in_other_data_leave_their_element() -> None:
    found = match_universe(JointMoments.from_samples({"a/c": X, "b/c": X}))
    y = X.copy()
    y[:, 2] = 0
    scored = found.scored_on(JointMoments.from_samples({"a/c": X, "b/c": y}))
    assert scored.element[10] == -1
    assert np.isnan(scored.r[[2, 10]]).all()
    assert scored.mean == pytest.approx(1)


def test_one_net_has_no_universe() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"A universe is shared by several nets\. Found one layer, 'a/c'"
    ):
        match_universe(JointMoments.from_samples({"a/c": X}))
