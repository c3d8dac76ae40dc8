"""Chance levels: noise, planted partners, false discoveries, rotations."""

import numpy as np
import pytest

from convergent.errors import InvalidArgumentError
from convergent.measures import (
    Chance,
    calibrated,
    chance,
    match_best,
    match_one_to_one,
    partner_chance,
    rotated_basis,
)
from convergent.measures.chance import rolled_pairs
from convergent.statistics import BlockedPair, PairMoments

UNITS, INPUTS, LOCATIONS = 32, 150, 4
ZEROS = np.linspace(-0.5, 2.0, UNITS)  # thresholds: 30 to 98 % zeros
REPEAT = np.linspace(0, 0.95, UNITS)[np.random.default_rng(1).permutation(UNITS)]


def blocked(seed: int, *, shared: int = 0, noise: float = 1.0, kind: str = "mixed") -> BlockedPair:
    """Layers of which the first units are shared; "mixed" units differ in sparsity and in how they repeat."""
    rng = np.random.default_rng(seed)
    repeat = REPEAT if kind == "mixed" else 0.5
    x, own = (
        np.sqrt(repeat) * rng.normal(size=(INPUTS, 1, UNITS))
        + np.sqrt(1 - repeat) * rng.normal(size=(INPUTS, LOCATIONS, UNITS))
        for _ in "ab"
    )
    y = own.copy()
    y[..., :shared] = (x + noise * own)[..., :shared] / np.hypot(1, noise)
    if kind == "mixed":
        x, y = np.maximum(x - ZEROS, 0), np.maximum(y - ZEROS, 0)
    x, y = x.reshape(-1, UNITS), y.reshape(-1, UNITS)
    return BlockedPair.from_samples(x, y, input_of=np.arange(INPUTS).repeat(LOCATIONS))


def best_mean(pair: PairMoments) -> float:
    return match_best(pair).mean


@pytest.mark.parametrize("kind", ["dense", "mixed"])
def test_noise_finds_nothing(kind: str) -> None:
    found = [partner_chance(blocked(seed, kind=kind)) for seed in range(30)]
    assert np.mean([(one.q <= 0.05).any() for one in found]) <= 0.05
    p = np.concatenate([one.p for one in found])
    assert 0.02 < (p <= 0.05).mean() < 0.07
    assert abs(np.mean([one.calibrated for one in found])) < 0.01
    assert np.mean([one.score.mean() for one in found]) > 0.1  # which is what chance is for


def test_planted_partners_are_found_and_few_others() -> None:
    rates, power = [], []
    for seed in range(15):
        found = partner_chance(blocked(seed, shared=8)).q <= 0.05
        rates.append(found[8:].sum() / max(found.sum(), 1))
        power.append(found[:8].mean())
    assert np.mean(rates) <= 0.05
    assert np.mean(power) > 0.9


def test_one_partner_alone_is_found() -> None:
    found = [partner_chance(blocked(seed, shared=1, noise=0.5)) for seed in range(10)]
    assert np.mean([one.q[0] <= 0.05 for one in found]) > 0.8


def test_a_table_of_partners() -> None:
    pair = blocked(0, shared=8)
    found = partner_chance(pair, match=match_one_to_one, n_remixes=2)
    assert found.partner[:8].tolist() == list(range(8))
    assert found.n_null == UNITS * 8
    assert len(found.table()) == UNITS
    assert 0.2 < found.share_found() < 0.4
    assert (found.table()["r_chance"] < 0.5).all()


def test_dead_units_are_not_tested() -> None:
    x = np.random.default_rng(0).normal(size=(100, 5))
    y = x.copy()
    x[:, 2] = 3
    found = partner_chance(BlockedPair.from_samples(x, y))
    assert np.isnan([found.p, found.q, found.score, found.chance]).all(axis=0).tolist() == [0, 0, 1, 0, 0]
    x[:] = 1
    nothing = partner_chance(BlockedPair.from_samples(x, y))
    assert np.isnan(nothing.q).all()
    assert np.isnan(nothing.share_found())


def test_chance_has_the_search_inside() -> None:
    found = chance(blocked(0), best_mean)
    assert len(found.draws) == 4
    assert np.asarray(found.mean) > 0.1
    assert np.abs(found.excess) < 0.03
    assert np.abs(found.calibrated()) < 0.03
    assert np.asarray(found.p) >= 1 / 5
    same = chance(blocked(0, shared=UNITS, noise=0.01), best_mean)
    assert same.p == 1 / 5
    assert np.asarray(same.calibrated()) > 0.95
    units = chance(blocked(0), lambda pair: match_best(pair).score)
    assert len(units.table()) == UNITS
    assert np.asarray(units.p).shape == (UNITS,)


