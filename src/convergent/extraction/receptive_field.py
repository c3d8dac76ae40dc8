"""Which part of an image a location of a layer can see, found by asking the net.

A row of the image is made not-a-number; whatever depends on it becomes not-a-number too, since every arithmetic
operation passes it on. One forward per row and column gives the exact field of any net, whatever it is made of.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
import torch
from torch import nn

from .._typing import Array, Bool, Float, Int64, Tensor
from ..errors import InvalidArgumentError, NetError
from .taps import explaining, tapping
from .views import View

_CHUNK = 16  # images run at once


@dataclass(frozen=True)
class Span:
    """The field along one axis of the image: at place `i` it covers `size` pixels from `first + step * i` on."""

    first: Fraction
    step: Fraction
    size: int

    def at(self, index: int) -> tuple[int, int]:
        """First pixel, and the one after the last, of the field at one place; both may lie outside the image."""
        first = floor(self.first + self.step * index)
        return first, first + self.size


@dataclass(frozen=True)
class ReceptiveField:
    """What each location of a layer sees.

    Attributes:
        rows: the field from top to bottom.
        columns: the field from left to right.
        grid: rows and columns of the layer's map of locations, `()` where it has none and sees the whole image.
    """

    rows: Span
    columns: Span
    grid: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the field in pixels, as if the image had no borders."""
        return self.rows.size, self.columns.size

    def box(self, location: int) -> tuple[int, int, int, int]:
        """Top, left, bottom and right of what a location sees (bottom and right are the first pixels outside it).

        Args:
            location: flat index into the grid, as in `Activations.locations`.

        Returns:
            Pixels; they lie outside the image where the field does.

        Example:
            >>> span = Span(Fraction(0), Fraction(4), 11)
            >>> ReceptiveField(span, span, (55, 55)).box(56)
            (4, 4, 15, 15)
        """
        row, column = divmod(location, self.grid[1]) if self.grid else (0, 0)
        (top, bottom), (left, right) = self.rows.at(row), self.columns.at(column)
        return top, left, bottom, right


def receptive_fields(
    net: nn.Module, layers: Sequence[str], input_shape: Sequence[int], *, view: View | None = None
) -> dict[str, ReceptiveField]:
    """Find the receptive field of every named layer of a net that eats images.

    For each layer: the smallest field of one size, moved by one step per location, that covers every pixel any
    location was seen to depend on. For nets of convolutions and poolings this is the exact field, and it goes on
    beyond the image where padding does. Where fields differ in size over the image (upsampling, adaptive
    pooling) it covers them all. Where fewer than two edges of the fields show inside the image, the part inside
    is exact and the part outside a lower bound.

    What counts is which pixels enter the arithmetic at all: a weight that is 0 still sees, and connections chosen
    by value (indexing by an argmax, `nan_to_num`) are not followed.

    Args:
        net: any module; a copy in float32 on the CPU is run, or the net itself where it is that already.
        layers: names of layers, as in `tapping`.
        input_shape: channels, height, width.
        view: decides which axes of an output are locations. Layers without two of them see the whole image.

    Returns:
        The field by name of layer.

    Raises:
        InvalidArgumentError: if `input_shape` is not that of an image.
        NetError: if a layer is not finite without our doing, or does not depend on the image.

    Cost: about height + width forwards of one input.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1))
        >>> field = receptive_fields(net, ["0"], (1, 8, 8))["0"]
        >>> field.size, field.box(0)
        ((3, 3), (-1, -1, 2, 2))
    """
    if len(input_shape) != 3:
        raise InvalidArgumentError(
            f"Cannot find receptive fields in inputs of shape {tuple(input_shape)}. An image has three axes. "
            "Give (channels, height, width)."
        )
    image = torch.randn(tuple(input_shape), generator=torch.Generator().manual_seed(0))
    plain, arrange = _plain(net), (view or View()).arrange

    def keep(_name: str, output: Tensor) -> Tensor:
        values, grid = arrange(output)
        return values.isnan().any(1).reshape(len(values), *grid)

    # NNPACK's Fourier and Winograd tiles would spread a NaN beyond the field.
    with explaining(image), tapping(plain, layers, keep=keep) as kept, torch.backends.nnpack.flags(enabled=False):
        plain(image[None])
        grids = {name: _clean_grid(name, kept[name]) for name in layers}
        rows, columns = (_traces(plain, kept, image, axis) for axis in (1, 2))
    height, width = (Span(Fraction(0), Fraction(0), size) for size in image.shape[1:])
    return {
        name: ReceptiveField(_span(name, rows[name]), _span(name, columns[name]), grid)
        if name in rows
        else ReceptiveField(height, width, ())
        for name, grid in grids.items()
    }


