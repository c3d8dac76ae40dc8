"""Costs against counts by hand: convolutions with groups and strides, attention of several kinds, layers."""

import numpy as np
import pytest
import torch
from torch import nn

from convergent import Costs, costs
from convergent.batch import Batch
from convergent.errors import NetError, UnknownNameError


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, stride=2, groups=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 3 * 3, 5),
    ).train()


def test_a_convolutional_net_counted_by_hand() -> None:
    net = small()
    found = costs(net, torch.zeros(3, 4, 6, 6))
    conv = 3 * 3 * 8 * 2 * 9  # places x units x channels of a group x filter
    assert found == Costs(8 * 2 * 9 + 16 + 72 * 5 + 5, conv + 72 * 5)
    assert all(module.training for module in net.modules())
    assert costs(net, torch.zeros(3, 4, 6, 6), layer="2") == Costs(8 * 2 * 9 + 16, conv)
    assert not net[0]._forward_hooks
    assert not net[0]._forward_pre_hooks


def test_shared_weights_are_counted_once_and_their_products_twice() -> None:
    one = nn.Linear(4, 4)
    assert costs(nn.Sequential(one, nn.ReLU(), one), torch.zeros(1, 4)) == Costs(20, 32)
    assert costs(nn.Sequential(one, nn.ReLU(), one), torch.zeros(1, 4), layer="0#2") == Costs(20, 32)


@pytest.mark.parametrize("grad", [True, False])
def test_attention_counted_by_hand(grad: bool) -> None:
    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attend(x, x, x, need_weights=False)[0]

    products = 5 * 8 * 24 + 2 * 5 * 5 * 8 + 5 * 8 * 8  # q, k, v; scores and their use; out
    with torch.set_grad_enabled(grad):
        net = SelfAttention()
        assert costs(net, torch.zeros(2, 5, 8)) == Costs(4 * 64 + 32, products)
        assert costs(net, torch.zeros(2, 5, 8), layer="attend:0") == Costs(4 * 64 + 32, products)
        encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        whole = costs(encoder, Batch(np.arange(2), torch.zeros(2, 5, 8)))
        assert whole.n_multiply_adds == products + 2 * 5 * 8 * 16
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_cannot_run_says_why() -> None:
    with pytest.raises(NetError, match=r"inputs of shape 1 x 3"):
        costs(nn.Linear(4, 2), torch.zeros(1, 3))
    with pytest.raises(UnknownNameError, match=r"Cannot tap layer 'conv'"):
        costs(nn.Linear(4, 2), torch.zeros(1, 4), layer="conv")
    assert torch.backends.mha.get_fastpath_enabled()
