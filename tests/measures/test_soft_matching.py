"""Soft matching: equal widths, unequal widths, units without partner, dead units."""

import numpy as np
import pytest

from convergent.errors import MismatchError
from convergent.measures import match_one_to_one, partial_soft_matching, soft_matching
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 8))


def test_of_equal_widths_it_is_the_one_to_one_matching() -> None:
    pair = PairMoments.from_samples(X, X @ RNG.normal(size=(8, 8)))
    found, expected = soft_matching(pair), match_one_to_one(pair)
    assert found.plan.argmax(axis=1).tolist() == expected.partner.tolist()
    assert found.score == pytest.approx(expected.mean)
    np.testing.assert_allclose(found.r_a, expected.score)
    assert found.mass == pytest.approx(1)
    assert found.soft_matching_distance == pytest.approx((2 * (1 - found.score)) ** 0.5)


def test_a_unit_divides_among_its_copies() -> None:
    found = soft_matching(PairMoments.from_samples(X[:, :3], X[:, [2, 0, 1, 0, 1, 2]]))
    assert found.score == pytest.approx(1)
    assert (found.plan > 0).sum(axis=1).tolist() == [2, 2, 2]
    back = soft_matching(PairMoments.from_samples(X[:, [2, 0, 1, 0, 1, 2]], X[:, :3]))
    assert back.score == pytest.approx(found.score)


@pytest.mark.parametrize("n_alone", [1, 3, 5])
def test_units_without_partner_stay_unmatched(n_alone: int) -> None:
    shared = 8 - n_alone
    noisy = X[:, :shared] + 0.5 * RNG.normal(size=(600, shared))
    order = RNG.permutation(8)
    y = np.hstack([noisy, RNG.normal(size=(600, n_alone))])[:, order]
    found = partial_soft_matching(PairMoments.from_samples(X, y))
    assert found.carried_a.round(9).tolist() == [1] * shared + [0] * n_alone
    assert found.carried_b.round(9).tolist() == [float(unit < shared) for unit in order]
    assert found.mass == pytest.approx(shared / 8)
    assert found.mean > 0.85
    assert np.isnan(found.r_a).tolist() == [False] * shared + [True] * n_alone
    table = found.table()
    assert (table["top_partner"] < 0).sum() == 2 * n_alone


def test_where_all_have_partners_all_mass_is_carried() -> None:
    found = partial_soft_matching(PairMoments.from_samples(X, X + 0.5 * RNG.normal(size=X.shape)))
    assert found.mass == pytest.approx(1)


def test_the_mass_may_be_given() -> None:
    pair = PairMoments.from_samples(X, X[:, :5])
    scores = [partial_soft_matching(pair, mass=mass).score for mass in (0.1, 0.4, 0.7, 1)]
    assert (np.diff(scores, 2) <= 1e-12).all()  # concave: the best go first
    assert partial_soft_matching(pair, mass=0.3).mass == pytest.approx(0.3)


def test_scale_and_order_do_not_matter_and_rotation_does() -> None:
    y = X[:, :5] + RNG.normal(size=(600, 5))
    expected = soft_matching(PairMoments.from_samples(X, y)).score
    assert soft_matching(PairMoments.from_samples(X * 3 - 1, y[:, ::-1] * 1e3)).score == pytest.approx(expected)
    turn = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    assert soft_matching(PairMoments.from_samples(X @ turn, y)).score < expected - 0.05


@pytest.mark.parametrize("match", [soft_matching, partial_soft_matching])
def test_dead_units_take_no_part(match: type) -> None:
    y = X.copy()
    y[:, 2] = 1
    found = match(PairMoments.from_samples(X, y))
    assert found.mass == pytest.approx(1 if match is soft_matching else found.mass)
    assert (found.plan[:, 2] == 0).all()
    assert np.isnan(found.carried_b).tolist() == [False, False, True] + [False] * 5
    nothing = match(PairMoments.from_samples(X, np.ones((600, 2))))
    assert np.isnan([nothing.score, nothing.mean]).all()
    assert nothing.mass == 0


def test_a_plan_is_scored_on_other_inputs() -> None:
    y = X + RNG.normal(size=X.shape)
    found = soft_matching(PairMoments.from_samples(X[:300], y[:300]))
    held_out = found.scored_on(PairMoments.from_samples(X[300:], y[300:]))
    assert 0.5 < held_out.score < 0.9
    np.testing.assert_array_equal(held_out.plan, found.plan)
    with pytest.raises(
        MismatchError, match=r"Cannot score a plan of 'a' with 'b' \(8 x 8 units\) on 'a' with 'b'"
    ):
        found.scored_on(PairMoments.from_samples(X, y[:, :3]))


@pytest.mark.parametrize("seed", range(8))
def test_rounding_of_a_plan_is_no_mass(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_a, n_b = rng.integers(40, 97, size=2)
    x, y = rng.normal(size=(300, n_a)) ** 3, rng.normal(size=(300, n_b)) ** 3
    y[:, :20] += 2 * x[:, :20]
    found = partial_soft_matching(PairMoments.from_samples(x, y))
    assert 0.1 < found.mass < 0.9
    assert found.mean > match_one_to_one(PairMoments.from_samples(x, y)).mean
