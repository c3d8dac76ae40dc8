"""Views against slow loops, and what they refuse."""

from itertools import product
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convergent._typing import Tensor
from convergent.batch import hash_ids
from convergent.errors import InvalidArgumentError
from convergent.extraction.views import View, view
from convergent.units import LayerRef

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
kinds = st.sampled_from(["auto", "channels", "tokens", "neurons"])
seeds = st.integers(0, 2**31)


def random_output(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slow_rows(output: Tensor, units: str) -> Tensor:
    """Inputs x units x locations, one value at a time."""
    if units == "auto":
        units = {3: "tokens", 4: "channels", 5: "channels"}.get(output.ndim, "neurons")
    if units == "neurons":
        return output.reshape(len(output), -1, 1)
    axis = 1 if units == "channels" else output.ndim - 1
    others = [a for a in range(1, output.ndim) if a != axis]
    places = list(product(*(range(output.shape[a]) for a in others)))
    values = torch.empty(len(output), output.shape[axis], len(places))
    for n, u, (at, place) in product(range(len(output)), range(output.shape[axis]), enumerate(places)):
        index = [n, *place]
        index.insert(axis, u)
        values[n, u, at] = output[tuple(index)]
    return values


@given(seeds, shapes, st.integers(1, 3), kinds)
def test_all_locations_as_a_slow_loop_finds_them(seed: int, shape: tuple[int, ...], n: int, units: str) -> None:
    output = random_output(seed, (n, *shape))
    seen = View(units).apply(output)
    assert torch.equal(seen.values, slow_rows(output, units))
    assert seen.locations is None
    assert seen.mask is None


@given(seeds, shapes, kinds)
def test_mean_is_the_mean_of_all(seed: int, shape: tuple[int, ...], units: str) -> None:
    output = random_output(seed, (2, *shape))
    torch.testing.assert_close(
        View(units, "mean").apply(output).values, slow_rows(output, units).mean(2, keepdim=True)
    )


@given(seeds, shapes, kinds, st.sampled_from(["all", "mean", "grid=1", "random=1"]))
def test_describe_foretells_apply(seed: int, shape: tuple[int, ...], units: str, locations: str) -> None:
    lens = View(units, locations)
    layer = lens.describe(LayerRef("a", "x"), shape)
    seen = lens.apply(random_output(seed, (2, *shape)), ids=np.array([5, 7]))
    assert seen.values.shape == (2, layer.n_units, layer.n_samples_per_input)
    assert layer.sampling == (locations if layer.grid else "all")


@given(seeds, st.integers(1, 7), st.integers(1, 7), st.data())
def test_grid_takes_values_untouched_at_evenly_spaced_places(
    seed: int, height: int, width: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, min(height, width)))
    output = random_output(seed, (2, 3, height, width))
    seen = view(grid=k).apply(output)
    rows = [floor((i + 0.5) * height / k) for i in range(k)]
    columns = [floor((i + 0.5) * width / k) for i in range(k)]
    assert torch.equal(seen.values, output[:, :, rows][..., columns].flatten(2))
    assert seen.locations is not None
    assert seen.locations[1].tolist() == [r * width + c for r in rows for c in columns]


@given(seeds, st.integers(1, 20), st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=5), st.data())
def test_random_locations_depend_on_nothing_but_id_and_grid(
    seed: int, n_locations: int, ids: list[int], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, n_locations))
    lens, everyone = View("channels", f"random={k}"), np.array(ids)
    output = random_output(seed, (len(ids), 3, n_locations))
    seen = lens.apply(output, ids=everyone)
    assert seen.locations is not None
    for n, places in enumerate(seen.locations.tolist()):
        assert len(set(places)) == k
        assert torch.equal(seen.values[n], output[n, :, places])
        alone = lens.apply(torch.zeros(1, 8, n_locations), ids=everyone[n : n + 1])
        assert alone.locations is not None
        assert alone.locations[0].tolist() == places


def test_random_locations_are_spread_evenly_and_not_tied_to_blocks() -> None:
    ids = np.arange(4000)
    seen = View("channels", "random=2").apply(torch.zeros(4000, 1, 10), ids=ids)
    assert seen.locations is not None
    counts = torch.bincount(seen.locations.flatten(), minlength=10)
    assert ((counts - 800).abs() < 5 * 800**0.5).all()
    block = torch.from_numpy((hash_ids(ids, salt=1) % np.uint64(10)).astype(np.int64))
    in_first = torch.bincount(seen.locations[block == 0].flatten(), minlength=10) / (block == 0).sum()
    assert (in_first - 0.2).abs().max() < 0.1


