"""Chains of modules: which of them made what, and how each hands a signal back.

While a net runs, every module's inputs and outputs are known by their nodes in autograd's graph. A layer is the
end of a chain where, going back from its node, one finds the output of a known module, then its input, and so on
down to the image, with nothing but changes of shape between.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import nn
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle

from .._typing import Tensor
from ..errors import NetError
from .taps import module_paths, parts

RECTIFIED: tuple[type[nn.Module], ...] = (nn.ReLU,)
PASSED_ON: tuple[type[nn.Module], ...] = (nn.LocalResponseNorm,)
TRANSPOSED: tuple[type[nn.Module], ...] = (
    *(nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.ZeroPad2d),
    *(nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    *(nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d),
)
_RESHAPES = (
    "View",
    "UnsafeView",
    "ReshapeAlias",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Permute",
    "Clone",
    "Alias",
)


@dataclass(frozen=True)
class Call:
    """One call of a module in a forward.

    Attributes:
        name: path of the module.
        module: the module.
        sources: nodes of what it was given.
        results: nodes of what it gave.
        n_bytes: size of what it gave.
    """

    name: str
    module: nn.Module
    sources: tuple[Node, ...]
    results: tuple[Node, ...]
    n_bytes: int

    @property
    def is_leaf(self) -> bool:
        """Whether it has no modules within it."""
        return not any(True for _ in self.module.children())

    def holds(self, node: Node) -> bool:
        """Whether a node was made between what it was given and what it gave."""
        seen, ahead = set(self.sources), [*self.results]
        while ahead:
            here = ahead.pop()
            if here in seen:
                continue
            if here is node:
                return True
            seen.add(here)
            ahead += _before(here)
        return False


@contextmanager
def recording(net: nn.Module) -> Iterator[Sequence[Call]]:
    """The calls of all modules in the forwards inside the block, a module's after those within it."""
    calls: list[Call] = []

    def recorder(name: str) -> Callable[..., Tensor | None]:
        def record(module: nn.Module, args: object, kwargs: object, output: object) -> None:
            given, got = ([t for _, t in parts(value)] for value in ((args, kwargs), output))
            n_bytes = sum(t.numel() * t.element_size() for t in got)
            calls.append(Call(name, module, _nodes(given), _nodes(got), n_bytes))

        return record

    with _hooked(net, recorder):
        yield calls


@contextmanager
def stepping_back(net: nn.Module) -> Iterator[None]:
    """Inside the block, ReLUs of the net rectify gradients instead, and response normalisation leaves them alone.

    The gradient of a chain of known modules is then its deconvolution.
    """
    steps = dict.fromkeys(RECTIFIED, _Rectified) | dict.fromkeys(PASSED_ON, _PassedOn)

    def stepper(_name: str) -> Callable[..., Tensor | None]:
        def step(module: nn.Module, args: object, kwargs: object, output: object) -> Tensor | None:
            given = [t for _, t in parts((args, kwargs))]
            if type(module) not in steps or len(given) != 1 or not isinstance(output, Tensor):
                return None
            return steps[type(module)].apply(given[0], output.detach())  # type: ignore[no-untyped-call]

        return step

    with _hooked(net, stepper):
        yield


def require_chain(layer: str, end: Node, image: Node, calls: Sequence[Call]) -> None:
    """Make sure that a layer is the end of a chain of known modules that begins at the image.

    Args:
        layer: its name.
        end: node of its output.
        image: node of what the net was given.
        calls: what ran, from `recording`.

    Raises:
        NetError: if not; it names the module that is the reason.
    """
    made = {node: call for call in calls if call.is_leaf for node in call.results if node not in call.sources}
    node = end
    while node is not image:
        call = made.get(node)
        if call is not None:
            _require_known(layer, call)
            (node,) = call.sources
        elif node.name().startswith(_RESHAPES):
            (node,) = _before(node)
        else:
            _refuse_operation(layer, node, calls)


def _require_known(layer: str, call: Call) -> None:
    if type(call.module) not in RECTIFIED + PASSED_ON + TRANSPOSED:
        _refuse(layer, call, "has no deconvolution", "Give method='gradient_x_input', which takes any net")
    if isinstance(call.module, nn.BatchNorm1d | nn.BatchNorm2d) and call.module.running_mean is None:
        _refuse(
            layer, call, "keeps no statistics and mixes the inputs of a batch", "Let it keep running statistics"
        )


def _refuse_operation(layer: str, node: Node, calls: Sequence[Call]) -> NoReturn:
    owner = next((call for call in calls if call.holds(node)), calls[-1])  # the last is the net itself
    operation = re.sub(r"Backward\d*$", "", node.name())
    _refuse(
        layer,
        owner,
        f"does {operation!r} by itself and not by a module that has a deconvolution",
        "Give method='gradient_x_input', which takes any net",
    )


def _refuse(layer: str, call: Call, why: str, remedy: str) -> NoReturn:
    raise NetError(
        f"Cannot project units of layer {layer!r} by method='deconvnet'. Between the image and it stands "
        f"'{call.name}' ({type(call.module).__name__}), which {why}. {remedy}, or choose a layer before it."
    )


def _before(node: Node) -> list[Node]:
    return [earlier for earlier, _ in node.next_functions if earlier is not None]


def _nodes(tensors: Sequence[Tensor]) -> tuple[Node, ...]:
    return tuple(t.grad_fn for t in tensors if t.grad_fn is not None)


@contextmanager
def _hooked(net: nn.Module, make: Callable[[str], Callable[..., Tensor | None]]) -> Iterator[None]:
    """A forward hook on every module, before those it has: what they change is then not the module's own doing."""
    handles: list[RemovableHandle] = []
    try:
        for name, module in module_paths(net).items():
            handles.append(module.register_forward_hook(make(name), prepend=True, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Rectified(torch.autograd.Function):
    """A value as it is; backward, what is positive of the signal."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None]:
        return signal.clamp(min=0), None


class _PassedOn(torch.autograd.Function):
    """A value as it is; backward, the signal as it is."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None]:
        return signal, None
