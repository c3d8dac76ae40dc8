"""The one law for samples of inputs, exactly, and for HSIC of batches, whose sums add up."""

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.laws.test_merge import A, B, Stream, accumulate, parts_of, same_bits, streams

from convergent.batch import block_of, hash_ids
from convergent.statistics import (
    Blocked,
    BlockedPlan,
    InputSample,
    InputSamplePlan,
    MinibatchHsic,
    MinibatchHsicPlan,
    load,
    save,
)

SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=3)


@pytest.mark.parametrize("blocked", [False, True])
@settings(max_examples=25)
@given(stream=streams(), data=st.data(), k=st.integers(1, 14), sizes=SIZES)
def test_samples_of_parts_are_that_of_the_whole_whatever_the_batches_and_the_order(
    blocked: bool, stream: Stream, data: st.DataObject, k: int, sizes: list[int]
) -> None:
    assume(stream.mask is None)
    plan: Any = BlockedPlan(InputSamplePlan(k), n_blocks=2) if blocked else InputSamplePlan(k)
    parts = [accumulate(plan, stream, p, sizes=sizes) for p in parts_of(data, stream)]
    whole = accumulate(plan, stream, range(len(stream.ids)))
    one, two, three = data.draw(st.permutations(parts), label="order of merging")
    same_bits(reduce(lambda a, b: a + b, (one, two, three)), whole)
    same_bits(one + (two + three), whole)
    nothing: Any = Blocked(tuple(one.map(lambda s: s.identity()))) if blocked else one.identity()
    same_bits(one.merge(nothing), one)
    same_bits(nothing.merge(one), one)
    block = block_of(stream.ids, 2)
    for i, found in enumerate(whole.blocks if blocked else [whole]):
        members = np.flatnonzero(block == i) if blocked else np.arange(len(stream.ids))
        check_kept(found, stream, members, k)


def check_kept(found: InputSample, stream: Stream, members: np.ndarray, k: int) -> None:
    """The k of smallest hash, one by one."""
    order = sorted(members.tolist(), key=lambda i: int(hash_ids(stream.ids)[i]))[:k]
    assert (found.n_inputs, found.ids.tolist()) == (len(members), stream.ids[order].tolist())
    for ref in (A, B):
        np.testing.assert_array_equal(found.values[ref], stream.values[ref][order].double().numpy())
        kept = np.float64 if str(stream.values[ref].dtype) == "torch.float64" else np.float32
        assert found.values[ref].dtype == kept


@settings(max_examples=25)
@given(stream=streams(("gaussian", "offset", "constant")), data=st.data(), sizes=SIZES)
def test_hsic_of_passes_adds_up(stream: Stream, data: st.DataObject, sizes: list[int]) -> None:
    assume(stream.mask is None)
    parts = [accumulate(MinibatchHsicPlan(), stream, p, sizes=sizes) for p in parts_of(data, stream)]
    one, two, three = data.draw(st.permutations(parts), label="order of merging")
    merged = one + two + three
    assert merged.n_inputs + merged.n_left_out == len(stream.ids)
    np.testing.assert_allclose(merged.hsic, sum(part.hsic for part in parts), rtol=1e-12)
    np.testing.assert_allclose((one + (two + three)).hsic, merged.hsic, rtol=1e-12)
    same_bits(one.merge(one.identity()), one)
    same_bits(one.identity().merge(one), one)
    assert merged.identity().n_batches == 0


@settings(max_examples=10)
@given(stream=streams(("gaussian",)))
def test_files_hold_the_same_bits(stream: Stream, tmp_path_factory: pytest.TempPathFactory) -> None:
    assume(stream.mask is None)
    path = tmp_path_factory.mktemp("sample") / "x.safetensors"
    for plan, kind in ((InputSamplePlan(5), InputSample), (MinibatchHsicPlan(), MinibatchHsic)):
        found = accumulate(plan, stream, range(len(stream.ids)))
        save(found, path)
        again = load(path)
        assert type(again) is kind
        same_bits(again, found)
    blocked = accumulate(BlockedPlan(InputSamplePlan(3), 2), stream, range(len(stream.ids)))
    save(blocked, path)
    same_bits(load(path), blocked)
