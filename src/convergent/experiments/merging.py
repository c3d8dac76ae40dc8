"""One net out of two: the units of b moved to their partners in a, weights averaged, units repaired."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from .._typing import Array, Int64, Shaped, Tensor
from ..batch import Inputs
from ..errors import InvalidArgumentError, MismatchError, NetError
from ..extraction.feeds import Loader
from ..extraction.lockstep import Call, Lockstep, call_on_tensor
from ..extraction.views import view
from ..measures.matching import Matching
from ..passes import collect
from ..solvers.assignment import assign
from ..statistics import Moments, MomentsPlan
from ..statistics.pairs import PairMoments
from .permutation_groups import PermutationGroup, PermutationGroups, permutation_groups
from .tracing import state_of

Partners: TypeAlias = Matching | Int64[Array, " units"]

_REPAIRED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)
_TOKENS = (nn.Linear, nn.LayerNorm)  # their units lie along the last axis
_LEAST_VOTE = 1e-9  # also a bad partner is preferred to none


def align_net(
    b: nn.Module,
    matchings: Mapping[str, Partners],
    *,
    groups: PermutationGroups | None = None,
    example: Shaped[Tensor, "inputs ..."] | None = None,
    call: Call = call_on_tensor,
) -> nn.Module:
    """A copy of b that computes the same, with each unit in the place of its partner in a.

    Several layers of one group vote: each gives its score (1 where it has none) to each of its partners, and the
    one-to-one assignment with the largest sum of votes is taken. Units without partner fill the places left, in
    order. Groups that are not named stay as they are.

    Args:
        b: the net whose units move; it is left as it was.
        matchings: by layer, as groups name them: a one-to-one matching of a's units with b's, or for each unit
            of a the unit of b.
        groups: of both nets; found, and proven on b, with the example otherwise.
        example: a few inputs.
        call: how the net eats them.

    Returns:
        The permuted copy.

    Raises:
        InvalidArgumentError: if neither groups nor an example is given, a matching is not one to one or not of the
            group's size, or the group is fixed.
        UnknownNameError: if no group has such a layer.
        NetError: if the net cannot be permuted.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> x = torch.randn(5, 3)
        >>> moved = align_net(net, {"0": np.array([2, 0, 3, 1])}, example=x)
        >>> bool(torch.allclose(moved(x), net(x), atol=1e-6)), bool((moved[0].weight[0] == net[0].weight[2]).all())
        (True, True)
    """
    found = _groups(b, groups, example, call)
    votes: dict[str, Array] = {}
    for layer, partners in matchings.items():
        group = found.of(layer)
        votes[group.name] = votes.get(group.name, 0) + _votes(layer, partners, group)
    return found.permuted(b, {name: assign(vote) for name, vote in votes.items()})


def merge_nets(
    a: nn.Module,
    b: nn.Module,
    matchings: Mapping[str, Partners],
    *,
    weight: float | int = 0.5,
    groups: PermutationGroups | None = None,
    example: Shaped[Tensor, "inputs ..."] | None = None,
    call: Call = call_on_tensor,
) -> nn.Module:
    """A net whose weights lie between those of a and those of b with its units moved to their partners.

    Every parameter and buffer is (1 - weight) a + weight b; what counts or indexes is that of a.

    Args:
        a: the net whose order of units is kept.
        b: a net of the same architecture.
        matchings: see `align_net`.
        weight: 0 gives a, and 1 gives b.
        groups: see `align_net`.
        example: see `align_net`.
        call: how the nets eat the example.

    Returns:
        A new net; a and b are left as they were.

    Raises:
        MismatchError: if a and b are not of one architecture.
        InvalidArgumentError: see `align_net`.
        UnknownNameError: see `align_net`.
        NetError: see `align_net`.

    Reference: Ainsworth et al. 2023, "Git Re-Basin".

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> x = torch.randn(5, 3)
        >>> other = align_net(net, {"0": np.array([2, 0, 3, 1])}, example=x)
        >>> merged = merge_nets(net, other, {"0": np.array([1, 3, 0, 2])}, example=x)
        >>> bool(torch.allclose(merged(x), net(x), atol=1e-6))
        True
    """
    return interpolated(a, align_net(b, matchings, groups=groups, example=example, call=call), weight=weight)


def interpolated(a: nn.Module, b: nn.Module, *, weight: float | int) -> nn.Module:
    """A copy of a with every real parameter and buffer at (1 - weight) a + weight b.

    Args:
        a: a net.
        b: another, its units in the order of a's.
        weight: of b.

    Raises:
        MismatchError: if they are not of one architecture.
    """
    merged, other = deepcopy(a), dict(state_of(b))
    own = {name: tensor.shape for name, tensor in state_of(a)}
    differing = [n for n in sorted({*own, *other}) if n not in own or n not in other or own[n] != other[n].shape]
    if differing:
        raise MismatchError(
            f"Cannot merge two nets. Found {len(differing)} parameters that only one of them has in that shape, "
            f"first {differing[0]!r}. Give nets of one architecture."
        )
    with torch.no_grad():
        for name, tensor in state_of(merged):
            if tensor.is_floating_point():
                tensor.copy_((1 - weight) * tensor + weight * other[name].to(tensor.device, tensor.dtype))
    return merged


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
        >>> a, b = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
        >>> x = torch.randn(50, 3)
        >>> merged = merge_nets(a, b, {}, example=x)
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


def _groups(
    net: nn.Module, groups: PermutationGroups | None, example: Tensor | None, call: Call
) -> PermutationGroups:
    if groups is not None:
        return groups
    if example is None:
        raise InvalidArgumentError(
            "Units are moved in permutation groups. Found neither groups nor an example to trace the net with. "
            "Give groups=permutation_groups(net, example), or example=."
        )
    return permutation_groups(net, example, call=call)


def _votes(layer: str, partners: Partners, group: PermutationGroup) -> Array:
    """What a layer gives to every pair of units: something to its partners, and nothing to others."""
    partner = partners.partner if isinstance(partners, Matching) else partners
    n_units_b = partners.n_units_b if isinstance(partners, Matching) else len(partners)
    matched = np.flatnonzero(partner >= 0)
    if (len(partner), n_units_b) != (group.size, group.size) or partner.max(initial=-1) >= group.size:
        raise InvalidArgumentError(
            f"Cannot move units by the matching of layer {layer!r}. It has {len(partner)} x {n_units_b} units, "
            f"up to number {partner.max(initial=-1)}, and its group {group.size}. Match that layer of both nets."
        )
    if len(np.unique(partner[matched])) != len(matched):
        raise InvalidArgumentError(
            f"Cannot move units by the matching of layer {layer!r}. Some are partners of several. Use "
            "match_one_to_one."
        )
    votes = np.zeros((group.size, group.size))
    score = partners.score[matched] if isinstance(partners, Matching) else 1.0
    votes[matched, partner[matched]] = np.maximum(score, _LEAST_VOTE)
    return votes


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
