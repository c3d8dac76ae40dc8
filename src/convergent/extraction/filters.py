"""Filters of the convolution that sees the image, as images."""

import torch
from torch import nn

from .._typing import Float, Tensor, UInt8
from ..errors import NetError, UnknownNameError, nearest
from .taps import module_paths


def first_filters(net: nn.Module, layer: str | None = None) -> UInt8[Tensor, "filters height width 3"]:
    """The filters of a convolution that sees an image, as pictures in RGB.

    Each filter is scaled by itself, as in `around_grey`: a weight of 0 is grey, the largest is black or full.

    Args:
        net: any module.
        layer: path of the convolution; the first that the net holds, where not given.

    Returns:
        A picture a filter, on the CPU.

    Raises:
        UnknownNameError: if the net has no such module.
        NetError: if there is no convolution, the module is none, or does not see 1 or 3 channels.

    Example:
        >>> first_filters(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU())).shape
        torch.Size([8, 5, 5, 3])
    """
    layer = first_convolution(net) if layer is None else layer
    paths = module_paths(net)
    if layer not in paths:
        raise UnknownNameError(
            f"Cannot show the filters of layer {layer!r}. This net has no such module. {nearest(layer, paths)}"
        )
    module = paths[layer]
    if not isinstance(module, nn.Conv2d):
        raise NetError(
            f"Cannot show the filters of layer {layer!r}. It is a {type(module).__name__}, not a Conv2d. "
            "Choose a convolution."
        )
    if module.in_channels not in (1, 3) or module.groups != 1:
        raise NetError(
            f"Cannot show the filters of layer {layer!r}. Each sees {module.weight.shape[1]} of "
            f"{module.in_channels} channels, and pictures have 1 or 3. Choose the convolution that sees the image."
        )
    return around_grey(module.weight.detach())


def first_convolution(net: nn.Module) -> str:
    """Path of the first convolution, in the order in which the net holds its modules.

    Raises:
        NetError: if there is none.

    Example:
        >>> first_convolution(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 5)))
        '1'
    """
    paths = [path for path, module in module_paths(net).items() if isinstance(module, nn.Conv2d)]
    if not paths:
        raise NetError(
            "Cannot show the filters of a first convolution. This net has no Conv2d. Leave it out of the figure."
        )
    return paths[0]


def around_grey(images: Float[Tensor, "images channels height width"]) -> UInt8[Tensor, "images height width 3"]:
    """Signed images as pictures in RGB: 0 is grey 128, the largest magnitude of each image 1 or 255.

    Args:
        images: of one channel, drawn in grey, or of three.

    Example:
        >>> around_grey(torch.tensor([-2.0, 0.0, 1.0]).reshape(1, 1, 1, 3))[0, 0, :, 0].tolist()
        [1, 128, 192]
    """
    exact = images.double()
    largest = exact.abs().amax((1, 2, 3), keepdim=True)
    scaled = exact / largest.clamp(min=torch.finfo(torch.double).tiny)
    pictures = (128 + 127 * scaled).round().to(torch.uint8)
    return pictures.movedim(1, -1).expand(-1, -1, -1, 3).cpu()
