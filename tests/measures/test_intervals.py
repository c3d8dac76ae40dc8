"""Intervals: known answers, coverage with known truth, NaN, nets left out."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from convergent.errors import InvalidArgumentError, MismatchError
from convergent.measures import (
    Estimate,
    correlation,
    cross_fitted,
    design_effect,
    held_out_matching,
    held_out_scores,
    jackknife,
    leave_one_net_out,
    linear_cka,
    match_best,
    match_one_to_one,
    matched_interval,
)
from convergent.statistics import Blocked, BlockedPair, PairMoments

UNITS, INPUTS, LOCATIONS = 6, 250, 4


def values(n: int, locations: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sparse units whose locations repeat each other; unit i of b is a noisy copy of unit i of a."""
    x, own = (
        0.7 * rng.normal(size=(n, 1, UNITS)) + 0.51**0.5 * rng.normal(size=(n, locations, UNITS)) for _ in "ab"
    )
    return np.maximum(x - 0.5, 0), np.maximum((x + own) / 2**0.5 - 0.5, 0)


def blocked(seed: int) -> BlockedPair:
    x, y = (one.reshape(-1, UNITS) for one in values(INPUTS, LOCATIONS, np.random.default_rng(seed)))
    return BlockedPair.from_samples(x, y, input_of=np.arange(INPUTS).repeat(LOCATIONS))


def own_r(pair: PairMoments) -> np.ndarray:
    return np.diagonal(correlation(pair).between).copy()


def mean_r(pair: PairMoments) -> float:
    return float(own_r(pair).mean())


def cka(pair: PairMoments) -> float:
    return float(linear_cka(pair, estimator="debiased"))


SETS = [blocked(seed) for seed in range(80)]
TRUTH = PairMoments.from_samples(*(one[:, 0] for one in values(200_000, 1, np.random.default_rng(99))))


def coverage(found: list[Estimate], truth: float | np.ndarray) -> float:
    low, high = np.array([one.low for one in found]), np.array([one.high for one in found])
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("transform", [None, "fisher"])
def test_intervals_of_correlations_hold_the_truth(transform: str | None) -> None:
    found = [jackknife(one, own_r, transform=transform) for one in SETS]
    assert 0.9 <= coverage(found, own_r(TRUTH)) <= 0.99


@pytest.mark.parametrize("measure", [mean_r, cka])
def test_intervals_of_layers_hold_the_truth(measure: type) -> None:
    assert 0.9 <= coverage([jackknife(one, measure) for one in SETS], measure(TRUTH)) <= 0.99


def test_intervals_of_held_out_scores_hold_the_truth() -> None:
    found = [held_out_matching(one, match=match_one_to_one) for one in SETS]
    assert 0.9 <= coverage([one.layer for one in found], mean_r(TRUTH)) <= 0.99
    assert 0.88 <= coverage([one.units for one in found], own_r(TRUTH)) <= 0.99


def test_a_matched_interval_keeps_the_partner_of_all_inputs() -> None:
    one = SETS[0]
    found, matching = matched_interval(one), match_best(one.total)
    np.testing.assert_array_equal(found.value, matching.score)
    assert (np.asarray(found.low) < found.value).all()
    assert (np.asarray(found.high) < 1).all()
    assert len(found.table()) == UNITS
    assert found.n_inputs == INPUTS
    assert found.n_samples == INPUTS * LOCATIONS
    assert found.n_blocks == 10


def test_held_out_is_near_the_mean_of_the_blocks() -> None:
    one = SETS[0]
    units = held_out_matching(one).units
    np.testing.assert_array_equal(units.value, held_out_scores(one.folds(), match_best))
    fitted = cross_fitted(one, lambda rest, block: match_best(rest).scored_on(block).score)
    np.testing.assert_allclose(units.value, fitted.value, atol=0.05)
    assert fitted.table().shape == units.table().shape


