"""Repair: means and deviations of merged units are those in between again; batch norms estimated anew."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.experiments.test_merging import MAPS, X, normed, plain
from torch import nn

from convergent import merge_nets, reestimate_norms, repair
from convergent.errors import NetError
from convergent.experiments import interpolated


def test_repair_restores_the_variance_that_averaging_takes() -> None:
    """Units that have nothing in common: their average varies less, and less again a layer further."""
    a, b = plain(0, width=64), plain(1, width=64)
    merged: Any = merge_nets(a, b, {}, example=X[:2])
    repaired: Any = repair(merged, a, b, [X[:200], X[200:]])
    wanted, before, after = (spread(a) + spread(b)) / 2, spread(merged), spread(repaired)
    assert (before / wanted)[-1] < 0.4
    np.testing.assert_allclose(after, wanted, rtol=1e-3)
    assert torch.equal(repaired[8].weight, merged[8].weight)
    some: Any = repair(merged, a, b, [X], layers=["0", "8"])
    torch.testing.assert_close(some(X).std(0), (a(X).std(0) + b(X).std(0)) / 2, rtol=1e-3, atol=1e-5)
    assert torch.equal(some[2].weight, merged[2].weight)


@torch.no_grad()
def spread(net: Any) -> np.ndarray:
    """Mean deviation of the units before each ReLU."""
    x, found = X, []
    for module in list(net.children())[:-1]:
        x = module(x)
        if isinstance(module, nn.Linear):
            found.append(float(x.std(0, unbiased=False).mean()))
    return np.array(found)


def test_repaired_batch_norms_are_those_of_re_estimated_statistics() -> None:
    a, b = normed(0), normed(1)
    merged: Any = merge_nets(a, b, {}, example=MAPS[:2])
    repaired: Any = repair(merged, a, b, [MAPS])
    estimated: Any = interpolated(a, b, weight=0.5)
    for module in estimated.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.no_grad():
        estimated(MAPS)
        estimated.eval()
        # In a and b themselves, means are biases and deviations are weights: that is where both ways agree.
        torch.testing.assert_close(repaired[:6](MAPS), estimated[:6](MAPS), rtol=0.02, atol=0.02)


def test_repair_knows_units_along_the_last_axis() -> None:
    def sequence(seed: int) -> Any:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(8, 5), nn.LayerNorm(5), nn.GELU(), nn.Flatten(), nn.Linear(120, 2))

    a, b, x = sequence(0), sequence(1), MAPS
    merged: Any = merge_nets(a, b, {}, example=x[:2])
    repaired: Any = repair(merged, a, b, [x])
    for depth in (1, 2):
        got, one, two = (net[:depth](x).detach() for net in (repaired, a, b))
        torch.testing.assert_close(
            got.std((0, 1, 2)), (one.std((0, 1, 2)) + two.std((0, 1, 2))) / 2, rtol=1e-3, atol=0
        )


def test_dead_units_are_left_alone() -> None:
    a, b = plain(0), plain(1)
    merged: Any = merge_nets(a, b, {}, example=X[:2])
    with torch.no_grad():
        merged[0].weight[3] = 0
    repaired: Any = repair(merged, a, b, [X])
    assert torch.equal(repaired[0].weight[3], merged[0].weight[3])
    assert repaired[0].bias[3] == merged[0].bias[3]
    assert all(torch.isfinite(p).all() for p in repaired.parameters())


def test_what_cannot_be_repaired_is_refused() -> None:
    a, b = plain(0), plain(1)
    with pytest.raises(
        NetError, match=r"Cannot repair layer '1'\. Layers that run once .* bias for each unit: '0', '2'"
    ):
        repair(a, a, b, [X], layers=["1"])
    with pytest.raises(NetError, match=r"Cannot repair this net\. Layers .* none\. Choose among these, or merge"):
        repair(nn.Sequential(nn.ReLU(), nn.Identity()), a, b, [X])


def test_batch_norms_are_estimated_anew() -> None:
    net = normed(0)
    changed = interpolated(net, normed(1), weight=0.5)
    found: Any = reestimate_norms(changed, [MAPS[:30], MAPS[30:]])
    first = [changed.get_submodule("0")(part).detach() for part in (MAPS[:30], MAPS[30:])]
    means, variances = ([f(part) for part in first] for f in (_mean, _var))
    torch.testing.assert_close(found[1].running_mean, sum(means) / 2, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[1].running_var, sum(variances) / 2, rtol=1e-4, atol=1e-6)
    assert found[1].momentum == 0.1
    assert not any(module.training for module in found.modules())
    with pytest.raises(NetError, match=r"batch norms of Sequential\. It has none that keeps any\. Use repair"):
        reestimate_norms(plain(0), [X])


def _mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean((0, 2, 3))


def _var(x: torch.Tensor) -> torch.Tensor:
    return x.var((0, 2, 3))
