"""Where the values of each unit lie: a fine histogram that merges by addition, and the bin edges read from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import no_type_check

import numpy as np
import torch
from numba import njit

from .._typing import Array, Float64, Int64, Tensor
from ..batch import ActivationBatch, Activations
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..results import Fingerprint, frozen
from ..threads import in_threads
from ..units import LayerRef, LayerUnits
from .accumulate import pieces
from .base import Header, check_mergeable, stored
from .edges import ZERO, UnitEdges, check_n_bins, has_zero_bin, tidy_edges

_MARGIN = 0.5
_compiled = njit(nogil=True, cache=True)


@dataclass(frozen=True, eq=False)
class FineHistogram:
    """Values of the units of one layer, counted in fine bins of equal width between `low` and `high`.

    Attributes:
        low: (units,) where the first fine bin begins.
        high: (units,) where the last one ends.
        counts: values below `low`, in each fine bin, and from `high` on; zeros are not among them.
        zeros: (units,) how many values are 0.
        smallest: (units,) the smallest value; inf where there is none.
        largest: (units,) the largest value; -inf where there is none.
    """

    low: Float64[Array, " units"]
    high: Float64[Array, " units"]
    counts: Int64[Array, "units bins"]
    zeros: Int64[Array, " units"]
    smallest: Float64[Array, " units"]
    largest: Float64[Array, " units"]

    def columns(self) -> dict[str, Array]:
        """The arrays, by name."""
        return {name: getattr(self, name) for name in _COLUMNS}

    def merge(self, other: "FineHistogram") -> "FineHistogram":
        """The values of both."""
        return FineHistogram(
            self.low,
            self.high,
            self.counts + other.counts,
            self.zeros + other.zeros,
            np.minimum(self.smallest, other.smallest),
            np.maximum(self.largest, other.largest),
        )


_COLUMNS = ("low", "high", "counts", "zeros", "smallest", "largest")


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Per layer, how the values of each unit are distributed: what bin edges are read from.

    Attributes:
        layers: the layers, in a fixed order.
        n_inputs: how many inputs were taken in.
        n_samples: per layer, how many samples.
        histograms: per layer.
        fingerprint: what they were computed from.
    """

    layers: tuple[LayerUnits, ...]
    n_inputs: int
    n_samples: Mapping[LayerRef, int]
    histograms: Mapping[LayerRef, FineHistogram]
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def edges(self, n_bins: int = 10, *, zero_bin: bool = True) -> dict[LayerRef, UnitEdges]:
        """Inner edges of each unit: bins of equal mass, and one more for zero.

        A unit that has zeros and no negative values gets one bin x <= 0, and n_bins - 1 of equal mass over the
        rest. A unit without zeros, or with negative values (logits), gets n_bins of equal mass. Edges that
        coincide are collapsed; a constant unit has none. The share of samples below an edge is the one asked for
        up to `error`; whatever is counted with these edges is exact.

        Args:
            n_bins: bins of a unit in all, at least 2. The paper's are 21: zero, and 5 % of the rest each.
            zero_bin: False for equal mass over everything.

        Raises:
            InvalidArgumentError: if there are fewer than two bins.
        """
        check_n_bins(n_bins)
        return {
            ref: tuple(_equal_mass(unit, n_bins, zero_bin=zero_bin) for unit in _units(found))
            for ref, found in self.histograms.items()
        }

    def uniform_edges(self, n_bins: int = 64) -> dict[LayerRef, UnitEdges]:
        """Inner edges of n_bins bins of equal width between the smallest and the largest value: for densities.

        Args:
            n_bins: bins of a unit, at least 2. A constant unit has one.

        Raises:
            InvalidArgumentError: if there are fewer than two bins.
        """
        check_n_bins(n_bins)
        steps = np.arange(1, n_bins) / n_bins
        return {
            ref: tuple(
                frozen(np.unique(unit.smallest + steps * (unit.largest - unit.smallest)))
                if unit.smallest < unit.largest
                else frozen(np.empty(0))
                for unit in _units(found)
            )
            for ref, found in self.histograms.items()
        }

    def error(self, layer: LayerRef | str) -> Float64[Array, " units"]:
        """How far the share of samples below an edge may be from the one asked for, per unit, in [0, 1].

        It is the largest share of samples in one fine bin; zeros with a bin of their own are left out.

        Raises:
            UnknownNameError: if the layer is not there.
        """
        found = self.histograms[self._known(LayerRef.of(layer))]
        shares = [unit.counts.max() / max(1, unit.counts.sum()) for unit in _units(found)]
        return np.array(shares, dtype=np.float64)

    def _known(self, ref: LayerRef) -> LayerRef:
        if ref not in self.histograms:
            known = [str(known) for known in self.histograms]
            raise UnknownNameError(
                f"Asked for layer '{ref}'. These quantiles have {len(known)} layers. {nearest(str(ref), known)}"
            )
        return ref

    def merge(self, other: "Quantiles") -> "Quantiles":
        """The distribution of both sets of inputs.

        Raises:
            MismatchError: if they are of other nets, layers, data or views, or share inputs, or have other
                fine bins.
        """
        fingerprint = check_mergeable(self, other)
        for ref, mine in self.histograms.items():
            theirs = other.histograms[ref]
            if mine.counts.shape != theirs.counts.shape or any(
                (getattr(mine, side) != getattr(theirs, side)).any() for side in ("low", "high")
            ):
                raise MismatchError(
                    f"Cannot merge Quantiles whose fine bins differ. Found other numbers or ranges in '{ref}'. "
                    "Accumulate both with one plan and one calibration batch."
                )
        return Quantiles(
            self.layers,
            self.n_inputs + other.n_inputs,
            {ref: n + other.n_samples[ref] for ref, n in self.n_samples.items()},
            {ref: mine.merge(other.histograms[ref]) for ref, mine in self.histograms.items()},
            fingerprint,
        )

    __add__ = merge

    def identity(self) -> "Quantiles":
        """The distribution over no inputs, in the same fine bins."""
        empty = {
            ref: _empty(mine.low, mine.high, mine.counts.shape[1] - 2) for ref, mine in self.histograms.items()
        }
        return Quantiles(self.layers, 0, dict.fromkeys(self.n_samples, 0), empty, self.fingerprint.of_nothing())

    def header(self) -> Header:
        """Everything but the arrays."""
        return {
            "n_inputs": self.n_inputs,
            "n_samples": [self.n_samples[layer.ref] for layer in self.layers],
            "n_fine": [self.histograms[layer.ref].counts.shape[1] - 2 for layer in self.layers],
        }

    def arrays(self) -> dict[str, Array]:
        """`low/NET/LAYER` and so on, for each array of a `FineHistogram`."""
        return {
            f"{name}/{ref}": column
            for ref, found in self.histograms.items()
            for name, column in found.columns().items()
        }

    @classmethod
    def rebuild(
        cls,
        header: Header,
        arrays: Mapping[str, Array],
        layers: tuple[LayerUnits, ...],
        fingerprint: Fingerprint,
        /,
    ) -> "Quantiles":
        """From a file's parts."""
        n_samples = dict(zip([layer.ref for layer in layers], header["n_samples"], strict=True))
        found = {}
        for layer, n_fine in zip(layers, header["n_fine"], strict=True):
            shapes = dict.fromkeys(_COLUMNS, (layer.n_units,)) | {"counts": (layer.n_units, n_fine + 2)}
            columns = {name: stored(arrays, f"{name}/{layer.ref}", *shape) for name, shape in shapes.items()}
            found[layer.ref] = FineHistogram(**columns)
        return cls(layers, header["n_inputs"], n_samples, found, fingerprint)


