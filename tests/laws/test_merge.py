"""The one law, on hostile streams: T(A + B) == merge(T(A), T(B)), whatever the batches, split and order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convergent.batch import ActivationBatch, Activations, block_of
from convergent.results import Fingerprint
from convergent.statistics import (
    Blocked,
    BlockedPlan,
    Moments,
    MomentsPlan,
    TopInputs,
    TopInputsPlan,
    ZerosPlan,
)
from convergent.statistics.base import Plan
from convergent.units import LayerRef, LayerUnits

A, B = LayerRef("a", "conv"), LayerRef("b", "conv")
KINDS = ("gaussian", "sorted", "drifting", "constant", "offset", "sparse", "ties")
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
PLANS: dict[str, Plan] = {
    "moments": MomentsPlan(buffer_samples=50),
    "top inputs": TopInputsPlan(3),
    "zeros": ZerosPlan(),
}
# A float32 product of n samples is wrong by a few roundings of the root mean squares *about the origin*.
ROUNDING = 2e-6


@dataclass(frozen=True)
class Stream:
    """Inputs of two nets, and how they are stored."""

    kind: str
    values: dict[LayerRef, torch.Tensor]
    mask: torch.Tensor | None
    ids: np.ndarray

    @property
    def layers(self) -> tuple[LayerUnits, ...]:
        return tuple(
            LayerUnits(ref, v.shape[1], (v.shape[2],), v.shape[2], "all") for ref, v in self.values.items()
        )

    def batch(self, positions: Sequence[int]) -> ActivationBatch:
        index = list(positions)
        mask = None if self.mask is None else self.mask[index]
        maps = {ref: Activations(_like(v, v[index]), mask=mask) for ref, v in self.values.items()}
        return ActivationBatch(self.ids[index], maps)

    def samples(self, ref: LayerRef, positions: Sequence[int]) -> np.ndarray:
        """Samples x units in float64, of the very numbers the nets gave."""
        values = self.values[ref][list(positions)].double().transpose(1, 2)
        mask = torch.ones(values.shape[:2], dtype=torch.bool) if self.mask is None else self.mask[list(positions)]
        return values[mask].numpy()


def _like(stored: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """A part in the memory order of the whole: channels first or channels last."""
    return part.transpose(1, 2).contiguous().transpose(1, 2) if stored.stride(1) == 1 else part.contiguous()


def _activations(kind: str, rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    x = rng.normal(size=shape)
    n = shape[0]
    if kind == "sorted":
        x = np.sort(x, axis=0)
    elif kind == "drifting":
        x += 100 * np.linspace(0, 1, n)[:, None, None]
    elif kind == "constant":
        x[:, 0] = 5.1
    elif kind == "offset":
        x += 1e4
    elif kind == "sparse":
        x = np.maximum(x - 1, 0)
    elif kind == "ties":
        x = np.round(x)
    return x


@st.composite
def streams(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> Stream:
    kind, dtype = draw(st.sampled_from(kinds)), draw(st.sampled_from(DTYPES))
    n = draw(st.integers(1, 12))
    n_locations = draw(st.sampled_from((1, 3, 40, 70)))  # fewer and more than the buffer of 50 samples
    channels_last, masked = draw(st.booleans()), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = {}
    for ref, n_units in ((A, draw(st.integers(1, 5))), (B, draw(st.integers(1, 4)))):
        x = torch.from_numpy(_activations(kind, rng, (n, n_units, n_locations))).to(dtype)
        values[ref] = x.transpose(1, 2).contiguous().transpose(1, 2) if channels_last else x
    mask = torch.from_numpy(rng.random((n, n_locations)) < 0.7) if masked else None
    return Stream(kind, values, mask, rng.choice(10**6, size=n, replace=False) - 10**5)


def accumulate(
    plan: Plan,
    stream: Stream,
    positions: Sequence[int],
    *,
    sizes: Sequence[int] = (4,),
    like: Sequence[int] = (0,),
) -> Any:
    """The statistic of inputs at these positions, in batches of these sizes (in turn), calibrated on `like`."""
    accumulator = plan.start(stream.layers, stream.batch(like))
    done = 0
    for turn in range(len(positions) + 1):
        size = sizes[turn % len(sizes)]
        accumulator.update(stream.batch(positions[done : done + size]))
        done += size
    return accumulator.finish(Fingerprint({"a": "1", "b": "2"}, "data", "view"))


Sums = tuple[int, np.ndarray, np.ndarray]


def two_pass(x: np.ndarray) -> Sums:
    """n, mean, and sum of products about the mean: the reference."""
    mean = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
    return len(x), mean, (x - mean).T @ (x - mean)


def chan(one: Sums, other: Sums) -> Sums:
    """Chan, Golub and LeVeque's pairwise update: an independent witness of merging."""
    (n, mean, m2), (m, mean_2, m2_2) = one, other
    if n + m == 0:
        return one
    step = mean_2 - mean
    return n + m, mean + step * m / (n + m), m2 + m2_2 + np.outer(step, step) * n * m / (n + m)


