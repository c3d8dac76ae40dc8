"""What nets of several families are put together from: named chains, and sums and concatenations with a name."""

from collections import OrderedDict
from typing import Any, TypeAlias

import torch
from torch import nn

# A tensor; or, while torch.fx traces the net, its stand-in for one, which a check at run time would refuse.
Traced: TypeAlias = Any


class Add(nn.Module):
    """The sum of two outputs of one shape, as a module: a residual sum is then a layer with a name.

    Example:
        >>> Add()(torch.ones(2), torch.ones(2))
        tensor([2., 2.])
    """

    def forward(self, a: Traced, b: Traced) -> Traced:
        """Add them."""
        return a + b


class Concat(nn.Module):
    """Outputs side by side along the units, as a module: what branches give together is then a layer with a name.

    Example:
        >>> Concat()(torch.ones(1, 2), torch.zeros(1, 1))
        tensor([[1., 1., 0.]])
    """

    def forward(self, *outputs: Traced) -> Traced:
        """Concatenate them."""
        return torch.cat(outputs, dim=1)


def chain(**layers: nn.Module) -> nn.Sequential:
    """Modules one after the other, each under its name."""
    return nn.Sequential(OrderedDict(layers))


def conv(n_in: int, n_out: int, size: int, *, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the map (or divides it by the stride), without bias: batch norm follows."""
    return nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False)


def normed(at: str, n_in: int, n_out: int, size: int, *, stride: int = 1) -> dict[str, nn.Module]:
    """A convolution, batch norm and ReLU, called `conv<at>`, `bn<at>` and `relu<at>`."""
    return {
        f"conv{at}": conv(n_in, n_out, size, stride=stride),
        f"bn{at}": nn.BatchNorm2d(n_out),
        f"relu{at}": nn.ReLU(),
    }


def start(net: nn.Module) -> None:
    """Initial weights as He et al. (2015) have them, the last layer's close to 0; biases at 0.

    Args:
        net: changed in place; it ends in a linear layer.
    """
    weighted = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in weighted:
        if layer is weighted[-1]:
            nn.init.normal_(layer.weight, std=0.01)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
