"""A residual net, small, and the same net without shortcuts: three stages of blocks.

Pre-activation (He et al. 2016): within a stage, what a block gives is what it was given plus its branch, and
nothing else touches that stream. Unit i is then one axis at all sums of a stage, and only the branches change it.
Every sum is a layer (`stage2.block1.add`), and so is what is added (`stage2.block1.branch`).
"""

from collections.abc import Callable

from torch import nn

from .anatomy import Add, Traced, chain, conv, start

WIDTHS = (32, 40, 48)
N_BLOCKS = 4  # per stage


class ResidualBlock(nn.Module):
    """Its input, plus a branch of two 3 x 3 convolutions, each after batch norm and ReLU.

    Where it begins a stage, the shortcut is a 1 x 1 convolution of stride 2, else the input itself.
    """

    def __init__(self, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if n_in == n_out else conv(n_in, n_out, 1, stride=stride)
        self.branch = _branch(n_in, n_out, stride=stride)
        self.add = Add()

    def forward(self, x: Traced) -> Traced:
        """The sum."""
        return self.add(self.shortcut(x), self.branch(x))


def resnet_small(*, n_classes: int = 10) -> nn.Sequential:
    """A residual net for inputs of 3 x 32 x 32: a stem, three stages of four blocks, the mean over locations.

    `stem` (stride 2) and `stage1` 32 x 16 x 16, `stage2` 40 x 8 x 8, `stage3` 48 x 4 x 4, `fc` one per class.
    Weights start as He et al. (2015) have it.

    Args:
        n_classes: units of fc.

    Reference: He et al. 2016, Identity Mappings in Deep Residual Networks.

    Example:
        >>> net = resnet_small()
        >>> sum(p.numel() for p in net.parameters())
        356554
    """
    return _staged(ResidualBlock, n_classes)


def plain_small(*, n_classes: int = 10) -> nn.Sequential:
    """`resnet_small` without its shortcuts: the same branches one after the other, as deep and as wide.

    A block's output (`stage2.block1`) is its branch's; there is no `add`.

    Args:
        n_classes: units of fc.

    Reference: He et al. 2015, Deep Residual Learning for Image Recognition (its "plain" nets).

    Example:
        >>> net = plain_small()
        >>> sum(p.numel() for p in net.parameters())
        353354
    """
    return _staged(_plain_block, n_classes)


def _plain_block(n_in: int, n_out: int, *, stride: int) -> nn.Module:
    return chain(branch=_branch(n_in, n_out, stride=stride))


def _branch(n_in: int, n_out: int, *, stride: int) -> nn.Sequential:
    return chain(
        bn1=nn.BatchNorm2d(n_in),
        relu1=nn.ReLU(),
        conv1=conv(n_in, n_out, 3, stride=stride),
        bn2=nn.BatchNorm2d(n_out),
        relu2=nn.ReLU(),
        conv2=conv(n_out, n_out, 3),
    )


def _staged(block: Callable[..., nn.Module], n_classes: int) -> nn.Sequential:
    stages: dict[str, nn.Module] = {}
    n_in = WIDTHS[0]
    for stage, width in enumerate(WIDTHS, start=1):
        first = block(n_in, width, stride=1 if stage == 1 else 2)
        others = {f"block{k}": block(width, width, stride=1) for k in range(2, N_BLOCKS + 1)}
        stages[f"stage{stage}"] = chain(block1=first, **others)
        n_in = width
    net = chain(
        stem=conv(3, WIDTHS[0], 5, stride=2),
        **stages,
        bn=nn.BatchNorm2d(n_in),
        relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(n_in, n_classes),
    )
    start(net)
    return net
