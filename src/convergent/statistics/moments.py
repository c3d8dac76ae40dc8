"""First and second moments of all chosen units, and of the pairs of layers that are asked for.

Kept as sums about a fixed origin c: n, sum(x - c), sum((x - c)(y - c)'). Merging is addition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .._typing import Array
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .base import Header, check_mergeable, stored
from .joint_moments import JointMoments
from .pairing import Pair
from .pairs import _DEAD_RATIO, PairMoments

# Variance that float32 products can make of a constant unit, relative to its second moment about the origin.
_ROUNDING = 16 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums from which means, covariances and every measure built on them are read.

    Attributes:
        layers: the layers, in a fixed order.
        n_inputs: how many inputs were taken in.
        n_samples: per layer, how many samples (inputs x locations).
        origin: per layer, the fixed point the sums are about, (units,).
        sums: per layer, sum(x - origin), (units,), float64.
        products: per pair of layers, sum((x - origin_a)(y - origin_b)'), (units_a, units_b), float64.
        fingerprint: what they were computed from.
    """

    layers: tuple[LayerUnits, ...]
    n_inputs: int
    n_samples: Mapping[LayerRef, int]
    origin: Mapping[LayerRef, Array]
    sums: Mapping[LayerRef, Array]
    products: Mapping[Pair, Array]
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def mean(self, layer: LayerRef | str) -> Array:
        """Mean of each unit of a layer, (units,); NaN where there are no samples."""
        ref = LayerRef.of(layer)
        self._check_known(ref)
        n = self.n_samples[ref]
        return self.origin[ref] + (self.sums[ref] / n if n else np.nan)

    def pair(self, a: LayerRef | str, b: LayerRef | str) -> PairMoments:
        """The joint moments of two layers, or of a layer with itself: what measures take.

        Args:
            a: the layer whose units become rows, as `net/layer` or `LayerRef`.
            b: the layer whose units become columns.

        Raises:
            UnknownNameError: if that pair was not accumulated.
            InvalidArgumentError: if there is no sample yet.
        """
        a, b = LayerRef.of(a), LayerRef.of(b)
        product = self._product(a, b)
        n = self.n_samples[a]
        if n == 0:
            raise InvalidArgumentError(
                f"Asked for the moments of '{a}' and '{b}'. They hold no samples. Accumulate at least two inputs."
            )
        offset = {ref: self.sums[ref] / n for ref in (a, b)}
        return PairMoments(
            a=str(a),
            b=str(b),
            n_inputs=self.n_inputs,
            n_samples=n,
            mean_a=self.mean(a),
            mean_b=self.mean(b),
            cov_aa=self._product(a, a) / n - np.outer(offset[a], offset[a]),
            cov_bb=self._product(b, b) / n - np.outer(offset[b], offset[b]),
            cov_ab=product / n - np.outer(offset[a], offset[b]),
            floor_a=self._floor(a),
            floor_b=self._floor(b),
        )

    def joint(self, layers: Sequence[LayerRef | str]) -> JointMoments:
        """The joint moments of several layers: what measures of groups of units take.

        Args:
            layers: the layers, each once, as `net/layer` or `LayerRef`; every two of them must be accumulated.

        Raises:
            UnknownNameError: if a pair of them was not accumulated.
            InvalidArgumentError: if there is no sample yet, no layer is given, or one is given twice.
        """
        refs = [LayerRef.of(layer) for layer in layers]
        blocks = [[self.pair(a, b).cov_ab for b in refs] for a in refs]
        cov = np.block(blocks) if refs else np.zeros((0, 0))
        return JointMoments(
            names=tuple(str(ref) for ref in refs),
            sizes=tuple(len(self.mean(ref)) for ref in refs),
            mean=np.concatenate([self.mean(ref) for ref in refs]) if refs else np.zeros(0),
            cov=(cov + cov.T) / 2,  # the two triangles may differ in the last bit
            n_inputs=self.n_inputs,
            n_samples=self.n_samples[refs[0]] if refs else None,
            floor=np.concatenate([self._floor(ref) for ref in refs]) if refs else None,
        )

    def only(self, *refs: LayerRef) -> "Moments":
        """The moments of these layers and the pairs among them; arrays are shared, not copied.

        Raises:
            UnknownNameError: if a layer is not there.
        """
        for ref in refs:
            self._check_known(ref)
        return Moments(
            tuple(layer for layer in self.layers if layer.ref in refs),
            self.n_inputs,
            {ref: self.n_samples[ref] for ref in refs},
            {ref: self.origin[ref] for ref in refs},
            {ref: self.sums[ref] for ref in refs},
            {pair: product for pair, product in self.products.items() if set(pair) <= set(refs)},
            self.fingerprint,
        )

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets of inputs; differing origins are reconciled exactly.

        Raises:
            MismatchError: if they are of other nets, layers, data or views, or share inputs, or keep other pairs.
        """
        fingerprint = check_mergeable(self, other)
        if self.products.keys() != other.products.keys():
            one_sided = sorted(f"{a} with {b}" for a, b in self.products.keys() ^ other.products.keys())
            raise MismatchError(
                f"Cannot merge Moments that keep other pairs. Only one side has {', '.join(one_sided)}. "
                "Accumulate both with the same pairs."
            )
        moved = other._about(self.origin)
        return Moments(
            self.layers,
            self.n_inputs + other.n_inputs,
            {ref: n + other.n_samples[ref] for ref, n in self.n_samples.items()},
            self.origin,
            {ref: total + moved.sums[ref] for ref, total in self.sums.items()},
            {pair: product + moved.products[pair] for pair, product in self.products.items()},
            fingerprint,
        )

    __add__ = merge

    def identity(self) -> "Moments":
        """The moments of no inputs, about the same origin."""
        return Moments(
            self.layers,
            0,
            dict.fromkeys(self.n_samples, 0),
            self.origin,
            {ref: np.zeros_like(total) for ref, total in self.sums.items()},
            {pair: np.zeros_like(product) for pair, product in self.products.items()},
            self.fingerprint.of_nothing(),
        )

    def _about(self, origin: Mapping[LayerRef, Array]) -> "Moments":
        """The same moments about another origin: sum(x - c')(y - d')' expanded around c and d."""
        step = {ref: self.origin[ref] - origin[ref] for ref in self.origin}
        if not any(move.any() for move in step.values()):
            return self
        sums = {ref: total + self.n_samples[ref] * step[ref] for ref, total in self.sums.items()}
        products = {
            (a, b): product
            + np.outer(self.sums[a], step[b])
            + np.outer(step[a], self.sums[b])
            + self.n_samples[a] * np.outer(step[a], step[b])
            for (a, b), product in self.products.items()
        }
        return Moments(self.layers, self.n_inputs, self.n_samples, origin, sums, products, self.fingerprint)

    def _floor(self, layer: LayerRef) -> Array:
        """Per unit, the standard deviation that rounding alone can make: of activations and of their products."""
        about_origin = np.diagonal(self._product(layer, layer)) / self.n_samples[layer]
        return np.maximum(_DEAD_RATIO * np.abs(self.mean(layer)), np.sqrt(_ROUNDING * np.maximum(about_origin, 0)))

    def _product(self, a: LayerRef, b: LayerRef) -> Array:
        if (a, b) in self.products:
            return self.products[a, b]
        if (b, a) in self.products:
            return self.products[b, a].T
        for ref in (a, b):
            self._check_known(ref)
        kept = ", ".join(f"{x} with {y}" for x, y in list(self.products)[:6]) or "none"
        raise UnknownNameError(
            f"Asked for '{a}' with '{b}'. That pair was not accumulated; kept are: {kept}. "
            'Accumulate it: MomentsPlan(pairs="all") or a list naming it.'
        )

    def _check_known(self, ref: LayerRef) -> None:
        if ref not in self.sums:
            known = [str(known) for known in self.sums]
            raise UnknownNameError(
                f"Asked for layer '{ref}'. These moments have {len(known)} layers. {nearest(str(ref), known)}"
            )

    def header(self) -> Header:
        """Everything but the arrays."""
        return {
            "n_inputs": self.n_inputs,
            "n_samples": [self.n_samples[layer.ref] for layer in self.layers],
            "pairs": [[str(a), str(b)] for a, b in self.products],
        }

    def arrays(self) -> dict[str, Array]:
        """`origin/NET/LAYER`, `sum/NET/LAYER`, and `product/i` for the i-th pair of the header."""
        return (
            {f"origin/{ref}": value for ref, value in self.origin.items()}
            | {f"sum/{ref}": value for ref, value in self.sums.items()}
            | {f"product/{i}": value for i, value in enumerate(self.products.values())}
        )

    @classmethod
    def rebuild(
        cls,
        header: Header,
        arrays: Mapping[str, Array],
        layers: tuple[LayerUnits, ...],
        fingerprint: Fingerprint,
        /,
    ) -> "Moments":
        """From a file's parts."""
        units = {layer.ref: layer.n_units for layer in layers}
        pairs = [(LayerRef.parse(a), LayerRef.parse(b)) for a, b in header["pairs"]]
        return cls(
            layers,
            header["n_inputs"],
            dict(zip(units, header["n_samples"], strict=True)),
            {ref: stored(arrays, f"origin/{ref}", n) for ref, n in units.items()},
            {ref: stored(arrays, f"sum/{ref}", n) for ref, n in units.items()},
            {(a, b): stored(arrays, f"product/{i}", units[a], units[b]) for i, (a, b) in enumerate(pairs)},
            fingerprint,
        )