def check_moments(found: Moments, truth: Sums, origins: Sequence[Moments]) -> None:
    """Means and covariances of both layers' units agree with n, mean and sum of products."""
    n, mean, m2 = truth
    if n == 0:
        assert set(found.n_samples.values()) == {0}
        return
    pair = found.pair(A, B)
    assert pair.n_samples == n
    far = np.max([np.abs(np.concatenate([part.origin[A], part.origin[B]]) - mean) for part in origins], axis=0)
    # Root mean square about the farthest origin, and room for float64 rounding of a constant unit.
    size = np.sqrt(np.diagonal(m2) / n + far**2) + 1e-8 * np.abs(mean) + 1e-30
    np.testing.assert_array_less(np.abs(np.concatenate([pair.mean_a, pair.mean_b]) - mean) / size, ROUNDING)
    joint = np.block([[pair.cov_aa, pair.cov_ab], [pair.cov_ab.T, pair.cov_bb]])
    np.testing.assert_array_less(np.abs(joint - m2 / n) / np.outer(size, size), ROUNDING)


def same_bits(one: Any, other: Any) -> None:
    """Every number of two statistics is the same to the last bit."""
    parts = [s.blocks if isinstance(s, Blocked) else (s,) for s in (one, other)]
    for mine, theirs in zip(*parts, strict=True):
        assert mine.header() == theirs.header()
        for name, array in mine.arrays().items():
            np.testing.assert_array_equal(array, theirs.arrays()[name], err_msg=name, strict=True)


def nearly(one: Any, other: Any) -> None:
    """As `same_bits`; moments may differ by float64 rounding in the order of additions."""
    parts = [s.blocks if isinstance(s, Blocked) else (s,) for s in (one, other)]
    for mine, theirs in zip(*parts, strict=True):
        if not isinstance(mine, Moments):
            same_bits(mine, theirs)
            continue
        assert mine.n_samples == theirs.n_samples
        there = theirs._about(mine.origin)
        for ref, total in mine.sums.items():
            size = np.abs(total).max() + mine.n_samples[ref] * (1 + np.abs(mine.origin[ref]).max())
            np.testing.assert_allclose(there.sums[ref], total, rtol=0, atol=1e-13 * size)
        for (a, b), product in mine.products.items():
            reach = [np.abs(part.origin[ref]).max() + 200 for part in (mine, theirs) for ref in (a, b)]
            atol = 1e-13 * (mine.n_samples[a] + 1) * max(reach) ** 2 + 1e-13 * np.abs(product).max()
            np.testing.assert_allclose(there.products[a, b], product, rtol=0, atol=atol)


def parts_of(data: st.DataObject, stream: Stream, n_parts: int = 3) -> list[list[int]]:
    """A split of all positions into parts of any sizes, empty ones too."""
    n = len(stream.ids)
    part = data.draw(st.lists(st.integers(0, n_parts - 1), min_size=n, max_size=n), label="part of each input")
    return [[i for i in range(n) if part[i] == p] for p in range(n_parts)]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(data=st.data())
def test_moments_of_parts_add_up_to_the_moments_of_the_whole(kind: str, data: st.DataObject) -> None:
    plan, stream = PLANS["moments"], data.draw(streams((kind,)))
    split = parts_of(data, stream)
    # Each part has its own calibration, and so its own origin.
    parts = [accumulate(plan, stream, p, like=p[:4] or [0]) for p in split]
    whole = accumulate(plan, stream, range(len(stream.ids)), like=range(len(stream.ids)))
    samples = [np.hstack([stream.samples(ref, p) for ref in (A, B)]) for p in split]
    truth = two_pass(np.concatenate(samples))
    witness = reduce(chan, map(two_pass, samples))
    check_moments(whole, truth, [whole])
    order = data.draw(st.permutations(parts), label="order of merging")
    for merged in (reduce(Moments.merge, order), order[0] + (order[1] + order[2])):
        assert merged.n_inputs == len(stream.ids)
        check_moments(merged, truth, parts)
        check_moments(merged, witness, parts)


