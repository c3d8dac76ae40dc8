"""Views: pure maps from a layer's output to inputs x units x locations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch

from .._typing import Array, Bool, Int64, Shaped, Tensor
from ..batch import Activations, hash_ids
from ..errors import InvalidArgumentError
from ..units import LayerRef, LayerUnits

UnitAxis: TypeAlias = Literal["auto", "channels", "tokens", "neurons"]

_LOCATIONS = re.compile(r"all|mean|(grid|random)=[1-9][0-9]*")
_SALT = 2  # blocks of inputs hash with salt 1 and samples of inputs with 0: locations must not depend on either


@dataclass(frozen=True)
class View:
    """Which numbers of a layer's output are units, and at which locations they are sampled.

    Attributes:
        units: "channels" (axis 1 holds the units, later axes are locations), "tokens" (the last axis holds the
            units, the axes between are locations), "neurons" (every value is a unit of its own, no locations),
            or "auto": channels for maps (4-D and 5-D outputs), tokens for sequences (3-D), neurons for the rest.
        locations: "all"; "mean" (over the locations of an input, padding left out); "grid=13" (13 evenly spaced
            places per axis, values untouched); "random=4" (4 different places per input, drawn from its id: the
            same in every net, process and run with the same grid). Layers without locations ignore it.

    Raises:
        InvalidArgumentError: if `units` or `locations` is none of these.

    Example:
        >>> View().apply(torch.zeros(2, 8, 5, 5)).values.shape
        torch.Size([2, 8, 25])
        >>> View(locations="grid=3").apply(torch.zeros(2, 8, 5, 5)).locations[0]
        tensor([ 0,  2,  4, 10, 12, 14, 20, 22, 24])
    """

    units: str = "auto"
    locations: str = "all"

    def __post_init__(self) -> None:
        if self.units not in get_args(UnitAxis) or not _LOCATIONS.fullmatch(self.locations):
            raise InvalidArgumentError(
                f"Cannot view units={self.units!r} at locations={self.locations!r}. Units are "
                f"{', '.join(map(repr, get_args(UnitAxis)))}; locations are 'all', 'mean', 'grid=K' or 'random=K' "
                "with K at least 1. Choose one of each."
            )

    @property
    def rule(self) -> str:
        """How locations are chosen: "all", "mean", "grid" or "random"."""
        return self.locations.partition("=")[0]

    @property
    def count(self) -> int:
        """The K of "grid=K" and "random=K", else 0."""
        return int(self.locations.partition("=")[2] or 0)

    def apply(
        self,
        output: Shaped[Tensor, "inputs ..."],
        *,
        ids: Int64[Array, " inputs"] | None = None,
        mask: Bool[Tensor, "inputs tokens"] | None = None,
    ) -> Activations:
        """View one output of a layer; the result shares memory with it wherever it can.

        Args:
            output: the layer's output, inputs first.
            ids: ids of the inputs; needed by "random=K" only.
            mask: True at real locations, False at padding; used where the layer has as many locations as the
                mask. Values at padding are set to 0 and marked in the mask of the result.

        Returns:
            Inputs x units x locations in the dtype of the output.

        Raises:
            InvalidArgumentError: if there are fewer locations than asked for, or no ids for "random=K".

        Cost: nothing for "all" of a dense output without a mask; else one copy of what is kept.
        """
        values, grid = self.arrange(output)
        if mask is not None:
            mask = mask.to(output.device) if mask.shape[1] == values.shape[2] else None
        if not grid:
            return Activations(values)
        if self.rule == "all":
            return Activations(_without_padding(values, mask), mask=mask)
        if self.rule == "mean":
            return _mean(values, mask)
        self._require_room(grid, "this output")
        if self.rule == "grid":
            return _keep_same(values, mask, _evenly_spaced(grid, self.count))
        return _keep_own(values, mask, _random_locations(ids, values.shape[2], mask, self.count))

    def arrange(
        self, output: Shaped[Tensor, "inputs ..."]
    ) -> tuple[Shaped[Tensor, "inputs units locations"], tuple[int, ...]]:
        """All locations of an output as inputs x units x locations, and the shape of the grid they form."""
        axis, shape = _unit_axis(self.units, output.shape[1:]), tuple(output.shape[1:])
        if axis == "neurons":
            return output.flatten(1).unsqueeze(2), ()
        channels_first = output if axis == "channels" else output.movedim(-1, 1)
        grid = shape[1:] if axis == "channels" else shape[:-1]
        return (channels_first.flatten(2) if grid else channels_first.unsqueeze(2)), grid

    def describe(self, ref: LayerRef, output_shape: Sequence[int]) -> LayerUnits:
        """What this view makes of a layer whose output has `output_shape` per input (without the inputs axis).

        Raises:
            InvalidArgumentError: if the layer has fewer locations than asked for.

        Example:
            >>> View(locations="mean").describe(LayerRef("a", "conv1"), (96, 55, 55)).n_units
            96
        """
        n_units, grid = self.units_and_grid(output_shape)
        if not grid:
            return LayerUnits(ref, n_units, (), 1, "all")
        self._require_room(grid, f"'{ref}'")
        kept = {"all": prod(grid), "mean": 1, "grid": self.count ** len(grid), "random": self.count}[self.rule]
        return LayerUnits(ref, n_units, grid, kept, self.locations)

    def units_and_grid(self, output_shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        """Number of units, and grid of locations, of a layer of this output shape per input."""
        axis, shape = _unit_axis(self.units, output_shape), tuple(output_shape)
        if axis == "neurons":
            return prod(shape), ()
        return (shape[0], shape[1:]) if axis == "channels" else (shape[-1], shape[:-1])

    def _require_room(self, grid: tuple[int, ...], name: str) -> None:
        room = {"grid": min(grid), "random": prod(grid)}.get(self.rule, 0)
        if self.count > room:
            raise InvalidArgumentError(
                f"Cannot take {self.locations} from {name}. "
                f"It has {' x '.join(map(str, grid))} locations per input. "
                f'Use view({self.rule}={room}) or less, or view(locations="mean").'
            )


def view(
    units: UnitAxis = "auto",
    *,
    locations: Literal["all", "mean"] = "all",
    grid: int | None = None,
    random: int | None = None,
) -> View:
    """Make a `View` by keyword: `view(locations="mean")`, `view(grid=13)`, `view(random=4)`.

    Args:
        units: which axis holds the units.
        locations: keep all locations, or average over them.
        grid: keep this many evenly spaced places per axis.
        random: keep this many places per input, drawn from its id.

    Returns:
        The view.

    Raises:
        InvalidArgumentError: if more than one of `locations`, `grid` and `random` is given.

    Example:
        >>> view(grid=13)
        View(units='auto', locations='grid=13')
    """
    asked = [f"{rule}={k}" for rule, k in (("grid", grid), ("random", random)) if k is not None]
    if len(asked) + (locations != "all") > 1:
        raise InvalidArgumentError(
            f"Cannot follow several rules for locations at once. Found locations={locations!r}, grid={grid}, "
            f"random={random}. Give one of them."
        )
    return View(units, asked[0] if asked else locations)


def _unit_axis(units: str, output_shape: Sequence[int]) -> str:
    if units == "auto":
        return {2: "tokens", 3: "channels", 4: "channels"}.get(len(output_shape), "neurons")
    return units


def _evenly_spaced(grid: tuple[int, ...], count: int) -> Int64[Tensor, " k"]:
    # (2i + 1) n // 2k is floor((i + 1/2) n / k) without rounding.
    axes = [(2 * np.arange(count) + 1) * n // (2 * count) for n in grid]
    flat = np.ravel_multi_index(tuple(np.meshgrid(*axes, indexing="ij")), grid)
    return torch.from_numpy(flat.ravel().astype(np.int64))


def _random_locations(
    ids: Int64[Array, " inputs"] | None,
    n_locations: int,
    mask: Bool[Tensor, "inputs locations"] | None,
    count: int,
) -> Int64[Tensor, "inputs k"]:
    if ids is None:
        raise InvalidArgumentError(
            f"Cannot draw {count} random locations. They come from the ids of the inputs, and none were given. "
            "Give ids=..."
        )
    own = hash_ids(ids, salt=_SALT).view(np.int64)
    draw = hash_ids(own[:, None] ^ np.arange(n_locations), salt=_SALT)
    if mask is not None:  # padding comes last, so it is kept only where an input has too few real locations
        draw = np.where(mask.cpu().numpy(), draw >> np.uint64(1), draw | np.uint64(1 << 63))
    return torch.from_numpy(np.sort(np.argpartition(draw, count - 1, axis=1)[:, :count], axis=1))


def _mean(
    values: Shaped[Tensor, "inputs units locations"], mask: Bool[Tensor, "inputs locations"] | None
) -> Activations:
    wide = torch.float64 if values.dtype == torch.float64 else torch.float32  # half sums overflow
    if mask is None:
        return Activations(values.mean(2, keepdim=True, dtype=wide).to(values.dtype))
    n_real = mask.sum(1)[:, None, None]
    total = _without_padding(values, mask).sum(2, keepdim=True, dtype=wide)
    some_real = mask.any(1, keepdim=True)
    means = (total / n_real.clamp(min=1)).to(values.dtype)
    return Activations(means, mask=None if bool(some_real.all()) else some_real)


def _without_padding(
    values: Shaped[Tensor, "inputs units locations"], mask: Bool[Tensor, "inputs locations"] | None
) -> Shaped[Tensor, "inputs units locations"]:
    return values if mask is None else values.masked_fill(~mask[:, None, :], 0)  # padding may hold NaN


def _keep_same(
    values: Shaped[Tensor, "inputs units locations"],
    mask: Bool[Tensor, "inputs locations"] | None,
    places: Int64[Tensor, " k"],
) -> Activations:
    there = places.to(values.device)
    kept = None if mask is None else mask.index_select(1, there)
    values = _without_padding(values.index_select(2, there), kept)
    return Activations(values, there.expand(len(values), -1), kept)


def _keep_own(
    values: Shaped[Tensor, "inputs units locations"],
    mask: Bool[Tensor, "inputs locations"] | None,
    places: Int64[Tensor, "inputs k"],
) -> Activations:
    there = places.to(values.device)
    kept = None if mask is None else mask.gather(1, there)
    own = values.gather(2, there[:, None, :].expand(-1, values.shape[1], -1))
    return Activations(_without_padding(own, kept), there, kept)
