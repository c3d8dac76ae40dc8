"""Which units of a net can be permuted without changing what it computes, and what must move with them."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from .._typing import Array, Int64, Shaped, Tensor
from ..batch import Batch
from ..errors import InvalidArgumentError, MismatchError, NetError, UnknownNameError, nearest
from ..extraction.lockstep import Call, call_on_tensor, fit_to
from ..extraction.taps import evaluating, explaining, parts
from .tracing import Trace, Unknown, state_of, trace
from .unit_axes import Axis

_TOLERANCE = 1e-5
_JITTER = 0.1


@dataclass(frozen=True)
class Member:
    """Where the units of a group lie in a parameter or buffer.

    Attributes:
        parameter: its name.
        axis: of its axes, the one they lie along.
        start: first entry of the first unit.
        repeat: how many neighbouring entries a unit has: more than one behind a flattened map.
    """

    parameter: str
    axis: int
    start: int
    repeat: int


@dataclass(frozen=True)
class PermutationGroup:
    """Units that can only be permuted everywhere at once.

    Attributes:
        name: the first layer that has them; or where they lie, if no layer does.
        size: how many units.
        members: all parameters and buffers that have an entry for each.
        layers: all layers whose units they are, one for one and in this order.
        fixed: why they cannot move; empty where they can.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    layers: tuple[str, ...]
    fixed: str


@dataclass(frozen=True)
class PermutationGroups:
    """All groups of units of a net.

    Attributes:
        groups: in the order in which the net computes them.
        max_change: by how much the outputs changed, relative to the largest, when all groups were permuted.
    """

    groups: tuple[PermutationGroup, ...]
    max_change: float

    @property
    def free(self) -> tuple[PermutationGroup, ...]:
        """Those that can be permuted."""
        return tuple(group for group in self.groups if not group.fixed)

    def of(self, layer: str) -> PermutationGroup:
        """The group of a layer's units; also by the group's own name.

        Args:
            layer: the name of a layer, as it is tapped.

        Raises:
            UnknownNameError: if no group has such a layer: units of a concatenation, for instance, are of several.
        """
        for group in self.groups:
            if layer == group.name or layer in group.layers:
                return group
        known = [name for group in self.groups for name in (group.layers or (group.name,))]
        raise UnknownNameError(
            f"Cannot find the group of layer {layer!r}. None of {len(self.groups)} groups has a layer of that "
            f"name whose units are its own, one for one. {nearest(layer, known)}"
        )

    def table(self) -> pd.DataFrame:
        """One row a group: name, size, fixed, layers, members."""
        return pd.DataFrame(
            {
                "name": [group.name for group in self.groups],
                "size": [group.size for group in self.groups],
                "fixed": [group.fixed for group in self.groups],
                "layers": [" ".join(group.layers) for group in self.groups],
                "members": [" ".join(map(_told, group.members)) for group in self.groups],
            }
        )

    def permuted(self, net: nn.Module, permutations: Mapping[str, Int64[Array, " units"]]) -> nn.Module:
        """A copy of a net whose units have another order: unit i of it is unit permutation[i] of the net.

        Args:
            net: of the architecture the groups are of; it is left as it was.
            permutations: by the name of a group or of one of its layers; other groups stay as they are.

        Raises:
            UnknownNameError: if no group has such a layer.
            InvalidArgumentError: if units of that group cannot move, a group is named twice, or that is not a
                permutation.
            MismatchError: if the net has other parameters than the one traced.
        """
        chosen: dict[str, Array] = {}
        for name, permutation in permutations.items():
            group = self.of(name)
            _require_movable(group, name, permutation, again=group.name in chosen)
            chosen[group.name] = permutation
        copy = deepcopy(net)
        state = dict(state_of(copy))
        with torch.no_grad():
            for group in self.groups:
                for member in group.members if group.name in chosen else ():
                    _permute(_found(state, member, group), member, chosen[group.name])
        return copy

    def check(
        self, net: nn.Module, example: Shaped[Tensor, "inputs ..."], *, seed: int = 0, call: Call = call_on_tensor
    ) -> float:
        """Prove that permuting changes nothing: all groups are permuted at random, and the outputs compared.

        That is done in float64 (where the net can run so), for no rounding to hide or feign a change, and a second
        time with noise on all parameters: those that are equal for all units, as in the norms of an untrained net,
        would hide one.

        Args:
            net: the net that was traced, or another of its architecture; it is left as it was.
            example: inputs.
            seed: of permutations and noise.
            call: how the net eats them.

        Returns:
            The largest change of an output, as a share of the largest output.

        Raises:
            NetError: if that is above 1e-5, naming the groups that are the reason.

        Cost: five forwards, and at most three copies of the net in float64 at a time.
        """
        rng = np.random.default_rng(seed)
        permutations = {group.name: rng.permutation(group.size) for group in self.free}
        batch, changes = _batch(example), []
        wide = _widened(net, batch, call)
        for one in (wide, _noisy(wide, seed)):
            changes.append(self._change(one, permutations, batch, call))
            if not changes[-1] <= _TOLERANCE:
                self._blame(one, permutations, batch, call, changes[-1])
        return max(changes)

    def _change(self, net: nn.Module, permutations: Mapping[str, Array], batch: Batch, call: Call) -> float:
        before, after = (_outputs(one, batch, call) for one in (net, self.permuted(net, permutations)))
        largest = max((float(output.abs().max()) for output in before), default=0.0)
        change = max((float((x - y).abs().max()) for x, y in zip(before, after, strict=True)), default=0.0)
        return change / largest if largest else change

    def _blame(
        self, net: nn.Module, permutations: Mapping[str, Array], batch: Batch, call: Call, change: float
    ) -> None:
        alone = {name: self._change(net, {name: p}, batch, call) for name, p in permutations.items()}
        guilty = [repr(name) for name, moved in alone.items() if not moved <= _TOLERANCE]
        raise NetError(
            f"Permuting the units of this net changes its outputs by {change:.2g} of the largest. That comes from "
            f"{', '.join(guilty) or 'several groups together'}. Look in their layers for values of single units "
            "that are no parameter or buffer, for what is random, and for functions that hide (vmap, scripts)."
        )


