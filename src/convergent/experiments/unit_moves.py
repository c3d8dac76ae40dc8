"""What reshaping, reordering, joining and indexing do to the axes of units."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from math import prod
from types import EllipsisType

import torch

from .unit_axes import Axis, Block
from .unit_steps import Axes, Step, broadcast, in_place

_MOST_BLOCKS = 4096


def made(step: Step) -> list[Axes]:
    """A tensor of constants, of the kind of the one given: nothing of it is a unit yet."""
    return [(None,) * output.ndim for output in step.outputs]


def pad(step: Step) -> list[Axes]:
    """Zeros beside units do not move; beside locations they do not matter."""
    axes, widths = list(step.axes(0)), step.arg(1, "pad")
    for back, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True), start=1):
        axis = axes[-back]
        if axis is None or not (before or after):
            continue
        if before < 0 or after < 0 or step.arg(2, "mode", "constant") != "constant":
            step.fix([axis], "pads them with each other")
            axes[-back] = None
            continue
        edges = [step.sets.immovable(n, f"padding in '{step.place}'") if n else () for n in (before, after)]
        axes[-back] = (*edges[0], *axis, *edges[1])
    return [tuple(axes)]


def order(step: Step) -> list[Axes]:
    """Axes in another order: seen on an empty tensor whose axes have different sizes."""
    axes = step.axes(0)
    moved = step.function(
        torch.empty(tuple(range(2, len(axes) + 2)), device="meta"), *step.args[1:], **step.kwargs
    )
    return [tuple(axes[size - 2] for size in moved.shape)]


def expand(step: Step) -> list[Axes]:
    """Axes of length 1 grow."""
    tensor, (output,) = step.args[0], step.outputs
    return [broadcast(step, tuple(output.shape), [(step.axes(0), tuple(tensor.shape))])]


def reshape(step: Step) -> list[Axes]:
    """Axes that are merged: units become wider blocks. An axis that is split keeps its units in place."""
    tensor, (output,) = step.args[0], step.outputs
    if output.numel() == 0:
        return in_place(step, "arranges nothing")
    given = [(size, axis) for size, axis in zip(tensor.shape, step.axes(0), strict=True) if size != 1]
    wanted = [size for size in output.shape if size != 1]
    found: list[Axis] = []
    while given:
        ins, outs = [given.pop(0)], [wanted.pop(0)]
        while (n_in := prod(size for size, _ in ins)) != (n_out := prod(outs)):
            if n_in < n_out:
                ins.append(given.pop(0))
            else:
                outs.append(wanted.pop(0))
        found += _regrouped(step, ins, outs)
    return [tuple(found.pop(0) if size != 1 else None for size in output.shape)]


def _regrouped(step: Step, ins: Sequence[tuple[int, Axis]], outs: Sequence[int]) -> Sequence[Axis]:
    holders = [i for i, (_, axis) in enumerate(ins) if axis is not None]
    if not holders:
        return [None] * len(outs)
    at = holders[0]
    axis = ins[at][1]
    if len(ins) == len(outs) == 1:
        return [axis]
    if len(outs) == 1 and len(holders) == 1:
        inner, outer = (prod(n for n, _ in part) for part in (ins[at + 1 :], ins[:at]))
        if outer * len(axis or ()) <= _MOST_BLOCKS:
            return [step.sets.repeated(axis, inner=inner, outer=outer)]
    blocks = step.sets.resolved(axis)
    if len(ins) == 1 and len(blocks) == 1 and step.sets.size(blocks[0].units) == outs[0]:
        return [(Block(blocks[0].units),), *[None] * (len(outs) - 1)]
    step.fix([axis for _, axis in ins], f"arranges {' x '.join(str(n) for n, _ in ins)} anew")
    return [None] * len(outs)


def concatenate(step: Step) -> list[Axes]:
    """Units beside units, each set by itself."""
    (output,) = step.outputs
    tensors = [tensor for tensor in step.arg(0, "tensors") if tensor.ndim == output.ndim]
    dim = step.arg(1, "dim", step.kwargs.get("axis", 0)) % output.ndim
    every = [step.axes_of(tensor) for tensor in tensors]
    found = [None if i == dim else step.tie(*axes) for i, axes in enumerate(zip(*every, strict=True))]
    parts = [(axes[dim], tensor.shape[dim]) for axes, tensor in zip(every, tensors, strict=True)]
    if any(axis is not None for axis, _ in parts):
        why = f"{step.name} in '{step.place}' puts it beside units"
        found[dim] = tuple(block for axis, size in parts for block in (axis or step.sets.immovable(size, why)))
    return [tuple(found)]


def stack(step: Step) -> list[Axes]:
    """A new axis, along which nothing moves."""
    (output,) = step.outputs
    dim = step.arg(1, "dim", 0) % output.ndim
    tied = [step.tie(*axes) for axes in zip(*map(step.axes_of, step.arg(0, "tensors")), strict=True)]
    return [(*tied[:dim], None, *tied[dim:])]


def pieces(step: Step) -> list[Axes]:
    """Ranges along one axis, one after the other."""
    axes = step.axes(0)
    dim = step.arg(2, "dim", 0) % len(axes)
    found, start = [], 0
    for output in step.outputs:
        stop = start + output.shape[dim]
        found.append((*axes[:dim], _taken(step, axes[dim], start, stop), *axes[dim + 1 :]))
        start = stop
    return found


def _taken(step: Step, axis: Axis, start: int, stop: int) -> Axis:
    return step.sets.taken(axis, start, stop, f"{step.name} in '{step.place}' takes a part that cuts units")


def unbind(step: Step) -> list[Axes]:
    """Parts of length 1: of locations, or single units."""
    axes = step.axes(0)
    dim = step.arg(1, "dim", 0) % len(axes)
    step.fix([axes[dim]], "takes single units out")
    return [(*axes[:dim], *axes[dim + 1 :])] * len(step.outputs)


def index(step: Step) -> list[Axes]:
    """Whole axes, ranges and single entries; what picks by number keeps all in place."""
    axes, asked = step.axes(0), step.args[1] if isinstance(step.args[1], tuple) else (step.args[1],)
    if any(not isinstance(one, int | slice | EllipsisType | None) or isinstance(one, bool) for one in asked):
        return in_place(step, "picks them by number")
    used = sum(one is not None and one is not ... for one in asked)
    whole = [slice(None)] * (len(axes) - used)
    at = next((i for i, one in enumerate(asked) if one is ...), len(asked))
    return [tuple(_indexed(step, axes, [*asked[:at], *whole, *asked[at + 1 :]]))]


def _indexed(step: Step, axes: Axes, asked: Sequence[int | slice | None]) -> Iterator[Axis]:
    left = iter(zip_longest(axes, step.args[0].shape))
    for one in asked:
        if one is None:
            yield None
            continue
        axis, size = next(left)
        if isinstance(one, int):
            step.fix([axis], "takes single units out")
            continue
        start, stop, stride = one.indices(size)
        if stride == 1 or axis is None:
            yield _taken(step, axis, start, max(stop, start))
        else:
            step.fix([axis], "leaves units out")
            yield None


def narrow(step: Step) -> list[Axes]:
    """A range along one axis."""
    axes = list(step.axes(0))
    dim, start, length = (step.arg(i, name) for i, name in ((1, "dim"), (2, "start"), (3, "length")))
    axes[dim] = _taken(step, axes[dim], int(start), int(start) + length)
    return [tuple(axes)]