@dataclass(frozen=True)
class _Unit:
    """One row of a `FineHistogram`, its zeros put where they belong."""

    knots: Array
    counts: Array
    smallest: float
    largest: float
    has_zeros: bool
    zeros: int


def _units(found: FineHistogram) -> Iterator[_Unit]:
    n_fine = found.counts.shape[1] - 2
    for i, counts in enumerate(found.counts):
        smallest, largest = float(found.smallest[i]), float(found.largest[i])
        inner = np.linspace(found.low[i], found.high[i], n_fine + 1)
        knots = np.clip(np.concatenate([[-np.inf], inner, [np.inf]]), smallest, max(smallest, largest))
        zeros = int(found.zeros[i])
        own_bin = zeros > 0 and has_zero_bin(smallest, 0.0)
        yield _Unit(knots, counts, smallest, largest, own_bin, zeros)


def _equal_mass(unit: _Unit, n_bins: int, *, zero_bin: bool) -> Array:
    """Invert the cumulative distribution, linear within a fine bin."""
    own_bin = zero_bin and unit.has_zeros
    counts, knots = unit.counts, np.maximum(unit.knots, ZERO) if own_bin else unit.knots
    if unit.zeros and not own_bin:
        counts, knots = _with_zeros(counts, knots, unit.zeros)
    total = np.concatenate([[0], np.cumsum(counts)])
    if not total[-1]:
        return frozen(np.empty(0))
    n_rest = min(n_bins - 1 if own_bin else n_bins, int(total[-1]))  # no more bins than samples
    wanted = total[-1] * np.arange(1, n_rest) / n_rest
    right = np.searchsorted(total, wanted, side="left")
    part = (wanted - total[right - 1]) / (total[right] - total[right - 1])
    cuts = knots[right - 1] + part * (knots[right] - knots[right - 1])
    return tidy_edges(cuts, unit.smallest, unit.largest, own_bin=own_bin)


def _with_zeros(counts: Array, knots: Array, zeros: int) -> tuple[Array, Array]:
    """Put a bin of no width that holds the zeros at 0, so that edges that fall into it coincide."""
    zero = float(np.clip(0.0, knots[0], knots[-1]))
    at = int(np.clip(np.searchsorted(knots, zero, side="right") - 1, 0, len(counts) - 1))
    width = knots[at + 1] - knots[at]
    left = counts[at] * ((zero - knots[at]) / width if width > 0 else 0.0)
    parts = [left, zeros, counts[at] - left]
    return np.concatenate([counts[:at], parts, counts[at + 1 :]]), np.insert(knots, at + 1, [zero, zero])


