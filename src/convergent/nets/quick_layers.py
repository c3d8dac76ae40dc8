"""Layers that torch is slow at on a CPU, in a fraction of the time and to the same bits.

Max pooling is vectorised only where channels lie beside each other in memory, and local response normalisation is
made of a three-dimensional pooling that is not vectorised at all.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from .._typing import Shaped, Tensor


@contextmanager
def quick_layers(net: nn.Module) -> Iterator[None]:
    """Inside the block, `MaxPool2d` and `LocalResponseNorm` of a net take less time; their answers are the same.

    Outputs and gradients are the same bits. Inputs that are not on a CPU, not batches of maps in float32 or
    float64, or laid out otherwise than torch lays them out by itself, are computed as ever.

    Args:
        net: any module; its layers are as they were afterwards, also after an exception.

    Example:
        >>> net, x = nn.MaxPool2d(3, 2), torch.randn(4, 8, 16, 16)
        >>> with quick_layers(net):
        ...     y = net(x)
        >>> torch.equal(y, net(x))
        True
    """
    slow = [module for module in net.modules() if type(module) in _QUICK and "forward" not in vars(module)]
    try:
        for module in slow:
            module.forward = partial(_forward, module)
        yield
    finally:
        for module in slow:
            vars(module).pop("forward", None)


def _forward(module: nn.Module, x: Shaped[Tensor, "..."]) -> Any:
    wide = x.dtype in (torch.float32, torch.float64)  # others may be summed in a wider type inside torch
    usual = wide and x.ndim == 4 and x.device.type == "cpu" and x.is_contiguous()
    return _QUICK[type(module)](module, x) if usual else type(module).forward(module, x)


def _max_pool(module: Any, x: Shaped[Tensor, "inputs units height width"]) -> Any:
    if module.return_indices:
        return nn.MaxPool2d.forward(module, x)
    return nn.MaxPool2d.forward(module, x.contiguous(memory_format=torch.channels_last)).contiguous()


def _response_norm(module: Any, x: Shaped[Tensor, "inputs units height width"]) -> Tensor:
    n_units, size = x.shape[1], module.size
    squares = nn.functional.pad(x * x, (0, 0, 0, 0, size // 2, (size - 1) // 2))
    total = squares[:, :n_units]
    for k in range(1, size):  # in this order, as torch adds them
        total = total + squares[:, k : k + n_units]
    return x / total.div(size).mul(module.alpha).add(module.k).pow(module.beta)


_QUICK: Mapping[type[nn.Module], Callable[[Any, Tensor], Any]] = {
    nn.MaxPool2d: _max_pool,
    nn.LocalResponseNorm: _response_norm,
}
