"""One call of a function of torch, and the axes of what it was given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .._typing import Tensor
from .unit_axes import Axis, UnitSets

Axes: TypeAlias = tuple[Axis, ...]


@dataclass(frozen=True)
class Step:
    """One call of a function of torch.

    Attributes:
        function: what was called.
        name: its name, without underscores around it.
        args: what it was given.
        kwargs: what it was given by name.
        outputs: the tensors it gave.
        place: path of the module that called it.
        sets: which units are tied so far.
        axes_of: the axes of a tensor it was given.
    """

    function: Callable[..., Any]
    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    outputs: Sequence[Tensor]
    place: str
    sets: UnitSets
    axes_of: Callable[[Tensor], Axes]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Every tensor it was given, also within lists."""
        return tuple(tensors_in((*self.args, *self.kwargs.values())))

    def arg(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, given by place or by name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def axes(self, position: int, name: str = "input") -> Axes:
        """The axes of the tensor that is an argument; none where it was not given."""
        tensor = self.arg(position, name)
        return self.axes_of(tensor) if isinstance(tensor, Tensor) else ()

    def tie(self, *axes: Axis) -> Axis:
        """Make axes move as one."""
        return self.sets.tie(axes, f"{self.name} in '{self.place}' joins them to values that stay in place")

    def fix(self, axes: Sequence[Axis], why: str) -> None:
        """Keep axes in place."""
        for axis in axes:
            self.sets.fix(axis, f"{self.name} in '{self.place}' {why}")


def tensors_in(values: Sequence[Any]) -> Iterator[Tensor]:
    """Every tensor among values, also within lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors_in(value)


def broadcast(step: Step, shape: Sequence[int], given: Sequence[tuple[Axes, tuple[int, ...]]]) -> Axes:
    """The axes of tensors (their axes and shapes are given) that are broadcast to a shape."""
    found: list[Axis] = []
    for back in range(1, len(shape) + 1):
        size = shape[-back]
        found.append(step.tie(*(a[-back] for a, s in given if len(s) >= back and s[-back] == size != 1)))
    return tuple(found[::-1])


def in_place(step: Step, why: str) -> list[Axes]:
    """Keep all it was given in place, and what it gives."""
    for tensor in step.inputs:
        step.fix(step.axes_of(tensor), why)
    return [(None,) * output.ndim for output in step.outputs]
