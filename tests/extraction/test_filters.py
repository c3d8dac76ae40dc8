import pytest
import torch
from torch import nn

from convergent.errors import NetError, UnknownNameError
from convergent.extraction import around_grey, first_convolution, first_filters
from convergent.nets import alexnet_small


def test_each_filter_is_scaled_around_grey_by_itself() -> None:
    conv = nn.Conv2d(3, 3, 2)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 0, 1] = 0.02
        conv.weight[1, 2, 1, 0] = -5.0
        conv.weight[1, 1, 1, 0] = 2.5
    shown = first_filters(nn.Sequential(conv, nn.ReLU()))
    assert shown.dtype == torch.uint8
    assert shown[0, 0, 1].tolist() == [255, 128, 128]
    assert shown[1, 1, 0].tolist() == [128, 192, 1]
    assert (shown[2] == 128).all()
    assert (shown != 128).sum() == 3


def test_one_channel_is_drawn_in_grey() -> None:
    shown = first_filters(nn.Conv2d(1, 4, 3), "output")
    assert shown.shape == (4, 3, 3, 3)
    assert (shown == shown[..., :1]).all()


def test_doubling_a_net_changes_nothing_and_its_precision_neither() -> None:
    net = alexnet_small()
    before = first_filters(net)
    assert torch.equal(first_filters(net, "conv1"), before)
    with torch.no_grad():
        net.get_submodule("conv1").requires_grad_(False).double()
        next(net.parameters()).mul_(2)
    assert torch.equal(first_filters(net), before)


def test_halves_do_not_overflow() -> None:
    tiny = around_grey(torch.full((1, 1, 1, 1), 1e-7, dtype=torch.half))
    assert tiny[0, 0, 0, 0] == 255


def test_the_first_convolution_is_found() -> None:
    assert first_convolution(alexnet_small()) == "conv1"
    assert first_convolution(nn.Conv2d(3, 3, 1)) == "output"
    with pytest.raises(NetError, match="has no Conv2d"):
        first_convolution(nn.Linear(3, 3))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("relu1", "It is a ReLU, not a Conv2d"),
        ("conv2", "Each sees 32 of 32 channels"),
    ],
)
def test_what_is_no_filter_of_images_is_refused(layer: str, said: str) -> None:
    with pytest.raises(NetError, match=said):
        first_filters(alexnet_small(), layer)


def test_grouped_filters_and_unknown_layers_are_refused() -> None:
    with pytest.raises(NetError, match="Each sees 1 of 3 channels"):
        first_filters(nn.Conv2d(3, 3, 3, groups=3))
    with pytest.raises(UnknownNameError, match="Nearest: 'conv1'"):
        first_filters(alexnet_small(), "conv11")
