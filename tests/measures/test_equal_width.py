"""Equal widths: more candidates no longer help; which units are drawn; moments of some units."""

import numpy as np
import pytest

from convergent import BlockedPair, PairMoments, equal_width, held_out_matching, match_best
from convergent.errors import InvalidArgumentError, MismatchError, UnknownNameError
from convergent.units import LayerRef

RNG = np.random.default_rng(0)


def best(pair: PairMoments) -> float:
    return float(np.nanmean(match_best(pair).score))


def test_width_alone_makes_no_difference_any_more() -> None:
    wide, narrow = (PairMoments.from_samples(*RNG.normal(size=(2, 400, n))) for n in (128, 16))
    assert best(wide) > best(narrow) + 0.03
    assert equal_width(wide, best, n_units=16).value == pytest.approx(best(narrow), abs=0.015)


def test_draws_are_of_living_units_and_repeat() -> None:
    x = RNG.normal(size=(200, 10))
    x[:, [0, 3]] = 1.0
    seen: list[int] = []

    def count(pair: PairMoments) -> float:
        seen.append(int(pair.alive_a.sum()))
        return float(pair.cov_ab.sum())

    first = equal_width(PairMoments.from_samples(x, x), count, n_units=8, n_draws=3, seed=1)
    assert seen == [8, 8, 8]
    assert first.spread == pytest.approx(0, abs=1e-12)  # eight are all that live
    again = equal_width(PairMoments.from_samples(x, x), count, n_units=4, n_draws=3, seed=1)
    np.testing.assert_array_equal(
        again.draws, equal_width(PairMoments.from_samples(x, x), count, n_units=4, n_draws=3, seed=1).draws
    )
    assert np.isnan(equal_width(PairMoments.from_samples(x, x), best, n_units=2, n_draws=1).spread)


def test_some_units_of_blocks_are_those_of_the_samples() -> None:
    x, y = RNG.normal(size=(2, 60, 5))
    a, b = np.array([4, 1]), np.array([0, 2, 3])
    some, made = BlockedPair.from_samples(x, y).of_units(a, b), BlockedPair.from_samples(x[:, a], y[:, b])
    for found, expected in ((some, made), (some.rolled[2], made.rolled[2]), (some.swapped, made.swapped)):
        np.testing.assert_allclose(found.total.cov_ab, expected.total.cov_ab, atol=1e-12)
        np.testing.assert_allclose(found.total.cov_aa, expected.total.cov_aa, atol=1e-12)
        np.testing.assert_allclose(
            held_out_matching(found).units.value, held_out_matching(expected).units.value, atol=1e-12
        )
    few = equal_width(some, lambda pair: float(held_out_matching(pair).layer.value), n_units=2, n_draws=2)
    assert (few.n_units, len(few.draws)) == (2, 2)


def test_other_units_do_not_merge() -> None:
    blocks = BlockedPair.from_samples(*RNG.normal(size=(2, 60, 5))).blocks.blocks
    ref = LayerRef.parse("a/units")
    one, other = blocks[0].of_units({ref: np.array([0, 1])}), blocks[1].of_units({ref: np.array([0, 2])})
    with pytest.raises(MismatchError, match="not of the same view"):
        one.merge(other)
    with pytest.raises(UnknownNameError, match="Asked for layer 'a/unit'"):
        blocks[0].of_units({LayerRef.parse("a/unit"): np.array([0])})


@pytest.mark.parametrize(("n_units", "n_draws"), [(0, 1), (5, 1), (2, 0)])
def test_what_cannot_be_drawn_is_refused(n_units: int, n_draws: int) -> None:
    pair = PairMoments.from_samples(*RNG.normal(size=(2, 20, 4)))
    with pytest.raises(
        InvalidArgumentError, match=r"choices of \d units of 'a' and of 'b'\. They have 4 and 4 living"
    ):
        equal_width(pair, best, n_units=n_units, n_draws=n_draws)
