"""Running only what lies above a layer: once to remember, then again and again with other values in the layer.

Whatever a net has done before a layer gives its output cannot depend on that output. So the calls of modules that
end before it need not be made again: they give what they gave. No graph is traced; control flow may be any.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from .._typing import Shaped, Tensor
from .rewriting import with_parts
from .taps import module_paths, names, owner_of, parts, require_one

Forward = Callable[..., object]
Place = tuple[str, int]  # path of a module, and number of its call


@dataclass(frozen=True)
class _Kept:
    """What a call gave, and how often each module had been called by then."""

    output: Tensor
    calls: Counter[str]


@dataclass(frozen=True)
class Recording:
    """One forward of a net, up to a layer.

    Attributes:
        place: the call that gave the layer's output.
        calls: how often each module had been called by then.
        part: which part of what it gave is the layer.
        output: all it gave.
        kept: what calls gave that ended before; calls inside them left out.
        n_inputs: how many inputs the net was given.
        result: what the net gave.
    """

    place: Place
    calls: Counter[str]
    part: str
    output: object
    kept: Mapping[Place, _Kept]
    n_inputs: int
    result: object

    @property
    def activations(self) -> Shaped[Tensor, "inputs ..."]:
        """The layer's output."""
        return dict(parts(self.output))[self.part]


def record(net: nn.Module, layer: str, run: Callable[[], object], *, n_inputs: int) -> Recording:
    """Run a net and remember what `replay` needs.

    Args:
        net: any module.
        layer: its name (see `taps`).
        run: runs the net once.
        n_inputs: how many inputs that are.

    Raises:
        UnknownNameError: if the net has no such module.
        NetError: if the layer did not run, or its name is true of several outputs.

    Cost: one forward, and a copy of what modules below the layer give.
    """
    path = owner_of(module_paths(net), layer)
    recorder = _Recorder(layer, path, n_inputs)
    with _wrapped(net, recorder.wrap):
        result = run()
    require_one(layer, path, recorder.seen)
    return Recording(*recorder.found[0], kept=dict(recorder.log), n_inputs=n_inputs, result=result)


def replay(
    net: nn.Module, recording: Recording, activations: Shaped[Tensor, "several ..."], run: Callable[[], object]
) -> object:
    """Run a net again with other values in a layer; below it, nothing is computed that a module did.

    Args:
        net: the net that was recorded.
        recording: of it.
        activations: the layer's output for the same inputs, or several of them one after the other.
        run: runs the net on the inputs, repeated as often.

    Returns:
        What `run` gives.
    """
    times = len(activations) // recording.n_inputs
    calls: Counter[str] = Counter()

    def repeated(tensor: Tensor) -> Tensor:
        alike = len(tensor) == recording.n_inputs if tensor.ndim else False
        return _Repeated(tensor, times) if alike else tensor

    others = {part: repeated for part, _ in parts(recording.output)}
    output = with_parts(recording.output, {**others, recording.part: lambda _: activations})

    def wrap(path: str, forward: Forward) -> Forward:
        def stub(*args: object, **kwargs: object) -> object:
            calls[path] += 1
            place = path, calls[path]
            kept = recording.kept.get(place)
            if kept is None and place != recording.place:
                return forward(*args, **kwargs)
            calls.clear()  # calls inside are not made, and count all the same
            calls.update(recording.calls if kept is None else kept.calls)
            return output if kept is None else repeated(kept.output)

        return stub

    with _wrapped(net, wrap):
        return run()


class _Recorder:
    """Notes what calls give, until the layer has given its output."""

    def __init__(self, layer: str, path: str, n_inputs: int) -> None:
        self.layer, self.path, self.n_inputs = layer, path, n_inputs
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[Place, _Kept]] = []
        self.found: list[tuple[Place, Counter[str], str, object]] = []
        self.seen: list[tuple[int, str]] = []

    def wrap(self, path: str, forward: Forward) -> Forward:
        def noted(*args: object, **kwargs: object) -> object:
            self.calls[path] += 1
            place, inside = (path, self.calls[path]), len(self.log)
            output = forward(*args, **kwargs)
            if path == self.path:
                self._look(place, output)
            if self.found and place == self.found[0][0]:
                del self.log[inside:]
            if not self.found:
                self._keep(place, inside, output)
            return output

        return noted

    def _look(self, place: Place, output: object) -> None:
        there = [part for part, _ in parts(output)]
        self.seen += [(place[1], part) for part in there]
        named = [part for part in there if names(self.layer, *place, part)]
        if named:  # copies: the net may write into what it gave
            copied = with_parts(output, dict.fromkeys(there, torch.clone))
            self.found += [(place, self.calls.copy(), part, copied) for part in named]

    def _keep(self, place: Place, inside: int, output: object) -> None:
        """One tensor with a row an input is all that can be repeated; else the calls inside are kept."""
        if isinstance(output, Tensor) and output.ndim and len(output) == self.n_inputs:
            del self.log[inside:]
            self.log.append((place, _Kept(output.clone(), self.calls.copy())))


class _Repeated(Tensor):
    """A tensor repeated along its first axis; copies are made when something else than a stub needs them."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, once: Tensor, times: int) -> "_Repeated":
        shape = times * len(once), *once.shape[1:]
        made: _Repeated = Tensor._make_wrapper_subclass(cls, shape, dtype=once.dtype, device=once.device)
        made._once, made._times, made._whole = once, times, None
        return made

    _once: Tensor
    _times: int
    _whole: Tensor | None

    def whole(self) -> Tensor:
        if self._whole is None:
            self._whole = self._once.repeat(self._times, *[1] * (self._once.ndim - 1))
        return self._whole

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        args, kwargs = tree_map_only(cls, cls.whole, (args, kwargs or {}))
        return func(*args, **kwargs)


@contextmanager
def _wrapped(net: nn.Module, wrap: Callable[[str, Forward], Forward]) -> Iterator[None]:
    """Every module's forward replaced, and put back."""
    modules = module_paths(net)
    own = {path: module.__dict__["forward"] for path, module in modules.items() if "forward" in module.__dict__}
    try:
        for path, module in modules.items():
            module.__dict__["forward"] = wrap(path, module.forward)
        yield
    finally:
        for path, module in modules.items():
            if path in own:
                module.__dict__["forward"] = own[path]
            else:
                module.__dict__.pop("forward", None)
