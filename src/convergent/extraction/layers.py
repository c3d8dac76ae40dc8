"""What can be tapped in a net, and choosing from it by name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from .._typing import Shaped, Tensor
from ..errors import InvalidArgumentError, UnknownNameError, nearest
from .taps import explaining, module_paths, parts, watching
from .views import View


@dataclass(frozen=True)
class LayerInfo:
    """One output that can be tapped.

    Attributes:
        name: how to ask for it.
        type: class of the module.
        shape: shape of the output per input.
        n_units: how many units the view finds in it.
        grid: shape of its map of locations, `()` where it has none.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    n_units: int
    grid: tuple[int, ...]


def list_layers(
    net: nn.Module,
    example: Shaped[Tensor, "inputs ..."],
    *,
    view: View | None = None,
    forward: Callable[[Tensor], object] | None = None,
    net_name: str | None = None,
) -> tuple[LayerInfo, ...]:
    """List every output of a net that can be tapped, in the order in which they are computed.

    Outputs whose first axis is not the inputs are left out, and so is what is not real-valued.

    Args:
        net: any module; it is left as it was.
        example: inputs the net can eat; rather two than one, since any axis of length 1 looks like one input.
        view: decides which axis holds the units.
        forward: runs the net on the example; by default the net itself, `net(example)`.
        net_name: name of the net, for errors.

    Returns:
        One entry per output.

    Raises:
        NetError: if the net cannot eat the example.

    Cost: one forward of the example.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        >>> [(info.name, info.type, info.shape) for info in list_layers(net, torch.zeros(2, 3, 6, 6))]
        [('0', 'Conv2d', (8, 4, 4)), ('1', 'ReLU', (8, 4, 4)), ('output', 'Sequential', (8, 4, 4))]
    """
    modules = module_paths(net)
    seen: list[tuple[str, int, str, tuple[int, ...]]] = []

    def see(path: str, call: int, output: object) -> None:
        for part, tensor in parts(output):
            if tensor.ndim > 1 and len(tensor) == len(example):
                seen.append((path, call, part, tuple(tensor.shape[1:])))

    with explaining(example, net_name=net_name), watching(net, set(modules), see=see):
        (forward or net)(example)
    again = {path for path, call, _, _ in seen if call > 1}
    return tuple(
        LayerInfo(
            f"{path}#{call}{part}" if path in again else f"{path}{part}",
            type(modules[path]).__name__,
            shape,
            *(view or View()).units_and_grid(shape),
        )
        for path, call, part, shape in seen
    )


def choose_layers(
    layers: Iterable[LayerInfo | str], patterns: Sequence[str], *, net_name: str | None = None
) -> tuple[str, ...]:
    """Choose layers by name or glob.

    Args:
        layers: what there is, as listed by `list_layers` or by name.
        patterns: names or globs (`conv*`, `blocks.[0-3].mlp`).
        net_name: name of the net, for errors.

    Returns:
        The chosen names in the order of `layers`, each once.

    Raises:
        InvalidArgumentError: if there are no patterns.
        UnknownNameError: if a pattern fits nothing.

    Example:
        >>> choose_layers(["conv1", "relu1", "conv2", "fc"], ["fc", "conv*"])
        ('conv1', 'conv2', 'fc')
    """
    names = [layer if isinstance(layer, str) else layer.name for layer in layers]
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    place = "the net" if net_name is None else f"net {net_name!r}"
    if not wanted:
        raise InvalidArgumentError(
            f"Cannot choose layers of {place}. There are {len(names)}, and no name or glob was given. "
            "Name at least one layer."
        )
    chosen: set[str] = set()
    for pattern in wanted:
        fits = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
        if not fits:
            raise UnknownNameError(
                f"Cannot choose layer {pattern!r} of {place}. None of its {len(names)} layers has that name. "
                f"{_advice(pattern, names)}"
            )
        chosen.update(fits)
    return tuple(name for name in names if name in chosen)


def _advice(pattern: str, names: Sequence[str]) -> str:
    outputs = [name for name in names if name.startswith((f"{pattern}#", f"{pattern}:"))]
    if outputs:
        return f"It gives several outputs: choose {', '.join(map(repr, outputs))}."
    return nearest(pattern, names)
