"""The one law for counts, to the last bit: fine histograms and joint histograms of parts add up to the whole's."""

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.laws.test_merge import A, B, Stream, accumulate, parts_of, same_bits, streams

from convergent.batch import block_of
from convergent.errors import FileFormatError
from convergent.results import Fingerprint
from convergent.statistics import Blocked, BlockedPlan, HistogramsPlan, QuantilesPlan, load, save
from convergent.statistics.base import Plan

EDGES = {A: (np.array([1e-6, 0.3, 1.0]),) * 5, B: (np.array([-0.5, 0.5]),) * 4}


def plan_for(name: str, stream: Stream) -> Plan:
    units = {layer.ref: layer.n_units for layer in stream.layers}
    if name == "quantiles":
        return QuantilesPlan(16)
    return HistogramsPlan({ref: edges[: units[ref]] for ref, edges in EDGES.items()}, buffer_samples=64)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("name", ["quantiles", "histograms"])
@settings(max_examples=30)
@given(stream=streams(), data=st.data())
def test_parts_add_up_whatever_the_batches_and_the_order(
    name: str, blocked: bool, stream: Stream, data: st.DataObject
) -> None:
    plan = plan_for(name, stream)
    plan = BlockedPlan(plan, n_blocks=2) if blocked else plan
    sizes = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3), label="sizes of batches")
    parts = [accumulate(plan, stream, p, sizes=sizes) for p in parts_of(data, stream)]
    whole = accumulate(plan, stream, range(len(stream.ids)))
    one, two, three = data.draw(st.permutations(parts), label="order of merging")
    same_bits(reduce(lambda a, b: a + b, (one, two, three)), whole)
    same_bits(one + (two + three), whole)
    nothing: Any = Blocked(tuple(one.map(lambda s: s.identity()))) if blocked else one.identity()
    same_bits(one.merge(nothing), one)
    same_bits(nothing.merge(one), one)


@pytest.mark.parametrize("name", ["quantiles", "histograms"])
@settings(max_examples=20)
@given(stream=streams(), n_blocks=st.integers(2, 4))
def test_blocks_are_statistics_of_their_inputs(name: str, stream: Stream, n_blocks: int) -> None:
    plan, everything = plan_for(name, stream), range(len(stream.ids))
    blocked = accumulate(BlockedPlan(plan, n_blocks), stream, everything)
    block = block_of(stream.ids, n_blocks)
    for i, found in enumerate(blocked.blocks):
        same_bits(found, accumulate(plan, stream, np.flatnonzero(block == i).tolist()))
    same_bits(blocked.total, accumulate(plan, stream, everything))


@pytest.mark.parametrize("name", ["quantiles", "histograms"])
@settings(max_examples=20)
@given(stream=streams(), stop=st.integers(0, 12))
def test_a_resumed_pass_ends_in_the_same_bits(name: str, stream: Stream, stop: int) -> None:
    plan, n = plan_for(name, stream), len(stream.ids)
    stop = min(stop, n)
    first, second = (plan.start(stream.layers, stream.batch([like])) for like in (0, n - 1))
    first.update(stream.batch(range(stop)))
    second.restore({key: value.clone() for key, value in first.state().items()})
    second.update(stream.batch(range(stop, n)))
    same_bits(second.finish(Fingerprint({"a": "1", "b": "2"}, "data", "view")), accumulate(plan, stream, range(n)))


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("name", ["quantiles", "histograms"])
@settings(max_examples=10)
@given(stream=streams())
def test_the_same_bits_come_back_from_a_file(
    name: str, blocked: bool, stream: Stream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = plan_for(name, stream)
    statistic = accumulate(BlockedPlan(plan, 2) if blocked else plan, stream, range(len(stream.ids)))
    path = tmp_path_factory.mktemp("round") / "trip.safetensors"
    save(statistic, path)
    back = load(path)
    assert type(back) is type(statistic)
    same_bits(back, statistic)
    same_bits(back + statistic, statistic + statistic)


@pytest.mark.parametrize(
    ("name", "array"), [("quantiles", "counts/a/conv"), ("histograms", "counts/0"), ("histograms", "edges/b/conv")]
)
@settings(max_examples=5)
@given(stream=streams())
def test_arrays_of_other_shapes_are_refused(name: str, array: str, stream: Stream) -> None:
    found = accumulate(plan_for(name, stream), stream, range(len(stream.ids)))
    arrays = found.arrays() | {array: np.zeros((7, 7, 7))}
    with pytest.raises(FileFormatError, match=f"Its array '{array}' is of shape"):
        found.rebuild(found.header(), arrays, found.layers, found.fingerprint)


@settings(max_examples=30)
@given(stream=streams())
def test_counts_are_those_of_the_samples(stream: Stream) -> None:
    everything = range(len(stream.ids))
    counts = accumulate(plan_for("histograms", stream), stream, everything).counts[A, B]
    fine = accumulate(plan_for("quantiles", stream), stream, everything).histograms
    samples = {ref: stream.samples(ref, everything) for ref in (A, B)}
    for i, x in enumerate(samples[A].T):
        for j, y in enumerate(samples[B].T):
            rows, columns = np.searchsorted(EDGES[A][i], x), np.searchsorted(EDGES[B][j], y)
            expected = np.zeros((4, 3), dtype=np.int64)
            np.add.at(expected, (rows, columns), 1)
            np.testing.assert_array_equal(counts[i, j], expected)
    for ref in (A, B):
        assert (fine[ref].counts.sum(axis=1) + fine[ref].zeros).tolist() == [len(samples[ref])] * len(
            fine[ref].low
        )
        np.testing.assert_array_equal(fine[ref].zeros, (np.abs(samples[ref]) <= 1e-6).sum(axis=0))
        np.testing.assert_array_equal(fine[ref].smallest, samples[ref].min(axis=0, initial=np.inf))
        np.testing.assert_array_equal(fine[ref].largest, samples[ref].max(axis=0, initial=-np.inf))
