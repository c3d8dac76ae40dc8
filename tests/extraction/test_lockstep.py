"""Many nets on the same inputs: what is fed, what comes out, what is refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from convergent._typing import Array, Int64, Tensor
from convergent.batch import ActivationBatch, Activations, Batch, Input, Inputs
from convergent.errors import (
    DataError,
    InvalidArgumentError,
    MismatchError,
    NetError,
    NonFiniteError,
    UnknownNameError,
)
from convergent.extraction.lockstep import Lockstep
from convergent.extraction.views import view
from convergent.passes import collect
from convergent.statistics import BlockedPlan, MinibatchHsicPlan, MomentsPlan
from convergent.statistics.base import Plan
from convergent.units import LayerRef


@dataclass(frozen=True)
class Listed:
    """Inputs by index, one at a time."""

    tensor: Tensor
    ids: Int64[Array, " inputs"]
    fingerprint: str = "listed"
    label: int | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int, /) -> Input:
        return Input(int(self.ids[index]), self.tensor[index], self.label)


@dataclass(frozen=True)
class Bulk(Listed):
    """Inputs that can be read many at once."""

    asked: list[list[int]] = field(default_factory=list)

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        self.asked.append(indices.tolist())
        return Batch(self.ids[indices], self.tensor[indices])


def images(n: int = 10, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def ids_of(n: int) -> Int64[Array, " inputs"]:
    return np.arange(n, dtype=np.int64) * 7 + 100


def conv_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Dropout(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5)
    )


def joined(batches: Iterator[ActivationBatch], ref: LayerRef) -> Tensor:
    return torch.cat([batch.layers[ref].values for batch in batches])


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 13))
def test_every_input_reaches_every_net_once(n: int, batch_size: int) -> None:
    nets = {"b": conv_net(1), "a": conv_net(0)}
    source = Lockstep(nets, Listed(images(n), ids_of(n)), layers=["5", "0"], batch_size=batch_size)
    batches = list(source.batches())
    assert np.concatenate([b.ids for b in batches]).tolist() == ids_of(n).tolist()
    assert source.n_inputs == n
    assert [str(layer.ref) for layer in source.layers] == ["b/0", "b/5", "a/0", "a/5"]
    for batch in batches:
        assert list(batch.layers) == [layer.ref for layer in source.layers]
    for name, net in nets.items():
        net.eval()
        with torch.no_grad():
            torch.testing.assert_close(joined(iter(batches), LayerRef(name, "0")), net[0](images(n)).flatten(2))
            torch.testing.assert_close(joined(iter(batches), LayerRef(name, "5")), net(images(n))[..., None])


@settings(max_examples=12)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 13))
def test_a_pass_can_start_at_any_batch(n: int, batch_size: int, start: int) -> None:
    x, net = images(n), {"a": conv_net()}
    loader = DataLoader(TensorDataset(x, torch.zeros(n)), batch_size=batch_size)
    for inputs in (Listed(x, ids_of(n)), loader, list(torch.split(x, batch_size))):
        source = Lockstep(net, inputs, layers=["0"], batch_size=batch_size)
        whole, rest = list(source.batches()), list(source.batches(start))
        assert [b.ids.tolist() for b in rest] == [b.ids.tolist() for b in whole[start:]]
        for one, other in zip(rest, whole[start:], strict=True):
            assert torch.equal(*(b.layers[LayerRef("a", "0")].values for b in (one, other)))


def test_indexed_inputs_seek() -> None:
    inputs = Bulk(images(10), ids_of(10))
    assert isinstance(inputs, Inputs)
    source = Lockstep({"a": conv_net()}, inputs, layers=["0"], batch_size=4)
    inputs.asked.clear()
    assert len(list(source.batches(2))) == 1
    assert inputs.asked == [[8, 9]]


def test_ids_of_a_loader_are_positions() -> None:
    loader = DataLoader(TensorDataset(images(10), torch.zeros(10)), batch_size=4)
    source = Lockstep({"a": conv_net()}, loader, layers=["0"])
    assert [b.ids.tolist() for b in source.batches(1)] == [[4, 5, 6, 7], [8, 9]]
    assert source.n_inputs == 10
    dropping = DataLoader(TensorDataset(images(10)), batch_size=4, drop_last=True)
    assert Lockstep({"a": conv_net()}, dropping, layers=["0"]).n_inputs is None
    assert Lockstep({"a": conv_net()}, [images(3)], layers=["0"]).n_inputs is None


def test_layers_views_and_grids() -> None:
    source = Lockstep(
        {"a": conv_net(), "b": conv_net()}, [images(2)], layers={"a": ["0"], "b": ["5"]}, view=view(grid=3)
    )
    a, b = source.layers
    assert (a.n_units, a.grid, a.n_samples_per_input, a.sampling) == (4, (6, 6), 9, "grid=3")
    assert (b.n_units, b.grid, b.n_samples_per_input, b.sampling) == (5, (), 1, "all")


def test_random_locations_are_the_same_in_every_net_and_batching() -> None:
    nets = {"a": conv_net(0), "b": conv_net(1)}
    kept = []
    for batch_size in (3, 10):
        inputs = Listed(images(), ids_of(10))
        source = Lockstep(nets, inputs, layers=["0"], view=view(random=4), batch_size=batch_size)
        for name in nets:
            parts = [batch.layers[LayerRef(name, "0")].locations for batch in source.batches()]
            kept.append(torch.cat([p for p in parts if p is not None]))
    assert all(torch.equal(kept[0], other) for other in kept)


def test_in_place_relu_does_not_reach_what_is_measured() -> None:
    source = Lockstep({"a": conv_net()}, [images(2)], layers=["0", "1"])
    batch = next(source.batches())
    before, after = (batch.layers[LayerRef("a", n)].values for n in "01")
    assert torch.equal(before.clamp(min=0), after)
    assert (before < 0).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_each_net_runs_in_its_own_dtype(dtype: torch.dtype) -> None:
    nets = {"a": conv_net(), "b": conv_net().to(dtype)}
    batch = next(Lockstep(nets, [images(2)], layers=["0"]).batches())
    a, b = (batch.layers[LayerRef(n, "0")].values for n in "ab")
    assert (a.dtype, b.dtype) == (torch.float32, dtype)
    torch.testing.assert_close(b.float(), a, atol=0.05, rtol=0.05)


def test_channels_last_nets_give_the_same_without_a_transposing_copy() -> None:
    net = conv_net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = images(2).to(memory_format=torch.channels_last)
    last = next(Lockstep({"a": net}, [x], layers=["0"]).batches()).layers[LayerRef("a", "0")].values
    first = (
        next(Lockstep({"a": conv_net()}, [images(2)], layers=["0"]).batches()).layers[LayerRef("a", "0")].values
    )
    torch.testing.assert_close(last, first)
    assert last.stride(1) == 1


def test_nets_are_left_as_they_were_between_batches() -> None:
    net = conv_net()
    net[3].eval()
    modes = [m.training for m in net.modules()]
    source = Lockstep({"a": net}, list(torch.split(images(6), 2)), layers=["0"])
    source.calibration()
    batches = source.batches()
    next(batches)  # the iterator is kept open
    assert [m.training for m in net.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.is_grad_enabled()


def test_calibration_is_the_first_batch() -> None:
    source = Lockstep({"a": conv_net()}, Listed(images(10), ids_of(10)), layers=["0"], batch_size=4)
    first, calibration = next(source.batches()), source.calibration()
    assert calibration.ids.tolist() == first.ids.tolist()
    assert torch.equal(*(b.layers[LayerRef("a", "0")].values for b in (first, calibration)))


def test_masks_reach_the_view_and_the_net() -> None:
    class Sequence(nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return x.masked_fill(~mask[..., None], torch.nan)

    mask = torch.tensor([[True, True, False], [True, False, False]])
    batch = Batch(np.array([1, 2]), torch.randn(2, 3, 4), mask=mask)
    source = Lockstep({"a": Sequence()}, [batch], layers=["output"], call=lambda net, b: net(b.tensor, b.mask))
    seen = next(source.batches()).layers[LayerRef("a", "output")]
    assert seen.mask is not None
    assert torch.equal(seen.mask, mask)
    assert torch.equal(seen.values, (batch.tensor * mask[..., None]).movedim(2, 1))


def test_the_fingerprint_knows_nets_data_and_view() -> None:
    def fingerprint(seed: int = 0, x: Tensor | None = None, grid: int = 2, **known: str) -> object:
        batches = [images(2)] if x is None else [x]
        return Lockstep(
            {"a": conv_net(seed)}, batches, layers=["0"], view=view(grid=grid), weights=known
        ).fingerprint

    assert fingerprint() == fingerprint()
    others = [fingerprint(seed=1), fingerprint(x=images(2, seed=1)), fingerprint(grid=3), fingerprint(a="known")]
    assert all(other != fingerprint() for other in others)
    listed = Lockstep({"a": conv_net()}, Listed(images(), ids_of(10), "my data"), layers=["0"])
    assert listed.fingerprint.data == "my data"


# Each net with inputs of its own


def own_loader(ids: list[int], scale: float = 1.0, size: int = 2) -> list[Batch]:
    x = images(len(ids)) * scale
    return [Batch(np.array(ids[i : i + size], dtype=np.int64), x[i : i + size]) for i in range(0, len(ids), size)]


def test_each_net_may_prepare_the_same_inputs_in_its_own_way() -> None:
    nets = {"a": conv_net(), "b": conv_net()}
    source = Lockstep(
        nets, {"b": own_loader([4, 5, 6]), "a": Listed(images(3), np.array([4, 5, 6]))}, layers=["0"], batch_size=2
    )
    assert [b.ids.tolist() for b in source.batches()] == [[4, 5], [6]]
    assert source.n_inputs == 3


@pytest.mark.parametrize(
    ("ids", "match"),
    [
        ([4, 5, 7], "In batch 1, at place 0, 'a' gets id 6 and 'b' gets id 7"),
        ([4, 5], "In batch 1, at place 0, 'a' gets id 6 and 'b' gets nothing"),
        ([4, 5, 6, 7], "In batch 1, at place 1, 'a' gets nothing and 'b' gets id 7"),
    ],
)
def test_different_inputs_are_refused(ids: list[int], match: str) -> None:
    nets = {"a": conv_net(), "b": conv_net()}
    source = Lockstep(nets, {"a": own_loader([4, 5, 6]), "b": own_loader(ids)}, layers=["0"])
    with pytest.raises(MismatchError, match=match):
        list(source.batches())


def test_loaders_of_their_own_need_ids() -> None:
    nets = {"a": conv_net(), "b": conv_net()}
    with pytest.raises(DataError, match="need ids to check"):
        Lockstep(nets, {"a": [images(2)], "b": [images(2)]}, layers=["0"])
    with pytest.raises(DataError, match=r"Found nets \['a', 'b'\] and inputs for \['a'\]"):
        Lockstep(nets, {"a": own_loader([1])}, layers=["0"])


# What is refused


def refuse(error: type[Exception], match: str, inputs: object, **options: object) -> None:
    with pytest.raises(error, match=match):
        list(Lockstep({"a": conv_net()}, inputs, **({"layers": ["0"]} | options)).batches())  # type: ignore[arg-type]


@pytest.mark.parametrize("inputs", [[], Listed(images(0), ids_of(0)), [images(0)]])
def test_no_inputs(inputs: object) -> None:
    refuse(DataError, "Cannot run nets without inputs", inputs)


def random_loaders() -> Iterator[DataLoader]:
    data = TensorDataset(images(64))
    yield DataLoader(data, shuffle=True)
    yield DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 4, drop_last=False))
    yield DataLoader(data, sampler=SubsetRandomSampler(range(64)))
    yield DataLoader(data, sampler=WeightedRandomSampler([1.0] * 64, 64))


class Shuffling(IterableDataset):
    """Yields the same inputs in another order each time."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter(images(64)[torch.randperm(64)])


