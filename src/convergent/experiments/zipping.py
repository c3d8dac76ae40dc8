"""Partial merging: units that two nets share become one, units that only one of them has are kept beside them."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .._typing import Array, Shaped, Tensor
from ..errors import InvalidArgumentError, NetError
from ..extraction.lockstep import Call, call_on_tensor
from ..solvers.assignment import assign
from .merging import Partners, groups_of, require_alike, votes_of
from .permutation_groups import Member, PermutationGroups

_WIDENED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)


def zip_nets(
    a: nn.Module,
    b: nn.Module,
    matchings: Mapping[str, Partners],
    *,
    width: float | int | Mapping[str, float | int] = 1.5,
    groups: PermutationGroups | None = None,
    example: Shaped[Tensor, "inputs ..."] | None = None,
    call: Call = call_on_tensor,
) -> nn.Module:
    """A net in which the best matched pairs of units are averaged, and all other units of a and of b stay apart.

    In each group the pairs with the highest scores are merged, as many as the width demands. A merged unit is the
    mean of the two, and whatever read either reads it; a unit that is kept reads and is read as in its own net.
    At width 1 this is `merge_nets` at weight 1/2; at width 2 nothing is merged, and it answers with the mean of
    the scores of a and b. Groups that are fixed are merged in place at any width.

    Args:
        a: a net of linear layers, convolutions and batch norms; residual sums and concatenations are fine.
        b: another of the same architecture.
        matchings: see `align_net`; pairs of groups that are not named are units of one number.
        width: units of each group, relative to those of a, from 1 to 2; or that by group or layer, 1 for others.
        groups: see `align_net`.
        example: see `align_net`.
        call: how the nets eat the example.

    Returns:
        A new net with wider layers, whose parameters are named as those of a.

    Raises:
        MismatchError: if a and b are not of one architecture.
        InvalidArgumentError: if the width is not between 1 and 2; see also `align_net`.
        UnknownNameError: if no group has a layer that is named.
        NetError: if units that move have a parameter in a module of another kind; see also `align_net`.

    Reference: Stoica et al. 2024, "ZipIt! Merging models from different tasks without training"; merging of units
    within one net is left out.

    Example:
        >>> a, b = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
        >>> x = torch.randn(5, 3)
        >>> zipped = zip_nets(a, b, {}, width=2, example=x)
        >>> bool(torch.allclose(zipped(x), (a(x) + b(x)) / 2, atol=1e-6)), zipped[0].weight.shape
        (True, torch.Size([8, 3]))
    """
    require_alike(a, b)
    found = groups_of(a, groups, example, call)
    joined = _joined(found, votes_of(matchings, found), width)
    places: dict[tuple[str, int], list[tuple[Member, _Joined]]] = {}
    for group in found.free:
        for member in group.members:
            places.setdefault((member.parameter, member.axis), []).append((member, joined[group.name]))
    zipped = deepcopy(a)
    for path, module in zipped.named_modules():
        if any(True for _ in _own_state(module)):
            _widen(module, path, b.get_submodule(path), places)
    return zipped


@dataclass(frozen=True)
class _Joined:
    """Where the units of both nets go.

    Attributes:
        place: per net, the unit of the zipped net that each of its units becomes.
        part: per net, how much of that it is: a half where it is merged.
        n_units: of the zipped net.
    """

    place: tuple[Array, Array]
    part: tuple[Array, Array]
    n_units: int


def _joined(
    groups: PermutationGroups, votes: Mapping[str, Array], width: float | int | Mapping[str, float | int]
) -> dict[str, _Joined]:
    for name in votes:
        if groups.of(name).fixed:
            raise InvalidArgumentError(
                f"Cannot zip the units of {name!r}. It is fixed: {groups.of(name).fixed}. Leave it out of the "
                "matchings."
            )
    widths = {groups.of(name).name: w for name, w in width.items()} if isinstance(width, Mapping) else {}
    default = 1.0 if isinstance(width, Mapping) else width
    return {
        group.name: _join(votes.get(group.name, np.eye(group.size)), widths.get(group.name, default))
        for group in groups.free
    }


def _join(votes: Array, width: float | int) -> _Joined:
    """The best pairs become one unit each, in the place of a's; b's other units follow."""
    if not 1 <= width <= 2:
        raise InvalidArgumentError(
            f"A zipped net is as wide as one net, or as two, or between. Found width={width:g}. Give 1 to 2."
        )
    partner, n = assign(votes), len(votes)
    n_merged = n - round((width - 1) * n)
    merged = np.argsort(-votes[np.arange(n), partner], kind="stable")[:n_merged]
    place, part_a, part_b = np.full(n, -1), np.ones(n), np.ones(n)
    place[partner[merged]] = merged
    part_a[merged] = part_b[partner[merged]] = 0.5
    place[place < 0] = np.arange(n, 2 * n - n_merged)
    return _Joined((np.arange(n), place), (part_a, part_b), 2 * n - n_merged)


_Places = Mapping[tuple[str, int], Sequence[tuple[Member, _Joined]]]


def _own_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def _widen(module: nn.Module, path: str, other: nn.Module, places: _Places) -> None:
    """Give a module of a the units of both."""
    theirs = dict(_own_state(other))
    for name, tensor in [*_own_state(module)]:
        full = f"{path}.{name}" if path else name
        moving = [axis for axis in range(tensor.ndim) if (full, axis) in places]
        if moving and not (isinstance(module, _WIDENED) and getattr(module, "groups", 1) == 1):
            raise NetError(
                f"Cannot zip {full!r}, a parameter of {type(module).__name__}. Only linear layers, convolutions "
                "without groups and batch norms can hold the units of two nets. Merge with merge_nets."
            )
        if tensor.is_floating_point():
            new = _spread(tensor.detach(), full, 0, places)
            new += _spread(theirs[name].detach().to(tensor), full, 1, places)
            setattr(module, name, nn.Parameter(new) if isinstance(tensor, nn.Parameter) else new)
    _tell_sizes(module)


def _spread(tensor: Tensor, name: str, net: int, places: _Places) -> Tensor:
    """One net's share of a parameter: each entry at the place of its units. What reads a unit reads all of it."""
    if (name, 0) not in places:
        tensor = tensor / 2
    for axis in range(tensor.ndim):
        if (name, axis) in places:
            index, part, size = _along(tensor.shape[axis], places[name, axis], net)
            if axis == 0:
                tensor = tensor * part.to(tensor).reshape(-1, *[1] * (tensor.ndim - 1))
            shape = (*tensor.shape[:axis], size, *tensor.shape[axis + 1 :])
            tensor = tensor.new_zeros(shape).index_add_(axis, index.to(tensor.device), tensor)
    return tensor


def _along(length: int, members: Sequence[tuple[Member, _Joined]], net: int) -> tuple[Tensor, Tensor, int]:
    """Along an axis: the new place of each entry, its part in what lies there, and how many places there are."""
    index, part, at, size = np.zeros(length, dtype=np.int64), np.full(length, 0.5), 0, 0
    for member, joined in sorted(members, key=lambda one: one[0].start):
        n = len(joined.place[net]) * member.repeat
        index[at : member.start] = size + np.arange(member.start - at)
        size += member.start - at
        entries = joined.place[net][:, None] * member.repeat + np.arange(member.repeat)
        index[member.start : member.start + n] = size + entries.ravel()
        part[member.start : member.start + n] = np.repeat(joined.part[net], member.repeat)
        size, at = size + joined.n_units * member.repeat, member.start + n
    index[at:] = size + np.arange(length - at)
    return torch.from_numpy(index), torch.from_numpy(part), size + length - at


def _tell_sizes(module: nn.Module) -> None:
    """A module's own numbers of units, which some of them go by."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Conv1d | nn.Conv2d):
        module.out_channels, module.in_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
        module.num_features = len(module.running_mean)
