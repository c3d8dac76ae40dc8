"""Reading the outputs of named layers while a net runs, and leaving the net as it was.

A layer's name is the path of its module, `features.3`, and says which output is meant where there are several:
`block:0` or `block:hidden` for a part of a tuple, dict or dataclass, `relu#2` for the second call in one forward,
`block#2:0` for both. The output of the whole net is called `output`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TypeVar

import torch
from torch import nn

from .._typing import Shaped, Tensor
from ..errors import ConvergentError, NetError, UnknownNameError, nearest

T = TypeVar("T")


@contextmanager
def tapping(
    net: nn.Module, layers: Sequence[str], *, keep: Callable[[str, Tensor], T]
) -> Iterator[Mapping[str, T]]:
    """Keep something of the named layers' outputs at every forward of `net` inside the block.

    `keep` is called inside the hook, with autocast off, before any later in-place operation can rewrite the
    output. It must not return memory it shares with the output: see `detached`. Inside the block the net is in
    eval mode and gradients are off; afterwards the hooks are gone, and the mode of every submodule and of autograd
    is what it was, also after an exception.

    Args:
        net: any module.
        layers: names of layers (see the head of this module).
        keep: what to remember of a layer, from its name and its output.

    Yields:
        What was kept in the latest forward, by name of layer.

    Raises:
        UnknownNameError: if the net has no such module.
        NetError: (by the forward) if a layer did not run, or its name is true of several outputs.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True))
        >>> with tapping(net, ["0"], keep=lambda name, output: output.clone()) as kept:
        ...     _ = net(torch.randn(5, 3))
        >>> kept["0"].shape, bool((kept["0"] < 0).any())
        (torch.Size([5, 8]), True)
    """
    paths = module_paths(net)
    owners = {name: owner_of(paths, name) for name in layers}
    kept: dict[str, T] = {}
    seen: dict[str, list[tuple[int, str]]] = {path: [] for path in owners.values()}

    def see(path: str, call: int, output: object) -> None:
        for part, tensor in parts(output):
            seen[path].append((call, part))
            for name in [one for one in owners if names(one, path, call, part)]:
                with torch.autocast(tensor.device.type, enabled=False):
                    kept[name] = keep(name, tensor)

    def start() -> None:
        kept.clear()
        for outputs in seen.values():
            outputs.clear()

    def finish() -> None:
        for name, path in owners.items():
            require_one(name, path, seen[path])

    with watching(net, set(owners.values()), see=see, start=start, finish=finish):
        yield kept


@contextmanager
def watching(
    net: nn.Module,
    paths: set[str],
    *,
    see: Callable[[str, int, object], None],
    start: Callable[[], None] = lambda: None,
    finish: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Call `see(path, call, output)` after every call of the modules at `paths`, in a net that only evaluates.

    Args:
        net: any module.
        paths: paths of modules, as in `module_paths`.
        see: told the path, the number of the call in this forward (from 1), and the output.
        start: called before every forward of the net.
        finish: called after it.
    """
    calls: Counter[str] = Counter()

    def begin(*_: object) -> None:
        calls.clear()
        start()

    def called(path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            calls[path] += 1
            see(path, calls[path], output)

        return hook

    handles = []
    try:
        handles.append(net.register_forward_pre_hook(begin))
        handles += [m.register_forward_hook(called(p)) for p, m in module_paths(net).items() if p in paths]
        handles.append(net.register_forward_hook(lambda *_: finish()))
        with evaluating(net), torch.no_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()


def module_paths(net: nn.Module) -> dict[str, nn.Module]:
    """Every module by its path; the net itself is `output`, unless a child has that name."""
    return {path or "output": module for path, module in net.named_modules()}


def parts(output: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The real-valued tensors in an output: `""` for a plain tensor, `":0"`, `":key"`, `":0:key"` in others."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield prefix, output
    elif isinstance(output, Mapping):
        for key, part in output.items():
            yield from parts(part, f"{prefix}:{key}")
    elif is_dataclass(output):
        for one in fields(output):
            yield from parts(getattr(output, one.name), f"{prefix}:{one.name}")
    elif isinstance(output, tuple | list):
        for index, part in enumerate(output):
            yield from parts(part, f"{prefix}:{index}")


def detached(kept: Shaped[Tensor, "..."], output: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """`kept` as it is where it has memory of its own, else a copy in the same memory order."""
    shares = kept.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
    return kept.clone() if shares else kept


@contextmanager
def explaining(fed: Shaped[Tensor, "..."], *, net_name: str | None = None) -> Iterator[None]:
    """Turn whatever a net raises inside the block into an error that says which net was fed what.

    Args:
        fed: what the net was given.
        net_name: its name, where it has one.

    Raises:
        NetError: in place of any error that is not ours already.
    """
    try:
        yield
    except ConvergentError:
        raise
    except Exception as error:
        raise NetError(
            f"Cannot run {'the net' if net_name is None else f'net {net_name!r}'} on inputs of shape "
            f"{' x '.join(map(str, fed.shape))} ({fed.dtype}). It raised {type(error).__name__}: {error}. "
            "Prepare the inputs as this net was trained."
        ) from error


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; every submodule has its own mode back afterwards."""
    # Flag by flag, not by net.eval(): a net may override that with effects we could not undo.
    modes = [(module, module.training) for module in net.modules()]
    try:
        _set_modes((module, False) for module, _ in modes)
        yield
    finally:
        _set_modes(modes)


def _set_modes(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    """Only where a mode changes: to set an attribute of a module is slow."""
    for module, training in modes:
        if module.training is not training:
            module.training = training


def owner_of(paths: Mapping[str, nn.Module], name: str) -> str:
    """The path of the module whose output a layer is.

    Args:
        paths: of modules.
        name: of the layer.

    Raises:
        UnknownNameError: if there is no such module.
    """
    owners = [p for p in paths if name == p or name.startswith((f"{p}#", f"{p}:"))]
    if not owners:
        raise UnknownNameError(
            f"Cannot tap layer {name!r}. This net has no such module among its {len(paths)}. "
            f"{nearest(name, paths)}"
        )
    return max(owners, key=len)


def names(name: str, path: str, call: int, part: str) -> bool:
    """Whether a layer's name means a part of the output of a module in one of its calls.

    Args:
        name: of a layer.
        path: of the module.
        call: number of the call in this forward, from 1.
        part: of its output, as in `parts`.
    """
    return name in (f"{path}{part}", f"{path}#{call}{part}")


def require_one(name: str, path: str, seen: list[tuple[int, str]]) -> None:
    """Make sure that a layer's name means one output of a forward.

    Args:
        name: of the layer.
        path: of its module.
        seen: number of the call and part of every output of that module.

    Raises:
        NetError: if it means none, or several.
    """
    fits = [part for call, part in seen if names(name, path, call, part)]
    if len(fits) == 1:
        return
    if not seen:
        raise NetError(
            f"Cannot tap layer {name!r}. It did not run in this forward, or gave no real-valued tensor. "
            "Choose a layer that the net uses; list_layers shows them."
        )
    once = max(call for call, _ in seen) == 1
    choices = [f"{path}{part}" if once else f"{path}#{call}{part}" for call, part in seen]
    raise NetError(
        f"Cannot tap layer {name!r}. In one forward '{path}' gives {len(seen)} outputs, and that names not one. "
        f"Choose one of {', '.join(map(repr, choices))}."
    )