def test_loaders_that_shuffle() -> None:
    for loader in random_loaders():
        refuse(DataError, r"Found a \w*RandomSampler: its batches would not be.*shuffle=False", loader)
    found = "Found another first batch when it was read again.*Make it with shuffle=False"
    refuse(DataError, found, DataLoader(Shuffling(), batch_size=4))

    def augmented(items: list[tuple[Tensor]]) -> Batch:
        x = torch.stack([item[0] for item in items])
        return Batch(np.arange(len(x)), x + torch.rand(()))

    refuse(DataError, found, DataLoader(TensorDataset(images()), batch_size=10, collate_fn=augmented))


def unchecked(ids: object) -> Batch:
    """A batch as it is made where no test checks its annotations."""
    batch = object.__new__(Batch)
    for name, value in {"ids": ids, "tensor": images(2), "labels": None, "mask": None}.items():
        object.__setattr__(batch, name, value)
    batch.__post_init__()
    return batch


def test_ids_of_a_loader_may_be_tensors_or_lists_and_nothing_but_whole_numbers() -> None:
    for ids in (torch.tensor([7, 3]), [7, 3], np.array([7, 3], dtype=np.int32)):
        source = Lockstep({"a": conv_net()}, [unchecked(ids)], layers=["0"])
        assert next(source.batches()).ids.tolist() == [7, 3]
        assert next(source.batches()).ids.dtype == np.int64
    for wrong in (np.array([1.5, 1.7]), ["a", "b"], torch.zeros(2, 2, dtype=torch.int64), None):
        with pytest.raises(DataError, match=r"Cannot use these ids of a batch. Found .* shape .*Number the in"):
            unchecked(wrong)


