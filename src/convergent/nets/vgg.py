"""VGG with batch norm, small: stacks of 3 x 3 convolutions between poolings, then fully connected layers.

A plain chain of named modules, `conv1_1 bn1_1 relu1_1 conv1_2 ... pool3 flatten fc4 ... fc6`; none works in place.
"""

from torch import nn

from .anatomy import chain, normed, start


def vgg_small(*, n_classes: int = 10) -> nn.Sequential:
    """VGG's anatomy for inputs of 3 x 32 x 32: stacks of 3 x 3 convolutions, and batch norm before every ReLU.

    `conv1_1` (stride 2) and `conv1_2` 32 x 16 x 16, `conv2_1` and `conv2_2` 64 x 8 x 8, `conv3_1` to `conv3_3`
    96 x 4 x 4, `fc4` and `fc5` 128, `fc6` one per class. Weights start as He et al. (2015) have it.

    Args:
        n_classes: units of fc6.

    Reference: Simonyan & Zisserman 2015; batch norm, Ioffe & Szegedy 2015.

    Example:
        >>> net = vgg_small()
        >>> sum(p.numel() for p in net.parameters())
        354858
    """
    net = chain(
        **normed("1_1", 3, 32, 3, stride=2),
        **normed("1_2", 32, 32, 3),
        pool1=nn.MaxPool2d(2),
        **normed("2_1", 32, 64, 3),
        **normed("2_2", 64, 64, 3),
        pool2=nn.MaxPool2d(2),
        **normed("3_1", 64, 96, 3),
        **normed("3_2", 96, 96, 3),
        **normed("3_3", 96, 96, 3),
        pool3=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc4=nn.Linear(96 * 2 * 2, 128, bias=False),
        bn4=nn.BatchNorm1d(128),
        relu4=nn.ReLU(),
        drop4=nn.Dropout(0.5),
        fc5=nn.Linear(128, 128, bias=False),
        bn5=nn.BatchNorm1d(128),
        relu5=nn.ReLU(),
        drop5=nn.Dropout(0.5),
        fc6=nn.Linear(128, n_classes),
    )
    start(net)
    return net
