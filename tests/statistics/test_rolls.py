"""Norms and rolled partners, summed while the nets run: the numbers of the slow way, whatever the batches."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convergent import Lockstep, collect
from convergent.batch import ActivationBatch, Activations, roll_shifts
from convergent.errors import InvalidArgumentError, MismatchError, NonFiniteError
from convergent.results import Fingerprint
from convergent.statistics import Blocked, BlockedPair, BlockedPlan, Moments, MomentsPlan
from convergent.statistics.base import Plan
from convergent.units import LayerRef, LayerUnits

A, B, C = LayerRef("a", "conv"), LayerRef("b", "conv"), LayerRef("b", "last")
Maps = dict[LayerRef, torch.Tensor]


def made(n: int, n_locations: int, *, last: bool = False, mean: float = 0.0, dtype: Any = torch.float32) -> Maps:
    generator = torch.Generator().manual_seed(n)
    x, noise = (torch.randn(n, 5, n_locations, generator=generator) for _ in range(2))
    maps = {A: x + mean, B: (x[:, :4] + noise[:, :4]).relu() + mean, C: noise.abs()}
    if last:
        maps = {ref: v.transpose(1, 2).contiguous().transpose(1, 2) for ref, v in maps.items()}
    return {ref: v.to(dtype) for ref, v in maps.items()}


def layers_of(maps: Maps) -> tuple[LayerUnits, ...]:
    return tuple(LayerUnits(ref, v.shape[1], (v.shape[2],), v.shape[2], "all") for ref, v in maps.items())


def batch_of(maps: Maps, part: slice = slice(None), labels: torch.Tensor | None = None) -> ActivationBatch:
    ids = np.arange(len(maps[A]))[part]
    return ActivationBatch(
        ids, {ref: Activations(v[part]) for ref, v in maps.items()}, None if labels is None else labels[part]
    )


def feed(plan: Plan, maps: Maps, sizes: Sequence[int], *, stop_after: int = -1) -> Any:
    """The statistic; the accumulator is thrown away after some batches and another goes on from its state."""
    accumulator, done = plan.start(layers_of(maps), batch_of(maps)), 0
    for turn in range(len(maps[A])):
        if turn == stop_after:
            state = {name: value.clone() for name, value in accumulator.state().items()}
            accumulator = plan.start(layers_of(maps), batch_of({ref: 0 * v for ref, v in maps.items()}))
            accumulator.restore(state)
        size = sizes[turn % len(sizes)]
        accumulator.update(batch_of(maps, slice(done, done + size)))
        done += size
    return accumulator.finish(Fingerprint())


def by_hand(values: torch.Tensor, origin: np.ndarray) -> np.ndarray:
    """Inputs x locations x (units and their squared norm), about an origin, in float64."""
    x = values.double().numpy().transpose(0, 2, 1) - origin[:-1]
    return np.concatenate([x, (x**2).sum(2, keepdims=True) - origin[-1]], axis=2)


def check(found: Moments, maps: Maps, n_rolls: int) -> None:
    rows = {ref: by_hand(v, found.origin[ref]) for ref, v in maps.items()}
    flat = {ref: x.reshape(-1, x.shape[2]) for ref, x in rows.items()}
    size = {ref: np.sqrt((x**2).mean(0)) + 1e-30 for ref, x in flat.items()}
    for ref, scale in size.items():
        scale[-1] += found.origin[ref][-1]  # float32 rounds a norm before its origin is taken off
    for (a, b), product in found.products.items():
        scale = len(flat[a]) * np.outer(size[a], size[b])
        np.testing.assert_allclose(product / scale, flat[a].T @ flat[b] / scale, rtol=0, atol=2e-6)
        for k, shift in enumerate(roll_shifts(len(rows[a]), n_rolls) if a != b else []):
            truth = flat[a].T @ np.roll(rows[b], shift, axis=0).reshape(flat[b].shape)
            np.testing.assert_allclose(found.rolled[a, b][k] / scale, truth / scale, rtol=0, atol=2e-6)
    for ref, x in flat.items():
        np.testing.assert_allclose(found.sums[ref] / size[ref], x.sum(0) / size[ref], rtol=0, atol=1e-5 * len(x))


def same_bits(one: Any, other: Any) -> None:
    for mine, theirs in zip(*(s.blocks if isinstance(s, Blocked) else (s,) for s in (one, other)), strict=True):
        assert mine.header() == theirs.header()
        for name, array in mine.arrays().items():
            np.testing.assert_array_equal(array, theirs.arrays()[name], err_msg=name, strict=True)


@settings(max_examples=60)
@given(
    n=st.integers(1, 14),
    n_locations=st.sampled_from([1, 3, 7]),
    last=st.booleans(),
    mean=st.sampled_from([0.0, 3.0, 1000.0]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.float64]),
    n_rolls=st.integers(0, 5),
    buffer_samples=st.sampled_from([1, 10, 17, 1000]),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    stop_after=st.integers(-1, 5),
)
def test_every_sum_is_that_of_the_slow_way_to_the_same_bits_whatever_the_batches(
    n: int,
    n_locations: int,
    last: bool,
    mean: float,
    dtype: Any,
    n_rolls: int,
    buffer_samples: int,
    sizes: list[int],
    stop_after: int,
) -> None:
    maps = made(n, n_locations, last=last, mean=mean, dtype=dtype)
    plan = MomentsPlan("all", buffer_samples, norms=True, n_rolls=n_rolls)
    found = feed(plan, maps, sizes, stop_after=stop_after)
    check(found, maps, n_rolls)
    assert found.n_rolls == n_rolls
    assert len(found.rolled) == (3 if n_rolls else 0)
    same_bits(found, feed(plan, maps, [n]))


@settings(max_examples=15)
@given(
    n=st.integers(3, 40), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3), stop_after=st.integers(-1, 4)
)
def test_blocks_roll_within_themselves(n: int, sizes: list[int], stop_after: int) -> None:
    maps = made(n, 3)
    plan = BlockedPlan(MomentsPlan([(str(A), str(B))], 10, norms=True, n_rolls=4), 3)
    found = feed(plan, maps, sizes, stop_after=stop_after)
    same_bits(found, feed(plan, maps, [n]))
    x, y = (maps[ref].transpose(1, 2).flatten(0, 1) for ref in (A, B))
    try:
        expected = BlockedPair.from_samples(
            x, y, input_of=np.repeat(np.arange(n), 3), n_blocks=3, a="a/conv", b="b/conv"
        )
    except InvalidArgumentError:  # all inputs fall into one block
        return
    streamed = BlockedPair.of(found, "a/conv", "b/conv")
    for mine, theirs in zip([streamed, *streamed.rolled], [expected, *expected.rolled], strict=True):
        check_same_pairs(mine, theirs)
        check_same_pairs(mine.swapped, theirs.swapped)


def check_same_pairs(mine: BlockedPair, theirs: BlockedPair) -> None:
    folds = zip([mine.total, *sum(mine.folds(), ())], [theirs.total, *sum(theirs.folds(), ())], strict=True)
    for one, other in folds:
        assert (one.n_inputs, one.n_samples) == (other.n_inputs, other.n_samples)
        for name in ("mean_a", "mean_b", "cov_aa", "cov_bb", "cov_ab"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-5)
        assert one.norms is not None
        assert other.norms is not None
        np.testing.assert_allclose(one.norms, other.norms, rtol=1e-5)


def test_norms_are_right_where_units_are_far_from_zero() -> None:
    maps = made(200, 4, mean=1e4)
    norms = feed(MomentsPlan(norms=True), maps, [50]).pair(A, B).norms
    x, y = (maps[ref].double().transpose(1, 2).flatten(0, 1).numpy() for ref in (A, B))
    k, l = (((v - v.mean(0)) ** 2).sum(1) for v in (x, y))  # noqa: E741
    np.testing.assert_allclose(norms, [k @ k / 800, l @ l / 800, k @ l / 800], rtol=1e-6)


def test_padding_is_summed_with_norms_and_refused_with_rolls() -> None:
    maps = {ref: v for ref, v in made(6, 4).items() if ref != C}
    mask = torch.arange(4).expand(6, 4) < torch.tensor([4, 3, 2, 1, 4, 4])[:, None]
    batch = ActivationBatch(np.arange(6), {ref: Activations(v, mask=mask) for ref, v in maps.items()})
    accumulator = MomentsPlan(norms=True).start(layers_of(maps), batch)
    accumulator.update(batch)
    found = accumulator.finish(Fingerprint())
    real = {ref: v.transpose(1, 2)[mask][:, :, None] for ref, v in maps.items()}
    check(found, real, 0)
    x = by_hand(real[A], np.append(found.origin[A][:-1], 0.0))
    assert found.origin[A][-1] == pytest.approx(x[:, :, -1].mean())
    text = (
        r"Cannot roll the inputs of 'a/conv', which takes 4 locations of each. Found padding in this batch. "
        r'Use view\(locations="mean"\), or n_rolls=0.'
    )
    with pytest.raises(MismatchError, match=text):
        MomentsPlan(n_rolls=1).start(layers_of(maps), batch).update(batch)
    with pytest.raises(MismatchError, match=r"takes 4 locations of each. Found 3 locations in this batch"):
        MomentsPlan(n_rolls=1).start(layers_of(maps), batch).update(
            batch_of({ref: v[:, :, :3] for ref, v in maps.items()})
        )


def test_layers_without_partner_are_not_rolled_and_shifts_are_counts() -> None:
    found = feed(MomentsPlan([(str(A), str(A))], norms=True, n_rolls=2), made(5, 2), [2])
    assert found.rolled == {}
    assert found.n_rolls == 0
    with pytest.raises(
        InvalidArgumentError, match=r"rolled by 1, 2, ... n_rolls inputs. Found n_rolls=-1. Give 0"
    ):
        MomentsPlan(n_rolls=-1)


def warnings_of(labels: Sequence[int] | None, caplog: Any, *, blocks: int = 0, size: int = 7) -> list[str]:
    caplog.clear()
    n = 60 if labels is None else len(labels)
    maps, classes = made(n, 1), None if labels is None else torch.tensor(labels)
    moments: Plan = MomentsPlan(n_rolls=3)
    plan: Plan = BlockedPlan(moments, blocks) if blocks else moments
    accumulator = plan.start(layers_of(maps), batch_of(maps))
    for turn, start in enumerate(range(0, n, size)):
        if turn == 3:
            state = accumulator.state()
            accumulator = plan.start(layers_of(maps), batch_of(maps))
            accumulator.restore(state)
        accumulator.update(batch_of(maps, slice(start, start + size), classes))
    with caplog.at_level(logging.WARNING, logger="convergent"):
        accumulator.finish(Fingerprint())
    return [record.getMessage() for record in caplog.records]


def test_inputs_sorted_by_class_are_told(caplog: pytest.LogCaptureFixture) -> None:
    (text,) = warnings_of(np.repeat(np.arange(10), 20).tolist(), caplog)
    assert text == (
        "Inputs are sorted by class: 95% have the class of the input rolled onto them (190 of 200, by 1), "
        "shuffled ones would at 10%, and so chance levels from rolls come out too high; shuffle once, "
        "with a fixed seed: Subset(inputs, numpy.random.default_rng(0).permutation(len(inputs)))."
    )
    (text,) = warnings_of(np.repeat(np.arange(10), 20).tolist(), caplog, blocks=4)
    assert "of 200, by 1), shuffled ones would at 10%" in text
    assert "(200 of 200, by 2)" in warnings_of([0, 1] * 100, caplog)[0]  # every other input
    (text,) = warnings_of(np.repeat([-1, 0, 1, -1], 50).tolist(), caplog)  # the unknown say nothing
    assert "(98 of 99, by 1), shuffled ones would at 49%" in text


def test_shuffled_few_or_unknown_classes_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    shuffled = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 20)).tolist()
    for labels in (shuffled, [0] * 200, [-1] * 200, None, [0, 0, 1, 1], list(range(100)), [3], [0, 0]):
        assert warnings_of(labels, caplog) == []
        assert warnings_of(labels, caplog, blocks=3) == []
    mildly = np.tile(np.arange(10), 200)
    mildly[1::20] = mildly[0::20]  # 5 % more than by chance, which is certain and does no harm
    order = np.random.default_rng(1).permutation(1000) * 2
    labels = np.stack([mildly[order], mildly[order + 1]], 1).ravel().tolist()
    assert warnings_of(labels, caplog, size=500) == []


def test_several_labels_an_input_are_no_class() -> None:
    maps = made(12, 1)
    plan = MomentsPlan(n_rolls=3)
    accumulator = plan.start(layers_of(maps), batch_of(maps))
    for part in (slice(0, 5), slice(5, 12)):
        accumulator.update(batch_of(maps, part, torch.zeros(12, 4, dtype=torch.int64)))
    assert accumulator.finish(Fingerprint()).n_inputs == 12


def test_squared_norms_that_leave_float32_are_refused() -> None:
    torch.manual_seed(0)
    source = Lockstep({"a": nn.Linear(4, 40), "b": nn.Linear(4, 40)}, [1e9 * torch.randn(8, 4)], layers=["output"])
    with pytest.raises(
        NonFiniteError, match=r"Cannot keep squared norms of 'a/output'\. Their products do not fit"
    ):
        collect(source, {"moments": MomentsPlan(norms=True)})
