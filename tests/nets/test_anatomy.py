"""What the families are put together from."""

import torch
from torch import nn

from convergent.nets.anatomy import Add, Concat, chain, conv, start


def test_sums_and_concatenations_are_modules() -> None:
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert torch.equal(Add()(a, b), a + b)
    joined = Concat()(a, b[:, :1])
    assert torch.equal(joined[:, :3], a)
    assert torch.equal(joined[:, 3:], b[:, :1])


def test_a_convolution_keeps_the_map_or_divides_it() -> None:
    for size in (1, 3, 5):
        assert conv(3, 4, size)(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 8, 8)
        assert conv(3, 4, size, stride=2)(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 4, 4)
    assert conv(3, 4, 3).bias is None


def test_weights_start_as_he_has_them_and_the_last_close_to_0() -> None:
    net = chain(a=conv(16, 64, 3), b=nn.BatchNorm2d(64), c=nn.Linear(64, 200), d=nn.Linear(200, 300))
    start(net)
    for name, std in {"a": (2 / (16 * 9)) ** 0.5, "c": (2 / 64) ** 0.5, "d": 0.01}.items():
        torch.testing.assert_close(net.get_parameter(f"{name}.weight").std().item(), std, rtol=0.03, atol=0)
    assert not net.get_parameter("c.bias").any()
    assert not net.get_parameter("d.bias").any()
