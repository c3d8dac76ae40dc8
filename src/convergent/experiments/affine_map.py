"""Units of one layer as affine functions of another's: from a matching, a sparse map or a ridge."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from .._typing import Array, Float64, Int64, Shaped, Tensor
from ..errors import InvalidArgumentError, MismatchError
from ..measures.matching import Matching
from ..measures.sparse_map import SparseMap
from ..results import frozen
from ..statistics.pairs import PairMoments


@dataclass(frozen=True, eq=False)
class AffineMap:
    """Units of a layer a from those of a layer b: weights x + bias, at each location.

    Attributes:
        a: the layer that is made.
        b: the layer it is made of.
        weights: on the units as they are; 0 for units that are dead or have no partner.
        bias: of each unit of a.
        means: of each unit of a, on the inputs that the map was fitted on.
    """

    a: str
    b: str
    weights: Float64[Array, "units_a units_b"]
    bias: Float64[Array, " units_a"]
    means: Float64[Array, " units_a"]

    @classmethod
    def from_matching(cls, matching: Matching, pair: PairMoments) -> "AffineMap":
        """Each unit of a from its partner, with the scale and shift of least squares.

        Args:
            matching: partners in b of the units of a.
            pair: moments of the two layers, on the inputs to fit scale and shift on.

        Raises:
            MismatchError: if the pair is of other layers or numbers of units.
        """
        shape = len(matching.partner), matching.n_units_b
        if (matching.a, matching.b, *shape) != (pair.a, pair.b, *pair.cov_ab.shape):
            raise MismatchError(
                f"Cannot fit images of partners of '{matching.a}' in '{matching.b}' ({shape[0]} and {shape[1]} "
                f"units) on '{pair.a}' with '{pair.b}' ({pair.cov_ab.shape[0]} and {pair.cov_ab.shape[1]}). "
                "Give moments of the same layers."
            )
        weights, rows = np.zeros(shape), np.arange(shape[0])
        fits = (matching.partner >= 0) & pair.alive_a & pair.alive_b[matching.partner]
        row, partner = rows[fits], matching.partner[fits]
        weights[row, partner] = pair.cov_ab[row, partner] / pair.std_b[partner] ** 2
        return cls._about(pair.a, pair.b, weights, pair.mean_a, pair.mean_b)

    @classmethod
    def from_map(cls, found: SparseMap, *, penalty: float | int | None = None) -> "AffineMap":
        """Each unit of a from the units of b that a sparse or ridge map uses.

        Args:
            found: predicts the layer that is made, its `b`, from the other, its `a`: `sparse_map(pair.swapped)` of
                a pair of a and b.
            penalty: which of its penalties; may be left out where there is one alone.

        Raises:
            InvalidArgumentError: if the map has no such penalty.
        """
        at = np.flatnonzero(np.isclose(found.penalties, np.nan if penalty is None else penalty, rtol=1e-6, atol=0))
        if penalty is None and len(found.penalties) == 1:
            at = np.zeros(1, dtype=np.int64)
        if len(at) != 1:
            raise InvalidArgumentError(
                f"Cannot choose penalty {penalty} of the map from '{found.a}' to '{found.b}'. It has "
                f"{', '.join(f'{one:.4g}' for one in found.penalties)}. Give one of these."
            )
        pair = found.fitted_on
        scale = pair.std_b[:, None] / np.where(found.alive_a, pair.std_a, 1)
        weights = np.where(found.alive_b[:, None], found.weights[at[0]] * np.nan_to_num(scale), 0)
        return cls._about(found.b, found.a, weights, pair.mean_b, pair.mean_a)

    @classmethod
    def identity(cls, layer: str, *, n_units: int) -> "AffineMap":
        """Each unit from itself.

        Args:
            layer: name of both layers.
            n_units: of each.
        """
        return cls(layer, layer, np.eye(n_units), np.zeros(n_units), np.zeros(n_units))

    def means_only(self) -> "AffineMap":
        """The map that makes each unit its mean, whatever b does."""
        return replace(self, weights=frozen(np.zeros_like(self.weights)), bias=self.means)

    def of(
        self, values: Shaped[Tensor, "inputs units_b locations"], units: Int64[Array, " k"]
    ) -> Float64[Tensor, "inputs k locations"]:
        """Images of b's values.

        Args:
            values: of all units of b.
            units: of a, that are wanted.
        """
        weights, bias = (torch.from_numpy(part[units]).to(values.device) for part in (self.weights, self.bias))
        return torch.einsum("kj,njl->nkl", weights, values.double()) + bias[:, None]

    @classmethod
    def _about(cls, a: str, b: str, weights: Array, mean_a: Array, mean_b: Array) -> "AffineMap":
        means = np.nan_to_num(mean_a)
        return cls(a, b, frozen(weights), frozen(means - weights @ np.nan_to_num(mean_b)), frozen(means))
