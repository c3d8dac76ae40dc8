"""Changing the outputs of named layers while a net runs, and leaving the net as it was."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import fields, is_dataclass, replace

from torch import nn

from .._typing import Shaped, Tensor
from .taps import module_paths, names, owner_of, parts, require_one
from .views import View

Change = Callable[[Tensor], Tensor]


@contextmanager
def rewriting(net: nn.Module, changes: Mapping[str, Change]) -> Iterator[None]:
    """Let the named layers give changed outputs at every forward of `net` inside the block.

    A change is told the output and returns another tensor; it must leave the one it was told as it is. Blocks
    inside each other add up, the inner one changing what the outer one gives. Modes and gradients stay as they
    are.

    Args:
        net: any module.
        changes: by name of layer (see `taps`).

    Raises:
        UnknownNameError: if the net has no such module.
        NetError: (by the forward) if a layer did not run, or its name is true of several outputs.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True))
        >>> with rewriting(net, {"0": lambda output: 0 * output - 1}):
        ...     bool(net(torch.randn(5, 3)).any())
        False
    """
    paths = module_paths(net)
    owners = {name: owner_of(paths, name) for name in changes}
    seen: dict[str, list[tuple[int, str]]] = {path: [] for path in owners.values()}
    calls: Counter[str] = Counter()

    def start(*_: object) -> None:
        calls.clear()
        for outputs in seen.values():
            outputs.clear()

    def called(path: str) -> Callable[[nn.Module, object, object], object]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> object:
            calls[path] += 1
            call = calls[path]
            seen[path] += [(call, part) for part, _ in parts(output)]
            named = {part: [n for n in owners if names(n, path, call, part)] for part, _ in parts(output)}
            return with_parts(output, {part: changes[found[0]] for part, found in named.items() if found})

        return hook

    def finish(*_: object) -> None:
        for name, path in owners.items():
            require_one(name, path, seen[path])

    handles = []
    try:
        handles.append(net.register_forward_pre_hook(start))
        handles += [paths[path].register_forward_hook(called(path)) for path in seen]
        handles.append(net.register_forward_hook(finish))
        yield
    finally:
        for handle in handles:
            handle.remove()


def with_parts(output: object, changes: Mapping[str, Change], prefix: str = "") -> object:
    """An output like the one given, with some of its tensors changed; the one given stays as it is.

    Args:
        output: a tensor, or tensors in mappings, dataclasses, tuples and lists.
        changes: by part, as `parts` names them.
        prefix: name of the whole.
    """
    if not any(part.startswith(prefix) for part in changes):
        return output
    if isinstance(output, Tensor):
        return changes[prefix](output) if prefix in changes else output
    if isinstance(output, Mapping):
        changed = copy(output)
        for key, part in output.items():
            changed[key] = with_parts(part, changes, f"{prefix}:{key}")  # type: ignore[index]
        return changed
    if is_dataclass(output) and not isinstance(output, type):
        named = {one.name: getattr(output, one.name) for one in fields(output)}
        return replace(output, **{n: with_parts(part, changes, f"{prefix}:{n}") for n, part in named.items()})
    if isinstance(output, tuple | list):
        several = [with_parts(part, changes, f"{prefix}:{i}") for i, part in enumerate(output)]
        return type(output)(*several) if hasattr(output, "_fields") else type(output)(several)  # type: ignore[arg-type]
    return output


def copy_to_write(
    output: Shaped[Tensor, "inputs ..."], view: View
) -> tuple[Shaped[Tensor, "inputs ..."], Shaped[Tensor, "inputs units locations"]]:
    """A copy of an output, and the same memory as inputs x units x locations: what is written there is in both.

    Args:
        output: of a layer.
        view: says which axis holds the units.
    """
    changed = output.clone()
    seen = view.arrange(changed)[0]
    if seen.untyped_storage().data_ptr() != changed.untyped_storage().data_ptr():  # an order no view can follow
        changed = output.contiguous().clone()
        seen = view.arrange(changed)[0]
    return changed, seen
