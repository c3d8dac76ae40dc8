"""Following the axes of units through a net while it runs on an example.

Every function of torch that the net calls is seen, whoever calls it: a module, a method, an operator. It acts on
real tensors, so shapes are known, and whatever Python does in between is no obstacle. Only a net whose path
depends on the values it was given would be another net on other inputs, and is refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, TypeAlias

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .._typing import Tensor
from ..batch import Batch
from ..errors import NetError
from ..extraction.lockstep import Call
from ..extraction.taps import explaining, module_paths, parts, watching
from .unit_axes import UnitSets
from .unit_flow import rule_of
from .unit_steps import Axes, Step, tensors_in

Unknown: TypeAlias = Literal["refuse", "fix"]

_READS = (
    *("__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__", "__array__"),
    *("item", "tolist", "numpy", "nonzero", "unique", "is_nonzero", "equal", "allclose"),
)
_PLAIN = (bool, int, float, complex, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


@dataclass(frozen=True)
class Trace:
    """What was found about the axes of a net.

    Attributes:
        sets: which units move together.
        state: axes of every parameter and buffer that was used, by name.
        layers: axes of every output that can be tapped, by name of the layer, in the order of the run.
    """

    sets: UnitSets
    state: Mapping[str, Axes]
    layers: Mapping[str, Axes]


def trace(net: nn.Module, batch: Batch, *, call: Call, unknown: Unknown) -> Trace:
    """Run a net on an example, in evaluation mode, and follow its units.

    Args:
        net: is left as it was.
        batch: a few inputs.
        call: how the net eats them.
        unknown: what to do with functions of unknown effect: refuse, or fix the units they are given.

    Raises:
        NetError: if a function is unknown, or the net decides by the values it was given.
    """
    following, paths = _Following(net, batch.tensor, unknown), module_paths(net)
    seen: list[tuple[str, int, str, Axes]] = []

    def see(path: str, count: int, output: object) -> None:
        following.places.pop()
        for part, tensor in parts(output):
            if tensor.ndim > 1 and len(tensor) == len(batch.tensor):
                seen.append((path, count, part, following.axes_of(tensor)))

    with (
        explaining(batch.tensor),
        _telling(paths, following.places),
        watching(net, set(paths), see=see),
        following,
    ):
        found = call(net, batch)
    for _, tensor in parts(found):
        for axis in following.axes_of(tensor):
            following.sets.fix(axis, "they are outputs of the net")
    again = {path for path, count, _, _ in seen if count > 1}
    layers = {f"{path}#{n}{part}" if path in again else f"{path}{part}": axes for path, n, part, axes in seen}
    return Trace(following.sets, following.state, layers)


def state_of(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer by its name; one that goes by several names, by its first."""
    yield from net.named_parameters()
    yield from net.named_buffers()


class _Following(TorchFunctionMode):
    """Inside the block, every function of torch tells what it does to the axes of units."""

    def __init__(self, net: nn.Module, given: Tensor, unknown: Unknown) -> None:
        super().__init__()
        self.sets = UnitSets()
        self.places: list[str] = []
        self._unknown = unknown
        self._names = {id(tensor): name for name, tensor in state_of(net)}
        movable = (
            tensor for _, tensor in state_of(net) if tensor.is_floating_point() or tensor.dtype == torch.bool
        )
        self._axes = {id(tensor): tuple(map(self.sets.new, tensor.shape)) for tensor in movable}
        self._used: set[int] = set()
        self._from_inputs = {id(given)}
        self._kept: list[Tensor] = []  # an id is free for others once its tensor is gone

    @property
    def state(self) -> dict[str, Axes]:
        """Axes of the parameters and buffers that were used."""
        return {
            name: self._axes[key] for key, name in self._names.items() if key in self._used & self._axes.keys()
        }

    def axes_of(self, tensor: Tensor) -> Axes:
        """The axes of a tensor; what comes from elsewhere stays in place."""
        return self._axes.get(id(tensor), (None,) * tensor.ndim)

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """See `TorchFunctionMode`."""
        name = _name(func)
        step = Step(func, name.strip("_"), args, kwargs or {}, (), self._place, self.sets, self.axes_of)
        self._used.update(map(id, step.inputs))
        if name in _READS and self._from_inputs & set(map(id, step.inputs)):
            self._refuse_to_decide(name)
        shapes = [tensor.shape for tensor in step.inputs]
        result = func(*args, **(kwargs or {}))
        outputs = tuple(tensors_in([result]))
        changed = shapes != [tensor.shape for tensor in step.inputs]
        if changed or not self._ruled(replace(step, outputs=outputs), result):
            self._meet_unknown(step, outputs)
        if self._from_inputs & set(map(id, step.inputs)):
            self._from_inputs.update(map(id, outputs))
        return result

    @property
    def _place(self) -> str:
        return self.places[-1] if self.places else "output"

    def _ruled(self, step: Step, result: object) -> bool:
        """Whether the function's effect is known, and then has been taken in."""
        if not step.outputs and _is_plain(result):
            return True
        rule = rule_of(step.name)
        found = None if rule is None else rule(step)
        if found is None or [len(axes) for axes in found] != [tensor.ndim for tensor in step.outputs]:
            return False
        for tensor, axes in zip(step.outputs, found, strict=True):
            self._keep(tensor, tuple(None if n == 1 else axis for n, axis in zip(tensor.shape, axes, strict=True)))
        return True

    def _meet_unknown(self, step: Step, outputs: Sequence[Tensor]) -> None:
        given = [axis for tensor in step.inputs for axis in self.axes_of(tensor)]
        if self._unknown == "refuse" and any(map(self.sets.moves, given)):
            raise NetError(
                f"Cannot follow the units of '{step.place}' through {step.name!r}. It is not known whether that "
                "function treats them alike. Give unknown='fix' to keep these units in place, or write it in "
                "terms of linear maps, convolutions, norms and elementwise functions."
            )
        step.fix(given, "is a function of unknown effect")
        for tensor in outputs:
            self._keep(tensor, (None,) * tensor.ndim)

    def _keep(self, tensor: Tensor, axes: Axes) -> None:
        self._axes[id(tensor)] = axes
        self._kept.append(tensor)

    def _refuse_to_decide(self, name: str) -> NoReturn:
        raise NetError(
            f"Cannot trace '{self._place}'. It reads the values of a tensor that depends on the inputs ({name}), "
            "so on other inputs the net may take another path. Give a net whose path is the same for all."
        )


def _name(func: Callable[..., Any]) -> str:
    """Name of a function, a method, or (for a property) of what is read."""
    name: str = getattr(func, "__name__", type(func).__name__)
    return getattr(getattr(func, "__self__", None), "__name__", name) if name == "__get__" else name


def _is_plain(result: object) -> bool:
    """Whether a result holds numbers, shapes and the like, and nothing that could carry units."""
    return isinstance(result, _PLAIN) or (isinstance(result, tuple) and all(map(_is_plain, result)))


@contextmanager
def _telling(paths: Mapping[str, nn.Module], places: list[str]) -> Iterator[None]:
    """Keep the paths of the modules that are running in `places`, the innermost last."""
    handles = []

    def entering(path: str) -> Callable[[nn.Module, object], None]:
        return lambda _module, _args: places.append(path)

    try:
        handles += [module.register_forward_pre_hook(entering(path)) for path, module in paths.items()]
        yield
    finally:
        for handle in handles:
            handle.remove()
