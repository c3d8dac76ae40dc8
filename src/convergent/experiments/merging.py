"""One net out of two: the units of b moved to their partners in a, and weights averaged."""

from collections.abc import Mapping
from copy import deepcopy
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from .._typing import Array, Int64, Shaped, Tensor
from ..errors import InvalidArgumentError, MismatchError
from ..extraction.lockstep import Call, call_on_tensor
from ..measures.matching import Matching
from ..solvers.assignment import assign
from .permutation_groups import PermutationGroup, PermutationGroups, permutation_groups
from .tracing import state_of

Partners: TypeAlias = Matching | Int64[Array, " units"]

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
    found = groups_of(b, groups, example, call)
    return found.permuted(b, {name: assign(votes) for name, votes in votes_of(matchings, found).items()})


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
    require_alike(a, b)
    merged, other = deepcopy(a), dict(state_of(b))
    with torch.no_grad():
        for name, tensor in state_of(merged):
            if tensor.is_floating_point():
                tensor.copy_((1 - weight) * tensor + weight * other[name].to(tensor.device, tensor.dtype))
    return merged


def require_alike(a: nn.Module, b: nn.Module) -> None:
    """Make sure that two nets have the same parameters and buffers.

    Raises:
        MismatchError: if they do not.
    """
    one, other = ({(name, tensor.shape) for name, tensor in state_of(net)} for net in (a, b))
    differing = sorted({name for name, _ in one ^ other})
    if differing:
        raise MismatchError(
            f"Cannot merge two nets. Found {len(differing)} parameters that only one of them has in that shape, "
            f"first {differing[0]!r}. Give nets of one architecture."
        )


def groups_of(
    net: nn.Module, groups: PermutationGroups | None, example: Shaped[Tensor, "inputs ..."] | None, call: Call
) -> PermutationGroups:
    """The groups given, or those found with the example.

    Raises:
        InvalidArgumentError: if neither is given.
    """
    if groups is not None:
        return groups
    if example is None:
        raise InvalidArgumentError(
            "Units are moved in permutation groups. Found neither groups nor an example to trace the net with. "
            "Give groups=permutation_groups(net, example), or example=."
        )
    return permutation_groups(net, example, call=call)


def votes_of(matchings: Mapping[str, Partners], groups: PermutationGroups) -> dict[str, Array]:
    """By group, how much its layers are for each pair of a unit of a and one of b.

    Raises:
        UnknownNameError: if no group has such a layer.
        InvalidArgumentError: if a matching is not one to one or not of the group's size.
    """
    votes: dict[str, Array] = {}
    for layer, partners in matchings.items():
        group = groups.of(layer)
        votes[group.name] = votes.get(group.name, 0) + _votes(layer, partners, group)
    return votes


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
