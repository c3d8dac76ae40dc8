"""Merging: permuted copies come back, weights lie between, and repair restores what averaging takes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convergent import (
    Lockstep,
    Matching,
    MomentsPlan,
    align_net,
    collect,
    load_net,
    match_best,
    match_one_to_one,
    merge_nets,
    permutation_groups,
)
from convergent.errors import InvalidArgumentError, MismatchError, UnknownNameError
from convergent.experiments import interpolated

X = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
MAPS = torch.randn(60, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def plain(seed: int, width: int = 16) -> Any:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Linear(6, width), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 3)).eval()


def normed(seed: int) -> Any:
    torch.manual_seed(seed)
    net: Any = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
    )
    with torch.no_grad():
        for module in (net[1], net[4]):
            module.weight.uniform_(0.5, 2)
            module.bias.normal_()
    net.train()
    for _ in range(100):
        net(MAPS)
    return net.eval()


def moved(net: nn.Module, example: Tensor) -> nn.Module:
    groups, rng = permutation_groups(net, example), np.random.default_rng(0)
    return groups.permuted(net, {group.name: rng.permutation(group.size) for group in groups.free})


def matchings(a: Any, b: Any, inputs: Tensor, layers: list[str]) -> dict[str, Matching]:
    moments = collect(Lockstep({"a": a, "b": b}, [inputs], layers=layers), {"m": MomentsPlan()})["m"]
    return {layer: match_one_to_one(moments.pair(f"a/{layer}", f"b/{layer}")) for layer in layers}


def same_weights(a: Any, b: Any) -> bool:
    other = b.state_dict()
    return all(torch.allclose(value, other[name], atol=1e-6) for name, value in a.state_dict().items())


def test_a_permuted_copy_comes_back_weight_by_weight() -> None:
    a = plain(0)
    b = moved(a, X[:2])
    found = matchings(a, b, X, ["0", "2", "4", "6"])
    assert not same_weights(a, b)
    assert same_weights(a, align_net(b, found, example=X[:2]))
    assert same_weights(a, merge_nets(a, b, found, weight=0.3, example=X[:2]))


def test_several_layers_of_a_residual_group_vote() -> None:
    torch.manual_seed(0)
    a = load_net("resnet_small")
    b = moved(a, MAPS[:2].repeat(1, 1, 4, 4))
    groups = permutation_groups(a, MAPS[:2].repeat(1, 1, 4, 4))
    right = {g.name: matching_of(a, b, g.name) for g in groups.free}
    stream = groups.free[0]
    wrong = right[stream.name][::-1].copy()
    votes: Mapping[str, np.ndarray] = {
        **right,
        stream.layers[1]: right[stream.name],
        stream.layers[2]: wrong,
    }
    assert same_weights(a, merge_nets(a, b, votes, groups=groups))


def matching_of(a: Any, b: Any, layer: str) -> np.ndarray:
    """Which unit of b is each of a's, read off two layers of distinct weights: the sorted weights of each unit."""
    one, two = (net.get_submodule(layer).weight.detach().flatten(1).sort(dim=1)[0] for net in (a, b))
    return torch.cdist(one, two).argmin(1).numpy()


def test_the_ends_are_the_nets_and_the_middle_is_their_mean() -> None:
    a, b = plain(0), plain(1)
    assert same_weights(merge_nets(a, b, {}, weight=0, example=X[:2]), a)
    assert same_weights(merge_nets(a, b, {}, weight=1, example=X[:2]), b)
    half: Any = merge_nets(a, b, {}, example=X[:2])
    torch.testing.assert_close(half[2].weight, (a[2].weight + b[2].weight) / 2)
    one, two = normed(0), normed(1)
    between: Any = interpolated(one, two, weight=0.25)
    torch.testing.assert_close(
        between[1].running_var,
        0.75 * one[1].running_var + 0.25 * two[1].running_var,
    )
    assert between[1].num_batches_tracked == one[1].num_batches_tracked


def test_units_without_partner_fill_the_places_left_and_bad_partners_count() -> None:
    a = plain(0, width=4)
    partner = np.array([2, -1, 0, -1])
    score = np.array([-0.4, np.nan, 0.9, np.nan])
    found = Matching("a/1", "b/1", "one_to_one", partner, score, ~np.isnan(score), 4)
    b: Any = align_net(a, {"1": found}, example=X[:2])
    rows = [int((b[0].weight[i] == a[0].weight).all(1).nonzero()) for i in range(4)]
    assert (rows[0], rows[2]) == (2, 0)
    assert {rows[1], rows[3]} == {1, 3}


def test_what_cannot_be_merged_is_refused() -> None:
    a, b = plain(0), plain(1)
    groups = permutation_groups(a, X[:2])
    with pytest.raises(InvalidArgumentError, match=r"Found neither groups nor an example .* Give groups="):
        merge_nets(a, b, {})
    with pytest.raises(
        MismatchError, match=r"Found 9 parameters .* first '0\.bias'\. Give nets of one architecture"
    ):
        merge_nets(a, plain(1, width=8), {}, example=X[:2])
    with pytest.raises(UnknownNameError, match="group of layer 'fc'"):
        merge_nets(a, b, {"fc": np.arange(16)}, groups=groups)
    with pytest.raises(
        InvalidArgumentError, match=r"layer '1'\. It has 4 x 4 units, up to number 3, and its group 16"
    ):
        merge_nets(a, b, {"1": np.arange(4)}, groups=groups)
    with pytest.raises(InvalidArgumentError, match=r"Some are partners of several\. Use match_one_to_one"):
        merge_nets(a, b, {"1": np.zeros(16, dtype=np.int64)}, groups=groups)
    moments = collect(Lockstep({"a": a, "b": b}, [X], layers=["1"]), {"m": MomentsPlan()})["m"]
    with pytest.raises(InvalidArgumentError, match="Some are partners of several"):
        merge_nets(a, b, {"1": match_best(moments.pair("a/1", "b/1"))}, groups=groups)
    with pytest.raises(InvalidArgumentError, match=r"'8'\. It is fixed: they are outputs of the net"):
        merge_nets(a, b, {"8": np.arange(3)}, groups=groups)