@dataclass(frozen=True)
class QuantilesPlan:
    """Fine histograms of every unit, over one and a half times the range of the calibration batch.

    Values outside are counted too, below and above; only where many lie there are edges less certain.

    Args:
        n_fine: fine bins per unit.

    Raises:
        InvalidArgumentError: if there are fewer than two fine bins.
    """

    n_fine: int = 2048

    def __post_init__(self) -> None:
        if self.n_fine < 2:
            raise InvalidArgumentError(
                f"Quantiles are read from fine bins. Found n_fine={self.n_fine}. Give at least 2; 2048 is usual."
            )

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Eight bytes a fine bin."""
        return sum(8 * layer.n_units * (self.n_fine + 7) for layer in layers)

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "QuantilesAccumulator":
        """An empty accumulator, its range set from `calibration`."""
        return QuantilesAccumulator(tuple(layers), self.n_fine, calibration)


class QuantilesAccumulator:
    """Running counts; made by `QuantilesPlan.start`."""

    def __init__(self, layers: tuple[LayerUnits, ...], n_fine: int, calibration: ActivationBatch) -> None:
        self._layers = layers
        self._n_inputs = 0
        self._n_samples = {layer.ref: 0 for layer in layers}
        self._found = {
            layer.ref: _empty(*_calibrated_range(calibration.layers[layer.ref]), n_fine) for layer in layers
        }

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Count the values of a batch, or of the inputs at these positions of it."""
        self._n_inputs += len(batch.ids) if inputs is None else len(inputs)
        for ref, found in self._found.items():
            for (values,) in pieces([batch.layers[ref]], inputs):
                self._n_samples[ref] += values.shape[0] * values.shape[2]
                numbers = _on_cpu(values).numpy()
                in_threads(partial(_count, numbers, found.columns()), numbers.shape[1])

    def state(self) -> dict[str, Tensor]:
        """Counts, and the range they are over."""
        counts = {"counts": torch.tensor([self._n_inputs, *self._n_samples.values()])}
        return counts | {
            f"{name}/{i}": torch.from_numpy(column)
            for i, found in enumerate(self._found.values())
            for name, column in found.columns().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self._n_inputs, *n_samples = state["counts"].tolist()
        self._n_samples = dict(zip(self._n_samples, n_samples, strict=True))
        for i, found in enumerate(self._found.values()):
            for name, column in found.columns().items():
                column[...] = state[f"{name}/{i}"].numpy()

    def finish(self, fingerprint: Fingerprint) -> Quantiles:
        """The distribution of all that was taken in."""
        return Quantiles(self._layers, self._n_inputs, self._n_samples, self._found, fingerprint)


def _empty(low: Array, high: Array, n_fine: int) -> FineHistogram:
    n_units = len(low)
    return FineHistogram(
        low,
        high,
        np.zeros((n_units, n_fine + 2), dtype=np.int64),
        np.zeros(n_units, dtype=np.int64),
        np.full(n_units, np.inf),
        np.full(n_units, -np.inf),
    )


def _calibrated_range(activations: Activations) -> tuple[Array, Array]:
    """The range on a typical batch, and half as much on each side; not below zero where nothing was.

    A unit that is constant in the batch gets the width of the widest of its layer.
    """
    values, mask = activations.values, activations.mask
    if mask is not None:
        values = values.transpose(1, 2)[mask].T[None]
    if values.shape[0] * values.shape[2] == 0:
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    smallest, largest = (
        found.double().cpu().numpy() for found in torch.aminmax(values.transpose(0, 1).flatten(1), dim=1)
    )
    width = largest - smallest
    width = np.where(width > 0, width, width.max() or 1.0)
    low = np.where(smallest >= 0, np.maximum(smallest - _MARGIN * width, 0), smallest - _MARGIN * width)
    return low, largest + _MARGIN * width


def _on_cpu(values: Tensor) -> Tensor:
    values = values.cpu()
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _count(values: Array, columns: Mapping[str, Array], first: int, last: int) -> None:
    low, high, counts, zeros, smallest, largest = columns.values()
    _count_fine(values, low, high, counts, zeros, smallest, largest, first, last)


@_compiled
@no_type_check
def _count_fine(values, low, high, counts, zeros, smallest, largest, first, last):
    n_fine = counts.shape[1] - 2
    for u in range(first, last):
        scale = n_fine / (high[u] - low[u])
        least, most = smallest[u], largest[u]
        for i in range(values.shape[0]):
            for s in range(values.shape[2]):
                x = np.float64(values[i, u, s])
                least, most = min(least, x), max(most, x)
                if abs(x) <= ZERO:
                    zeros[u] += 1
                elif x < low[u]:
                    counts[u, 0] += 1
                elif x >= high[u]:
                    counts[u, n_fine + 1] += 1
                else:
                    counts[u, 1 + min(n_fine - 1, int((x - low[u]) * scale))] += 1
        smallest[u], largest[u] = least, most
