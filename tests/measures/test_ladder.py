"""The ladder: planted permutation, rotation, linear map and noise; chance, intervals, widths, dead units."""

from typing import Any

import numpy as np
import pytest

from convergent.errors import InvalidArgumentError
from convergent.measures import Ladder, held_out_matching, ladder, match_one_to_one, ridge_map
from convergent.statistics import BlockedPair, PairMoments

RNG = np.random.default_rng(0)
N, UNITS = 1500, 10
X = RNG.normal(size=(N, UNITS))
TURN = np.linalg.qr(RNG.normal(size=(UNITS, UNITS)))[0]
ALL = ["identity", "permutation", "soft_matching", "partial_soft_matching", "sparse", "orthogonal", "ridge"]


def climbed(y: np.ndarray, x: np.ndarray = X) -> tuple[Ladder, Any]:
    found = ladder(BlockedPair.from_samples(x, y))
    return found, found.table().set_index("rung")


def test_a_permutation() -> None:
    found, table = climbed(X[:, [*range(1, UNITS), 0]])
    assert list(table.index) == ALL
    assert abs(table.loc["identity", "r_held_out"]) < 0.05
    assert abs(table.loc["identity", "r2_held_out"]) < 0.05
    np.testing.assert_allclose(table.loc[ALL[1:], "r2_held_out"], 1, atol=1e-3)
    np.testing.assert_allclose(table.loc[ALL[1:], "share_of_linear"], 1, atol=1e-3)
    assert found.penalties == {"sparse": 0.01, "ridge": 1e-5}


def test_a_rotation() -> None:
    _, table = climbed(X @ TURN)
    assert table.loc["permutation", "r2_held_out"] < 0.5
    assert table.loc["permutation", "share_of_linear"] < 0.5
    # Standardised by chance scales the rotation is not one to the last digit.
    assert table.loc["orthogonal", "r2_held_out"] > 0.995
    assert table.loc["ridge", "r2_held_out"] > 0.999


def test_a_linear_map() -> None:
    mixing = TURN @ np.diag(np.linspace(0.2, 3, UNITS)) @ TURN[::-1].T
    _, table = climbed(X @ mixing)
    assert table.loc["orthogonal", "r2_held_out"] < 0.95
    assert table.loc["permutation", "r2_held_out"] < table.loc["orthogonal", "r2_held_out"]
    assert table.loc["ridge", "r2_held_out"] > 0.999
    assert (table["share_low"] <= table["share_of_linear"]).all()
    assert (table["r2_low"] <= table["r2_high"]).all()


def test_noise() -> None:
    _, table = climbed(RNG.normal(size=X.shape))
    searching = ["permutation", "soft_matching", "partial_soft_matching", "orthogonal", "ridge"]
    assert table.loc[searching, "r"].min() > 0.02
    assert table["r_held_out"].abs().max() < 0.08  # partial matching averages few units
    assert table["r2_held_out"].abs().max() < 0.03
    np.testing.assert_allclose(table.loc[searching, "r"], table.loc[searching, "chance_r_in_sample"], atol=0.03)
    np.testing.assert_allclose(table["r2_held_out"], table["chance_r2"], atol=0.02)
    assert table["share_of_linear"].isna().all()


def test_rungs_are_the_measures_they_are_named_after() -> None:
    y = X @ TURN + RNG.normal(size=X.shape)
    blocked = BlockedPair.from_samples(X, y)
    found = ladder(blocked)
    matched = match_one_to_one(blocked.total)
    np.testing.assert_allclose(found.r[1][matched.partner], matched.score)
    np.testing.assert_allclose(found.r2[1], np.maximum(found.r[1], 0) ** 2, atol=1e-12)
    held_out = held_out_matching(blocked, match=match_one_to_one)
    assert found.layer_r is not None
    assert np.asarray(found.layer_r.value)[1] == pytest.approx(held_out.layer.value, abs=0.02)
    dense = ridge_map(blocked.total, penalties=[found.penalties["ridge"]])
    np.testing.assert_allclose(found.r2[-1], dense.r2[0], atol=1e-12)


def test_moments_alone_give_in_sample_scores() -> None:
    y = X @ TURN + RNG.normal(size=X.shape)
    found = ladder(PairMoments.from_samples(X, y), penalties=[0.2, 0.1])
    assert found.penalties == {"sparse": 0.1, "ridge": 1e-5}
    table = found.table()
    assert table["r2"].notna().all()
    assert table[["r2_held_out", "r2_low", "chance_r2", "share_of_linear"]].isna().all(axis=None)
    assert (np.diff(table["r2"].to_numpy()[[1, 5, 6]]) > 0).all()


def test_widths_may_differ_and_units_may_be_dead() -> None:
    y = X[:, :6] + 0.5 * RNG.normal(size=(N, 6))
    y[:, 2] = 1
    found, table = climbed(y)
    assert list(table.index) == ALL[1:]
    assert np.isnan(found.r2_held_out).all(axis=0).tolist() == [False, False, True] + [False] * 3
    assert table.loc["permutation", "r2_held_out"] == pytest.approx(0.8, abs=0.03)
    assert table.loc["permutation", "covered"] == 1
    units = found.unit_table()
    assert len(units) == 6 * 6
    assert units["dead"].sum() == 6
    _, back = climbed(X, y)
    assert back.loc["permutation", "covered"] == pytest.approx(0.5)
    nothing, _ = climbed(np.ones((N, 3)))
    assert np.isnan(nothing.r2).all()


def test_scale_and_order_do_not_matter() -> None:
    y = X @ TURN + RNG.normal(size=X.shape)
    _, expected = climbed(y)
    _, moved = climbed(y[:, ::-1] * 3 + 1, X * np.arange(1, UNITS + 1))
    rungs = ALL[1:]
    np.testing.assert_allclose(moved.loc[rungs, "r2_held_out"], expected.loc[rungs, "r2_held_out"], atol=1e-6)


def test_without_rolls_there_is_no_chance_level() -> None:
    found = ladder(BlockedPair.from_samples(X, X @ TURN, n_rolls=0, n_blocks=4))
    assert np.isnan(found.chance).all()
    assert found.layer_r2 is not None
    assert found.layer_r2.n_blocks == 4


def test_blocks_are_needed() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"Found 2 blocks\. Accumulate at least three, or pass `\.total`"
    ):
        ladder(BlockedPair.from_samples(X, X, n_blocks=2))