@given(seeds, st.sampled_from(["all", "mean", "grid=2", "random=2"]))
def test_padding_never_counts(seed: int, locations: str) -> None:
    """Whatever stands at padding, NaN included, the view is the same."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(3, 6, generator=generator) < 0.6
    output = random_output(seed, (3, 6, 4))
    spoiled = output.masked_fill(~mask[..., None], torch.nan)
    lens, ids = View("tokens", locations), np.arange(3)
    seen, again = (lens.apply(o, ids=ids, mask=mask) for o in (output, spoiled))
    assert torch.equal(seen.values, again.values)
    assert torch.isfinite(seen.values).all()
    if locations == "mean":
        for n in range(3):
            expected = output[n][mask[n]].mean(0) if mask[n].any() else torch.zeros(4)
            torch.testing.assert_close(seen.values[n, :, 0], expected)
            assert seen.mask is None or bool(seen.mask[n, 0]) == bool(mask[n].any())
    elif locations == "all":
        assert seen.mask is not None
        assert torch.equal(seen.mask, mask)
    else:
        assert seen.mask is not None
        assert seen.locations is not None
        assert torch.equal(seen.mask, mask.gather(1, seen.locations))
    if locations == "random=2":
        assert seen.mask is not None
        assert torch.equal(seen.mask.sum(1), mask.sum(1).clamp(max=2))  # real ones first


def test_an_input_of_padding_alone_has_no_mean() -> None:
    mask = torch.tensor([[True, False], [False, False]])
    seen = view(locations="mean").apply(torch.ones(2, 2, 3), mask=mask)
    assert seen.mask is not None
    assert seen.mask.tolist() == [[True], [False]]


def test_a_mask_of_another_length_is_not_for_this_layer() -> None:
    assert View().apply(torch.ones(2, 8, 3), mask=torch.zeros(2, 5, dtype=torch.bool)).mask is None
    assert View().apply(torch.ones(2, 8), mask=torch.zeros(2, 1, dtype=torch.bool)).mask is None


def test_dense_outputs_are_viewed_without_a_copy() -> None:
    maps = torch.randn(2, 3, 4, 5)
    last = maps.to(memory_format=torch.channels_last)
    for output in (maps, last, torch.randn(2, 7, 3), torch.randn(2, 9)):
        assert View().apply(output).values.data_ptr() == output.data_ptr()
    assert torch.equal(View().apply(maps).values, View().apply(last).values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("locations", ["all", "mean", "grid=2", "random=3"])
def test_values_stay_in_their_dtype(dtype: torch.dtype, locations: str) -> None:
    assert (
        View("auto", locations).apply(torch.ones(1, 2, 3, 3, dtype=dtype), ids=np.array([0])).values.dtype == dtype
    )


def test_half_precision_means_do_not_overflow() -> None:
    output = torch.full((1, 1, 40, 40), 1000.0, dtype=torch.float16)
    everywhere = torch.ones(1, 1600, dtype=torch.bool)
    for mask in (None, everywhere):
        assert View("auto", "mean").apply(output, mask=mask).values.item() == 1000


@pytest.mark.parametrize(
    ("units", "locations"),
    [
        ("pixels", "all"),
        ("auto", "some"),
        ("auto", "grid"),
        ("auto", "grid=0"),
        ("auto", "mean=3"),
        ("auto", "grid=x"),
    ],
)
def test_unknown_rules_are_refused(units: str, locations: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"Cannot view units='{units}' at locations='{locations}'"):
        View(units, locations)


def test_only_one_rule_for_locations() -> None:
    with pytest.raises(InvalidArgumentError, match="several rules for locations"):
        view(grid=3, random=2)
    with pytest.raises(InvalidArgumentError, match="several rules for locations"):
        view(locations="mean", grid=3)
    assert view("channels", random=4) == View("channels", "random=4")


def test_more_locations_than_there_are() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"grid=13 from 'a/conv5'. It has 6 x 7 locations.*view\(grid=6\)"
    ):
        view(grid=13).describe(LayerRef("a", "conv5"), (256, 6, 7))
    with pytest.raises(InvalidArgumentError, match=r"random=43 from this output.*view\(random=42\)"):
        view(random=43).apply(torch.zeros(1, 2, 6, 7), ids=np.array([1]))


def test_random_locations_need_ids() -> None:
    with pytest.raises(InvalidArgumentError, match="Give ids="):
        view(random=2).apply(torch.zeros(1, 2, 6, 7))
