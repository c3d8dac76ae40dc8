"""Zipped nets: nothing merged is the mean of both answers, all merged is a merged net, copies stay copies."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convergent import load_net, merge_nets, permutation_groups, zip_nets
from convergent.errors import InvalidArgumentError, MismatchError, NetError, UnknownNameError

X = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
FAMILIES = ["vgg_small", "inception_small", "resnet_small", "plain_small"]


def plain(seed: int, width: int = 8) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
        nn.Linear(width, 3),
    ).eval()


def zoo(name: str, seed: int) -> nn.Module:
    """With batch norms that differ from unit to unit."""
    torch.manual_seed(seed)
    net = load_net(name)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    assert tensor is not None
                    tensor.add_(0.3 * torch.rand_like(tensor))
    return net


@torch.no_grad()
def worst(net: nn.Module, expected: Tensor, x: Tensor) -> float:
    return float((net(x) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", FAMILIES)
def test_between_all_apart_and_all_merged(name: str) -> None:
    a, b = zoo(name, 0), zoo(name, 1)
    groups, rng = permutation_groups(a, X[:2]), np.random.default_rng(0)
    matchings = {group.name: rng.permutation(group.size) for group in groups.free}
    with torch.no_grad():
        mean, merged = (a(X) + b(X)) / 2, merge_nets(a, b, matchings, groups=groups)(X)
    assert worst(zip_nets(a, b, matchings, width=2, groups=groups), mean, X) < 1e-5
    assert worst(zip_nets(a, b, matchings, width=1, groups=groups), merged, X) < 1e-5
    copy = groups.permuted(a, {group: np.argsort(order) for group, order in matchings.items()})
    assert worst(zip_nets(a, copy, matchings, width=1.4, groups=groups), a(X), X) < 1e-5


def test_the_best_pairs_are_merged_and_the_budget_is_kept() -> None:
    a, b = plain(0), plain(1)
    groups = permutation_groups(a, ROWS)
    zipped: Any = zip_nets(a, b, {"0": np.arange(8)}, width={"2": 1.25, "3": 1.5}, groups=groups)
    assert zipped[0].weight.shape == (10, 6)
    assert zipped[1].num_features == 10
    assert zipped[3].weight.shape == (12, 10)
    assert (zipped[5].in_features, zipped[5].out_features) == (12, 3)
    assert zipped(ROWS).shape == (20, 3)
    torch.testing.assert_close(zipped[0].weight[:6], (a[0].weight[:6] + b[0].weight[:6]) / 2)
    torch.testing.assert_close(zipped[0].weight[6:], torch.cat([a[0].weight[6:], b[0].weight[6:]]))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), plain(0).parameters(), strict=True))


def test_what_cannot_be_zipped_is_refused() -> None:
    a, b = plain(0), plain(1)
    with pytest.raises(InvalidArgumentError, match=r"as two, or between\. Found width=2\.5\. Give 1 to 2"):
        zip_nets(a, b, {}, width=2.5, example=ROWS)
    with pytest.raises(
        InvalidArgumentError, match=r"units of '5'\. It is fixed: they are outputs .* Leave it out"
    ):
        zip_nets(a, b, {"5": np.arange(3)}, example=ROWS)
    with pytest.raises(UnknownNameError, match="group of layer 'fc'"):
        zip_nets(a, b, {}, width={"fc": 1.5}, example=ROWS)
    with pytest.raises(MismatchError, match="Cannot merge two nets"):
        zip_nets(a, plain(1, width=4), {}, example=ROWS)
    with pytest.raises(InvalidArgumentError, match="Found neither groups nor an example"):
        zip_nets(a, b, {})
    normed = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    with pytest.raises(
        NetError, match=r"zip '1\.weight', a parameter of LayerNorm\. Only linear .* Merge with merge_"
    ):
        zip_nets(normed, normed, {}, example=ROWS)
