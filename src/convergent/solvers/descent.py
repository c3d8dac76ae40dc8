"""The optimiser of Li et al. 2016 for sparse maps, on the expected loss. It stops long before the minimum."""

import numpy as np
import torch

from .._typing import Array, Float64

_MOMENTUM, _RATE, _HALVED_EVERY, _N_UPDATES = 0.98, 1e-3, 1500, 4501
_INITIAL_STD = 0.01


def paper_descent(
    within: Float64[Array, "units units"],
    between: Float64[Array, "units targets"],
    penalties: Float64[Array, " penalties"],
    *,
    seed: int = 0,
) -> Float64[Array, "penalties targets units"]:
    """Weights after the paper's 4,501 updates of heavy-ball gradient descent.

    The loss of a target is (1 - 2 w'q + w'Qw) / (2 n_targets) + penalty / n_targets |w|_1, with the subgradient
    sign(w). V <- 0.98 V + rate * gradient; w <- w - V; the rate is 0.001, halved every 1,500 updates. Weights
    start at N(0, 0.01^2), times the one factor that gives the predictions the energy of the targets: the mean of
    w'Qw is 1.

    Args:
        within: correlations Q of the units.
        between: correlations q of units and targets.
        penalties: in units of correlation; the paper's lambda is penalty / n_targets.
        seed: of the random start, which is the same for all penalties.

    Cost: 4,501 products, units x units x (targets x penalties).

    Reference: Li et al. 2016, section 4, and the settings in the files that the authors released.
    """
    n_units, n_targets = between.shape
    if not between.size:
        return np.zeros((len(penalties), n_targets, n_units))
    generator = torch.Generator().manual_seed(seed)
    start = _INITIAL_STD * torch.randn(n_targets, n_units, generator=generator, dtype=torch.float64).T
    q, wanted = (torch.from_numpy(np.array(m, dtype=np.float64)) for m in (within, between))
    start *= (n_targets / (start * (q @ start)).sum()).sqrt()
    w = start.repeat(1, len(penalties))  # one block of columns a penalty
    shrink = torch.from_numpy(np.repeat(penalties, n_targets)) / n_targets
    wanted = wanted.repeat(1, len(penalties)) / n_targets
    speed, pull = torch.zeros_like(w), torch.empty_like(w)
    for update in range(_N_UPDATES):
        rate = _RATE * 0.5 ** (update // _HALVED_EVERY)
        torch.sign(w, out=pull).mul_(shrink).sub_(wanted)
        speed.mul_(_MOMENTUM).add_(pull, alpha=rate)
        speed.addmm_(q, w, alpha=rate / n_targets)
        w -= speed
    return w.reshape(n_units, len(penalties), n_targets).permute(1, 2, 0).contiguous().numpy()
