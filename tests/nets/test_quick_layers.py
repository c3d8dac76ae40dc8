"""Slow layers made quick: the same bits, forwards and backwards, and the net as it was."""

import pytest
import torch
from torch import nn

from convergent.nets import alexnet_small
from convergent.nets.quick_layers import quick_layers

LAYERS = [
    nn.MaxPool2d(3, stride=2, padding=1),
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, stride=1, padding=1, dilation=1, ceil_mode=True),
    nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
    nn.LocalResponseNorm(4, alpha=0.5, beta=0.6, k=2.0),
    nn.LocalResponseNorm(1),
]


def _answers(layer: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(leaf)
    torch.autograd.backward(y.square().sum())
    assert leaf.grad is not None
    return y.detach(), leaf.grad


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("shape", [(3, 32, 16, 16), (2, 5, 7, 9), (1, 3, 4, 4)], ids=str)
def test_outputs_and_gradients_are_the_same_bits(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu()  # ties among zeros
    plain = _answers(layer, x)
    with quick_layers(layer):
        quick = _answers(layer, x)
    for one, other in zip(plain, quick, strict=True):
        assert torch.equal(one, other)
        assert one.stride() == other.stride()


def test_other_layouts_and_shapes_are_left_to_torch() -> None:
    pool, norm = nn.MaxPool2d(2), nn.LocalResponseNorm(3)
    last = torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    with quick_layers(pool), quick_layers(norm):
        assert pool(last).is_contiguous(memory_format=torch.channels_last)
        assert pool(torch.randn(4, 6, 6)).shape == (4, 3, 3)
        assert norm(torch.randn(2, 4, 5)).shape == (2, 4, 5)


def test_pooling_that_gives_places_too_still_gives_them() -> None:
    pool, x = nn.MaxPool2d(2, return_indices=True), torch.randn(2, 3, 4, 4)
    with quick_layers(pool):
        values, places = pool(x)
    assert torch.equal(values, nn.MaxPool2d(2)(x))
    assert places.shape == values.shape


def test_the_net_is_as_it_was_after_an_error_too() -> None:
    net = alexnet_small()
    with quick_layers(net):
        assert "forward" in vars(net.pool1)
    with pytest.raises(RuntimeError, match="shape"), quick_layers(net):
        net(torch.zeros(1, 3, 8, 8))
    assert not any("forward" in vars(module) for module in net.modules())


def test_a_layer_that_somebody_changed_is_left_alone() -> None:
    pool = nn.MaxPool2d(2)
    pool.forward = nn.Identity().forward  # type: ignore[method-assign]
    with quick_layers(pool):
        assert pool(torch.ones(1, 1, 2, 2)).shape == (1, 1, 2, 2)
    assert "forward" in vars(pool)