def test_what_hangs_on_one_block_has_no_interval() -> None:
    x = np.random.default_rng(0).normal(size=(100, 2))
    y = x.copy()
    pair = BlockedPair.from_samples(x, y, n_blocks=4)
    inputs = [block.n_inputs for block in pair.blocks.blocks]
    first_only = jackknife(pair, lambda part: np.array([1.0, np.nan if part.n_inputs == 100 - inputs[0] else 1.0]))
    assert np.isnan(first_only.low).tolist() == [False, True]
    in_one = cross_fitted(pair, lambda _, block: 1.0 if block.n_inputs == inputs[0] else float("nan"))
    assert in_one.value == 1
    assert np.isnan(in_one.low)


def test_one_block_has_nothing_to_leave_out() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2))
    pair = BlockedPair.from_samples(x, x, n_blocks=2)
    one = replace(pair, blocks=Blocked(pair.blocks.blocks[:1]))
    said = (
        r"Asked to leave out one block of inputs of 'a/units' with 'b/units' at a time\. Found 1 block with inputs"
        r"\. Give more inputs or more blocks, or measure `\.total` alone\."
    )
    asked: list[Callable[[], object]] = [
        lambda: jackknife(one, mean_r),
        lambda: jackknife(one, own_r),
        lambda: matched_interval(one),
        lambda: design_effect(one),
    ]
    for ask in asked:
        with pytest.raises(InvalidArgumentError, match=said):
            ask()
    with pytest.raises(InvalidArgumentError, match=r"two halves of the blocks of .*Found 1 block .*more blocks\."):
        _ = one.halves


def test_equal_layers_are_certain() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    found = jackknife(BlockedPair.from_samples(x, x), own_r, transform="fisher")
    np.testing.assert_allclose(np.array([found.low, found.value, found.high]), 1)


def test_what_cannot_be_asked() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Asked for transform 'log'\. There are 'fisher'.*Choose one"):
        jackknife(SETS[0], own_r, transform="log")
    with pytest.raises(InvalidArgumentError, match=r"a share 95.0 of all cases"):
        jackknife(SETS[0], own_r, level=95.0)
    with pytest.raises(InvalidArgumentError, match=r"leave out one net at a time\. Found 2: \['a', 'b'\]\. Give"):
        leave_one_net_out([1], [("a", "b")])
    with pytest.raises(MismatchError, match=r"values of shape \(2,\) and 1 pairs\. Give one value a pair"):
        leave_one_net_out([1, 2], [("a", "b")])


def test_leaving_nets_out_holds_the_truth() -> None:
    pairs = list(combinations(range(8), 2))
    names = [(f"net{i}", f"net{j}") for i, j in pairs]
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        of_net, of_pair = 0.1 * rng.normal(size=8), 0.05 * rng.normal(size=len(pairs))
        found.append(leave_one_net_out(of_net[np.array(pairs)].sum(axis=1) + of_pair, names))
    assert 0.9 <= coverage(found, 0.0) <= 0.99
    scatter_over_said = np.std(np.array([one.value for one in found])) / np.mean(
        np.array([one.standard_error for one in found])
    )
    assert scatter_over_said == pytest.approx(1, abs=0.15)
    np.testing.assert_allclose(leave_one_net_out(np.ones((28, 3)), names).value, [1, 1, 1])


def test_design_effect_of_repeated_samples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 400, 20))
    one = design_effect(BlockedPair.from_samples(x, y))
    assert one.value == pytest.approx(1, abs=0.12)
    assert one.n_effective == pytest.approx(400, rel=0.12)
    five = design_effect(
        BlockedPair.from_samples(x.repeat(5, 0), y.repeat(5, 0), input_of=np.arange(400).repeat(5))
    )
    assert five.value == pytest.approx(5 * one.value, rel=0.01)
    dead = x.copy()
    dead[:, 3] = 1
    found = design_effect(BlockedPair.from_samples(dead, y))
    assert np.flatnonzero(np.isnan(found.per_unit_a)).tolist() == [3]
    assert np.isnan(found.per_unit_b).sum() == 0
