"""Units that stay themselves: planted streams, rotations of each layer and of all, permutations, the dead."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.errors import InvalidArgumentError, MismatchError
from convergent.measures import IdentityShare, identity_share, match_best, match_one_to_one
from convergent.solvers.haar import haar
from convergent.statistics import BlockedPair, PairMoments

RNG = np.random.default_rng(0)


def of(x: np.ndarray, y: np.ndarray, n_draws: int = 5, **options: int) -> IdentityShare:
    return identity_share(PairMoments.from_samples(x, y, a="net/b1", b="net/b2"), n_draws=n_draws, **options)


def stream(n: int = 1000, units: int = 30, noise: float = 0.75) -> tuple[np.ndarray, np.ndarray]:
    x = RNG.normal(size=(n, units)) * np.geomspace(0.5, 2, units)
    return x, x + noise * x.std(axis=0) * RNG.normal(size=(n, units))


def test_a_unit_that_only_gathers_noise_stays_itself() -> None:
    x, y = stream()
    found = of(x, y)
    assert found.share == found.one_to_one_share == 1
    assert found.mean_self_r == pytest.approx(0.8, abs=0.02)  # 1 / sqrt(1 + 0.75 ** 2)
    expected = [np.corrcoef(x[:, i], y[:, i])[0, 1] for i in range(30)]
    np.testing.assert_allclose(found.self_r, expected, atol=1e-12)
    assert found.chance == 1 / 30


def test_layers_turned_by_rotations_of_their_own_are_at_chance() -> None:
    shares = []
    for _ in range(20):
        x = RNG.normal(size=(2000, 40))
        found = of(x @ haar(40, RNG), x @ haar(40, RNG), n_draws=1)
        shares.append([found.share, found.one_to_one_share, found.mean_self_r])
    share, one_to_one, self_r = np.mean(shares, axis=0)
    assert abs(share - 1 / 40) < 4 * np.sqrt(1 / 40 / 800)  # 800 units, each itself once in 40
    assert abs(one_to_one - 1 / 40) < 4 * np.sqrt(1 / 40 / 800)
    assert abs(self_r) < 4 / np.sqrt(40 * 800)


def test_a_privileged_basis_is_told_from_one_that_is_not() -> None:
    x = RNG.normal(size=(2000, 40))
    noise = 0.3 * RNG.normal(size=x.shape)
    turned = of(x, x * np.repeat([1.0, -1.0], 20) + noise, n_draws=20)  # a matter of units: half change their sign
    assert turned.share == turned.one_to_one_share == 0.5
    assert turned.rotated_share.mean < 0.2
    assert turned.rotated_share.p == 1 / 21
    assert turned.rotated_self_r.mean == pytest.approx(0, abs=0.05)
    passed_on = of(x, x + noise, n_draws=20)  # every direction is passed on, whatever the basis
    assert passed_on.share == passed_on.rotated_share.mean == passed_on.rotated_share.p == 1
    assert passed_on.rotated_self_r.mean == pytest.approx(passed_on.mean_self_r, abs=0.005)


def test_a_rotation_by_moments_is_a_rotation_of_the_samples() -> None:
    x, y = stream(units=12)
    found = of(x, y, n_draws=1, seed=3)
    scale = np.sqrt((x.var(axis=0) + y.var(axis=0)) / 2)
    turn = haar(12, np.random.default_rng(3))
    turned = PairMoments.from_samples(x / scale @ turn, y / scale @ turn)
    themselves = np.arange(12)
    assert found.rotated_share.draws[0] == (match_best(turned).partner == themselves).mean()
    assert found.rotated_one_to_one.draws[0] == (match_one_to_one(turned).partner == themselves).mean()
    r = np.diagonal(np.corrcoef((x / scale @ turn).T, (y / scale @ turn).T)[:12, 12:])
    np.testing.assert_allclose(found.rotated_self_r.draws, [r.mean()], atol=1e-12)


def test_a_permuted_layer_has_partners_and_none_is_itself() -> None:
    x = RNG.normal(size=(500, 20))
    found = of(x, np.roll(x, 1, axis=1))
    assert found.share == found.one_to_one_share == 0
    assert found.one_to_one.mean == pytest.approx(1)
    assert abs(found.mean_self_r) < 0.05


def test_a_layer_with_itself() -> None:
    x = RNG.normal(size=(100, 6))
    found = of(x, x)
    assert found.share == 1
    np.testing.assert_allclose(found.self_r, 1)


def test_dead_units_are_left_out() -> None:
    x, y = stream(units=10)
    x[:, 3] = y[:, 3] = 2.0
    y[:, 7] = 0.0
    found = of(x, y)
    assert np.flatnonzero(~found.alive).tolist() == np.flatnonzero(np.isnan(found.self_r)).tolist() == [3, 7]
    assert found.share == 1
    assert found.chance == 1 / 8
    assert found.table()["dead"].tolist() == [i in (3, 7) for i in range(10)]
    assert not np.isnan(found.rotated_share.draws).any()


def test_two_dead_layers_are_nan() -> None:
    found = of(np.ones((10, 3)), np.ones((10, 3)))
    assert np.isnan([found.share, found.one_to_one_share, found.mean_self_r, found.chance]).all()
    assert np.isnan(found.rotated_self_r.mean)


def test_negated_units_are_not_themselves() -> None:
    x = RNG.normal(size=(300, 5))
    assert of(x, -x).share == 0


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_scale_and_order_of_units_do_not_matter_and_a_permutation_of_one_layer_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 8))
    y = x + rng.normal(size=(60, 8))
    before = of(x, y, n_draws=1)
    order = rng.permutation(8)
    after = of(3 * x[:, order] + 1, y[:, order] * rng.uniform(0.1, 9, size=8), n_draws=1)
    np.testing.assert_allclose(after.self_r, before.self_r[order], atol=1e-9)
    assert (after.share, after.one_to_one_share) == (before.share, before.one_to_one_share)
    assert of(x, y[:, ::-1], n_draws=1).mean_self_r < before.mean_self_r


def test_tables() -> None:
    x, y = stream(units=4)
    found = of(x, y)
    table = found.table()
    assert list(table.columns) == [
        *("a", "b", "unit", "self_r", "partner", "r", "one_to_one_partner", "itself", "dead")
    ]
    assert table["itself"].all()
    summary = found.summary().set_index("score")
    assert summary.loc["share", "value"] == 1
    assert summary.loc["self_r", "value"] == found.mean_self_r
    assert np.isnan(summary["low"]).all()
    assert summary["p"].between(0, 1).all()


def test_blocks_give_intervals() -> None:
    x, y = stream(units=12, noise=2.5)
    blocked = BlockedPair.from_samples(x, y, n_rolls=0, a="net/b1", b="net/b2")
    found = identity_share(blocked, n_draws=1)
    plain = identity_share(blocked.total, n_draws=1)
    assert (found.share, found.mean_self_r) == (plain.share, plain.mean_self_r)
    assert found.intervals is not None
    for estimate, value in (
        (found.intervals.share, found.share),
        (found.intervals.one_to_one, found.one_to_one_share),
        (found.intervals.self_r, found.mean_self_r),
    ):
        assert estimate.value == pytest.approx(value)
        assert estimate.low <= value <= estimate.high
        assert estimate.n_inputs == 1000
    np.testing.assert_allclose(found.intervals.units.value, found.self_r)
    assert found.intervals.share.low >= 0
    assert found.intervals.share.high <= 1
    assert (found.summary()["low"] <= found.summary()["high"]).all()
    assert {"low", "high"} <= set(found.table().columns)


def test_a_share_that_no_block_changes_is_known_to_one_unit() -> None:
    x = RNG.normal(size=(400, 10))
    found = identity_share(BlockedPair.from_samples(x, x + 0.1, n_rolls=0), n_draws=1).intervals
    assert found is not None
    assert (found.share.low, found.share.high) == (0.9, 1)
    assert found.share.standard_error == pytest.approx(0, abs=1e-12)


def test_intervals_of_mean_self_r_hold_the_truth() -> None:
    held = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(300, 8))
        y = x + rng.normal(size=(300, 8))
        found = identity_share(BlockedPair.from_samples(x, y, n_rolls=0), n_draws=1).intervals
        assert found is not None
        held += found.self_r.low <= np.sqrt(0.5) <= found.self_r.high
    assert held >= 21  # 24 of 25 expected


def test_layers_of_different_width_are_refused() -> None:
    with pytest.raises(MismatchError, match=r"'net/b1' with themselves in 'net/b2'. Found 4 units and 3.*cka"):
        of(RNG.normal(size=(50, 4)), RNG.normal(size=(50, 3)))


def test_no_draw_is_refused() -> None:
    x, y = stream(units=3)
    with pytest.raises(InvalidArgumentError, match=r"0 rotations.*at least 1"):
        of(x, y, n_draws=0)
