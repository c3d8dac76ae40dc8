"""What linear maps, norms, sums, pooling and attention do to the axes of units."""

from collections.abc import Sequence

import numpy as np

from .._typing import Tensor
from .unit_axes import Axis
from .unit_steps import Axes, Step, broadcast, in_place


def elementwise(step: Step) -> list[Axes]:
    """Tensors broadcast against each other: their axes are tied from the last one back."""
    (shape,) = {tuple(output.shape) for output in step.outputs}
    return [broadcast(step, shape, [(step.axes_of(t), tuple(t.shape)) for t in step.inputs])] * len(step.outputs)


def same(step: Step) -> list[Axes]:
    """The axes of the first tensor, whatever else was given."""
    return [step.axes(0)] * len(step.outputs)


def prelu(step: Step) -> list[Axes]:
    """A slope for each unit on axis 1, or one for all."""
    axes, slopes = step.axes(0), step.axes(1, "weight")
    if step.arg(1, "weight").numel() > 1:
        step.tie(axes[1], slopes[0])
    return [axes]


def pool(step: Step) -> list[Axes]:
    """The last axes hold locations: one, two or three as the name says."""
    n = next((int(d) for d in "123" if f"{d}d" in step.name), len(step.axes(0)) - 2)
    axes = step.axes(0)
    step.fix(axes[-n:], "mixes neighbours along them")
    return [axes[:-n] + (None,) * n] * len(step.outputs)


def reduce(step: Step) -> list[Axes]:
    """Sums and the like over an axis are the same in any order."""
    axes, rank = step.axes(0), len(step.axes(0))
    dims = step.arg(2 if step.name in ("norm", "linalg_vector_norm") else 1, "dim")
    chosen = range(rank) if isinstance(dims, bool) or dims in (None, (), []) else _dims(dims, rank)
    if len(step.outputs[0].shape) == rank:
        return [tuple(None if i in chosen else axis for i, axis in enumerate(axes))]
    return [tuple(axis for i, axis in enumerate(axes) if i not in chosen)]


def _dims(dims: int | Sequence[int], rank: int) -> set[int]:
    return {dim % rank for dim in ([dims] if isinstance(dims, int) else dims)}


def extreme(step: Step) -> list[Axes]:
    """Largest and smallest: of two tensors, of all entries, or along an axis with the places."""
    if len(step.inputs) == 2:
        return elementwise(step)
    if len(step.outputs) == 1:
        return [()]
    step.fix([step.axes(0)[step.arg(1, "dim")]], "tells places along it")
    return reduce(step) * 2


def ranked(step: Step) -> list[Axes]:
    """What depends on the order along an axis, or tells places in it."""
    return in_place(step, "tells places in them")


def written(step: Step) -> list[Axes]:
    """Values written into a part of a tensor."""
    return in_place(step, "writes into a part of a tensor")


def linear(step: Step) -> list[Axes]:
    """Along the last axis, units out of units in."""
    x, weight, bias = step.axes(0), step.axes(1, "weight"), step.axes(2, "bias")
    step.tie(x[-1], weight[1])
    return [(*x[:-1], step.tie(weight[0], *bias))]