def test_p_counts_by_hand() -> None:
    found = Chance(np.array([1.0, 2.0, np.nan]), np.array([[0.0, 2.0, 1.0], [2.0, 2.0, 1.0]]), "by hand")
    np.testing.assert_allclose(found.p, [2 / 3, 1, np.nan])
    np.testing.assert_allclose(found.excess, [0, 0, np.nan])


def test_calibration() -> None:
    assert calibrated(0.1, 0.1) == 0
    assert calibrated(1, 0.1) == 1
    assert calibrated(0.0, 0.5) == -1
    assert np.isnan(calibrated(1, 1))
    np.testing.assert_allclose(calibrated(np.array([0.5, 3]), 0, best=2), [0.25, 1.5])


def test_remixed_rolls_are_rolls() -> None:
    pair = blocked(0)
    mixed = list(rolled_pairs(pair, n_remixes=3, seed=0))
    assert len(mixed) == 12
    for one, roll in zip(mixed[:4], pair.rolled, strict=True):
        np.testing.assert_allclose(one.cov_ab, roll.total.cov_ab)
    # In every remix the rolls of each block are dealt out whole.
    sums = [sum(one.cov_ab for one in mixed[start : start + 4]) for start in (0, 4, 8)]
    np.testing.assert_allclose(sums[0], sums[1], atol=1e-12)
    np.testing.assert_allclose(mixed[5].cov_aa, pair.total.cov_aa)


def test_rolls_are_needed() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    none, one = (BlockedPair.from_samples(x, x, n_rolls=n) for n in (0, 1))
    with pytest.raises(
        InvalidArgumentError, match=r"Found 0 rolls and n_remixes=1\. Accumulate rolls with Moments"
    ):
        chance(none, best_mean)
    with pytest.raises(InvalidArgumentError, match=r"Found 1 rolls of the inputs, where two are needed"):
        partner_chance(one)
    with pytest.raises(InvalidArgumentError, match=r"Found 4 rolls and n_remixes=0"):
        partner_chance(BlockedPair.from_samples(x, x), n_remixes=0)


X = np.random.default_rng(0).normal(size=(800, 12))
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]


def test_a_basis_that_both_share_is_privileged() -> None:
    found = rotated_basis(PairMoments.from_samples(X, X[:, ::-1] + 0.3 * X))
    assert np.asarray(found.excess) > 0.2
    assert found.p == pytest.approx(1 / 21)
    assert found.null == "rotated within 12 of 12 directions of a"


def test_a_rotated_copy_has_no_privileged_basis() -> None:
    found = rotated_basis(PairMoments.from_samples(X, X @ TURN), n=40)
    assert np.abs(found.excess) < 0.15
    assert np.asarray(found.p) > 0.05


def test_scale_does_not_matter_and_chance_is_the_same_for_rotations_of_a() -> None:
    pair, scaled = (PairMoments.from_samples(x, X @ TURN) for x in (X, X * np.arange(1, 13) + 5))
    one, other = rotated_basis(pair), rotated_basis(scaled)
    np.testing.assert_allclose(one.draws, other.draws)
    assert one.value == pytest.approx(other.value)


def test_rotations_within_leading_components_leave_the_rest() -> None:
    latent = np.random.default_rng(2).normal(size=(800, 3))
    x = np.hstack([latent @ TURN[:3, :8] * 5 + 0.1 * X[:, :8], X[:, 8:]])
    pair = PairMoments.from_samples(x, x)
    found = rotated_basis(pair, within="leading", n_components=2, measure=lambda p: match_best(p).score)
    assert found.draws.shape == (20, 12)
    assert found.null == "rotated within 2 of 12 directions of a"
    assert "6 of 12" in rotated_basis(pair, within="leading").null
    one = rotated_basis(pair, within="leading", n_components=1, measure=lambda p: p.cov_aa)
    # One direction can but change its sign, which changes no covariance among them.
    np.testing.assert_allclose(
        one.draws[0], PairMoments.from_correlation(*[np.corrcoef(x.T)] * 3).cov_aa, atol=1e-9
    )


def test_dead_units_are_not_rotated() -> None:
    x = X.copy()
    x[:, 3] = 1
    found = rotated_basis(PairMoments.from_samples(x, X), measure=lambda p: match_best(p).score)
    assert np.isnan(found.draws).sum(axis=0).tolist() == [20 * (unit == 3) for unit in range(12)]


def test_what_cannot_be_rotated() -> None:
    pair = PairMoments.from_samples(X, X)
    with pytest.raises(InvalidArgumentError, match=r"rotations within 'some'\. There are 'all'.*Choose one"):
        rotated_basis(pair, within="some")
    with pytest.raises(InvalidArgumentError, match=r"Found 12 of them and n_components=13\. Give n of at least 1"):
        rotated_basis(pair, within="leading", n_components=13)
    with pytest.raises(InvalidArgumentError, match=r"Found 0 of them"):
        rotated_basis(PairMoments.from_samples(np.ones((5, 2)), np.ones((5, 2))))
