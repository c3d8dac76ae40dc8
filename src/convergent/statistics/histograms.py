"""Joint histograms of all units of pairs of layers: exact counts that merge by addition."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .._typing import Array, Int64
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .base import Header, check_mergeable, stored
from .edges import UnitEdges, padded, unpadded
from .pair_histograms import PairHistograms
from .pairing import Pair


@dataclass(frozen=True, eq=False)
class Histograms:
    """Joint counts of the pairs of layers that are kept.

    Attributes:
        layers: the layers that have edges, in a fixed order.
        n_inputs: how many inputs were taken in.
        n_samples: per layer, how many samples.
        units: per layer, which units.
        edges: per layer, inner edges of each of these units.
        counts: per pair, (units_a, units_b, bins_a, bins_b).
        fingerprint: what they were computed from.
    """

    layers: tuple[LayerUnits, ...]
    n_inputs: int
    n_samples: Mapping[LayerRef, int]
    units: Mapping[LayerRef, Int64[Array, " units"]]
    edges: Mapping[LayerRef, UnitEdges]
    counts: Mapping[Pair, Int64[Array, "units_a units_b bins_a bins_b"]]
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def pair(self, a: LayerRef | str, b: LayerRef | str) -> PairHistograms:
        """The joint histograms of two layers: what measures take.

        Args:
            a: the layer whose units become rows, as `net/layer` or `LayerRef`.
            b: the layer whose units become columns.

        Raises:
            UnknownNameError: if that pair was not counted.
            InvalidArgumentError: if there is no sample yet.
        """
        a, b = LayerRef.of(a), LayerRef.of(b)
        if (b, a) in self.counts and (a, b) not in self.counts:
            return self.pair(b, a).swapped
        if (a, b) not in self.counts:
            known = [f"{x} with {y}" for x, y in self.counts]
            raise UnknownNameError(
                f"Asked for '{a}' with '{b}'. That pair was not counted. {nearest(f'{a} with {b}', known)}"
            )
        if self.n_samples[a] == 0:
            raise InvalidArgumentError(
                f"Asked for the histograms of '{a}' and '{b}'. They hold no samples. "
                "Accumulate at least two inputs."
            )
        return PairHistograms(
            str(a),
            str(b),
            self.units[a],
            self.units[b],
            self.edges[a],
            self.edges[b],
            self.counts[a, b],
            self.n_inputs,
            self.n_samples[a],
        )

    def merge(self, other: "Histograms") -> "Histograms":
        """The histograms of both sets of inputs.

        Raises:
            MismatchError: if they are of other nets, layers, data or views, or share inputs, or keep other pairs,
                units or edges.
        """
        fingerprint = check_mergeable(self, other)
        mine, theirs = (_described(one) for one in (self, other))
        if mine != theirs:
            raise MismatchError(
                f"Cannot merge Histograms that keep other pairs, units or edges. Found {mine} against {theirs}. "
                "Accumulate both with the same edges, pairs and units."
            )
        return Histograms(
            self.layers,
            self.n_inputs + other.n_inputs,
            {ref: n + other.n_samples[ref] for ref, n in self.n_samples.items()},
            self.units,
            self.edges,
            {pair: counts + other.counts[pair] for pair, counts in self.counts.items()},
            fingerprint,
        )

    __add__ = merge

    def identity(self) -> "Histograms":
        """The histograms of no inputs."""
        empty = {pair: np.zeros_like(counts) for pair, counts in self.counts.items()}
        return Histograms(
            self.layers,
            0,
            dict.fromkeys(self.n_samples, 0),
            self.units,
            self.edges,
            empty,
            self.fingerprint.of_nothing(),
        )

    def header(self) -> Header:
        """Everything but the arrays."""
        return {
            "n_inputs": self.n_inputs,
            "n_samples": [self.n_samples[layer.ref] for layer in self.layers],
            "n_units": [len(self.units[layer.ref]) for layer in self.layers],
            "n_edges": [padded(self.edges[layer.ref]).shape[1] for layer in self.layers],
            "pairs": [[str(a), str(b)] for a, b in self.counts],
        }

    def arrays(self) -> dict[str, Array]:
        """`units/NET/LAYER`, `edges/NET/LAYER`, and `counts/i` for the i-th pair of the header."""
        return (
            {f"units/{ref}": units for ref, units in self.units.items()}
            | {f"edges/{ref}": padded(edges) for ref, edges in self.edges.items()}
            | {f"counts/{i}": counts for i, counts in enumerate(self.counts.values())}
        )

    @classmethod
    def rebuild(
        cls,
        header: Header,
        arrays: Mapping[str, Array],
        layers: tuple[LayerUnits, ...],
        fingerprint: Fingerprint,
        /,
    ) -> "Histograms":
        """From a file's parts."""
        refs = [layer.ref for layer in layers]
        pairs = [(LayerRef.parse(a), LayerRef.parse(b)) for a, b in header["pairs"]]
        size = dict(zip(refs, zip(header["n_units"], header["n_edges"], strict=True), strict=True))
        edges = {ref: unpadded(stored(arrays, f"edges/{ref}", *size[ref])) for ref in refs}
        n_bins = {ref: 1 + max((len(one) for one in each), default=0) for ref, each in edges.items()}
        return cls(
            layers,
            header["n_inputs"],
            dict(zip(refs, header["n_samples"], strict=True)),
            {ref: stored(arrays, f"units/{ref}", size[ref][0]) for ref in refs},
            edges,
            {
                (a, b): stored(arrays, f"counts/{i}", size[a][0], size[b][0], n_bins[a], n_bins[b])
                for i, (a, b) in enumerate(pairs)
            },
            fingerprint,
        )


def digest_of(units: Mapping[LayerRef, Array], edges: Mapping[LayerRef, UnitEdges]) -> str:
    """A few letters that tell these units and edges from others."""
    digest = hashlib.sha256()
    for ref in sorted(edges):
        digest.update(str(ref).encode() + np.ascontiguousarray(units[ref]).tobytes())
        digest.update(padded(edges[ref]).tobytes())
    return digest.hexdigest()[:12]


def _described(found: Histograms) -> str:
    """What must be equal for counts to be added."""
    names = ", ".join(f"{a} with {b}" for a, b in found.counts)
    return f"edges {digest_of(found.units, found.edges)} of {names or 'no pairs'}"
