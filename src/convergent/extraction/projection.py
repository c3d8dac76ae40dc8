"""What of an image excites a unit: its signal sent back through the net to the pixels.

Two methods. `"deconvnet"` (Zeiler and Fergus, 2014) runs a chain of modules backwards: filters transposed, maxima
put back where they came from, only what is positive passed on. `"gradient_x_input"` is the gradient of the unit
times the image, of any net.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd.graph import Node
from torch.func import functional_call

from .._typing import Float, Float32, Int64, Shaped, Tensor
from ..errors import InvalidArgumentError, NetError
from .chains import recording, require_chain, stepping_back
from .taps import explaining, tapping
from .views import View

_METHODS = ("deconvnet", "gradient_x_input")
_CHUNK_BYTES = 2**24  # of layer outputs held at once


def project(
    net: nn.Module,
    layer: str,
    units: Int64[Tensor, " _"],
    inputs: Float[Tensor, "pairs channels height width"],
    locations: Int64[Tensor, " _"] | None,
    *,
    method: str = "deconvnet",
    view: View | None = None,
) -> Float32[Tensor, "pairs channels height width"]:
    """Show what of each input excites a unit of a layer at a location.

    The signal that is sent back is 1 at the unit and location, 0 elsewhere. Where the net is linear, both methods
    agree on the filter of the unit; `"gradient_x_input"` multiplies it by the image, so that its pixels add up to
    the activation wherever the net has ReLUs but no biases.

    `"deconvnet"` knows chains of these modules: convolutions, linear layers, batch normalisation (with running
    statistics), average pooling and padding are transposed; max pooling puts a value back where its maximum was,
    and adds where windows overlap; ReLU passes on what is positive of the signal, whatever it let through forward;
    local response normalisation passes the signal on as it is; dropout and reshaping do nothing.

    The net runs in eval mode, in full precision and not in place; afterwards it is as it was, also after an
    exception. It may be called in `torch.no_grad()` and `torch.inference_mode()`.

    Args:
        net: any module.
        layer: name of a layer, as in `tapping`.
        units: which unit, for each pair.
        inputs: which input, for each pair, as the net eats it.
        locations: flat index into the layer's grid for each pair, as in `Activations.locations`; 0 where it has no
            grid. None means the unit's mean over all locations.
        method: "deconvnet" or "gradient_x_input".
        view: decides which axis of the layer's output holds the units.

    Returns:
        An image for each pair, on the device of the inputs.

    Raises:
        InvalidArgumentError: if there is no such method, unit or location, or numbers of pairs differ.
        UnknownNameError: if the net has no such layer.
        NetError: if the net fails, the layer does not depend on the image, or (deconvnet) it is not the end of a
            chain of these modules.

    Cost:
        Forward and backward of one input for each pair, through the net up to the layer: about 0.7 ms for `conv5`
        of alexnet_small on one core.

    Reference:
        Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3))
        >>> seen = project(net, "0", torch.tensor([1]), torch.randn(1, 1, 5, 5), torch.tensor([4]))
        >>> bool((seen[0, 0, 1:4, 1:4] == net[0].weight[1, 0]).all())
        True
    """
    _check_pairs(method, inputs, units=units, locations=locations)
    if len(inputs) == 0:
        return torch.zeros(inputs.shape, device=inputs.device)
    with explaining(inputs), _at_rest(net, method) as rest:
        images = _normal(inputs).to(rest.home)
        wanted = _Wanted(layer, _normal(units), None if locations is None else _normal(locations), view or View())
        rows_at_once = max(1, _CHUNK_BYTES // rest.examine(images[:1], wanted))
        seen = torch.empty(images.shape, device=inputs.device)
        for first in range(0, len(images), rows_at_once):
            rows = slice(first, first + rows_at_once)
            gradient = rest.gradient(images[rows], wanted.part(rows))
            seen[rows] = gradient if method == "deconvnet" else gradient * images[rows]
    return seen


@dataclass(frozen=True)
class _Wanted:
    """Which units of which layer, where: one for each image."""

    layer: str
    units: Int64[Tensor, " pairs"]
    locations: Int64[Tensor, " pairs"] | None
    view: View

    def part(self, rows: slice) -> "_Wanted":
        return replace(
            self, units=self.units[rows], locations=None if self.locations is None else self.locations[rows]
        )

    def picked(self, output: Shaped[Tensor, "pairs ..."]) -> Float[Tensor, " pairs"]:
        """The values of the units; memory of their own, so that nothing in place can reach them."""
        values, _ = self.view.arrange(output)
        pairs, units = torch.arange(len(values), device=values.device), self.units.to(values.device)
        if self.locations is None:
            return values[pairs, units].mean(1)
        return values[pairs, units, self.locations.to(values.device)]

    def check(self, n_units: int, n_locations: int) -> None:
        for noun, n, indices in (("unit", n_units, self.units), ("location", n_locations, self.locations)):
            if indices is not None and not bool(((indices >= 0) & (indices < n)).all()):
                raise InvalidArgumentError(
                    f"Cannot project {noun}s {int(indices.min())} to {int(indices.max())} of layer "
                    f"{self.layer!r}. It has {n} {noun}s. Give numbers from 0 to {n - 1}."
                )


class _End(NamedTuple):
    """A layer's output, as far as it must be known."""

    node: Node | None
    n_units: int
    n_locations: int


