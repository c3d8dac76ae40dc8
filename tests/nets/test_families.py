"""What every net of the zoo for small images must do: be traced, be tapped, come back to the same bits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from convergent.batch import Batch
from convergent.extraction import list_layers
from convergent.extraction.taps import tapping
from convergent.nets import (
    ZOO,
    Recipe,
    hash_weights,
    inception_small,
    load_net,
    load_trained,
    plain_small,
    resnet_small,
    train,
    untrained,
    vgg_small,
)

FAMILIES = [vgg_small, inception_small, resnet_small, plain_small]
by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
Family = Callable[..., nn.Module]


class Noise:
    """Noise with labels."""

    name = "noise"
    fingerprint = "noise"

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        tensor = torch.randn(size, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        return Batch(np.arange(size), tensor, torch.arange(size) % 10)

    def held_out_batch(self) -> Batch:
        return self.training_batch(10**6, size=20, seed=0)


class StoppedError(Exception):
    """Stands for a Ctrl-C."""


def silent(n: int = 1, *, note: str = "") -> None:
    pass


def stop_after(last: int) -> Callable[..., None]:
    done = 0

    def advance(n: int = 1, *, note: str = "") -> None:
        nonlocal done
        done += n
        if done == last:
            raise StoppedError

    return advance


def recipe(family: Family) -> Recipe:
    return Recipe(seed=3, net=family.__name__, data="noise", n_steps=4, batch_size=8)


def warmed(family: Family) -> nn.Module:
    """With statistics in its batch norms, in evaluation mode."""
    torch.manual_seed(2)
    net = family()
    net(torch.randn(8, 3, 32, 32))
    return net.eval()


@by_family
def test_it_is_in_the_zoo_and_takes_any_number_of_classes(family: Family) -> None:
    assert ZOO[family.__name__].factory is family
    assert ZOO[family.__name__].input_shape == (3, 32, 32)
    assert load_net(family.__name__, kwargs={"n_classes": 3})(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


@by_family
def test_it_is_traced_and_the_trace_answers_alike(family: Family) -> None:
    net = warmed(family)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(fx.symbolic_trace(net)(x), net(x))


@by_family
def test_every_module_is_a_layer_and_none_rewrites_another(family: Family) -> None:
    net = warmed(family)
    names = [info.name for info in list_layers(net, torch.zeros(2, 3, 32, 32))]
    assert set(names) == {path or "output" for path, _ in net.named_modules()}
    assert not any(getattr(module, "inplace", False) for module in net.modules())
    with tapping(net, names, keep=lambda _, output: (output, output.clone())) as kept:
        net(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(output, copy) for output, copy in kept.values())


@by_family
def test_one_seed_is_one_net(family: Family) -> None:
    first, again, other = (untrained(replace(recipe(family), seed=seed)) for seed in (3, 3, 4))
    assert hash_weights(first) == hash_weights(again) != hash_weights(other)


@by_family
def test_a_trained_net_comes_back_with_its_batch_statistics(family: Family, tmp_path: Path) -> None:
    made = train(recipe(family), tmp_path / "net.safetensors", data=Noise(), advance=silent)
    again = load_trained(made.path).net
    assert hash_weights(again) == hash_weights(made.net)
    buffers = dict(again.named_buffers())
    assert {int(n) for name, n in buffers.items() if name.endswith("num_batches_tracked")} == {4}
    assert all(value.any() for name, value in buffers.items() if name.endswith("running_mean"))
    assert torch.equal(scores(again), scores(made.net))


@by_family
def test_a_stopped_training_goes_on_to_the_same_bits(family: Family, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.safetensors", tmp_path / "net.safetensors"
    train(recipe(family), whole, data=Noise(), advance=silent)
    with pytest.raises(StoppedError):
        train(recipe(family), path, data=Noise(), checkpoint_every=2, advance=stop_after(3))
    train(recipe(family), path, data=Noise(), advance=silent)
    assert path.read_bytes() == whole.read_bytes()


def test_the_families_are_of_one_size() -> None:
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in family().parameters()) for family in FAMILIES]
    assert all(320_000 <= size <= 360_000 for size in sizes)


def scores(net: nn.Module) -> Tensor:
    with torch.no_grad():
        answers: Tensor = net(Noise().held_out_batch().tensor)
    return answers
