"""The barrier between nets: none to a permuted copy once it is matched, some before; what repair gives back."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convergent import (
    Lockstep,
    LossBarrier,
    MomentsPlan,
    answer,
    collect,
    loss_barrier,
    match_one_to_one,
    permutation_groups,
)
from convergent.errors import InvalidArgumentError

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(300, 8, generator=GENERATOR)
Y = (X[:, :2].prod(1) > 0).long() + (X[:, 2] > 0.5).long()
LAYERS = ["1", "3"]


def trained(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        F.cross_entropy(net(X), Y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return net.eval()


@pytest.fixture(scope="module")
def nets() -> tuple[nn.Module, nn.Module]:
    return trained(0), trained(1)


def test_a_permuted_copy_has_a_barrier_until_it_is_matched(nets: tuple[nn.Module, nn.Module]) -> None:
    a, rng = nets[0], np.random.default_rng(0)
    groups = permutation_groups(a, X[:2])
    b = groups.permuted(a, {group.name: rng.permutation(group.size) for group in groups.free})
    unmatched = loss_barrier(a, b, {}, [(X, Y)], groups=groups)
    assert unmatched.barrier > 0.1
    assert unmatched.barrier_interval().low > 0
    moments = collect(Lockstep({"a": a, "b": b}, [X], layers=LAYERS), {"m": MomentsPlan()})["m"]
    matchings = {layer: match_one_to_one(moments.pair(f"a/{layer}", f"b/{layer}")) for layer in LAYERS}
    matched = loss_barrier(a, b, matchings, [(X, Y)], groups=groups)
    assert abs(matched.barrier) < 1e-6
    assert np.abs(matched.excess).max() < 1e-4
    repaired = loss_barrier(a, b, matchings, [(X, Y)], groups=groups, repair_on=[X], weights=(0, 0.5, 1))
    assert abs(repaired.barrier) < 1e-3


def test_repair_gives_nets_that_collapse_some_of_their_accuracy_back(nets: tuple[nn.Module, nn.Module]) -> None:
    a, b = nets
    way = (0, 0.25, 0.5, 0.75, 1)
    plain, repaired = (
        loss_barrier(a, b, {}, [(X, Y)], example=X[:2], weights=way, repair_on=on) for on in (None, [X])
    )
    assert (repaired.correct.mean(axis=1) >= plain.correct.mean(axis=1)).all()
    assert repaired.correct[2].mean() > plain.correct[2].mean() + 0.03
    assert (repaired.repaired, plain.repaired) == (True, False)


def test_the_ends_are_the_answers_of_the_nets(nets: tuple[nn.Module, nn.Module]) -> None:
    a, b = nets
    found = loss_barrier(a, b, {}, [(X, Y)], example=X[:2], weights=(0, 1))
    table = found.table()
    for row, net in zip((0, 1), nets, strict=True):
        assert table.loc[row, "loss"] == pytest.approx(answer(net, [(X, Y)]).loss)
        assert table.loc[row, "accuracy"] == answer(net, [(X, Y)]).accuracy
    assert found.barrier == 0
    assert (table["loss_low"] < table["loss"]).all()
    assert (table["excess_high"] == 0).all()


def test_the_excess_is_what_lies_above_the_straight_line() -> None:
    weights, losses = np.array([0, 0.25, 1]), np.array([[1.0, 2], [2, 2], [3, 6]])
    found = LossBarrier(weights, losses, losses > 0, repaired=False)
    np.testing.assert_allclose(found.excess, np.array([[0, 0], [0.5, -1], [0, 0]]))
    assert found.barrier == 0
    assert LossBarrier(weights, losses + np.array([[0], [1], [0]]), losses > 0, repaired=False).barrier == 0.75


@pytest.mark.parametrize("weights", [(), (0,), (0, 0.5), (0.1, 1), (0, 1, 0.5, 1), (0, 0.5, 0.5, 1)])
def test_the_way_leads_from_a_to_b(weights: tuple[float, ...], nets: tuple[nn.Module, nn.Module]) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"walked by weights of b\. Found .* Give weights that ascend from 0"
    ):
        loss_barrier(*nets, {}, [(X, Y)], example=X[:2], weights=weights)