def test_ids_that_come_again() -> None:
    again = "Found id 1 a second time after 1 inputs. Give every input an id of its own, and each input once"
    refuse(DataError, again, [Batch(np.array([1, 1]), images(2))])
    apart = [Batch(np.array([i, 1]), images(2)) for i in (2, 3)]
    refuse(DataError, "Found id 1 a second time after 3 inputs", apart)


def test_shards_of_a_loader_merge_and_one_is_not_counted_twice() -> None:
    nets = {"a": conv_net()}
    shards = [DataLoader(TensorDataset(images(6, seed)), batch_size=4) for seed in (0, 1)]
    one, other = (collect(Lockstep(nets, x, layers=["0"]), {"m": MomentsPlan("all")})["m"] for x in shards)
    assert (one + other).n_inputs == 12
    with pytest.raises(MismatchError, match=r"Both hold the inputs [0-9a-f]{8}\.\., which would count twice"):
        one + one


def test_blocks_of_a_pass_are_counted_once() -> None:
    source = Lockstep({"a": conv_net()}, Listed(images(), ids_of(10)), layers=["0"])
    blocked = collect(source, {"m": BlockedPlan(MomentsPlan("all"), 3)})["m"]
    assert blocked.total.n_inputs == 10
    assert blocked.total.fingerprint.passes == source.fingerprint.passes
    assert sum(rest.merge(held_out).n_inputs for rest, held_out in blocked.folds()) == 30
    with pytest.raises(MismatchError, match="which would count twice"):
        blocked.without(0).merge(blocked.blocks[1])
    with pytest.raises(MismatchError, match="which would count twice"):
        blocked.merge(blocked)


