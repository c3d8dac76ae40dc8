"""`Blocked`, `TopInputs` and `ZerosPlan`: what the law does not say."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from convergent.batch import ActivationBatch, Activations
from convergent.errors import InvalidArgumentError, MismatchError
from convergent.results import Fingerprint
from convergent.statistics import Blocked, BlockedPlan, Moments, MomentsPlan, TopInputs, TopInputsPlan, ZerosPlan
from convergent.statistics.base import Accumulator, Plan, Statistic
from convergent.units import LayerRef, LayerUnits

A = LayerRef("a", "conv")
LAYERS = (LayerUnits(A, 2, (3, 3), 4, "random=4"),)


def batch(values: list[Any], *, first: int = 0, **kwargs: Any) -> ActivationBatch:
    x = torch.tensor(values, dtype=torch.float32)
    return ActivationBatch(np.arange(first, first + len(x)), {A: Activations(x, **kwargs)})


def accumulated(plan: Plan, *batches: ActivationBatch) -> Any:
    accumulator = plan.start(LAYERS, batches[0])
    for one in batches:
        accumulator.update(one)
    return accumulator.finish(Fingerprint())


RAMP = [[[i, 0, 0, 1], [0, -i, 5, 5]] for i in range(6)]


def test_locations_are_those_of_the_grid() -> None:
    places = torch.tensor([[8, 1, 2, 3]]).repeat(6, 1)
    found = accumulated(TopInputsPlan(2), batch(RAMP, locations=places)).strongest[A]
    assert found.ids.tolist() == [[5, 4], [0, 1]]
    assert found.locations.tolist() == [[8, 8], [2, 2]]  # the first of two equal peaks
    assert found.values.tolist() == [[5, 4], [5, 5]]


def test_padding_is_never_strongest() -> None:
    mask = torch.tensor([[True, True, False, False]]).repeat(6, 1)
    found = accumulated(TopInputsPlan(7), batch(RAMP, mask=mask)).strongest[A]
    assert found.values[1].tolist() == [0] * 6 + [-np.inf]
    assert found.ids[1].tolist() == [0, 1, 2, 3, 4, 5, -1]


def test_equal_values_are_ordered_by_id_across_batches() -> None:
    ones = [[[1.0] * 4, [1.0] * 4]]
    found = accumulated(TopInputsPlan(2), *(batch(ones, first=i) for i in (7, 3, 5, 9))).strongest[A]
    assert found.ids.tolist() == [[3, 5], [3, 5]]


def test_top_inputs_refuse() -> None:
    with pytest.raises(InvalidArgumentError, match=r"TopInputs keeps the k strongest inputs of a unit. Found k=0"):
        TopInputsPlan(0)
    two, three = (accumulated(TopInputsPlan(k), batch(RAMP)) for k in (2, 3))
    with pytest.raises(MismatchError, match=r"keep different numbers. Found k=2 against k=3"):
        two.merge(three)


def test_zeros_do_not_count_padding() -> None:
    mask = torch.tensor([[True, True, False, False]]).repeat(6, 1)
    assert accumulated(ZerosPlan(), batch(RAMP)).mean(A).tolist() == [13 / 24, 7 / 24]
    masked = accumulated(ZerosPlan(), batch(RAMP, mask=mask))
    assert masked.n_samples[A] == 12
    assert masked.mean(A).tolist() == [7 / 12, 7 / 12]
    assert np.isnan(masked.identity().mean(A)).all()


def test_blocks_refuse() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Blocks are what is held out in turn. Found n_blocks=1"):
        BlockedPlan(MomentsPlan(), 1)
    two, three = (accumulated(BlockedPlan(ZerosPlan(), n), batch(RAMP)) for n in (2, 3))
    with pytest.raises(MismatchError, match=r"Cannot merge statistics of 2 and of 3 blocks"):
        two.merge(three)
    for block in (2, -1):
        with pytest.raises(InvalidArgumentError, match=rf"those of block {block}. There are blocks 0 to 1"):
            two.without(block)


def test_statistics_of_other_kinds_do_not_merge() -> None:
    blocked = accumulated(BlockedPlan(MomentsPlan(), 2), batch(RAMP))
    moments, top = (accumulated(plan, batch(RAMP)) for plan in (MomentsPlan(), TopInputsPlan(2)))
    for one, other in ((moments, top), (top, moments), (moments, blocked), (top, 1)):
        kinds = f"Cannot merge {type(one).__name__} with {type(other).__name__}. Only statistics of one kind merge"
        with pytest.raises(MismatchError, match=kinds):
            inspect.unwrap(type(one).merge)(one, other)
    with pytest.raises(MismatchError, match=r"blocked statistics with Moments. Its inputs belong to no block"):
        inspect.unwrap(Blocked.merge)(blocked, moments)


def test_map_visits_every_block() -> None:
    blocked: Blocked[Moments] = accumulated(BlockedPlan(ZerosPlan(), 3), batch(RAMP))
    assert sum(blocked.map(lambda zeros: zeros.n_inputs)) == 6


def test_a_unit_alive_in_one_block_only_is_dead_without_it() -> None:
    values = torch.zeros(40, 2, 4)
    values[7] = torch.randn(2, 4)
    blocked = accumulated(BlockedPlan(MomentsPlan(), 5), batch(values.tolist()))
    dead = [not rest.pair(A, A).alive_a.any() for rest, _ in blocked.folds()]
    assert sum(dead) == 1


@pytest.mark.parametrize("plan", [MomentsPlan(buffer_samples=9), TopInputsPlan(3), ZerosPlan()])
@pytest.mark.parametrize("blocked", [False, True])
def test_state_restores_to_the_same_bits(plan: Plan, blocked: bool) -> None:
    whole = BlockedPlan(plan, 3) if blocked else plan
    first, second = batch(RAMP), batch(RAMP[::-1], first=10)
    accumulator, copy = whole.start(LAYERS, first), whole.start(LAYERS, second)
    accumulator.update(first)
    copy.update(second)  # what it held is forgotten
    copy.restore({name: value.clone() for name, value in accumulator.state().items()})
    ends = []
    for one in (accumulator, copy):
        one.update(second)
        found = one.finish(Fingerprint())
        ends.append([s.arrays() for s in (found.blocks if isinstance(found, Blocked) else (found,))])
    for mine, theirs in zip(*ends, strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_the_protocols_are_kept() -> None:
    for plan in (MomentsPlan(), TopInputsPlan(), ZerosPlan(), BlockedPlan(MomentsPlan())):
        assert isinstance(plan, Plan)
        assert isinstance(plan.start(LAYERS, batch(RAMP)), Accumulator)
    for found in (accumulated(MomentsPlan(), batch(RAMP)), accumulated(TopInputsPlan(), batch(RAMP))):
        assert isinstance(found, Statistic)
        assert isinstance(found, Moments | TopInputs)
