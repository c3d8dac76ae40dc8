"""Units of merged nets that vary too little, and what gives them their variance back."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from .._typing import Tensor
from ..batch import Inputs
from ..errors import NetError
from ..extraction.feeds import Loader, feed_nets
from ..extraction.lockstep import Call, Lockstep, call_on_tensor, fit_to
from ..extraction.taps import evaluating, explaining
from ..extraction.views import view
from ..passes import collect
from ..statistics import Moments, MomentsPlan
from ..statistics.pairs import PairMoments

_REPAIRED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
_TOKENS = (nn.Linear, nn.LayerNorm)  # their units lie along the last axis


def repair(
    net: nn.Module,
    a: nn.Module,
    b: nn.Module,
    inputs: Inputs | Loader,
    *,
    weight: float | int = 0.5,
    layers: Sequence[str] | None = None,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> nn.Module:
    """Rescale the units of a merged net so that they vary as much as those of the nets it was made of.

    Averages of weights that are not alike make units vary less and less from layer to layer. Layer after layer,
    each unit's weights and bias are scaled and shifted so that its mean and standard deviation over the inputs
    become (1 - weight) those of a + weight those of b; later layers are measured with the earlier ones repaired.
    Linear layers, convolutions, batch norms and layer norms are repaired, by their own weight and bias: those
    without a bias are left to the norm behind them. A repaired batch norm is one of re-estimated statistics.

    Args:
        net: the merged net; it is left as it was.
        a: the net at weight 0.
        b: the net at weight 1, its units in the order of a's: from `align_net`.
        inputs: on which means and deviations are measured, without labels; rather not those it is tested on.
        weight: the one it was merged with.
        layers: which are repaired; by default all but the last, whose outputs are answers.
        batch_size: where the inputs do not come in batches.
        call: how the nets eat a batch.

    Returns:
        The repaired copy. Units that are dead in a net, or that the net lets vary by nothing, are left alone.

    Raises:
        NetError: if there is no layer to repair, or one is called several times or has no weight and bias for each
            unit.

    Cost: one pass of a and b, and one of the merged net for each layer.

    Reference: Jordan et al. 2023, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair".

    Example:
        >>> from convergent.experiments import interpolated
        >>> a, b = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
        >>> x = torch.randn(50, 3)
        >>> merged = interpolated(a, b, weight=0.5)
        >>> repaired = repair(merged, a, b, [x])
        >>> wanted = (a[0](x).std(0) + b[0](x).std(0)) / 2
        >>> bool(torch.allclose(repaired[0](x).std(0), wanted, rtol=1e-3))
        True
    """
    copy = deepcopy(net)
    chosen = _repairable(copy, inputs, layers, batch_size, call)
    modules = {layer: copy.get_submodule(layer) for layer in chosen}
    along_last = {layer: isinstance(module, _TOKENS) for layer, module in modules.items()}

    def measured(nets: Mapping[str, nn.Module], some: Sequence[str], *, last: bool) -> Moments:
        units = view(units="tokens" if last else "channels")
        source = Lockstep(nets, inputs, layers=some, view=units, batch_size=batch_size, call=call)
        moments: Moments = collect(source, {"moments": MomentsPlan()})["moments"]
        return moments

    by_axis = {last: [layer for layer in chosen if along_last[layer] == last] for last in (False, True)}
    ends = {last: measured({"a": a, "b": b}, some, last=last) for last, some in by_axis.items() if some}
    for layer, module in modules.items():
        now = measured({"net": copy}, [layer], last=along_last[layer])
        targets = ends[along_last[layer]].pair(f"a/{layer}", f"b/{layer}")
        _rescale(module, now.pair(f"net/{layer}", f"net/{layer}"), targets, float(weight))
    return copy


def reestimate_norms(
    net: nn.Module, inputs: Inputs | Loader, *, batch_size: int = 256, call: Call = call_on_tensor
) -> nn.Module:
    """A copy whose batch norms have means and variances estimated anew; also for the wider nets of `zip_nets`.

    Each batch is normalised by its own statistics, as in training, and the batch norms keep the mean of those of
    all batches. Nothing else of the net is in training mode.

    Args:
        net: is left as it was.
        inputs: without labels; rather those that nets were trained on, in batches that are mixed and not small.
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Returns:
        The copy, each of its modules in the mode it was in.

    Raises:
        NetError: if the net has no batch norm that keeps statistics, or cannot eat the inputs.

    Cost: one forward of the inputs.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        >>> x = torch.randn(50, 3)
        >>> reestimated = reestimate_norms(net, [x])
        >>> bool(torch.allclose(reestimated[1].running_mean, net[0](x).mean(0), atol=1e-6))
        True
    """
    copy = deepcopy(net)
    norms = [one for one in copy.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    if not norms:
        raise NetError(
            f"Asked for new statistics of the batch norms of {type(net).__name__}. It has none that keeps any. "
            "Use repair, which knows other layers."
        )
    momenta = [norm.momentum for norm in norms]
    with evaluating(copy), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum, norm.training = None, True
        for several in feed_nets(("net",), inputs, batch_size=batch_size).batches(0):
            fit = fit_to(copy, several["net"])
            with explaining(fit.tensor):
                call(copy, fit)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return copy


def _repairable(
    net: nn.Module, inputs: Inputs | Loader, layers: Sequence[str] | None, batch_size: int, call: Call
) -> list[str]:
    """The layers to repair, in the order of the run."""
    source = Lockstep({"net": net}, inputs, layers=["*"], batch_size=batch_size, call=call)
    ran = [units.ref.layer for units in source.layers]
    modules = dict(net.named_modules())
    fit = [name for name in ran if isinstance(modules.get(name), _REPAIRED) and _has_scale(modules[name])]
    last = [name for name in ran if name in modules and not list(modules[name].children())][-1:]
    wanted = [name for name in fit if name not in last] if layers is None else list(layers)
    unfit = [name for name in wanted if name not in fit]
    if unfit or not wanted:
        raise NetError(
            f"Cannot repair {f'layer {unfit[0]!r}' if unfit else 'this net'}. Layers that run once in a forward "
            f"and have a weight and a bias for each unit: {', '.join(map(repr, fit)) or 'none'}. Choose among "
            "these, or merge without repair."
        )
    return [name for name in fit if name in wanted]


def _has_scale(module: nn.Module) -> bool:
    bias = getattr(module, "bias", None)
    return isinstance(bias, Tensor) and bias.ndim == 1


def _rescale(module: nn.Module, now: PairMoments, ends: PairMoments, weight: float) -> None:
    """Scale and shift each living unit to the mean and deviation that lie between those at the ends."""
    parameters = dict(module.named_parameters(recurse=False))
    scale, bias = parameters["weight"], parameters["bias"]
    alive = now.alive_a
    std = (1 - weight) * ends.std_a + weight * ends.std_b
    factor = np.divide(std, now.std_a, out=np.ones_like(std), where=alive)
    mean = (1 - weight) * ends.mean_a + weight * ends.mean_b
    with torch.no_grad():
        s, wanted, found = (torch.from_numpy(v).to(bias) for v in (factor, mean, now.mean_a))
        scale.mul_(s.reshape(-1, *[1] * (scale.ndim - 1)))
        moved = (bias - found) * s + wanted
        bias.copy_(torch.where(torch.from_numpy(alive).to(bias.device), moved, bias))
