"""Joint histograms: equal to a slow count whatever the method, exact beyond 2^24, and what is refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from convergent.batch import ActivationBatch, Activations
from convergent.errors import InvalidArgumentError, MismatchError, NonFiniteError, UnknownNameError
from convergent.results import Fingerprint
from convergent.statistics import Blocked, BlockedPlan, Histograms, HistogramsPlan, PairHistograms
from convergent.statistics import thermometer as joint_counts_module
from convergent.statistics.edges import UnitEdges, unit_edges
from convergent.units import LayerRef, LayerUnits

A, B, C = LayerRef("a", "conv"), LayerRef("b", "conv"), LayerRef("a", "other")
UNITS = {A: 5, B: 4, C: 2}
LAYERS = tuple(LayerUnits(ref, n, (6, 5), 30, "all") for ref, n in UNITS.items())
METHODS = pytest.mark.parametrize("method", ["auto", "bits", "int8", "float32"])


def batch(
    n: int = 20, *, first: int = 0, dtype: torch.dtype = torch.float32, masked: bool = False, last: bool = False
) -> ActivationBatch:
    generator = torch.Generator().manual_seed(first)
    mask = torch.rand(n, 30, generator=generator) < 0.6 if masked else None
    maps = {}
    for ref, units in UNITS.items():
        x = torch.randn(n, units, 30, generator=generator).relu()
        x[:, 0] -= 0.5  # one unit without zeros
        x[:, 1] = x[:, 1].round()  # one with few values, on the edges
        x = x.transpose(1, 2).contiguous().transpose(1, 2) if last else x
        maps[ref] = Activations(x.to(dtype), mask=mask)
    return ActivationBatch(np.arange(first, first + n), maps)


def edges(k: int) -> dict[LayerRef, UnitEdges]:
    """K bins for every unit but the last of a layer, which has two; the second's edges are values it takes."""
    found = {}
    for ref, units in UNITS.items():
        each = [np.linspace(1e-6, 2, k - 1) for _ in range(units - 1)] + [np.array([0.3])]
        each[1] = np.arange(k - 1) / max(1, (k - 1) // 3)
        found[ref] = tuple(each)
    return found


def by_hand(x: np.ndarray, y: np.ndarray, edges_x: np.ndarray, edges_y: np.ndarray, k: int) -> np.ndarray:
    counts = np.zeros((k, k), dtype=np.int64)
    rows, columns = np.searchsorted(edges_x, x, side="left"), np.searchsorted(edges_y, y, side="left")
    np.add.at(counts, (rows, columns), 1)
    return counts


def samples(batches: Sequence[ActivationBatch], ref: LayerRef) -> np.ndarray:
    rows = []
    for one in batches:
        values, mask = one.layers[ref].values.double().transpose(1, 2), one.layers[ref].mask
        rows.append(values.flatten(0, 1) if mask is None else values[mask])
    return torch.cat(rows).numpy()


def accumulate(plan: HistogramsPlan | BlockedPlan, batches: Sequence[ActivationBatch]) -> Any:
    accumulator = plan.start(LAYERS, batches[0])
    for one in batches:
        accumulator.update(one)
    return accumulator.finish(Fingerprint())


def check(found: PairHistograms, batches: Sequence[ActivationBatch], k: int) -> None:
    x, y = samples(batches, A), samples(batches, B)
    assert found.n_samples == len(x)
    assert found.counts.shape == (5, 4, k, k)
    for i in range(5):
        for j in range(4):
            expected = by_hand(x[:, i], y[:, j], found.edges_a[i], found.edges_b[j], k)
            np.testing.assert_array_equal(found.counts[i, j], expected)


@METHODS
@pytest.mark.parametrize("k", [2, 10, 16, 40])
def test_every_method_counts_as_a_slow_loop_does(k: int, method: Any) -> None:
    batches = [batch(first=0), batch(7, first=50)]
    plan = HistogramsPlan(edges(k), method=method, buffer_samples=130)
    check(accumulate(plan, batches).pair(A, B), batches, k)


@METHODS
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_layouts_and_padding(dtype: torch.dtype, masked: bool, last: bool, method: Any) -> None:
    batches = [batch(first=s, dtype=dtype, masked=masked, last=last) for s in (0, 30)]
    plan = HistogramsPlan(edges(10), method=method, buffer_samples=64)  # an input of 30 samples fits twice
    check(accumulate(plan, batches).pair(A, B), batches, 10)


def test_inputs_larger_than_the_buffer_are_cut() -> None:
    batches = [batch(9)]
    wide = ActivationBatch(
        np.arange(1),
        {ref: Activations(a.values.transpose(0, 1).flatten(1)[None]) for ref, a in batches[0].layers.items()},
    )
    check(accumulate(HistogramsPlan(edges(10), buffer_samples=64), [wide]).pair(A, B), batches, 10)


def test_an_edge_between_two_float32_numbers() -> None:
    """Values are float32 and edges float64: 0.1 in float32 is a little more than 0.1."""
    x = torch.full((3, 1, 1), 0.1)
    one = ActivationBatch(np.arange(3), {A: Activations(x), B: Activations(-x)})
    layers = tuple(LayerUnits(ref, 1, (), 1, "all") for ref in (A, B))
    plan = HistogramsPlan({A: (np.array([0.1]),), B: (np.array([-0.1]),)})
    accumulator = plan.start(layers, one)
    accumulator.update(one)
    assert accumulator.finish(Fingerprint()).pair(A, B).counts[0, 0].tolist() == [[0, 0], [3, 0]]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_share_the_rows(n_threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        batches = [batch()]
        check(accumulate(HistogramsPlan(edges(10)), batches).pair(A, B), batches, 10)
    finally:
        torch.set_num_threads(before)


@METHODS
def test_counts_are_exact_beyond_two_to_the_24(method: Any) -> None:
    plan = HistogramsPlan(edges(10), method=method)
    accumulator = plan.start(LAYERS, batch())
    accumulator.update(batch())
    expected = accumulator.finish(Fingerprint()).pair(A, B).counts
    state = plan.start(LAYERS, batch()).state()
    many = 2**53 // 3  # odd, and such a number plus one is not a float32
    state["joint/0"] = torch.full_like(state["joint/0"], 0)
    state["joint/0"][-1, -1] = many
    accumulator = plan.start(LAYERS, batch())
    accumulator.restore(state)
    accumulator.update(batch())
    found = accumulator.finish(Fingerprint()).pair(A, B).counts
    expected = expected.copy()
    expected[:, :, 0, 0] += many
    np.testing.assert_array_equal(found, expected)


def test_more_than_two_to_the_24_samples() -> None:
    n = 2**24 + 5
    one = torch.ones(1, 1, n)
    both = ActivationBatch(np.arange(1), {A: Activations(one), B: Activations(one)})
    layers = tuple(LayerUnits(ref, 1, (n,), n, "all") for ref in (A, B))
    half = (np.array([0.5]),)
    accumulator = HistogramsPlan({A: half, B: half}, buffer_samples=2**16).start(layers, both)
    accumulator.update(both)
    assert accumulator.finish(Fingerprint()).pair(A, B).counts[0, 0].tolist() == [[0, 0], [0, n]]


def test_where_bytes_cannot_be_multiplied_floats_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert joint_counts_module.multiplies_bytes(torch.device("cpu"))

    def refuses(*_: object) -> None:
        raise RuntimeError("_int_mm_out_cpu not implemented")

    monkeypatch.setattr(torch, "_int_mm", refuses)
    assert not joint_counts_module.multiplies_bytes(torch.device("cpu"))
    check(accumulate(HistogramsPlan(edges(10), method="int8"), [batch()]).pair(A, B), [batch()], 10)
    monkeypatch.delattr(torch, "_int_mm")
    assert not joint_counts_module.multiplies_bytes(torch.device("cpu"))


def test_bits_are_counted_on_a_cpu_only() -> None:
    cuts = torch.zeros(2, 3, device="meta")
    with pytest.raises(InvalidArgumentError, match=r"Found activations on 'meta'\. Choose method='auto'"):
        joint_counts_module.coder("bits", cuts, 64)


def test_blocks_add_up() -> None:
    batches = [batch(first=0), batch(first=20)]
    blocked: Blocked[Histograms] = accumulate(BlockedPlan(HistogramsPlan(edges(10)), 3), batches)
    check(blocked.total.pair(A, B), batches, 10)
    assert all(block.n_inputs for block in blocked.blocks)


def test_chosen_units_and_pairs() -> None:
    whole = accumulate(HistogramsPlan(edges(10), pairs="all"), [batch()])
    few = accumulate(HistogramsPlan(edges(10), units={"a/conv": [3, 1], B: [0]}), [batch()]).pair(A, B)
    assert (few.units_a.tolist(), few.units_b.tolist()) == ([3, 1], [0])
    np.testing.assert_array_equal(few.counts, whole.pair(A, B).counts[[3, 1]][:, [0]])
    turned = accumulate(HistogramsPlan(edges(10), units={A: [4, 3, 2, 1, 0]}), [batch()]).pair(A, B)
    np.testing.assert_array_equal(turned.counts, whole.pair(A, B).counts[::-1])
    assert list(whole.counts) == [(A, B), (A, C), (B, C)]
    within = accumulate(HistogramsPlan(edges(10), pairs=[(A, A), (B, C)]), [batch()])
    assert list(within.counts) == [(A, A), (B, C)]
    assert within.pair(A, A).counts[0, 0].sum() == np.trace(within.pair(A, A).counts[0, 0]) == 600
    assert list(accumulate(HistogramsPlan({A: edges(3)[A], B: edges(3)[B]}, pairs="all"), [batch()]).counts) == [
        (A, B)
    ]


def test_the_pair_seen_from_the_other_side() -> None:
    found = accumulate(HistogramsPlan(edges(10)), [batch()])
    there, back = found.pair("a/conv", "b/conv"), found.pair("b/conv", "a/conv")
    assert (back.a, back.b) == ("b/conv", "a/conv")
    np.testing.assert_array_equal(back.counts[2, 3], there.counts[3, 2].T)
    np.testing.assert_array_equal(back.marginal_a, there.marginal_b)


def test_from_samples_is_the_same_count() -> None:
    x, y = samples([batch()], A), samples([batch()], B)
    found = PairHistograms.from_samples(x, torch.from_numpy(y).to(torch.float64))
    for i in range(5):
        for j in range(4):
            k = found.counts.shape[2]
            expected = by_hand(x[:, i], y[:, j], found.edges_a[i], found.edges_b[j], k)
            np.testing.assert_array_equal(found.counts[i, j], expected)
    assert (found.a, found.b, found.n_inputs, found.n_samples) == ("a", "b", 600, 600)
    cuts = np.array([0.0, 1.0, 2.0])
    shared = PairHistograms.from_samples(x, y, bins=cuts)
    np.testing.assert_array_equal(shared.counts[0, 0], by_hand(x[:, 0], y[:, 0], cuts, cuts, 4))
    many = np.repeat(x, 30, axis=0)  # more than one chunk
    np.testing.assert_array_equal(PairHistograms.from_samples(many, many, bins=[0.0]).counts.sum((2, 3)), 18000)


def test_from_samples_refuses() -> None:
    with pytest.raises(MismatchError, match=r"Found 3 and 4 rows"):
        PairHistograms.from_samples(np.ones((3, 1)), np.ones((4, 1)))
    with pytest.raises(InvalidArgumentError, match=r"over samples\. Found 1\. Give at least two"):
        PairHistograms.from_samples([[1.0]], [[1.0]])
    with pytest.raises(InvalidArgumentError, match=r"Found shape \(3,\)"):
        PairHistograms.from_samples([1.0, 2.0, 3.0], np.ones((3, 1)))
    with pytest.raises(NonFiniteError, match="Found nan at sample 1, unit 0"):
        PairHistograms.from_samples([[1.0], [np.nan]], np.ones((2, 1)))
    with pytest.raises(InvalidArgumentError, match="Found 1 of them"):
        PairHistograms.from_samples(np.ones((2, 1)), np.ones((2, 1)), bins=1)


def test_plans_refuse() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Found 'fast'\. Choose one of these"):
        HistogramsPlan(edges(3), method="fast")
    with pytest.raises(InvalidArgumentError, match="Found buffer_samples=0"):
        HistogramsPlan(edges(3), buffer_samples=0)
    with pytest.raises(UnknownNameError, match=r"units of 'c/conv'\. There are 3 such layers"):
        HistogramsPlan({**edges(3), LayerRef("c", "conv"): ()}).start(LAYERS, batch())
    with pytest.raises(UnknownNameError, match="units of 'c/conv'"):
        HistogramsPlan(edges(3), units={"c/conv": [0]}).start(LAYERS, batch())
    for chosen in ([], [5], [-1], [1, 1]):
        with pytest.raises(InvalidArgumentError, match=r"are numbered 0 to 4\. Found .* Choose each of them once"):
            HistogramsPlan(edges(3), units={A: chosen}).start(LAYERS, batch())
    with pytest.raises(MismatchError, match="each of the 4 units of 'b/conv'"):
        HistogramsPlan({**edges(3), B: unit_edges([1.0], 3, "b")}).start(LAYERS, batch())


def test_plans_of_other_edges_are_told_apart() -> None:
    assert repr(HistogramsPlan(edges(10))) == repr(HistogramsPlan(edges(10)))
    assert repr(HistogramsPlan(edges(10))) != repr(HistogramsPlan(edges(11)))


def test_statistics_refuse() -> None:
    found: Histograms = accumulate(HistogramsPlan(edges(10)), [batch()])
    with pytest.raises(UnknownNameError, match=r"Asked for 'a/conv' with 'a/other'\. That pair was not counted"):
        found.pair(A, C)
    with pytest.raises(InvalidArgumentError, match=r"They hold no samples\. Accumulate at least two inputs"):
        found.identity().pair(A, B)
    for plan in (HistogramsPlan(edges(11)), HistogramsPlan(edges(10), units={A: [0]})):
        with pytest.raises(MismatchError, match=r"other pairs, units or edges\. Found edges \w+ of a/conv with"):
            found.merge(accumulate(plan, [batch()]))


def test_memory_is_announced() -> None:
    plan = HistogramsPlan(edges(10))
    cumulative = 8 * (5 * 9 + 1) * (4 * 9 + 1)
    histograms = 8 * 5 * 10 * 4 * 10
    assert plan.n_bytes(LAYERS) >= cumulative + histograms
    assert BlockedPlan(plan, 3).n_bytes(LAYERS) == 3 * plan.n_bytes(LAYERS)
