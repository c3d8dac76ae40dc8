"""How strongly each unit of a layer is read by the next layer that has weights."""

import numpy as np
import torch
from torch import nn

from .._typing import Array, Float64, Int64, Shaped, Tensor
from ..batch import Batch
from ..extraction.lockstep import Call, call_on_tensor, fit_to
from ..extraction.rewriting import copy_to_write, rewriting
from ..extraction.taps import evaluating, explaining, tapping
from ..extraction.views import View
from .variants import repeated

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_AT_ONCE = 256  # units moved in one forward


def outgoing_norms(
    net: nn.Module, batch: Batch, layer: str, *, view: View | None = None, call: Call = call_on_tensor
) -> Float64[Array, " units"]:
    """Norm of the weights with which the first linear or convolutional module above a layer reads each unit.

    Which module that is, and which of its columns read which unit, is found by moving one unit at a time on one
    input: by two standard deviations, and, for units that do not get through a ReLU then, by more than any value.
    A column that several units move, through a norm say, counts for the one that moves it most.

    Args:
        net: any module; it is left as it was.
        batch: inputs; the first is used.
        layer: name, as `tapping` understands it.
        view: which axis holds the units.
        call: how the net eats a batch.

    Returns:
        NaN where no such module reads the layer.

    Cost: one forward on twice as many inputs as there are units.
    """
    seen = View() if view is None else view
    mask = None if batch.mask is None else batch.mask[:1]
    one = fit_to(net, Batch(batch.ids[:1], batch.tensor[:1], None, mask))
    with explaining(one.tensor), tapping(net, [layer], keep=lambda _, output: output.clone()) as kept:
        call(net, one)
    values = seen.arrange(kept[layer])[0].double()
    little = 2 * float(values.std(correction=0))
    much = 1 + 4 * float(values.abs().max())
    moves = [_moved(net, one, layer, size, values.shape[1], seen, call) for size in (little, much)]
    for (module, by_little), (_, by_much) in zip(*moves, strict=True):
        owner = np.where(_owners(by_little) >= 0, _owners(by_little), _owners(by_much))
        if (owner >= 0).any():
            return _norms(module, owner, values.shape[1])
    return np.full(values.shape[1], np.nan)


def _moved(
    net: nn.Module, one: Batch, layer: str, size: float, n_units: int, view: View, call: Call
) -> list[tuple[nn.Module, Float64[Array, "units columns"]]]:
    """Every module that may read the layer, and by how much each unit moves each column of its input."""
    found: dict[int, tuple[nn.Module, list[Array]]] = {}
    for first in range(0, n_units, _AT_ONCE):
        units = torch.arange(first, min(first + _AT_ONCE, n_units))
        for place, (module, given) in enumerate(_given(net, one, layer, size, units, view, call)):
            found.setdefault(place, (module, []))[1].append(_differences(module, given))
    return [(module, np.concatenate(parts)) for module, parts in found.values()]


def _given(
    net: nn.Module, one: Batch, layer: str, size: float, units: Int64[Tensor, " k"], view: View, call: Call
) -> list[tuple[nn.Module, Tensor]]:
    """What modules are given when each unit is moved in a copy of its own, and none in the last."""
    many, read = repeated(one, len(units) + 1), list[tuple[nn.Module, Tensor]]()

    def move(output: Tensor) -> Tensor:
        changed, values = copy_to_write(output, view)
        values[torch.arange(len(units)), units] += size
        return changed

    def look(module: nn.Module, given: tuple[object, ...]) -> None:
        if given and isinstance(given[0], Tensor) and _reads(module, given[0], len(units) + 1):
            read.append((module, given[0].detach().clone()))

    open_to_hooks = [module for module in net.modules() if not isinstance(module, torch.jit.ScriptModule)]
    handles = [module.register_forward_pre_hook(look) for module in open_to_hooks]
    try:
        with explaining(many.tensor), evaluating(net), torch.no_grad(), rewriting(net, {layer: move}):
            call(net, many)
    finally:
        for handle in handles:
            handle.remove()
    return read


def _reads(module: nn.Module, given: Shaped[Tensor, "inputs ..."], n_inputs: int) -> bool:
    """Whether a module has weights for each column of what it is given."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or not given.is_floating_point() or len(given) != n_inputs:
        return False
    fits = weight.ndim == 2 and _in_first(module, weight).shape[0] == given.shape[-1]
    return isinstance(module, _Convolution) or fits


def _in_first(module: nn.Module, weight: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """As columns of the input x outputs: `nn.Linear` keeps it the other way round, others multiply by it."""
    return weight.T if isinstance(module, nn.Linear) else weight


def _differences(module: nn.Module, given: Shaped[Tensor, "inputs ..."]) -> Float64[Array, "units columns"]:
    """Largest over locations, relative to the largest value; what rounding does is 0."""
    columns = given if isinstance(module, _Convolution) else given.movedim(-1, 1)
    flat = columns.flatten(2) if columns.ndim > 2 else columns[:, :, None]
    moved = (flat[:-1] - flat[-1:]).abs().amax(dim=2) / flat.abs().max().clamp(min=1e-30)
    return torch.where(moved > 1e-4, moved, 0).double().cpu().numpy()


def _owners(moved: Float64[Array, "units columns"]) -> Int64[Array, " columns"]:
    """The unit that moves each column most, -1 where none does."""
    return np.where(moved.max(axis=0) > 0, moved.argmax(axis=0), -1)


def _norms(module: nn.Module, owner: Int64[Array, " columns"], n_units: int) -> Float64[Array, " units"]:
    weight = module.get_parameter("weight").detach().double().square()
    if isinstance(module, _Convolution):
        squares = weight.flatten(2).sum(dim=2)  # out x in / groups
        of_column = squares.view(module.groups, -1, squares.shape[1]).sum(dim=1).flatten()
    else:
        of_column = _in_first(module, weight).sum(dim=1)
    known = of_column.cpu().numpy()[owner >= 0]
    return np.asarray(np.sqrt(np.bincount(owner[owner >= 0], known, minlength=n_units)))
