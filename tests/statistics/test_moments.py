"""Moments: precision where raw sums fail, what is refused, what is kept, and how much memory it takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convergent.batch import ActivationBatch, Activations
from convergent.errors import InvalidArgumentError, MismatchError, UnknownNameError
from convergent.measures import correlation
from convergent.results import Fingerprint
from convergent.statistics import (
    BlockedPlan,
    Moments,
    MomentsPlan,
    PairMoments,
    TopInputsPlan,
    ZerosPlan,
    grouping,
)
from convergent.statistics.base import Plan
from convergent.units import LayerRef, LayerUnits

A, B = LayerRef("a", "conv"), LayerRef("b", "conv")


def layers_of(maps: dict[LayerRef, torch.Tensor]) -> list[LayerUnits]:
    return [LayerUnits(ref, v.shape[1], (v.shape[2],), v.shape[2], "all") for ref, v in maps.items()]


def batch_of(maps: dict[LayerRef, torch.Tensor]) -> ActivationBatch:
    n = len(next(iter(maps.values())))
    return ActivationBatch(np.arange(n), {ref: Activations(v) for ref, v in maps.items()})


def moments_of(
    maps: dict[LayerRef, torch.Tensor], plan: Plan | None = None, *, fingerprint: Any = None
) -> Moments:
    accumulator = (plan or MomentsPlan()).start(layers_of(maps), batch_of(maps))
    accumulator.update(batch_of(maps))
    return accumulator.finish(fingerprint or Fingerprint())


def exact(maps: dict[LayerRef, torch.Tensor]) -> PairMoments:
    return PairMoments.from_samples(*(v.transpose(1, 2).reshape(-1, v.shape[1]) for v in maps.values()))


def related(
    n: int = 64, units: int = 6, locations: int = 64, *, mean: float = 0.0
) -> dict[LayerRef, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(n, units, locations, generator=generator) for _ in range(2))
    return {A: x + mean, B: x.flip(1) + 0.5 * noise + mean}


@pytest.mark.parametrize("mean", [0.0, 1.0, 3.0, 100.0, 1e4])
@pytest.mark.parametrize("n_blocks", [1, 10])
def test_correlation_is_right_to_a_millionth_however_large_the_mean(mean: float, n_blocks: int) -> None:
    maps = related(mean=mean)
    plan = MomentsPlan() if n_blocks == 1 else BlockedPlan(MomentsPlan(), n_blocks)
    found: Any = moments_of(maps, plan)
    pair = found.pair(A, B) if n_blocks == 1 else found.total.pair(A, B)
    for side in ("between", "within_a", "within_b"):
        truth = getattr(correlation(exact(maps)), side)
        np.testing.assert_allclose(getattr(correlation(pair), side), truth, rtol=0, atol=1e-6)


def test_raw_float32_products_fail_where_ours_do_not() -> None:
    """The test above would notice: without a shift the same numbers are lost."""
    maps = related(mean=1e4)
    x = maps[A].transpose(1, 2).reshape(-1, 6)
    raw = (x.T @ x / len(x) - torch.outer(x.mean(0), x.mean(0))).numpy()
    assert np.abs(raw - exact(maps).cov_aa).max() > 0.1


@pytest.mark.parametrize("zeros", [0.3, 0.07])
def test_units_of_two_values_are_right_to_a_hundred_thousandth(zeros: float) -> None:
    z = torch.randn(512, 4, 64, generator=torch.Generator().manual_seed(1))
    z = z + z[:, :1]
    maps = {A: torch.where(z > z.quantile(zeros, 1, keepdim=True).mean(), 1.1, 0.0).contiguous()}
    layer = layers_of(maps)
    accumulator = MomentsPlan().start(layer, batch_of({A: maps[A][:64]}))
    for start in range(0, 512, 64):
        accumulator.update(batch_of({A: maps[A][start : start + 64]}))
    samples = maps[A].transpose(1, 2).reshape(-1, 4)
    truth = correlation(PairMoments.from_samples(samples, samples)).between
    found = correlation(accumulator.finish(Fingerprint()).pair(A, A)).between
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-5)


def test_a_constant_unit_is_dead_and_a_sparse_one_is_not_shifted() -> None:
    maps = related()
    maps[A][:, 0], maps[A][:, 1] = 0.1, (maps[A][:, 1] - 1).relu()
    found = moments_of(maps)
    assert found.origin[A][0] == pytest.approx(0.1)
    assert found.origin[A][1] == 0
    assert found.pair(A, B).alive_a.tolist() == [False] + [True] * 5


def test_one_sample_says_nothing_of_how_units_vary() -> None:
    maps = {ref: v[:1, :, :1] for ref, v in related(mean=3.0).items()}
    pair = moments_of(maps).pair(A, B)
    assert not pair.alive_a.any()
    assert np.isnan(correlation(pair).between).all()


def test_what_float32_products_cannot_tell_from_rounding_is_dead() -> None:
    """Calibrated on zeros, units far from 0 are summed without a shift, and their variance is lost."""
    maps = {ref: v + 1e5 for ref, v in related().items()}
    accumulator = MomentsPlan().start(layers_of(maps), batch_of({ref: 0 * v for ref, v in maps.items()}))
    accumulator.update(batch_of(maps))
    found = accumulator.finish(Fingerprint())
    assert not found.pair(A, B).alive_a.any()
    assert not found.joint([A, B]).alive.any()
    assert not found.joint([A, B]).pair("a/conv", "b/conv").alive_b.any()


@pytest.mark.parametrize("before", ["medium", "high", "highest"])
def test_products_are_exact_whatever_precision_the_process_has_set(before: str) -> None:
    maps = related()
    expected = moments_of(maps).products[A, B]
    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(before)
    try:
        found = moments_of(maps).products[A, B]
        assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision(usual)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("units", [4, 5, 7])
def test_leaving_out_half_a_triangle_changes_nothing(units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = {LayerRef(net, "conv"): related(units=units)[A] * (i + 1) for i, net in enumerate("abc")}
    whole = moments_of(maps)
    monkeypatch.setattr(grouping, "_HALVE_FROM", 4)
    halved = moments_of(maps)
    assert halved.products.keys() == whole.products.keys()
    for pair, product in whole.products.items():
        np.testing.assert_allclose(halved.products[pair], product, rtol=1e-6, atol=1e-3)


def test_large_layers_are_symmetric() -> None:
    maps = {A: related(n=8, units=257, locations=4)[A]}
    product = moments_of(maps).products[A, A]
    np.testing.assert_array_equal(product, product.T)
    np.testing.assert_allclose(product, np.einsum("nul,nvl->uv", maps[A].double(), maps[A].double()), atol=1e-4)


@given(st.permutations(range(12)), st.booleans())
def test_chosen_inputs_are_taken_in_and_no_others(order: list[int], masked: bool) -> None:
    chosen, x = order[:5], related(n=12, locations=40)[A]
    mask = torch.arange(40).expand(12, 40) < torch.arange(12)[:, None] if masked else None
    batch = ActivationBatch(np.arange(12), {A: Activations(x, mask=mask)})
    accumulator = MomentsPlan().start(layers_of({A: x}), batch)
    accumulator.update(batch, chosen)
    accumulator.update(batch, [])
    found = accumulator.finish(Fingerprint())
    samples = np.concatenate([x[i].T if mask is None else x[i].T[mask[i]] for i in chosen])
    assert (found.n_inputs, found.n_samples[A]) == (5, len(samples))
    np.testing.assert_allclose(found.mean(A), samples.mean(0) if len(samples) else np.nan, atol=1e-6)


def test_layers_with_other_samples_are_refused() -> None:
    maps = related(n=4)
    accumulator = MomentsPlan().start(layers_of(maps), batch_of(maps))
    with pytest.raises(
        MismatchError, match=r"Cannot pair 'a/conv' with 'b/conv' in this batch. Found \(4, 64\) against \(4, 60\)"
    ):
        accumulator.update(batch_of(maps | {B: maps[B][:, :, :60]}))
    masks = {A: torch.ones(4, 64, dtype=torch.bool), B: None}
    padded = {ref: Activations(maps[ref], mask=mask) for ref, mask in masks.items()}
    with pytest.raises(MismatchError, match=r"with different padding"):
        accumulator.update(ActivationBatch(np.arange(4), padded))


def test_inputs_longer_than_announced_do_not_loop_for_ever() -> None:
    maps = related(n=2, locations=8)
    accumulator = MomentsPlan(buffer_samples=1).start(layers_of(maps), batch_of(maps))
    with pytest.raises(
        MismatchError, match=r"Cannot take in inputs of 64 locations in 'a/conv'. The buffer holds 8"
    ):
        accumulator.update(batch_of(related(n=2)))


def test_an_empty_calibration_batch_shifts_nothing() -> None:
    maps = related(n=4)
    accumulator = MomentsPlan().start(layers_of(maps), batch_of({ref: v[:0] for ref, v in maps.items()}))
    assert "MomentsAccumulator" in repr(accumulator)
    assert not accumulator.finish(Fingerprint()).origin[A].any()


NAMES = ("a/x", "b/x", "a/y", "b/y", "c/x")
REFS = tuple(map(LayerRef.parse, NAMES))
LAYERS = tuple(LayerUnits(ref, 2, (4,), 4, "all") for ref in REFS)


def kept(pairs: Any) -> list[str]:
    maps = {ref: torch.randn(3, 2, 4) for ref in REFS}
    return [f"{a}-{b}" for a, b in moments_of(maps, MomentsPlan(pairs=pairs)).products]


def test_only_the_pairs_asked_for_are_kept() -> None:
    own = [f"{name}-{name}" for name in NAMES]
    same = {"a/x-b/x", "a/x-c/x", "b/x-c/x", "a/y-b/y"}
    assert set(kept("same-layer")) == same | set(own)
    assert len(kept("all")) == 15
    assert kept("none") == []
    # Either order of naming; the first layer is the earlier one; layers without partner are left out.
    assert kept([("b/x", "a/x"), (REFS[0], REFS[4])]) == ["a/x-a/x", "a/x-b/x", "a/x-c/x", "b/x-b/x", "c/x-c/x"]
    assert kept([("a/y", "a/y")]) == ["a/y-a/y"]


def test_a_list_of_pairs_gives_the_same_numbers_as_all() -> None:
    maps = {ref: torch.randn(5, 2, 4) for ref in REFS}
    some, everything = (moments_of(maps, MomentsPlan(pairs=p)) for p in ([("c/x", "a/x"), ("b/x", "c/x")], "all"))
    for pair, product in some.products.items():
        np.testing.assert_allclose(product, everything.products[pair], rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(some.pair("c/x", "a/x").cov_ab, some.pair("a/x", "c/x").cov_ab.T)


@pytest.mark.parametrize(
    ("pairs", "error", "text"),
    [
        ("some", InvalidArgumentError, "Pairs are 'same-layer', 'all', 'none' or a list of pairs. Found 'some'"),
        ([("a/x", "b/xx")], UnknownNameError, "No layer 'b/xx' to pair. There are 5 layers. Nearest: 'b/x'"),
    ],
)
def test_pairs_that_cannot_be(pairs: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        MomentsPlan(pairs=pairs).n_bytes(LAYERS)


def test_layers_of_other_grids_cannot_be_paired() -> None:
    layers = [
        LayerUnits(LayerRef("a", "conv1"), 96, (55, 55), 55 * 55, "all"),
        LayerUnits(LayerRef("b", "conv3"), 384, (13, 13), 13 * 13, "all"),
        LayerUnits(LayerRef("b", "few"), 384, (13, 13), 4, "random=4"),
    ]
    text = (
        r"Cannot pair 'a/conv1' \(55 x 55 locations per input\) with 'b/conv3' \(13 x 13 locations per input\): "
        r'their samples differ. Use view\(locations="mean"\), or view\(grid=13\)\.'
    )
    with pytest.raises(MismatchError, match=text):
        MomentsPlan(pairs=[("a/conv1", "b/conv3")]).n_bytes(layers)
    with pytest.raises(MismatchError, match=r"13 x 13 locations per input, of which random=4"):
        MomentsPlan(pairs=[("b/few", "b/conv3")]).n_bytes(layers)


def test_reading_what_is_not_there() -> None:
    moments = moments_of({ref: torch.randn(3, 2, 4) for ref in REFS})
    with pytest.raises(
        UnknownNameError,
        match=r"Asked for 'a/x' with 'b/y'. That pair was not accumulated; kept are: a/x with a/x",
    ):
        moments.pair("a/x", "b/y")
    with pytest.raises(
        UnknownNameError, match=r"Asked for layer 'a/z'. These moments have 5 layers. Nearest: 'a/y'"
    ):
        moments.pair("a/z", "a/x")
    with pytest.raises(UnknownNameError, match=r"Asked for layer 'd/x'"):
        moments.mean("d/x")
    with pytest.raises(UnknownNameError, match=r"Asked for layer 'd/x'"):
        moments.only(LayerRef("d", "x"))
    with pytest.raises(
        InvalidArgumentError, match=r"Asked for the moments of 'a/x' and 'b/x'. They hold no samples"
    ):
        moments.identity().pair("a/x", "b/x")


def test_only_shares_the_arrays_of_the_layers_named() -> None:
    moments = moments_of({ref: torch.randn(3, 2, 4) for ref in REFS})
    part = moments.only(REFS[1], REFS[0])
    assert [str(layer.ref) for layer in part.layers] == ["a/x", "b/x"]
    assert set(part.products) == {(REFS[0], REFS[0]), (REFS[0], REFS[1]), (REFS[1], REFS[1])}
    assert part.pair("a/x", "b/x").cov_ab == pytest.approx(moments.pair("a/x", "b/x").cov_ab)
    assert part.products[REFS[0], REFS[1]] is moments.products[REFS[0], REFS[1]]


def held(thing: Any) -> int:
    """Bytes of all tensors an accumulator holds."""
    if isinstance(thing, torch.Tensor):
        return thing.nbytes
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, dict):
        return sum(map(held, thing.values()))
    if isinstance(thing, (list, tuple)):
        return sum(map(held, thing))
    return sum(map(held, vars(thing).values())) if hasattr(thing, "__dict__") else 0


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "plan",
    [
        MomentsPlan(),
        MomentsPlan("all"),
        MomentsPlan(norms=True, n_rolls=4),
        BlockedPlan(MomentsPlan(), 3),
        BlockedPlan(MomentsPlan(n_rolls=2), 3),
        ZerosPlan(),
        TopInputsPlan(4),
    ],
)
def test_announced_memory_is_what_the_accumulator_holds(plan: Plan, channels_last: bool) -> None:
    refs = [LayerRef(net, name) for net in "ab" for name in ("conv1", "conv2")]
    maps = {ref: torch.randn(4, 60 if ref.layer == "conv1" else 100, 25) for ref in refs}
    if channels_last:
        maps = {ref: v.transpose(1, 2).contiguous().transpose(1, 2) for ref, v in maps.items()}
    accumulator = plan.start(layers_of(maps), batch_of(maps))
    accumulator.update(batch_of(maps))
    kept = {name: value for name, value in vars(accumulator).items() if name not in ("layers", "_layers")}
    announced = plan.n_bytes(layers_of(maps))
    # The largest product is announced too and lives only while it is added: at most 160 x 320 floats a block here.
    assert held(kept) <= announced * 1.03
    assert held(kept) >= announced * 0.85


def fingerprint(**weights: str) -> Fingerprint:
    return Fingerprint(weights, "digits", "all")


def two_nets(**kwargs: Any) -> Moments:
    maps = {LayerRef("a", "conv1"): torch.randn(3, 180, 1), LayerRef("b", "conv1"): torch.randn(3, 12, 1)}
    return moments_of(maps, **kwargs)


def test_nets_of_other_weights_do_not_merge() -> None:
    one, other = (two_nets(fingerprint=fingerprint(a="00", b=b)) for b in ("3f2a", "91cc"))
    text = (
        r"Cannot merge Moments: 12 of 192 units differ, first 'b/conv1\[0\]' \(weights 3f2a.. against 91cc..\). "
        "These statistics come from different checkpoints; accumulate them again."
    )
    with pytest.raises(MismatchError, match=text):
        one.merge(other)
    with pytest.raises(MismatchError, match=r"weights unknown.. against 91cc.."):
        two_nets(fingerprint=fingerprint(a="00")).merge(other)


def changed(moments: Moments, **changes: Any) -> Moments:
    return Moments(**{name: changes.get(name, getattr(moments, name)) for name in vars(moments)})


def test_what_does_not_belong_together_does_not_merge() -> None:
    mine = two_nets(fingerprint=fingerprint())
    cases: Sequence[tuple[Moments, str]] = [
        (
            changed(mine, layers=mine.layers[:1]),
            "Cannot merge Moments of different layers. Only one side has b/conv1.",
        ),
        (changed(mine, layers=mine.layers[::-1]), "Only one side has this order."),
        (
            changed(mine, fingerprint=Fingerprint({}, "photos", "all")),
            "Cannot merge Moments that are not of the same data. Found 'digits' against 'photos'",
        ),
        (
            changed(mine, fingerprint=Fingerprint({}, "digits", "mean")),
            "not of the same view. Found 'all' against 'mean'",
        ),
        (
            changed(mine, layers=(mine.layers[0], LayerUnits(LayerRef("b", "conv1"), 13, (1,), 1, "all"))),
            "not of layers of the same shape",
        ),
        (
            changed(mine, products={p: v for p, v in mine.products.items() if p[0] == p[1]}),
            "Cannot merge Moments that keep other pairs. Only one side has a/conv1 with b/conv1.",
        ),
    ]
    for other, text in cases:
        with pytest.raises(MismatchError, match=text):
            mine.merge(other)


def test_shares_of_zeros_do_not_merge_with_moments() -> None:
    maps = related(n=3)
    with pytest.raises(MismatchError, match=r"not of the same view"):
        moments_of(maps).merge(moments_of(maps, ZerosPlan()))
