"""Layers by layers: filled by any measure, and coupled with and without their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from convergent.errors import InvalidArgumentError
from convergent.measures import LayerSimilarities, layer_coupling, layer_matrix, match_best
from convergent.statistics import JointMoments, PairMoments, PairSample

RNG = np.random.default_rng(0)


def stages(n: int) -> np.ndarray:
    """Layers of n stages as alike as they are near in depth."""
    depth = np.arange(n)
    return np.exp(-np.abs(depth[:, None] - depth) / 2)


def test_layers_of_equal_nets_couple_in_pairs() -> None:
    for order in ("free", "kept"):
        found = layer_coupling(stages(5), order=order)
        np.testing.assert_allclose(found.plan, np.eye(5) / 5)
        assert found.mean == pytest.approx(1)
        assert found.baseline == pytest.approx(stages(5).mean())
        assert found.depth_correlation == pytest.approx(1)
        assert found.partner_a.tolist() == found.partner_b.tolist() == [0, 1, 2, 3, 4]


def test_a_net_of_doubled_layers_couples_two_to_one() -> None:
    similarity = np.repeat(stages(4), 2, axis=0)
    for order in ("free", "kept"):
        found = layer_coupling(similarity, order=order)
        assert found.partner_a.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert found.mean == pytest.approx(1)
        table = found.table()
        assert table["side"].tolist() == ["a"] * 8 + ["b"] * 4
        assert table["partner"].tolist()[:8] == ["0", "0", "1", "1", "2", "2", "3", "3"]
        np.testing.assert_allclose(table["share"][:8], 1)


def test_order_decides_where_layers_are_exchanged() -> None:
    similarity = stages(4)[[0, 2, 1, 3]]
    free, kept = layer_coupling(similarity), layer_coupling(similarity, order="kept")
    assert free.partner_a.tolist() == [0, 2, 1, 3]
    assert free.mean == pytest.approx(1)
    assert free.depth_correlation == pytest.approx(0.8)
    assert kept.mean < 1
    assert (np.diff(kept.partner_a) >= 0).all()


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_free_coupling_solves_the_linear_programme(n_a: int, n_b: int, seed: int) -> None:
    similarity = np.random.default_rng(seed).normal(size=(n_a, n_b))
    found = layer_coupling(similarity)
    sums = np.concatenate([np.kron(np.eye(n_a), np.ones(n_b)), np.kron(np.ones(n_a), np.eye(n_b))])
    right = np.concatenate([np.full(n_a, 1 / n_a), np.full(n_b, 1 / n_b)])
    best = linprog(-similarity.ravel(), A_eq=sums, b_eq=right)
    assert found.mean == pytest.approx(-float(best.fun or 0), abs=1e-9)
    np.testing.assert_allclose(found.plan.sum(axis=1), 1 / n_a)
    np.testing.assert_allclose(found.plan.sum(axis=0), 1 / n_b)
    assert found.mean >= found.baseline - 1e-12
    assert found.mean == pytest.approx(layer_coupling(similarity.T).mean)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_what_is_added_to_all_and_order_of_layers_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity, order = rng.normal(size=(5, 4)), rng.permutation(5)
    free, kept = layer_coupling(similarity), layer_coupling(similarity, order="kept")
    np.testing.assert_allclose(layer_coupling(similarity[order]).plan, free.plan[order], atol=1e-12)
    np.testing.assert_allclose(layer_coupling(2 * similarity + 7).plan, free.plan, atol=1e-12)
    np.testing.assert_allclose(layer_coupling(2 * similarity + 7, order="kept").plan, kept.plan)


def test_order_of_layers_matters_where_it_is_kept() -> None:
    assert layer_coupling(stages(4)[::-1], order="kept").mean < layer_coupling(stages(4), order="kept").mean


def test_one_layer() -> None:
    found = layer_coupling([[0.3, 0.9]])
    assert found.partner_a.tolist() == [1]
    assert found.partner_b.tolist() == [0, 0]
    assert np.isnan(found.depth_correlation)
    assert found.mean == found.baseline == pytest.approx(0.6)


def test_what_cannot_be_coupled() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'free' or 'kept'\. Found 'monotone'"):
        layer_coupling(stages(2), order="monotone")
    for broken in ([[np.nan, 1.0]], [1.0, 2.0], np.zeros((0, 2))):
        with pytest.raises(InvalidArgumentError, match=r"a matrix of finite similarities\. Found shape"):
            layer_coupling(broken)


def test_a_matrix_from_pairs_and_from_a_function_are_the_same() -> None:
    x = {name: RNG.normal(size=(60, 3)) for name in ("p/1", "p/2")}
    x |= {"q/1": x["p/1"] + 0.1 * RNG.normal(size=(60, 3)), "q/2": RNG.normal(size=(60, 2))}
    joint = JointMoments.from_samples(x)
    rows, columns = ["p/1", "p/2"], ["q/1", "q/2"]
    pairs = {(a, b): joint.pair(a, b) for a in rows for b in columns}

    def best(pair: PairMoments) -> float:
        return match_best(pair).mean

    found = layer_matrix(pairs, best)
    assert (found.layers_a, found.layers_b, found.measure) == (("p/1", "p/2"), ("q/1", "q/2"), "best")
    np.testing.assert_array_equal(layer_matrix(joint.pair, best, layers_a=rows, layers_b=columns), found)
    assert found.values[0, 0] > 0.95
    table = found.table()
    assert list(table) == ["a", "b", "best"]
    assert table.iloc[1].tolist() == ["p/1", "q/2", match_best(pairs["p/1", "q/2"]).mean]
    coupled = layer_coupling(found)
    assert (coupled.layers_a, coupled.layers_b) == (found.layers_a, found.layers_b)
    assert coupled.table()["partner"][0] == "q/1"


def test_pairs_within_a_net_are_taken_from_the_other_side_and_missing_ones_are_nan() -> None:
    x = RNG.normal(size=(40, 3))
    pairs = [("g", "h"), ("g", "g"), ("h", "h")]
    samples = {pair: PairSample.from_samples(x[:, : i + 1], x[:, :2]) for i, pair in enumerate(pairs)}
    seen = layer_matrix(
        samples, lambda pair: pair.x.shape[1], layers_a=["g", "h", "k"], layers_b=["g", "h"], name="n"
    )
    np.testing.assert_array_equal(seen.values, [[2, 1], [2, 3], [np.nan, np.nan]])
    assert seen.measure == "n"
    with pytest.raises(ValueError, match="read-only"):
        seen.values[0] = 0


def test_a_matrix_has_layers() -> None:
    with pytest.raises(InvalidArgumentError, match=r"needs layers on both sides\. Found 0 rows and 0 columns"):
        layer_matrix(lambda a, b: PairMoments.from_samples([[1.0], [2.0]], [[1.0], [2.0]]), lambda pair: 0.0)
    assert isinstance(np.asarray(LayerSimilarities(("g",), ("h",), np.ones((1, 1)), "n")), np.ndarray)
