"""Inception with batch norm, small: blocks of four parallel branches whose outputs are put side by side.

Every branch's output is a layer (`mixed1.branch3x3`), so is what they give together (`mixed1.concat`), and so is
every step within a branch (`mixed1.branch3x3.conv2`). No ReLU works in place.
"""

from torch import nn

from .anatomy import Concat, Traced, chain, normed, start


class Mixed(nn.Module):
    """A block of four branches on one input: 1 x 1; 1 x 1 then 3 x 3; 1 x 1 then 5 x 5; pooling then 1 x 1.

    Each convolution is followed by batch norm and ReLU.

    Args:
        n_in: units of the input.
        one: units of branch1x1.
        three: units of the two convolutions of branch3x3.
        five: units of the two convolutions of branch5x5.
        pool: units of branch_pool.
    """

    def __init__(self, n_in: int, *, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.branch1x1 = chain(**normed("1", n_in, one, 1))
        self.branch3x3 = chain(**normed("1", n_in, three[0], 1), **normed("2", *three, 3))
        self.branch5x5 = chain(**normed("1", n_in, five[0], 1), **normed("2", *five, 5))
        self.branch_pool = chain(pool=nn.MaxPool2d(3, stride=1, padding=1), **normed("1", n_in, pool, 1))
        self.concat = Concat()

    def forward(self, x: Traced) -> Traced:
        """All branches of x, side by side."""
        return self.concat(self.branch1x1(x), self.branch3x3(x), self.branch5x5(x), self.branch_pool(x))


def inception_small(*, n_classes: int = 10) -> nn.Sequential:
    """Inception's anatomy for inputs of 3 x 32 x 32: two convolutions, then four blocks of four branches.

    `conv1` (stride 2) 32 x 16 x 16, `conv2` 48 x 16 x 16, `mixed1` 112 and `mixed2` 160 x 8 x 8, `mixed3` 240 and
    `mixed4` 272 x 4 x 4, the mean over locations, `fc` one per class. Weights start as He et al. (2015) have it.

    Args:
        n_classes: units of fc.

    Reference: Szegedy et al. 2015 (GoogLeNet); batch norm, Ioffe & Szegedy 2015.

    Example:
        >>> net = inception_small()
        >>> sum(p.numel() for p in net.parameters())
        327882
    """
    net = chain(
        **normed("1", 3, 32, 5, stride=2),
        **normed("2", 32, 48, 3),
        pool1=nn.MaxPool2d(3, stride=2, padding=1),
        mixed1=Mixed(48, one=32, three=(32, 48), five=(16, 16), pool=16),
        mixed2=Mixed(112, one=48, three=(32, 64), five=(16, 32), pool=16),
        pool2=nn.MaxPool2d(3, stride=2, padding=1),
        mixed3=Mixed(160, one=64, three=(64, 112), five=(16, 32), pool=32),
        mixed4=Mixed(240, one=80, three=(64, 128), five=(16, 32), pool=32),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        drop=nn.Dropout(0.4),
        fc=nn.Linear(272, n_classes),
    )
    start(net)
    return net