def strongest_by_hand(stream: Stream, positions: Sequence[int], ref: LayerRef, unit: int, k: int) -> list[Any]:
    """(value, id, location) of the k strongest inputs, found one by one."""
    found = []
    for i in positions:
        values = stream.values[ref][i, unit].double().numpy()
        real = range(len(values)) if stream.mask is None else np.flatnonzero(stream.mask[i].numpy())
        peak = max(((values[j], -j) for j in real), default=None)
        if peak is not None:
            found.append((peak[0], int(stream.ids[i]), -int(peak[1])))
    return sorted(found, key=lambda entry: (-entry[0], entry[1]))[:k]


@settings(max_examples=40)
@given(stream=streams(), data=st.data())
def test_strongest_inputs_of_parts_are_those_of_the_whole_exactly(stream: Stream, data: st.DataObject) -> None:
    parts = [accumulate(PLANS["top inputs"], stream, p) for p in parts_of(data, stream)]
    whole = accumulate(PLANS["top inputs"], stream, range(len(stream.ids)))
    order = data.draw(st.permutations(parts), label="order of merging")
    same_bits(reduce(TopInputs.merge, order), whole)
    same_bits(order[0] + (order[1] + order[2]), whole)
    for layer in stream.layers:
        for unit in range(layer.n_units):
            expected = strongest_by_hand(stream, range(len(stream.ids)), layer.ref, unit, whole.k)
            expected += [(-np.inf, -1, -1)] * (whole.k - len(expected))
            found = whole.strongest[layer.ref]
            assert list(zip(*(column[unit].tolist() for column in found.columns()), strict=True)) == expected


@settings(max_examples=30)
@given(stream=streams(("sparse", "ties", "constant")), data=st.data())
def test_shares_of_zeros_of_parts_add_up_exactly(stream: Stream, data: st.DataObject) -> None:
    parts = [accumulate(PLANS["zeros"], stream, p) for p in parts_of(data, stream)]
    whole = accumulate(PLANS["zeros"], stream, range(len(stream.ids)))
    same_bits(reduce(Moments.merge, data.draw(st.permutations(parts))), whole)
    for ref in (A, B):
        samples = stream.samples(ref, range(len(stream.ids)))
        assume(len(samples))
        np.testing.assert_array_equal(whole.mean(ref), (samples == 0).sum(axis=0) / len(samples))


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=25)
@given(stream=streams(), data=st.data())
def test_merge_has_an_identity_commutes_and_associates(
    name: str, blocked: bool, stream: Stream, data: st.DataObject
) -> None:
    plan = BlockedPlan(PLANS[name], n_blocks=2) if blocked else PLANS[name]
    one, two, three = (accumulate(plan, stream, p, like=p[:4] or [0]) for p in parts_of(data, stream))
    nothing = Blocked(tuple(one.map(lambda s: s.identity()))) if blocked else one.identity()
    same_bits(one.merge(nothing), one)
    nearly(nothing.merge(one), one)
    nearly(one.merge(two), two.merge(one))
    nearly(one.merge(two).merge(three), one.merge(two.merge(three)))


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=25)
@given(stream=streams(), sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_batch_sizes_do_not_change_a_bit(name: str, blocked: bool, stream: Stream, sizes: list[int]) -> None:
    plan = BlockedPlan(PLANS[name], n_blocks=3) if blocked else PLANS[name]
    everything = range(len(stream.ids))
    same_bits(
        accumulate(plan, stream, everything, sizes=sizes),
        accumulate(plan, stream, everything, sizes=[len(stream.ids)]),
    )


@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=25)
@given(stream=streams(), n_blocks=st.integers(2, 5))
def test_blocks_are_statistics_of_their_inputs_and_add_up(name: str, stream: Stream, n_blocks: int) -> None:
    everything = range(len(stream.ids))
    blocked: Blocked[Any] = accumulate(BlockedPlan(PLANS[name], n_blocks), stream, everything)
    block = block_of(stream.ids, n_blocks)
    for i, found in enumerate(blocked.blocks):
        same_bits(found, accumulate(PLANS[name], stream, np.flatnonzero(block == i).tolist()))
    for i, (rest, held_out) in enumerate(blocked.folds()):
        nearly(rest, blocked.without(i))
        same_bits(held_out, blocked.blocks[i])
        nearly(rest.merge(held_out), blocked.total)
    whole = accumulate(PLANS[name], stream, everything)
    if name != "moments":
        same_bits(blocked.total, whole)
        return
    samples = np.hstack([stream.samples(ref, everything) for ref in (A, B)])
    check_moments(blocked.total, two_pass(samples), [whole])
    check_moments(whole, two_pass(samples), [whole])
