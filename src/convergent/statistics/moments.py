"""First and second moments of all chosen units, and of the pairs of layers that are asked for.

Kept as sums about a fixed origin c: n, sum(x - c), sum((x - c)(y - c)'). Merging is addition.
Where norms are kept, each layer has one virtual unit more, its last: |x - c|^2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .._typing import Array, Int64
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..files import sha256
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .base import Header, check_mergeable, stored
from .joint_moments import JointMoments
from .pairing import Pair
from .pairs import DEAD_RATIO, DEAD_RATIO_FLOAT64, NormProducts, PairMoments

# Variance that products can make of a constant unit, relative to its second moment about the origin.
_ROUNDING, _ROUNDING_FLOAT64 = (16 * float(np.finfo(dtype).eps) for dtype in (np.float32, np.float64))


@dataclass(frozen=True, eq=False, repr=False)
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
        norms: each layer has its squared norm as one more unit, in origin, sums and products.
        rolled: per pair of different layers, the product with the inputs of b rolled by 1, 2, ... whole inputs,
            (rolls, units_a, units_b); empty where none was asked for.
        float64: the layers whose activations and products are of float64; rounding is that of float32 in others.
    """

    layers: tuple[LayerUnits, ...]
    n_inputs: int
    n_samples: Mapping[LayerRef, int]
    origin: Mapping[LayerRef, Array]
    sums: Mapping[LayerRef, Array]
    products: Mapping[Pair, Array]
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    norms: bool = False
    rolled: Mapping[Pair, Array] = field(default_factory=dict)
    float64: frozenset[LayerRef] = frozenset()

    def __repr__(self) -> str:
        layers = ", ".join(str(layer.ref) for layer in self.layers)
        return f"Moments({layers}; {self.n_inputs} inputs, {max(self.n_samples.values(), default=0)} samples)"

    @property
    def n_rolls(self) -> int:
        """By how many inputs, at most, the inputs of b were rolled."""
        return len(next(iter(self.rolled.values()), ()))

    def mean(self, layer: LayerRef | str) -> Array:
        """Mean of each unit of a layer, (units,); NaN where there are no samples."""
        ref = LayerRef.of(layer)
        self._check_known(ref)
        n = self.n_samples[ref]
        return self._units(self.origin[ref] + (self.sums[ref] / n if n else np.nan))

    def pair(self, a: LayerRef | str, b: LayerRef | str, *, roll: int = 0) -> PairMoments:
        """The joint moments of two layers, or of a layer with itself: what measures take.

        Args:
            a: the layer whose units become rows, as `net/layer` or `LayerRef`.
            b: the layer whose units become columns.
            roll: 0, or by how many inputs those of the later layer are rolled: both layers as they are, and
                nothing between them but chance.

        Raises:
            UnknownNameError: if that pair was not accumulated.
            InvalidArgumentError: if there is no sample yet, or no such roll was accumulated.
        """
        a, b = LayerRef.of(a), LayerRef.of(b)
        product = self._rolled(a, b, roll) if roll else self._product(a, b)
        n = self.n_samples[a]
        if n == 0:
            raise InvalidArgumentError(
                f"Asked for the moments of '{a}' and '{b}'. They hold no samples. Accumulate at least two inputs."
            )
        offset = {ref: self._units(self.sums[ref]) / n for ref in (a, b)}
        return PairMoments(
            a=str(a),
            b=str(b),
            n_inputs=self.n_inputs,
            n_samples=n,
            mean_a=self.mean(a),
            mean_b=self.mean(b),
            cov_aa=self._units(self._product(a, a)) / n - np.outer(offset[a], offset[a]),
            cov_bb=self._units(self._product(b, b)) / n - np.outer(offset[b], offset[b]),
            cov_ab=self._units(product) / n - np.outer(offset[a], offset[b]),
            floor_a=self._floor(a),
            floor_b=self._floor(b),
            norms=self._norm_products(a, b, product) if self.norms else None,
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
        return replace(
            self,
            layers=tuple(layer for layer in self.layers if layer.ref in refs),
            n_samples={ref: self.n_samples[ref] for ref in refs},
            origin={ref: self.origin[ref] for ref in refs},
            sums={ref: self.sums[ref] for ref in refs},
            products={pair: product for pair, product in self.products.items() if set(pair) <= set(refs)},
            rolled={pair: product for pair, product in self.rolled.items() if set(pair) <= set(refs)},
            float64=self.float64 & set(refs),
        )

    def of_units(self, units: Mapping[LayerRef, Int64[Array, " chosen"]]) -> "Moments":
        """The moments of some units of layers, in this order; norms, which are of all units, are left out.

        Args:
            units: indices, by layer; layers that are not named keep all their units.

        Raises:
            UnknownNameError: if a layer is not there.
        """
        for ref in units:
            self._check_known(ref)
        kept = {layer.ref: units.get(layer.ref, np.arange(layer.n_units)) for layer in self.layers}
        told = ", ".join(f"{ref} {sha256(np.asarray(units[ref]).tobytes())[:16]}" for ref in sorted(units))
        return replace(
            self,
            layers=tuple(replace(layer, n_units=len(kept[layer.ref])) for layer in self.layers),
            origin={ref: origin[kept[ref]] for ref, origin in self.origin.items()},
            sums={ref: total[kept[ref]] for ref, total in self.sums.items()},
            products={(a, b): product[kept[a]][:, kept[b]] for (a, b), product in self.products.items()},
            fingerprint=replace(self.fingerprint, view=f"{self.fingerprint.view} units of {told}"),
            norms=False,
            rolled={(a, b): product[:, kept[a]][:, :, kept[b]] for (a, b), product in self.rolled.items()},
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
        if (self.norms, self.n_rolls) != (other.norms, other.n_rolls):
            raise MismatchError(
                f"Cannot merge Moments that keep other things. Found norms={self.norms} and {self.n_rolls} rolls "
                f"against norms={other.norms} and {other.n_rolls}. Accumulate both with the same MomentsPlan."
            )
        moved = other._about(self.origin)
        return replace(
            self,
            n_inputs=self.n_inputs + other.n_inputs,
            n_samples={ref: n + other.n_samples[ref] for ref, n in self.n_samples.items()},
            sums={ref: total + moved.sums[ref] for ref, total in self.sums.items()},
            products={pair: product + moved.products[pair] for pair, product in self.products.items()},
            fingerprint=fingerprint,
            rolled={pair: product + moved.rolled[pair] for pair, product in self.rolled.items()},
            float64=self.float64 & other.float64,
        )

    __add__ = merge

    def identity(self) -> "Moments":
        """The moments of no inputs, about the same origin."""
        return replace(
            self,
            n_inputs=0,
            n_samples=dict.fromkeys(self.n_samples, 0),
            sums={ref: np.zeros_like(total) for ref, total in self.sums.items()},
            products={pair: np.zeros_like(product) for pair, product in self.products.items()},
            fingerprint=self.fingerprint.of_nothing(),
            rolled={pair: np.zeros_like(product) for pair, product in self.rolled.items()},
        )

    def _about(self, origin: Mapping[LayerRef, Array]) -> "Moments":
        """The same moments about another origin: sum(x - c')(y - d')' expanded around c and d."""
        step = {ref: self.origin[ref] - origin[ref] for ref in self.origin}
        if not any(move.any() for move in step.values()):
            return self
        sums, products, rolled = self.sums, self.products, self.rolled
        if self.norms:
            sums = {ref: _norm_moved(total[:, None], step[ref])[:, 0] for ref, total in sums.items()}
            products, rolled = (
                {(a, b): _norms_moved(product, step[a], step[b]) for (a, b), product in kept.items()}
                for kept in (products, rolled)
            )
            step = {ref: np.append(move[:-1], move[-1] + move[:-1] @ move[:-1]) for ref, move in step.items()}
        added = {
            (a, b): np.outer(sums[a], step[b])
            + np.outer(step[a], sums[b])
            + self.n_samples[a] * np.outer(step[a], step[b])
            for a, b in products
        }
        return replace(
            self,
            origin=origin,
            sums={ref: total + self.n_samples[ref] * step[ref] for ref, total in sums.items()},
            products={pair: product + added[pair] for pair, product in products.items()},
            rolled={pair: product + added[pair] for pair, product in rolled.items()},
        )

    def _units(self, values: Array) -> Array:
        """Without the virtual unit, where there is one."""
        return values[(slice(-1),) * values.ndim] if self.norms else values

    def _norm_products(self, a: LayerRef, b: LayerRef, product: Array) -> NormProducts:
        return NormProducts(
            self._norm_product(a, a, self._product(a, a)),
            self._norm_product(b, b, self._product(b, b)),
            self._norm_product(a, b, product),
        )

    def _norm_product(self, a: LayerRef, b: LayerRef, product: Array) -> float:
        """Mean of |x - mean|^2 |y - mean|^2: each is w'z + t, with z the units and the norm about the origin."""
        n = self.n_samples[a]
        (w, t), (v, u) = (self._centred_norm(ref, n) for ref in (a, b))
        return float(w @ product @ v / n + t * (self.sums[b] @ v) / n + u * (self.sums[a] @ w) / n + t * u)

    def _centred_norm(self, ref: LayerRef, n: int) -> tuple[Array, float]:
        mean = self.sums[ref][:-1] / n
        return np.append(-2 * mean, 1.0), float(self.origin[ref][-1] + mean @ mean)

    def _floor(self, layer: LayerRef) -> Array:
        """Per unit, the standard deviation that rounding alone can make: of activations and of their products."""
        about_origin = np.diagonal(self._units(self._product(layer, layer))) / self.n_samples[layer]
        wide = layer in self.float64
        ratio, rounding = (DEAD_RATIO_FLOAT64, _ROUNDING_FLOAT64) if wide else (DEAD_RATIO, _ROUNDING)
        return np.maximum(ratio * np.abs(self.mean(layer)), np.sqrt(rounding * np.maximum(about_origin, 0)))

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

    def _rolled(self, a: LayerRef, b: LayerRef, roll: int) -> Array:
        if 1 <= roll <= self.n_rolls and (a, b) in self.rolled:
            return self.rolled[a, b][roll - 1]
        if 1 <= roll <= self.n_rolls and (b, a) in self.rolled:
            return self.rolled[b, a][roll - 1].T
        raise InvalidArgumentError(
            f"Asked for '{a}' with '{b}' rolled by {roll} inputs. These moments hold {self.n_rolls} rolls of "
            f"{len(self.rolled)} pairs of layers. Accumulate them: MomentsPlan(n_rolls=4)."
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
            "norms": self.norms,
            "n_rolls": self.n_rolls,
            "rolled_pairs": [[str(a), str(b)] for a, b in self.rolled],
            "float64": sorted(str(ref) for ref in self.float64),
        }

    def arrays(self) -> dict[str, Array]:
        """`origin/NET/LAYER`, `sum/NET/LAYER`; `product/i` and `rolled/i` for the i-th such pair of the header."""
        return (
            {f"origin/{ref}": value for ref, value in self.origin.items()}
            | {f"sum/{ref}": value for ref, value in self.sums.items()}
            | {f"product/{i}": value for i, value in enumerate(self.products.values())}
            | {f"rolled/{i}": value for i, value in enumerate(self.rolled.values())}
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
        norms, n_rolls = header.get("norms", False), header.get("n_rolls", 0)
        units = {layer.ref: layer.n_units + norms for layer in layers}
        pairs, rolled_pairs = (
            [(LayerRef.parse(a), LayerRef.parse(b)) for a, b in header.get(name, ())]
            for name in ("pairs", "rolled_pairs")
        )
        return cls(
            layers,
            header["n_inputs"],
            dict(zip(units, header["n_samples"], strict=True)),
            {ref: stored(arrays, f"origin/{ref}", n) for ref, n in units.items()},
            {ref: stored(arrays, f"sum/{ref}", n) for ref, n in units.items()},
            {(a, b): stored(arrays, f"product/{i}", units[a], units[b]) for i, (a, b) in enumerate(pairs)},
            fingerprint,
            norms,
            {
                (a, b): stored(arrays, f"rolled/{i}", n_rolls, units[a], units[b])
                for i, (a, b) in enumerate(rolled_pairs)
            },
            frozenset(LayerRef.parse(name) for name in header.get("float64", ())),
        )


def _norm_moved(values: Array, move: Array) -> Array:
    """Rows of units and their norm |x - c|^2 last, the norm now about c - move, but for its constant."""
    moved = values.copy()
    moved[..., -1, :] += 2 * move[:-1] @ values[..., :-1, :]
    return moved


def _norms_moved(product: Array, move_a: Array, move_b: Array) -> Array:
    return _norm_moved(_norm_moved(product, move_a).swapaxes(-1, -2), move_b).swapaxes(-1, -2)
