"""Counting joint histograms while the nets run: samples wait in buffers, are coded, and counted pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .._typing import Array, Shaped, Tensor
from ..batch import ActivationBatch, Activations
from ..errors import InvalidArgumentError, UnknownNameError, nearest
from ..results import Fingerprint
from ..threads import in_threads
from ..units import LayerRef, LayerUnits
from .accumulate import check_same_samples, pieces
from .edges import UnitEdges, padded, unit_edges
from .histograms import Histograms, digest_of
from .pairing import Pair, PairSpec, resolve_pairs
from .thermometer import BLOCK, METHODS, WORD, coder, cuts_for, histograms_of


@dataclass(frozen=True)
class HistogramsPlan:
    """Joint histograms of all units of the pairs of layers.

    Args:
        edges: per layer, the inner edges of each of its units, as `Quantiles.edges()` gives them (equal mass, for
            mutual information) or `Quantiles.uniform_edges()` (for densities). Layers without edges are left out.
        pairs: "same-layer" (equal names across nets), "all", or a list of `("a/conv1", "b/conv1")`; a layer is
            paired with itself only where a list says so.
        units: per layer, which units to count, where not all: densities of a few units with 64 bins a side.
        buffer_samples: how many samples are counted at once.
        method: how: "bits" (CPU), "int8" products (float32 where the device multiplies no bytes) or "float32"
            products, or "auto". The counts are the same.

    Raises:
        InvalidArgumentError: if the method is unknown or the buffer is too large for exact products.
    """

    edges: Mapping[LayerRef, UnitEdges] = field(repr=False)  # names of layers will do
    pairs: PairSpec = "same-layer"
    units: Mapping[str | LayerRef, Sequence[int]] | None = None
    buffer_samples: int = 8192
    method: str = "auto"
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InvalidArgumentError(
                f"Samples are counted by one of {', '.join(METHODS)}. Found {self.method!r}. Choose one of these."
            )
        if not 1 <= self.buffer_samples <= 2**24:
            raise InvalidArgumentError(
                f"Between 1 and 2^24 samples are counted at once. Found buffer_samples={self.buffer_samples}. "
                "Choose a few thousand."
            )
        object.__setattr__(self, "edges", {LayerRef.of(ref): edges for ref, edges in self.edges.items()})
        everything = {ref: np.arange(len(edges)) for ref, edges in self.edges.items()}
        object.__setattr__(self, "digest", digest_of(everything, self.edges))

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Peak memory of the accumulator: cumulative counts, codes, buffers, and the histograms made of them."""
        sides = self._sides(layers)
        capacity = _whole_words(self.buffer_samples)
        wide = {ref: side.cuts.size + 1 for ref, side in sides.items()}
        cumulative = [8 * wide[a] * wide[b] for a, b in self._resolved(layers)]
        histograms = [8 * sides[a].n_values * sides[b].n_values for a, b in self._resolved(layers)]
        code = sum((wide[ref] // 8 + 8 * len(side.units)) * capacity for ref, side in sides.items())
        return sum(cumulative) + sum(histograms) + code

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "HistogramsAccumulator":
        """An empty accumulator."""
        sides, pairs = self._sides(layers), self._resolved(layers)
        capacity = _whole_words(self.buffer_samples)
        kept = tuple(layer for layer in layers if layer.ref in sides)
        return HistogramsAccumulator(kept, pairs, sides, capacity, self.method, calibration)

    def _resolved(self, layers: Sequence[LayerUnits]) -> tuple[Pair, ...]:
        known = [layer for layer in layers if layer.ref in self.edges]
        found = resolve_pairs(self.pairs, known)
        spec = [] if isinstance(self.pairs, str) else self.pairs
        with_itself = {LayerRef.of(a) for a, b in spec if LayerRef.of(a) == LayerRef.of(b)}
        return tuple((a, b) for a, b in found if a != b or a in with_itself)

    def _sides(self, layers: Sequence[LayerUnits]) -> dict[LayerRef, "_Side"]:
        by_ref = {layer.ref: layer for layer in layers}
        chosen = {LayerRef.of(name): units for name, units in (self.units or {}).items()}
        for ref in [*self.edges, *chosen]:
            known = [str(one) for one in (by_ref if ref in self.edges else self.edges)]
            if str(ref) not in known:
                raise UnknownNameError(
                    f"Asked to count units of '{ref}'. There are {len(known)} such layers. "
                    f"{nearest(str(ref), known)}"
                )
        paired = {ref for pair in self._resolved(layers) for ref in pair}
        return {
            ref: _Side.of(layer, self.edges[ref], chosen.get(ref))
            for ref, layer in by_ref.items()
            if ref in paired
        }


def _whole_words(n: int) -> int:
    return -(-n // WORD) * WORD


@dataclass(frozen=True, eq=False)
class _Side:
    """The chosen units of one layer and their edges."""

    units: Array
    edges: UnitEdges
    cuts: Array

    @classmethod
    def of(cls, layer: LayerUnits, edges: UnitEdges, chosen: Sequence[int] | None) -> "_Side":
        checked = unit_edges(edges, layer.n_units, str(layer.ref))
        units = np.arange(layer.n_units) if chosen is None else np.array(chosen, dtype=np.int64)
        if len(units) == 0 or units.min() < 0 or units.max() >= layer.n_units or len(set(units)) < len(units):
            raise InvalidArgumentError(
                f"Units of '{layer.ref}' are numbered 0 to {layer.n_units - 1}. Found {units.tolist()}. "
                "Choose each of them once, at least one."
            )
        kept = tuple(checked[unit] for unit in units)
        return cls(units, kept, padded(kept, multiple=BLOCK))

    @property
    def n_bins(self) -> Array:
        return np.array([len(one) + 1 for one in self.edges])

    @property
    def n_values(self) -> int:
        return len(self.units) * int(self.n_bins.max())


class HistogramsAccumulator:
    """Running cumulative counts; made by `HistogramsPlan.start`."""

    def __init__(
        self,
        layers: tuple[LayerUnits, ...],
        pairs: tuple[Pair, ...],
        sides: Mapping[LayerRef, _Side],
        capacity: int,
        method: str,
        calibration: ActivationBatch,
    ) -> None:
        self._layers, self._pairs, self._sides = layers, pairs, sides
        self._n_inputs = 0
        first = calibration.layers
        self._waiting = {ref: _Waiting(side, first[ref], capacity, method) for ref, side in sides.items()}
        spaces = {layer.sample_space for layer in layers}
        self._groups = [[layer.ref for layer in layers if layer.sample_space == space] for space in spaces]
        self._counts = {
            (a, b): torch.zeros(
                sides[a].cuts.size + 1, sides[b].cuts.size + 1, dtype=torch.int64, device=first[a].values.device
            )
            for a, b in pairs
        }
        self._n_samples = {layer.ref: 0 for layer in layers}

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Take in a batch, or only the inputs at these positions of it.

        Raises:
            MismatchError: if layers that are paired have different masks or numbers of locations.
        """
        self._n_inputs += len(batch.ids) if inputs is None else len(inputs)
        for refs in self._groups:
            activations = [batch.layers[ref] for ref in refs]
            check_same_samples(refs, activations)
            for piece in pieces(activations, inputs):
                self._take(refs, piece)

    def _take(self, refs: list[LayerRef], piece: list[Tensor]) -> None:
        buffers = [self._waiting[ref] for ref in refs]
        for ref in refs:
            self._n_samples[ref] += piece[0].shape[0] * piece[0].shape[2]
        # Counts do not depend on the order of samples, so an input may be cut anywhere.
        for parts in zip(*(torch.split(values, buffers[0].capacity, 2) for values in piece), strict=True):
            n_inputs, _, n_locations = parts[0].shape
            done = 0
            while done < n_inputs and n_locations:
                if buffers[0].room < n_locations:
                    self._flush(refs)
                n = min(n_inputs - done, buffers[0].room // n_locations)
                for buffer, values in zip(buffers, parts, strict=True):
                    buffer.put(values[done : done + n])
                done += n

    def _flush(self, refs: list[LayerRef]) -> None:
        if not self._waiting[refs[0]].used:
            return
        for ref in refs:
            self._waiting[ref].encode()
        for (a, b), counts in self._counts.items():
            if a in refs:
                self._waiting[a].code.add_joint(self._waiting[b].code, counts)  # type: ignore[arg-type]

    def _flush_all(self) -> None:
        for refs in self._groups:
            self._flush(refs)

    def state(self) -> dict[str, Tensor]:
        """Counts; samples that were waiting are counted first."""
        self._flush_all()
        numbers = torch.tensor([self._n_inputs, *self._n_samples.values()])
        return {"counts": numbers} | {f"joint/{i}": counts for i, counts in enumerate(self._counts.values())}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self._n_inputs, *n_samples = state["counts"].tolist()
        self._n_samples = dict(zip(self._n_samples, n_samples, strict=True))
        for i, counts in enumerate(self._counts.values()):
            counts.copy_(state[f"joint/{i}"])

    def finish(self, fingerprint: Fingerprint) -> Histograms:
        """The histograms of all that was taken in. The accumulator cannot be used afterwards."""
        self._flush_all()
        self._waiting.clear()
        found = {}
        for a, b in self._pairs:
            cumulative = self._counts.pop((a, b)).cpu().numpy()
            found[a, b] = histograms_of(cumulative, self._sides[a].n_bins, self._sides[b].n_bins)
        return Histograms(
            self._layers,
            self._n_inputs,
            self._n_samples,
            {ref: side.units for ref, side in self._sides.items()},
            {ref: side.edges for ref, side in self._sides.items()},
            found,
            fingerprint,
        )


class _Waiting:
    """Samples of one layer that wait to be coded, and their code."""

    def __init__(self, side: _Side, like: Activations, capacity: int, method: str) -> None:
        doubles = like.values.dtype == torch.float64
        dtype = torch.float64 if doubles else torch.float32
        every = side.units.tolist() == list(range(like.values.shape[1]))
        self._chosen = None if every else torch.from_numpy(side.units).to(like.values.device)
        self._memory = like.values.new_empty((len(side.units), capacity), dtype=dtype)
        self.code = coder(method, cuts_for(side.cuts, dtype).to(like.values.device), capacity)
        self.capacity = capacity
        self.used = 0

    @property
    def room(self) -> int:
        return self.capacity - self.used

    def put(self, values: Shaped[Tensor, "inputs units locations"]) -> None:
        """Copy samples behind those that wait."""
        n_inputs, _, n_locations = values.shape
        n = n_inputs * n_locations
        chosen = values if self._chosen is None else values[:, self._chosen]
        target = self._memory[:, self.used : self.used + n].view(-1, n_inputs, n_locations)
        if target.device.type == "cpu":  # torch's own threads would go on spinning beside those that code
            into, source = target.numpy(), chosen.transpose(0, 1).to(target.dtype).numpy()
            in_threads(lambda first, last: np.copyto(into[first:last], source[first:last]), len(into))
        else:
            target.copy_(chosen.transpose(0, 1))
        self.used += n

    def encode(self) -> None:
        """Code all that waits."""
        self._memory[:, self.used : _whole_words(self.used)] = -torch.inf
        self.code.fill(self._memory, self.used)
        self.used = 0
