"""Nets by name: from the zoo or from anyone's `package.module:factory`, with weights from a checkpoint."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from .._typing import Tensor
from ..errors import ConvergentError, NetError, UnknownNameError, nearest
from ..files import why_unreadable
from .alexnet import alexnet_small, caffenet
from .hub import PREFIX, load_transformer
from .inception import inception_small
from .resnet import plain_small, resnet_small
from .vgg import vgg_small

Factory = Callable[..., nn.Module]


class ZooNet(NamedTuple):
    """A net this library can build: its factory, and the shape of one input."""

    factory: Factory
    input_shape: tuple[int, ...]


ZOO: Mapping[str, ZooNet] = MappingProxyType(
    {
        "alexnet_small": ZooNet(alexnet_small, (3, 32, 32)),
        "caffenet": ZooNet(caffenet, (3, 227, 227)),
        "inception_small": ZooNet(inception_small, (3, 32, 32)),
        "plain_small": ZooNet(plain_small, (3, 32, 32)),
        "resnet_small": ZooNet(resnet_small, (3, 32, 32)),
        "vgg_small": ZooNet(vgg_small, (3, 32, 32)),
    }
)


def load_net(
    factory: str, *, kwargs: Mapping[str, object] | None = None, checkpoint: str | Path | None = None
) -> nn.Module:
    """Build a net and, where a checkpoint is given, fill in its weights. The net is in evaluation mode.

    Args:
        factory: a name of the zoo (`alexnet_small`, `vgg_small`, ...), `package.module:factory`, or
            `hub:NAME` of a transformer (see `load_transformer`), `hub:./FOLDER` of a local one.
        kwargs: arguments of the factory.
        checkpoint: `.safetensors`, or what `torch.save` wrote of a state dict, also one under "state_dict" or
            "model"; a `module.` before every key is taken off.

    Raises:
        UnknownNameError: if there is no such net or factory.
        NetError: if the factory fails, or the checkpoint cannot be read or does not fit.

    Example:
        >>> net = load_net("alexnet_small", kwargs={"n_classes": 3})
        >>> net.fc8.out_features
        3
    """
    net = _build(factory, dict(kwargs or {}))
    if checkpoint is not None:
        load_weights(net, read_weights(Path(checkpoint)), source=str(checkpoint))
    return net.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU. No code in the file is ever run.

    Raises:
        NetError: if the file is missing, broken, holds code, or holds no state dict.
    """
    if not path.is_file():
        raise NetError(
            f"Cannot load weights from '{path}'. {why_unreadable(path, FileNotFoundError())}. "
            "Check the path of the checkpoint."
        )
    found: object = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise NetError(
            f"Cannot take weights from '{path}'. It holds {_describe(found)}, not tensors by name. "
            "Save net.state_dict(), alone or under the key 'state_dict' or 'model'."
        )
    wrapped = bool(found) and all(str(key).startswith("module.") for key in found)
    return {str(key).removeprefix("module." if wrapped else ""): value for key, value in found.items()}


def load_weights(net: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Fill a net with weights, all of them or none.

    Args:
        net: changed in place.
        weights: tensors by name.
        source: where the weights come from, for the error.

    Raises:
        NetError: naming missing keys, unexpected keys and differing shapes.
    """
    own = net.state_dict()
    differing = [
        f"{key} {tuple(weights[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    faults = {
        "missing": [key for key in own if key not in weights],
        "unexpected": [key for key in weights if key not in own],
        "of another shape": differing,
    }
    if any(faults.values()):
        told = "; ".join(f"{len(keys)} {fault}: {_listed(keys)}" for fault, keys in faults.items() if keys)
        raise NetError(
            f"The weights in '{source}' do not fit the net {type(net).__name__}. Found {told}. "
            "Give the checkpoint of this architecture, or the factory arguments it was trained with."
        )
    net.load_state_dict(dict(weights))


def hash_weights(net: nn.Module) -> str:
    """SHA-256 of a net's names, dtypes, shapes and bytes: two nets with this in common answer alike.

    Example:
        >>> net = load_net("alexnet_small")
        >>> hash_weights(net) == hash_weights(net)
        True
    """
    content = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        content.update(name.encode())
        for part in _content(value):
            content.update(part)
    return content.hexdigest()


def _content(value: object) -> Iterator[bytes]:
    """The bytes of a tensor, or of what a module gives as its extra state, however it is nested."""
    if isinstance(value, Tensor):
        yield f" {value.dtype} {tuple(value.shape)};".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield f" {key!r}:".encode()
            yield from _content(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _content(part)
    else:
        yield f" {value!r};".encode()


def _build(name: str, kwargs: Mapping[str, object]) -> nn.Module:
    factory = _factory(name)
    try:
        net = factory(**kwargs)
    except ConvergentError:
        raise
    except Exception as error:  # a user's factory may raise anything
        raise NetError(
            f"Cannot build the net '{name}' with arguments {dict(kwargs)}. The factory raised "
            f"{type(error).__name__}: {error}. Correct the arguments or the factory."
        ) from error
    if not isinstance(net, nn.Module):
        raise NetError(
            f"Cannot use '{name}' as a net. It returned {_describe(net)}, not a torch.nn.Module. "
            "Name a function or class that gives the net itself."
        )
    return net


def _factory(name: str) -> Factory:
    if name.startswith(PREFIX):
        return partial(load_transformer, name.removeprefix(PREFIX))
    return _imported(name) if ":" in name else _from_zoo(name)


def _from_zoo(name: str) -> Factory:
    if name not in ZOO:
        raise UnknownNameError(
            f"There is no net '{name}' in the zoo. {nearest(name, ZOO)} "
            "Write 'package.module:factory' for a net of your own."
        )
    return ZOO[name].factory


def _imported(name: str) -> Factory:
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise NetError(
            f"Cannot import '{module_name}' for the net '{name}'. Python says {type(error).__name__}: {error}. "
            "Install the package, or put its folder on PYTHONPATH."
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UnknownNameError(
            f"There is no function or class '{attribute}' in '{module_name}', asked for as '{name}'. "
            f"{nearest(attribute, known)} Write 'package.module:factory'."
        )
    checked: Factory = factory
    return checked


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    return tensors


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken files fail in the zip, the unpickler or the tensors, each in its own way
        # Not in torch's words: it would advise to run the code that the file holds.
        raise _unreadable(path, type(error).__name__) from None


def _unreadable(path: Path, reason: str) -> NetError:
    return NetError(
        f"Cannot load weights from '{path}' ({path.stat().st_size:,} bytes). It is damaged, cut short, or holds "
        f"more than tensors ({reason}). Fetch it again, or save net.state_dict() alone."
    )


def _describe(found: object) -> str:
    if isinstance(found, Mapping):
        return f"a dictionary with the keys {_listed([str(key) for key in found])}"
    return f"an object of type {type(found).__name__}"


def _listed(keys: list[str]) -> str:
    return ", ".join(keys[:6]) + (f", ... ({len(keys) - 6} more)" if len(keys) > 6 else "")
