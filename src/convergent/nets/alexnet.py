"""AlexNet as Caffe has it (response normalisation after pooling), without channel groups, in two sizes.

Both are plain chains of named modules, `conv1 relu1 pool1 norm1 ... fc7 relu7 drop7 fc8`, so every stage can be
chosen by its name. No ReLU works in place: the output of `conv1` stays what it was.
"""

from torch import nn

from .anatomy import chain, start


def caffenet(*, n_classes: int = 1000) -> nn.Sequential:
    """The network of Li et al. (2016): CaffeNet without groups, for inputs of 3 x 227 x 227.

    `conv1` 96 x 55 x 55, `conv2` 256 x 27 x 27, `conv3` and `conv4` 384 x 13 x 13, `conv5` 256 x 13 x 13,
    `fc6` and `fc7` 4096, `fc8` one per class; 62,378,344 parameters for 1,000 classes. Weights start as in
    Caffe's reference.

    Args:
        n_classes: units of fc8.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     net = caffenet()
        >>> sum(p.numel() for p in net.parameters())
        62378344
    """
    net = chain(
        conv1=nn.Conv2d(3, 96, 11, stride=4),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2),
        norm1=_response_norm(),
        conv2=nn.Conv2d(96, 256, 5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, stride=2),
        norm2=_response_norm(),
        conv3=nn.Conv2d(256, 384, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, stride=2),
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * 6 * 6, 4096),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(0.5),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(0.5),
        fc8=nn.Linear(4096, n_classes),
    )
    for name, layer in _weighted(net):
        nn.init.normal_(layer.weight, std=0.005 if name in ("fc6", "fc7") else 0.01)
    _set_biases(net, ones=("conv2", "conv4", "conv5", "fc6", "fc7"))
    return net


def alexnet_small(*, n_classes: int = 10) -> nn.Sequential:
    """The same anatomy for inputs of 3 x 32 x 32; about 350,000 parameters, trained in seconds on one core.

    `conv1` 32 x 16 x 16, `conv2` 64 x 8 x 8, `conv3` and `conv4` 96 x 4 x 4, `conv5` 64 x 4 x 4, `fc6` 256,
    `fc7` 128, `fc8` one per class. Weights start as He et al. (2015) have it; biases at 1 in conv2, fc6 and fc7.

    Args:
        n_classes: units of fc8.

    Example:
        >>> import torch
        >>> alexnet_small()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    net = chain(
        conv1=nn.Conv2d(3, 32, 7, stride=2, padding=3),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2, padding=1),
        norm1=_response_norm(),
        conv2=nn.Conv2d(32, 64, 5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, stride=2, padding=1),
        norm2=_response_norm(),
        conv3=nn.Conv2d(64, 96, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(96, 96, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(96, 64, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, stride=2, padding=1),
        flatten=nn.Flatten(),
        fc6=nn.Linear(64 * 2 * 2, 256),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(0.5),
        fc7=nn.Linear(256, 128),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(0.5),
        fc8=nn.Linear(128, n_classes),
    )
    start(net)
    # Not in conv4 and conv5 too: three layers of ones in a row add up to a signal common to all inputs, and then a
    # quarter of fc6 begins on the wrong side of its ReLU for every one of them.
    _set_biases(net, ones=("conv2", "fc6", "fc7"))
    return net


def _response_norm() -> nn.LocalResponseNorm:
    """Caffe's: y = x / (1 + alpha/5 * sum of squares over 5 neighbouring channels) ** beta."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)


def _set_biases(net: nn.Sequential, *, ones: tuple[str, ...]) -> None:
    for name, layer in _weighted(net):
        if layer.bias is not None:
            nn.init.constant_(layer.bias, 1.0 if name in ones else 0.0)


def _weighted(net: nn.Sequential) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    return [(name, layer) for name, layer in net.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)]