def permutation_groups(
    net: nn.Module,
    example: Shaped[Tensor, "inputs ..."],
    *,
    unknown: Unknown = "refuse",
    call: Call = call_on_tensor,
) -> PermutationGroups:
    """Find which unit axes of a net must be permuted together, and prove it.

    The net runs on the example, and every function of torch it calls ties the axes it treats alike: through linear
    maps, convolutions, norms, residual sums, concatenations and flattening. Inputs and outputs of the net stay in
    place, and so do units that are compared with their neighbours; such groups say why they are `fixed`.

    Args:
        net: any module; it is left as it was.
        example: a few inputs, at least two. Groups hold for inputs that take the same path through the net.
        unknown: "refuse" a net in which units meet a function of unknown effect, or "fix" these units.
        call: how the net eats the example.

    Returns:
        The groups, and the largest relative change of the outputs when all are permuted.

    Raises:
        NetError: naming the module, if a function is unknown, or the net decides by the values it was given; or if
            the outputs change by more than 1e-5 when groups are permuted.

    Cost: one forward of the example, and `PermutationGroups.check`.

    Reference: Ainsworth et al. 2023, "Git Re-Basin", for plain and residual nets.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
        >>> groups = permutation_groups(net, torch.randn(2, 3, 4, 4))
        >>> [(group.name, group.size) for group in groups.free], groups.of("1").members[-1]
        ([('0', 8)], Member(parameter='3.weight', axis=1, start=0, repeat=4))
    """
    found = trace(net, fit_to(net, _batch(example)), call=call, unknown=unknown)
    groups = PermutationGroups(tuple(_groups(found)), 0.0)
    return PermutationGroups(groups.groups, groups.check(net, example, call=call))


def _groups(found: Trace) -> Iterator[PermutationGroup]:
    """Groups in the order of their first layer, and then those that no layer has."""
    layers: dict[int, list[str]] = {}
    for name, axes in found.layers.items():
        units = _own_units(found, axes)
        if units is not None:
            layers.setdefault(units, []).append(name)
    members = _members(found)
    for units in [*layers, *(units for units in members if units not in layers)]:
        fixed, own = found.sets.reason(units), tuple(members.get(units, ()))
        if units in layers or (not fixed and len(own) > 1):  # what one tensor alone has, nothing else reads
            names = tuple(layers.get(units, ()))
            name = names[0] if names else _told(own[0])
            yield PermutationGroup(name, found.sets.size(units), own, names, fixed)


