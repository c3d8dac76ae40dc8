"""Whole inputs and batches of them: what is kept, how it is paired, and HSIC against slow ways."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.batch import ActivationBatch, Activations, hash_ids
from convergent.errors import InvalidArgumentError, MismatchError, UnknownNameError
from convergent.measures import linear_cka
from convergent.results import Fingerprint
from convergent.statistics import (
    BlockedPlan,
    InputSample,
    InputSamplePlan,
    MinibatchHsic,
    MinibatchHsicPlan,
)
from convergent.statistics.base import Plan
from convergent.units import LayerRef, LayerUnits

A, B, C = LayerRef("a", "conv"), LayerRef("b", "conv"), LayerRef("b", "fc")
Maps = dict[LayerRef, torch.Tensor]


def made(n: int = 24, *, mean: float = 0.0, last: bool = False) -> Maps:
    generator = torch.Generator().manual_seed(n)
    x, noise = (torch.randn(n, 5, 6, generator=generator) for _ in range(2))
    maps = {A: x + mean, B: (x[:, :4] + noise[:, :4]) + mean, C: x[:, :, :1].square() + mean}
    return {ref: v.transpose(1, 2).contiguous().transpose(1, 2) for ref, v in maps.items()} if last else maps


def layers_of(maps: Maps) -> list[LayerUnits]:
    return [
        LayerUnits(ref, v.shape[1], (2, 3) if v.shape[2] > 1 else (), v.shape[2], "all") for ref, v in maps.items()
    ]


def batch_of(maps: Maps, part: slice = slice(None)) -> ActivationBatch:
    ids = np.arange(len(maps[A]))[part]
    return ActivationBatch(ids, {ref: Activations(v[part]) for ref, v in maps.items()})


def feed(plan: Plan, maps: Maps, size: int = 8, *, stop_after: int = -1) -> Any:
    accumulator = plan.start(layers_of(maps), batch_of(maps))
    for turn, start in enumerate(range(0, len(maps[A]), size)):
        if turn == stop_after:
            state = {name: value.clone() for name, value in accumulator.state().items()}
            accumulator = plan.start(layers_of(maps), batch_of(maps))
            accumulator.restore(state)
        accumulator.update(batch_of(maps, slice(start, start + size)))
    return accumulator.finish(Fingerprint())


def sample(maps: Maps | None = None, k: int = 10, **kwargs: Any) -> InputSample:
    found: InputSample = feed(InputSamplePlan(k), maps or made(), **kwargs)
    return found


@settings(max_examples=15)
@given(size=st.integers(1, 24), stop_after=st.integers(-1, 5))
def test_the_same_inputs_are_kept_after_a_stop(size: int, stop_after: int) -> None:
    found, maps = sample(size=size, stop_after=stop_after), made()
    assert found.ids.tolist() == np.argsort(hash_ids(np.arange(24)))[:10].tolist()
    for ref, v in maps.items():
        np.testing.assert_array_equal(found.values[ref], v[found.ids].numpy())


def test_inputs_are_paired_as_flattened_features_or_location_by_location() -> None:
    maps, found = made(), sample()
    whole = found.pair("a/conv", C)
    np.testing.assert_array_equal(whole.x, maps[A][found.ids].flatten(1))
    assert (whole.a, whole.b, whole.x.shape, whole.y.shape) == ("a/conv", "b/fc", (10, 30), (10, 5))
    assert (whole.convention, whole.n_inputs) == ("inputs x features", 10)
    places = found.pair(A, B, samples="locations")
    assert (places.convention, places.n_samples, places.n_inputs) == ("locations x units", 60, 10)
    np.testing.assert_array_equal(places.y[7], maps[B][found.ids[1], :, 1])
    assert places.input_of[7] == 1
    own = found.pair(B, B)
    np.testing.assert_array_equal(own.x, own.y)


def test_what_cannot_be_paired_says_why() -> None:
    found = sample()
    with pytest.raises(MismatchError, match=r"Cannot pair 'a/conv' \(2 x 3 locations per input\) with 'b/fc'"):
        found.pair(A, C, samples="locations")
    with pytest.raises(
        InvalidArgumentError, match=r"'inputs' or 'locations'. Found 'pixels'. Choose one of these"
    ):
        found.pair(A, B, samples="pixels")
    with pytest.raises(UnknownNameError, match=r"Asked for layer 'a/cnv'. There are 3. Nearest: 'a/conv'"):
        found.pair("a/cnv", B)
    with pytest.raises(InvalidArgumentError, match=r"keeps k inputs. Found k=0. Give at least 1"):
        InputSamplePlan(0)
    with pytest.raises(
        MismatchError, match=r"Cannot merge InputSamples .* Found k=10 against k=5. Accumulate both"
    ):
        found.merge(sample(k=5))


def test_only_the_layers_asked_for_are_kept() -> None:
    found = feed(InputSamplePlan(4, layers=("b/fc", A)), made())
    assert [layer.ref for layer in found.layers] == [A, C]
    with pytest.raises(UnknownNameError, match=r"Asked for layer 'b/fd'"):
        feed(InputSamplePlan(4, layers=("b/fd",)), made())


@pytest.mark.parametrize("plan", [InputSamplePlan(3), MinibatchHsicPlan()])
def test_padded_inputs_are_refused(plan: Plan) -> None:
    maps = {A: made()[A]}
    batch = ActivationBatch(np.arange(24), {A: Activations(maps[A], mask=torch.ones(24, 6, dtype=torch.bool))})
    text = r"Cannot compare whole inputs in 'a/conv'. Found padding .* Use view\(locations=\"mean\"\)."
    with pytest.raises(MismatchError, match=text):
        plan.start(layers_of(maps), batch).update(batch)


def test_announced_memory_is_what_is_held() -> None:
    maps, plan = made(), InputSamplePlan(20)
    accumulator = plan.start(layers_of(maps), batch_of(maps))
    accumulator.update(batch_of(maps))
    held = sum(value.nbytes for value in accumulator.state().values())
    largest = 4 * 20 * 30  # is put in order before it is let go
    assert held <= plan.n_bytes(layers_of(maps)) <= (held + largest) * 1.01


def slow_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Kernels U-centred entry by entry (Szekely & Rizzo 2014), in float64."""
    n = len(x)

    def centred(v: np.ndarray) -> np.ndarray:
        k = v @ v.T
        np.fill_diagonal(k, 0)
        rows = k.sum(0)
        out = k - rows / (n - 2) - rows[:, None] / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(out, 0)
        return out

    return float((centred(x) * centred(y)).sum() / (n * (n - 3)))