def conv(step: Step) -> list[Axes]:
    """Units out of units in, at every location; a depthwise one gives each unit a few of its own."""
    x, weight, bias = step.axes(0), step.axes(1, "weight"), step.axes(2, "bias")
    shape, transposed = step.arg(1, "weight").shape, "transpose" in step.name
    groups = step.arg(6, "groups", 1)
    step.fix(weight[2:], "moves them over the map")
    n = len(weight) - 2
    units_in, units_out = (weight[0], weight[1]) if transposed else (weight[1], weight[0])
    if groups == 1:
        step.tie(x[-n - 1], units_in)
    elif not transposed and shape[1] == 1:  # depthwise: each unit in has its own few units out, side by side
        units_out = step.tie(step.sets.repeated(x[-n - 1], inner=shape[0] // groups, outer=1), units_out)
    else:
        step.fix([x[-n - 1], units_in, units_out], f"sorts them into {groups} groups")
    if transposed and groups > 1:
        step.fix(bias, f"sorts them into {groups} groups")
        return [(*x[: -n - 1], *[None] * (n + 1))]
    return [(*x[: -n - 1], step.tie(units_out, *bias), *[None] * n)]


def batch_norm(step: Step) -> list[Axes]:
    """Each unit by itself, on axis 1."""
    names = ("running_mean", "running_var", "weight", "bias")
    x = step.axes(0)
    units = step.tie(x[1], *(axis for i, name in enumerate(names, 1) for axis in step.axes(i, name)))
    return [(x[0], units, *x[2:])]


def layer_norm(step: Step) -> list[Axes]:
    """Over the last axes, whatever their order; with a weight and a bias for each unit."""
    x, weight, bias = step.axes(0), step.axes(2, "weight"), step.axes(3, "bias")
    n = len(step.arg(1, "normalized_shape"))
    normed = tuple(step.tie(x[i], *(axes[i] for axes in (weight, bias) if axes)) for i in range(-n, 0))
    return [(*x[:-n], *normed)]


def group_norm(step: Step) -> list[Axes]:
    """Free over one group and over groups of one unit."""
    x, groups, n_units = step.axes(0), step.arg(1, "num_groups"), step.arg(0, "input").shape[1]
    if groups not in (1, n_units):
        step.fix([x[1]], f"normalises them in {groups} groups of neighbours")
    units = step.tie(x[1], *step.axes(2, "weight"), *step.axes(3, "bias"))
    return [(x[0], units, *x[2:])]


def response_norm(step: Step) -> list[Axes]:
    """Neighbours count, so order does."""
    step.fix(step.axes(0)[1:], "mixes each unit with its neighbours")
    return [step.axes(0)]


def embedding(step: Step) -> list[Axes]:
    """Rows of a table, by number."""
    weight = step.axes(1, "weight")
    step.fix(weight[:1], "looks them up by number")
    return [(*step.axes(0), weight[1])]


def matmul(step: Step) -> list[Axes]:
    """Products of matrices, also of stacks of them."""
    a, b = step.args[:2] if step.name != "rmatmul" else step.args[1::-1]
    return [_product(step, a, b)]


def _product(step: Step, a: Tensor, b: Tensor) -> Axes:
    x, y = step.axes_of(a), step.axes_of(b)
    step.tie(x[-1], y[max(len(y) - 2, 0)])
    stacks = [(axes[:-2], tuple(t.shape[:-2])) for axes, t in ((x, a), (y, b))]
    shape = np.broadcast_shapes(*(sizes for _, sizes in stacks))
    return (*broadcast(step, shape, stacks), *x[:-1][-1:], *(y[-1:] if len(y) > 1 else ()))


def addmm(step: Step) -> list[Axes]:
    """A product and something added to it."""
    product = _product(step, *step.args[1:3])
    added, shape = step.args[0], tuple(step.outputs[0].shape)
    return [broadcast(step, shape, [(product, shape), (step.axes_of(added), tuple(added.shape))])]


def einsum(step: Step) -> list[Axes]:
    """Axes of one letter are tied."""
    (formula, *_), tensors = step.args, step.inputs
    if "." in formula or "->" not in formula:
        return in_place(step, "has a formula that is not followed")
    given, _, out = formula.replace(" ", "").partition("->")
    by_letter: dict[str, list[Axis]] = {}
    for letters, tensor in zip(given.split(","), tensors, strict=True):
        for letter, axis, size in zip(letters, step.axes_of(tensor), tensor.shape, strict=True):
            by_letter.setdefault(letter, []).extend([axis] if size != 1 else [])
    tied = {letter: step.tie(*axes) for letter, axes in by_letter.items()}
    return [tuple(tied[letter] for letter in out)]


def attention(step: Step) -> list[Axes]:
    """Scaled dot products of queries and keys weigh the values; heads and positions stay in place."""
    q, k, v = (step.axes(i, name) for i, name in enumerate(("query", "key", "value")))
    step.tie(q[-1], k[-1])
    for axes in (q, k, v):
        step.fix(axes[:-1], "compares positions and heads")
    step.fix(step.axes(3, "attn_mask"), "compares positions and heads")
    return [(*[None] * (len(q) - 1), v[-1])]


def many_heads(step: Step) -> list[Axes]:
    """`nn.MultiheadAttention`: the units that come in and go out move; those of the heads stay in place."""
    inner = [
        step.axes(i, name) for i, name in ((5, "in_proj_weight"), (6, "in_proj_bias"), (11, "out_proj_weight"))
    ]
    separate = [step.axes(99, f"{name}_proj_weight") for name in "qkv"]
    step.fix([axis for axes in (*inner[:2], *separate) for axis in axes[:1]], "sorts them into heads")
    biases = [axis for i, name in ((7, "bias_k"), (8, "bias_v"), (99, "attn_mask")) for axis in step.axes(i, name)]
    step.fix([*inner[2][1:], *biases], "sorts them into heads")
    taken = [step.axes(i, name) for i, name in enumerate(("query", "key", "value"))]
    step.fix([axis for axes in taken for axis in axes[:-1]], "compares positions")
    for axes, weight in zip(taken, separate, strict=True):
        step.tie(axes[-1], *(inner[0] or weight)[1:])
    out = step.tie(inner[2][0], *step.axes(12, "out_proj_bias"))
    return [(*[None] * (len(taken[0]) - 1), out)] + [(None,) * output.ndim for output in step.outputs[1:]]