def test_inputs_that_cannot_be_used() -> None:
    refuse(DataError, "Cannot read inputs from a list_iterator more than once", iter([images()]))
    refuse(DataError, "Cannot use a str as a batch of inputs. No tensor comes first in it", ["text"])
    refuse(DataError, "Cannot use a batch of 3 ids", [Batch(np.arange(3), images(2))])
    refuse(DataError, "Found id 5 on 2 of 3 inputs", Listed(images(3), np.array([5, 5, 6])))


def test_inputs_of_several_shapes() -> None:
    class Ragged(Listed):
        def __getitem__(self, index: int, /) -> Input:
            return Input(index, torch.zeros(3, 8 + index, 8), 0)

    refuse(DataError, r"Input 0 has shape \(3, 8, 8\) and input 1 has \(3, 9, 8\)", Ragged(images(2), ids_of(2)))
    growing = Lockstep({"a": nn.Conv2d(3, 4, 3)}, [images(2), torch.randn(2, 3, 10, 10)], layers=["output"])
    with pytest.raises(DataError, match=r"layer 'a/output'.*gives 2 x 4 x 64 values.*promises 2 x 4 x 36"):
        list(growing.batches())


def test_names_that_do_not_exist() -> None:
    refuse(UnknownNameError, "Cannot choose layer '00' of net 'a'", [images()], layers=["00"])
    refuse(UnknownNameError, "Cannot choose layers of net 'b'", [images()], layers={"a": ["0"], "b": ["0"]})
    refuse(InvalidArgumentError, "Cannot choose layers of net 'a'", [images()], layers={})
    refuse(InvalidArgumentError, "Found 1 nets and batch_size=0", [images()], batch_size=0)
    refuse(InvalidArgumentError, "grid=9 from 'a/0'", [images()], view=view(grid=9))
    with pytest.raises(InvalidArgumentError, match="Found 0 nets"):
        Lockstep({}, [images()], layers=["0"])


