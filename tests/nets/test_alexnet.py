"""The two AlexNets: shapes, names, normalisation, initial weights."""

import pytest
import torch
from torch import Tensor, nn

from convergent.nets import alexnet_small, caffenet

CAFFENET_SHAPES = {
    "conv1": (96, 55, 55),
    "pool1": (96, 27, 27),
    "norm1": (96, 27, 27),
    "conv2": (256, 27, 27),
    "norm2": (256, 13, 13),
    "conv3": (384, 13, 13),
    "conv4": (384, 13, 13),
    "conv5": (256, 13, 13),
    "pool5": (256, 6, 6),
    "fc6": (4096,),
    "fc7": (4096,),
    "fc8": (1000,),
}
SMALL_SHAPES = {
    "conv1": (32, 16, 16),
    "norm1": (32, 8, 8),
    "conv2": (64, 8, 8),
    "norm2": (64, 4, 4),
    "conv3": (96, 4, 4),
    "conv4": (96, 4, 4),
    "conv5": (64, 4, 4),
    "pool5": (64, 2, 2),
    "fc6": (256,),
    "fc7": (128,),
    "fc8": (10,),
}


def outputs(net: nn.Sequential, x: Tensor) -> dict[str, Tensor]:
    found = {}
    for name, layer in net.named_children():
        x = found[name] = layer(x)
    return found


def test_caffenet_is_the_papers() -> None:
    with torch.device("meta"):
        net = caffenet()
        found = outputs(net, torch.zeros(2, 3, 227, 227))
    assert {name: tuple(found[name].shape[1:]) for name in CAFFENET_SHAPES} == CAFFENET_SHAPES
    assert sum(p.numel() for p in net.parameters()) == 62_378_344


def test_caffenet_starts_as_in_caffe() -> None:
    net = caffenet(n_classes=2)
    for name, std, bias in [("conv1", 0.01, 0), ("conv2", 0.01, 1), ("conv3", 0.01, 0), ("fc7", 0.005, 1)]:
        layer = net.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
        assert layer.bias is not None
        assert set(layer.bias.tolist()) == {bias}


def test_the_small_one_starts_with_its_units_open() -> None:
    biases = {name: p.unique().item() for name, p in alexnet_small().named_parameters() if p.ndim == 1}  # type: ignore[no-untyped-call]
    ones = {name for name, value in biases.items() if value == 1}
    assert ones == {"conv2.bias", "fc6.bias", "fc7.bias"}
    assert set(biases.values()) == {0.0, 1.0}


def test_the_small_one_has_the_same_anatomy() -> None:
    found = outputs(alexnet_small().eval(), torch.randn(2, 3, 32, 32))
    assert {name: tuple(found[name].shape[1:]) for name in SMALL_SHAPES} == SMALL_SHAPES
    with torch.device("meta"):
        assert list(found) == [name for name, _ in caffenet().named_children()]
    assert alexnet_small(n_classes=3)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_response_normalisation_is_caffes() -> None:
    x = torch.randn(1, 8, 2, 2) * 300
    window = torch.stack([(x[:, max(c - 2, 0) : c + 3] ** 2).sum(1) for c in range(8)], dim=1)
    expected = x / (1 + 1e-4 / 5 * window) ** 0.75
    with torch.device("meta"):
        norms = [net.get_submodule(name) for net in (caffenet(), alexnet_small()) for name in ("norm1", "norm2")]
    for norm in norms:
        torch.testing.assert_close(norm(x), expected)


def test_no_relu_works_in_place() -> None:
    with torch.device("meta"):
        nets = [caffenet(), alexnet_small()]
    relus = [layer for net in nets for layer in net if isinstance(layer, nn.ReLU)]
    assert len(relus) == 14
    assert not any(relu.inplace for relu in relus)