class _ReachedError(Exception):
    """Ends a forward at the layer it was for."""


@dataclass(frozen=True)
class _Resting:
    """A net to project through, its parameters needing no gradient, nothing in place."""

    net: nn.Module
    state: Mapping[str, Tensor]
    method: str
    home: Tensor

    def examine(self, image: Float[Tensor, "1 channels height width"], wanted: _Wanted) -> int:
        """Make sure that there is a way back from these units; bytes that a forward of one image takes."""

        def end(_name: str, output: Tensor) -> _End:
            values, _ = wanted.view.arrange(output)
            return _End(output.grad_fn, *values.shape[1:])

        # Recording is entered first: hooks entered later run before it, so that it sees what they change.
        with recording(self.net) as calls, self._back(), tapping(self.net, [wanted.layer], keep=end) as kept:
            with torch.enable_grad():
                fed = image.clone().requires_grad_().clone()
                self._run(fed)
            found = kept[wanted.layer]
        if found.node is None or fed.grad_fn is None:
            raise NetError(
                f"Cannot project units of layer {wanted.layer!r}. Its output does not depend on the image by any "
                "operation that has a gradient. Leave this layer out."
            )
        wanted.check(found.n_units, found.n_locations)
        if self.method == "deconvnet":
            require_chain(wanted.layer, found.node, fed.grad_fn, calls)
        return sum(call.n_bytes for call in calls) + image.nbytes

    def gradient(self, images: Float[Tensor, "pairs ..."], wanted: _Wanted) -> Float[Tensor, "pairs ..."]:
        """Of each image's unit, with respect to the image."""
        picked: list[Tensor] = []

        def reach(_name: str, output: Tensor) -> None:
            picked.append(wanted.picked(output))
            raise _ReachedError

        leaf = images.clone().requires_grad_()
        with self._back(), tapping(self.net, [wanted.layer], keep=reach), torch.enable_grad():
            with suppress(_ReachedError):
                self._run(leaf.clone())  # a copy: the net may change what it is given
            return torch.autograd.grad(picked[0].sum(), leaf)[0]

    def _back(self) -> AbstractContextManager[None]:
        return stepping_back(self.net) if self.method == "deconvnet" else nullcontext()

    def _run(self, images: Tensor) -> None:
        functional_call(self.net, dict(self.state), (images,))


@contextmanager
def _at_rest(net: nn.Module, method: str) -> Iterator[_Resting]:
    in_place = [module for module in net.modules() if getattr(module, "inplace", False) is True]
    with torch.inference_mode(False):
        # Other tensors in place of the net's own, for the forward only: its requires_grad need not be touched.
        state = {name: _normal(t.detach()) for name, t in (*net.named_parameters(), *net.named_buffers())}
        home = next((t for t in state.values() if t.is_floating_point()), torch.empty(0))
        try:
            for module in in_place:
                module.inplace = False  # type: ignore[assignment]
            with torch.autocast(home.device.type, enabled=False):
                yield _Resting(net, state, method, home)
        finally:
            for module in in_place:
                module.inplace = True  # type: ignore[assignment]


def _normal(tensor: Tensor) -> Tensor:
    """A tensor that autograd can keep; inside `inference_mode(False)`."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def _told(value: object) -> str:
    return f"shape {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else repr(value)


def _check_pairs(method: str, inputs: Tensor, *, units: Tensor, locations: Tensor | None) -> None:
    if method not in _METHODS:
        raise InvalidArgumentError(
            f"Cannot project units by method={method!r}. Known are {' and '.join(map(repr, _METHODS))}. "
            "Give one of them."
        )
    for name, indices in (("units", units), ("locations", units if locations is None else locations)):
        if not isinstance(indices, Tensor) or indices.ndim != 1 or indices.is_floating_point():
            raise InvalidArgumentError(
                f"Cannot project units: {name} are a tensor of whole numbers, one for each input. "
                f"Found {_told(indices)}. Give torch.tensor([0, 3], dtype=torch.int64), say."
            )
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise InvalidArgumentError(
            "Cannot project units: inputs are a tensor of floats, as the net eats them. "
            f"Found {_told(inputs)}. Prepare them as for the net itself."
        )
    n_locations = len(units) if locations is None else len(locations)
    if not len(units) == len(inputs) == n_locations:
        raise InvalidArgumentError(
            f"Cannot project pairs of units and inputs. Found {len(units)} units, {len(inputs)} inputs and "
            f"{n_locations} locations. Give one of each for every pair."
        )