def test_wrong_input_shape() -> None:
    refuse(
        NetError,
        r"Cannot run net 'a' on inputs of shape 2 x 1 x 8 x 8 \(torch.float32\)",
        [torch.zeros(2, 1, 8, 8)],
    )
    refuse(NetError, "Cannot run net 'a' on inputs of shape 2 x 3 x 7 x 7", [images(2), torch.zeros(2, 3, 7, 7)])


class Odd(nn.Module):
    """Does something unsound between two sound layers."""

    def __init__(self, odd: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.sound, self.odd, self.call = nn.Identity(), nn.Identity(), odd

    def forward(self, x: Tensor) -> Tensor:
        return self.odd(self.call(self.sound(x)))


def test_a_net_that_is_random_even_in_eval_mode() -> None:
    net = Odd(lambda x: F.dropout(x, 0.1, training=True))
    source = Lockstep({"b": conv_net(), "a": net}, [images()], layers={"a": ["sound", "odd"], "b": ["0"]})
    with pytest.raises(NetError, match=r"net 'a'.*its layer 'odd' differs by up to.*training=self.training"):
        source.calibration()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_activations_that_are_not_finite(value: float, dtype: torch.dtype) -> None:
    x = images().to(dtype)
    x[6, 1, 2, 3] = value
    source = Lockstep({"a": nn.Identity()}, Listed(x, ids_of(10)), layers=["output"], batch_size=4)
    next(source.batches())
    with pytest.raises(NonFiniteError, match=rf"'a/output\[1\]'. Its value on input 142 is {value}, and 1 of 768"):
        list(source.batches())


def test_large_but_finite_activations_pass() -> None:
    x = torch.full((2, 3, 8, 8), 3e38)
    assert len(list(Lockstep({"a": nn.Identity()}, [x], layers=["output"]).batches())) == 1


def test_one_input_and_one_unit() -> None:
    batch = next(Lockstep({"a": nn.Linear(1, 1)}, [torch.zeros(1, 1)], layers=["output"]).batches())
    assert batch.layers[LayerRef("a", "output")].values.shape == (1, 1, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_nets_on_different_devices() -> None:
    nets = {"a": conv_net(), "b": conv_net().cuda()}
    source = Lockstep(nets, Listed(images(), ids_of(10)), layers=["0"], view=view(random=4))
    batch = source.calibration()
    a, b = (batch.layers[LayerRef(n, "0")] for n in "ab")
    assert a.values.device == b.values.device == torch.device("cpu")
    torch.testing.assert_close(a.values, b.values, atol=1e-2, rtol=1e-2)
    there = next(Lockstep(nets, [images()], layers=["0"], device="cuda").batches())
    assert all(seen.values.is_cuda for seen in there.layers.values())


def test_labels_come_with_the_batch() -> None:
    x, labels = images(6), torch.tensor([0, 1, 2, 0, 1, 2])
    loader = DataLoader(TensorDataset(x, labels.int()), batch_size=4)
    stream = [Batch(ids_of(4), x[:4], labels[:4]), Batch(ids_of(6)[4:], x[4:], labels[4:])]
    for inputs in (loader, stream):
        found = [batch.labels for batch in Lockstep({"a": conv_net()}, inputs, layers=["0"]).batches()]
        assert [part.tolist() for part in found if part is not None] == [[0, 1, 2, 0], [1, 2]]
    for second in (torch.rand(6), torch.zeros(6, 2, dtype=torch.int64), "words"):
        assert next(Lockstep({"a": conv_net()}, [(x, second)], layers=["0"]).batches()).labels is None


def test_layers_are_reduced_in_the_hook_where_all_plans_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Lockstep({"a": conv_net(0), "b": conv_net(1)}, torch.split(images(24), 8), layers=["0", "1", "5"])
    asked: list[object] = []
    run = Lockstep._run

    def spy(self: Lockstep, *given: Any) -> ActivationBatch:
        batch = run(self, *given)
        asked.append({ref.layer: tuple(one.values.shape) for ref, one in batch.layers.items()})
        return batch

    monkeypatch.setattr(Lockstep, "_run", spy)
    alone = collect(source, {"hsic": MinibatchHsicPlan()})["hsic"]
    assert asked[-1] == {"0": (8, 8, 1), "1": (8, 8, 1), "5": (8, 8, 1)}
    beside = collect(source, {"hsic": MinibatchHsicPlan(), "moments": MomentsPlan()})["hsic"]
    assert asked[-1] == {"0": (8, 4, 36), "1": (8, 4, 36), "5": (8, 5, 1)}
    np.testing.assert_array_equal(alone.hsic, beside.hsic)


def test_a_reduction_sees_a_layer_before_the_net_writes_over_it() -> None:
    source = Lockstep({"a": conv_net()}, [images(4)], layers=["0"])

    def smallest(_ref: LayerRef, layer: Activations) -> Activations:
        return Activations(layer.values.amin((1, 2), keepdim=True))

    batch = next(source.batches(reduction=smallest))
    assert (batch.layers[LayerRef("a", "0")].values < 0).all()
    assert batch.reduction is smallest


def test_a_net_may_switch_gradients_on_for_itself() -> None:
    class Forces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = conv_net()

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                return self.inner(x) * 2

    plans: tuple[dict[str, Plan], ...] = ({"hsic": MinibatchHsicPlan()}, {"moments": MomentsPlan("all")})
    for plan in plans:
        found, plain = (
            collect(Lockstep(two, [images(8)], layers={"a": [layer], "c": ["1"]}), plan)
            for two, layer in (
                ({"a": Forces(), "c": conv_net(1)}, "inner.1"),
                ({"a": conv_net(), "c": conv_net(1)}, "1"),
            )
        )
        (one,), (other,) = found.values(), plain.values()
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name.replace("inner.1", "1")])