def _plain(net: nn.Module) -> nn.Module:
    state = [*net.parameters(), *net.buffers()]
    if all(t.device.type == "cpu" and (t.dtype == torch.float32 or not t.is_floating_point()) for t in state):
        return net
    return deepcopy(net).cpu().float()


def _clean_grid(name: str, marks: Bool[Tensor, "1 ..."]) -> tuple[int, ...]:
    if marks.any():
        raise NetError(
            f"Cannot find the receptive field of layer {name!r}. It gives NaN even on a finite image, so ours "
            "cannot be followed. Check the net's weights."
        )
    return tuple(marks.shape[1:])


def _traces(
    net: nn.Module, kept: Mapping[str, Tensor], image: Float[Tensor, "channels height width"], axis: int
) -> dict[str, Bool[Tensor, "lines places"]]:
    """For each line of the image along `axis`, which places of each layer's grid along it depend on that line."""
    traces: dict[str, list[Tensor]] = {}
    for lines in _chunks(image.shape[axis]):
        batch = image.repeat(len(lines), 1, 1, 1)
        for spoiled, line in zip(batch, lines, strict=True):
            spoiled.select(axis, line).fill_(torch.nan)
        net(batch)
        for name, marks in kept.items():
            if marks.ndim == 3:
                traces.setdefault(name, []).append(marks.any(3 - axis))
    return {name: torch.cat(chunks) for name, chunks in traces.items()}


def _chunks(n: int) -> list[range]:
    return [range(first, min(first + _CHUNK, n)) for first in range(0, n, _CHUNK)]


def _span(name: str, trace: Bool[Tensor, "lines places"]) -> Span:
    marks = trace.numpy()
    places = np.flatnonzero(marks.any(0))  # a place that sees nothing but padding tells nothing
    if len(places) == 0:
        raise NetError(
            f"Cannot find the receptive field of layer {name!r}. None of its {marks.shape[1]} places along an "
            "axis depends on the image. Leave this layer out."
        )
    firsts = marks.argmax(0)[places]
    lasts = len(marks) - 1 - marks[::-1].argmax(0)[places]
    step = _step(places, firsts, lasts, len(marks))
    # Borders only ever cut a field, so the widest reach seen anywhere is the true one.
    first = min(int(x) - step * int(i) for i, x in zip(places, firsts, strict=True))
    last = max(int(x) - step * int(i) for i, x in zip(places, lasts, strict=True))
    return Span(Fraction(first), step, ceil(last - first) + 1)


def _step(
    places: Int64[Array, " places"], firsts: Int64[Array, " places"], lasts: Int64[Array, " places"], n_lines: int
) -> Fraction:
    """Pixels by which the field moves from place to place: the median slope of the edges inside the image."""
    inside = np.concatenate([_slopes(places, firsts, firsts > 0), _slopes(places, lasts, lasts < n_lines - 1)])
    # With fewer than two edges free of the border, take the fastest: a border only ever holds an edge back.
    anywhere = np.concatenate([_slopes(places, edges, edges >= 0) for edges in (firsts, lasts)])
    step = np.median(inside) if inside.size else anywhere.max(initial=0)
    return Fraction(float(step)).limit_denominator(64)


def _slopes(
    places: Int64[Array, " places"], edges: Int64[Array, " places"], use: Bool[Array, " places"]
) -> Float[Array, " pairs"]:
    x, y = places[use], edges[use]
    i, j = np.triu_indices(len(x), 1)
    return (y[j] - y[i]) / (x[j] - x[i])