def _members(found: Trace) -> dict[int, list[Member]]:
    members: dict[int, list[Member]] = {}
    for name, axes in found.state.items():
        for i, axis in enumerate(axes):
            start = 0
            for block in found.sets.resolved(axis):
                members.setdefault(block.units, []).append(Member(name, i, start, block.repeat))
                start += found.sets.length((block,))
    return members


def _own_units(found: Trace, axes: Sequence[Axis]) -> int | None:
    """The one set whose units are those of a layer; None where they are of several, or flattened."""
    held = [blocks for blocks in map(found.sets.resolved, axes[1:]) if blocks]
    moving = [blocks for blocks in held if found.sets.moves(blocks)] or held
    if len(moving) != 1 or len(moving[0]) != 1 or moving[0][0].repeat != 1:
        return None
    return moving[0][0].units


def _told(member: Member) -> str:
    wide = f" x{member.repeat}" if member.repeat > 1 else ""
    return f"{member.parameter}[{member.axis}]{f'+{member.start}' if member.start else ''}{wide}"


def _require_movable(group: PermutationGroup, name: str, permutation: Array, *, again: bool) -> None:
    fault = (
        f"is fixed: {group.fixed}"
        if group.fixed
        else f"is of the group {group.name!r}, which was named before"
        if again
        else f"has {group.size} units, and that is no order of them"
        if not np.array_equal(np.sort(permutation), np.arange(group.size))
        else ""
    )
    if fault:
        raise InvalidArgumentError(
            f"Cannot permute the units of {name!r}. It {fault}. Give one permutation of 0, 1, ... for each group "
            "that is free."
        )


def _found(state: Mapping[str, Tensor], member: Member, group: PermutationGroup) -> Tensor:
    tensor = state.get(member.parameter)
    stop = member.start + group.size * member.repeat
    if tensor is None or tensor.ndim <= member.axis or tensor.shape[member.axis] < stop:
        told = "none of that name" if tensor is None else f"shape {tuple(tensor.shape)}"
        raise MismatchError(
            f"Cannot permute {_told(member)}, which has {group.size} units of group {group.name!r}. Found {told} "
            "in this net. Give a net of the architecture that was traced."
        )
    return tensor


def _permute(tensor: Tensor, member: Member, permutation: Array) -> None:
    entries = (permutation[:, None] * member.repeat + np.arange(member.repeat)).ravel() + member.start
    index = torch.arange(tensor.shape[member.axis])
    index[member.start : member.start + len(entries)] = torch.from_numpy(entries)
    tensor.copy_(tensor.index_select(member.axis, index.to(tensor.device)))


def _widened(net: nn.Module, batch: Batch, call: Call) -> nn.Module:
    """A copy in float64; in its own precision where it makes tensors of that precision itself."""
    copy = deepcopy(net).double()
    try:
        _outputs(copy, batch, call)
    except NetError:
        return deepcopy(net)
    return copy


def _noisy(net: nn.Module, seed: int) -> nn.Module:
    """A copy with noise on every parameter; positive on rows, since variances are among them."""
    copy, generator = deepcopy(net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, tensor in state_of(copy):
            if tensor.is_floating_point():
                noise = torch.empty(tensor.shape, dtype=tensor.dtype)
                noise = (
                    noise.normal_(generator=generator) if tensor.ndim > 1 else noise.uniform_(generator=generator)
                )
                scale = float(tensor.std()) if tensor.ndim > 1 and tensor.numel() > 1 else _JITTER
                tensor += (max(scale, 1e-3) * noise).to(tensor.device)
    return copy


def _outputs(net: nn.Module, batch: Batch, call: Call) -> list[Tensor]:
    fit = fit_to(net, batch)
    with explaining(fit.tensor), evaluating(net), torch.no_grad():
        return [tensor.double() for _, tensor in parts(call(net, fit))]


def _batch(example: Tensor) -> Batch:
    return Batch(np.arange(len(example)), example)