def slow_cka(maps: Maps, size: int) -> np.ndarray:
    flat = [v.double().flatten(1).numpy() for v in maps.values()]
    sums = np.zeros((len(flat), len(flat)))
    for start in range(0, len(flat[0]), size):
        parts = [x[start : start + size] for x in flat]
        if len(parts[0]) >= 4:
            sums += [[slow_hsic(x, y) for y in parts] for x in parts]
    return np.asarray(sums / np.sqrt(np.outer(np.diagonal(sums), np.diagonal(sums))))


@settings(max_examples=20)
@given(
    n=st.integers(8, 40),
    size=st.integers(8, 12),
    mean=st.sampled_from([0.0, 3.0, 300.0]),
    last=st.booleans(),
    stop_after=st.integers(-1, 5),
)
def test_cka_of_batches_is_right_however_large_the_mean(
    n: int, size: int, mean: float, last: bool, stop_after: int
) -> None:
    maps = made(n, mean=mean, last=last)
    found: MinibatchHsic = feed(MinibatchHsicPlan(), maps, size, stop_after=stop_after)
    left = n % size if n % size < 4 else 0
    assert (found.n_inputs, found.n_left_out, found.n_batches) == (n - left, left, -(-(n - left) // size))
    assert [layer.ref for layer in found.layers] == [A, B, C]
    np.testing.assert_allclose(found.cka(), slow_cka(maps, size), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    maps = {ref: v.to(dtype) for ref, v in made().items()}
    atol = 1e-12 if dtype == torch.float64 else 1e-6
    np.testing.assert_allclose(feed(MinibatchHsicPlan(), maps).cka(), slow_cka(maps, 8), rtol=0, atol=atol)


def test_all_inputs_as_one_batch_give_the_exact_value() -> None:
    maps = made(40)
    found = sample(maps, k=40)
    exact = found.hsic()
    np.testing.assert_allclose(exact.cka(), slow_cka(maps, 40), rtol=0, atol=1e-6)
    assert exact.cka()[0, 2] == pytest.approx(linear_cka(found.pair(A, C), estimator="debiased"), abs=1e-6)
    assert (exact.n_inputs, exact.n_batches) == (40, 1)


def test_independent_layers_have_no_cka_and_it_is_not_clamped() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = {LayerRef("a", str(i)): torch.randn(96, 200, 1, generator=generator) for i in range(6)} | {
        A: made(96)[A]
    }
    cka = feed(MinibatchHsicPlan(), maps, 32).cka()
    apart = cka[np.triu_indices(6, 1)]
    assert np.abs(apart).max() < 0.1
    assert apart.min() < 0
    np.testing.assert_allclose(np.diagonal(cka), 1)


def test_a_constant_layer_is_not_a_number() -> None:
    maps = made() | {B: torch.full((24, 4, 6), 5.1)}
    for found in (feed(MinibatchHsicPlan(), maps), sample(maps).hsic()):
        assert np.isnan(found.cka()[1]).all()
        assert np.isfinite(found.cka()[np.ix_([0, 2], [0, 2])]).all()


def test_batches_that_are_too_small_and_blocks_are_refused() -> None:
    text = r"from batches of at least 4 inputs. Found none, and 24 inputs in smaller ones. Give larger batches"
    with pytest.raises(InvalidArgumentError, match=text):
        feed(MinibatchHsicPlan(), made(), 3).cka()
    with pytest.raises(InvalidArgumentError, match=r"least 4 inputs. Found none, and 3 inputs in smaller ones"):
        sample(k=3).hsic().cka()
    text = r"HSIC of \d of the 8 inputs of a batch, .* tear them apart. Collect MinibatchHsicPlan\(\) unblocked"
    with pytest.raises(InvalidArgumentError, match=text):
        feed(BlockedPlan(MinibatchHsicPlan(), 2), made())


@pytest.mark.parametrize("largest", [600, 5000, 1e6])
def test_one_input_that_is_far_off_spoils_nothing(largest: float) -> None:
    """Beside a unit that is always 100: debiased HSIC knows no diagonal, so the others' differences count."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(128, 512, 1, generator=generator)
    maps = {ref: 0.1 * (shared + torch.randn(128, 512, 1, generator=generator)) for ref in (A, B)}
    for values in maps.values():
        values[:, 0] = 100.0
        values[7, 1] = largest
    np.testing.assert_allclose(feed(MinibatchHsicPlan(), maps, 128).cka(), slow_cka(maps, 128), rtol=0, atol=1e-6)


@pytest.mark.parametrize("units", [1, 2, 5, 6])
def test_any_number_of_features(units: int) -> None:
    maps = {ref: made(9)[ref][:, :1].expand(-1, units, -1) + torch.arange(units)[:, None] for ref in (A, B)}
    np.testing.assert_allclose(feed(MinibatchHsicPlan(), maps, 9).cka(), slow_cka(maps, 9), rtol=0, atol=1e-6)
