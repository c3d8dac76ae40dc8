"""Receptive fields against the arithmetic of convolutions."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from convergent._typing import Tensor
from convergent.errors import InvalidArgumentError, NetError
from convergent.extraction.receptive_field import receptive_fields
from convergent.extraction.views import view


def caffenet_chain() -> nn.Sequential:
    def norm() -> nn.Module:
        return nn.LocalResponseNorm(5)

    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 2, 11, stride=4),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, 2),
            norm1=norm(),
            conv2=nn.Conv2d(2, 2, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(3, 2),
            norm2=norm(),
            conv3=nn.Conv2d(2, 2, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(2, 2, 3, padding=1),
            conv5=nn.Conv2d(2, 2, 3, padding=1),
            pool5=nn.MaxPool2d(3, 2),
            flat=nn.Flatten(),
            fc6=nn.Linear(2 * 36, 5),
        )
    )


def test_caffenet() -> None:
    expected = {  # size, step, first pixel of location 0
        "conv1": (11, 4, 0),
        "pool1": (19, 8, 0),
        "conv2": (51, 8, -16),
        "pool2": (67, 16, -16),
        "conv3": (99, 16, -32),
        "conv4": (131, 16, -48),
        "conv5": (163, 16, -64),
        "pool5": (195, 32, -64),
    }
    fields = receptive_fields(caffenet_chain(), [*expected, "fc6"], (3, 227, 227))
    for name, (size, step, first) in expected.items():
        field = fields[name]
        assert field.size == (size, size), name
        assert field.rows.step == field.columns.step == step
        down, right = 1, field.grid[1] - 1
        assert field.box(down * field.grid[1] + right) == (
            first + step * down,
            first + step * right,
            first + step * down + size,
            first + step * right + size,
        )
    assert fields["fc6"].box(0) == (0, 0, 227, 227)
    assert fields["fc6"].grid == ()


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_one_convolution(kernel: int, stride: int, dilation: int, padding: int) -> None:
    net = nn.Conv2d(1, 2, (kernel, 3), stride=(stride, 1), dilation=(dilation, 1), padding=(padding, 0))
    field = receptive_fields(net, ["output"], (1, 24, 9))["output"]
    size = dilation * (kernel - 1) + 1
    assert field.size == (size, 3)
    assert field.box(2 * field.grid[1] + 4) == (2 * stride - padding, 4, 2 * stride - padding + size, 7)


def test_a_field_larger_than_most_of_the_image() -> None:
    net = nn.Sequential(*(nn.Conv2d(1, 1, 5, padding=2, stride=s) for s in (2, 2, 1)))
    field = receptive_fields(net, ["2"], (1, 32, 32))["2"]
    assert field.size == (29, 29)  # 5, then 5 + 4*2, then 13 + 4*4
    assert field.rows.step == 4


def test_a_field_larger_than_the_image_is_exact_inside_it() -> None:
    net = nn.Sequential(*(nn.Conv2d(1, 1, 7, padding=3, stride=2) for _ in range(3)))
    field = receptive_fields(net, ["2"], (1, 32, 32))["2"]  # 43 pixels from -21 + 8 i on
    for place in range(4):
        first, end = field.rows.at(place)
        assert max(first, 0) == max(8 * place - 21, 0)
        assert min(end, 32) == min(8 * place + 22, 32)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.b, self.gate = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1)
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = x + self.b(self.norm(self.a(x)).relu())
        return self.up(y) * self.gate(y).sigmoid()


def test_residual_gated_and_upsampled() -> None:
    net = Residual()
    fields = receptive_fields(net, ["stem", "a", "b", "gate", "up", "output"], (2, 20, 28))
    assert fields["stem"].size == (3, 3)
    assert fields["b"].size == (11, 11)
    assert fields["gate"].box(0) == (0, 0, 20, 28)
    assert fields["output"].box(7) == (0, 0, 20, 28)  # the gate lets every place see everything
    assert fields["up"].rows.step == 1
    assert fields["up"].rows.size in (11, 12)
    assert net.training
    assert not net.stem._forward_hooks


def test_upsampling_beyond_the_image_halves_the_step() -> None:
    field = receptive_fields(nn.Upsample(scale_factor=2), ["output"], (1, 10, 10))["output"]
    for place in range(20):
        first, end = field.rows.at(place)
        assert first <= place // 2 < end
        assert end - first <= 2


def test_channels_last_layouts_are_a_matter_of_the_view() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 7, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).permute(0, 2, 3, 1)

    field = receptive_fields(Last(), ["output"], (1, 8, 9), view=view("tokens"))["output"]
    assert field.grid == (6, 7)
    assert field.box(8) == (1, 1, 4, 4)


def test_other_dtypes_run_on_a_copy() -> None:
    net = nn.Conv2d(1, 2, 3).to(torch.bfloat16)
    assert receptive_fields(net, ["output"], (1, 8, 8))["output"].size == (3, 3)
    assert net.weight.dtype == torch.bfloat16


def test_places_that_see_only_padding_are_left_out() -> None:
    field = receptive_fields(nn.Conv2d(1, 1, 2, padding=3), ["output"], (1, 8, 8))["output"]
    assert field.size == (2, 2)
    assert field.box(0) == (-3, -3, -1, -1)


def test_what_cannot_be_traced() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 1, 4, 4)

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - x) / 0

    with pytest.raises(NetError, match="None of its 4 places along an axis depends on the image"):
        receptive_fields(Constant(), ["output"], (1, 8, 8))
    with pytest.raises(NetError, match="gives NaN even on a finite image"):
        receptive_fields(Broken(), ["output"], (1, 8, 8))
    with pytest.raises(NetError, match="Cannot run the net"):
        receptive_fields(nn.Conv2d(3, 1, 3), ["output"], (1, 8, 8))
    with pytest.raises(InvalidArgumentError, match=r"inputs of shape \(8, 8\)"):
        receptive_fields(nn.Conv2d(1, 1, 3), ["output"], (8, 8))
