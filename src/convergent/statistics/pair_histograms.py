"""`PairHistograms`: the joint histograms of the units of two layers, which mutual information takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._typing import Array, Int64, Tensor
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from .edges import UnitEdges, check_n_bins, equal_mass_edges, padded, unit_edges
from .pairs import as_samples
from .thermometer import BLOCK, WORD, coder, cuts_for, histograms_of

_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class PairHistograms:
    """How often the units of layers a and b fall into each pair of bins, over the same samples.

    Attributes:
        a: name of the first layer (rows), `net/layer`.
        b: name of the second layer (columns).
        units_a: which units of a, (units_a,).
        units_b: likewise of b.
        edges_a: inner edges of each unit of a; m edges make m + 1 bins, closed on the right, the outermost open.
        edges_b: likewise of b.
        counts: exact; bins that a unit does not have are empty.
        n_inputs: how many inputs.
        n_samples: how many samples (inputs x locations).

    Example:
        >>> x = np.array([[0.0], [0.0], [1.0], [2.0]])
        >>> PairHistograms.from_samples(x, x, bins=[[0.5, 1.5]]).counts[0, 0].tolist()
        [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    """

    a: str
    b: str
    units_a: Int64[Array, " units_a"]
    units_b: Int64[Array, " units_b"]
    edges_a: UnitEdges
    edges_b: UnitEdges
    counts: Int64[Array, "units_a units_b bins_a bins_b"]
    n_inputs: int
    n_samples: int

    @property
    def swapped(self) -> "PairHistograms":
        """The same pair seen from b."""
        return PairHistograms(
            self.b,
            self.a,
            self.units_b,
            self.units_a,
            self.edges_b,
            self.edges_a,
            self.counts.transpose(1, 0, 3, 2),
            self.n_inputs,
            self.n_samples,
        )

    @property
    def marginal_a(self) -> Int64[Array, "units_a bins_a"]:
        """How often each unit of a falls into each of its bins."""
        return self.counts[:, 0].sum(axis=-1)

    @property
    def marginal_b(self) -> Int64[Array, "units_b bins_b"]:
        """How often each unit of b falls into each of its bins."""
        return self.counts[0].sum(axis=-2)

    @classmethod
    def from_samples(
        cls,
        x: ArrayLike | Tensor,
        y: ArrayLike | Tensor,
        *,
        bins: int | np.integer | Sequence[Any] | Array = 10,
        a: str = "a",
        b: str = "b",
    ) -> "PairHistograms":
        """From activations already at hand.

        Args:
            x: samples x units_a; NumPy array, torch tensor of any dtype on any device, or nested lists.
            y: samples x units_b; row i is the same sample as row i of `x`.
            bins: how many bins a unit gets: one for zero (where a unit has zeros and no negative values) and the
                rest of equal mass; or the inner edges themselves, one list for all units of both sides, or one
                list per unit where both sides have equally many units.
            a: name for the first side.
            b: name for the second side.

        Raises:
            InvalidArgumentError: if either is not two-dimensional, there are fewer than two samples or bins, or
                edges are not finite and increasing.
            MismatchError: if they have different numbers of rows, or edges are given for other numbers of units.
            NonFiniteError: if a value is infinite or not a number.

        Cost: n units_a units_b (bins - 1)^2 bit operations, 64 or more at once; quantiles of every unit.
        """
        left, right = as_samples(x, a), as_samples(y, b)
        n = len(left)
        if n != len(right):
            raise MismatchError(
                f"Cannot pair '{a}' with '{b}': one row must be one sample of both. "
                f"Found {n} and {len(right)} rows. Give the same inputs to both."
            )
        if n < 2:
            raise InvalidArgumentError(
                f"Asked to compare '{a}' with '{b}' over samples. Found {n}. Give at least two."
            )
        edges_a, edges_b = (_edges(samples, bins, name) for samples, name in ((left, a), (right, b)))
        counts = _count(left, right, edges_a, edges_b)
        units_a, units_b = (np.arange(len(edges), dtype=np.int64) for edges in (edges_a, edges_b))
        return cls(a, b, units_a, units_b, edges_a, edges_b, counts, n, n)


def _edges(samples: Array, bins: int | np.integer | Sequence[Any] | Array, name: str) -> UnitEdges:
    if not isinstance(bins, Sequence | np.ndarray):
        check_n_bins(bins)
        return tuple(equal_mass_edges(unit, int(bins)) for unit in samples.T)
    return unit_edges(bins, samples.shape[1], name)


def _count(left: Array, right: Array, edges_a: UnitEdges, edges_b: UnitEdges) -> Array:
    cuts = [padded(edges, multiple=BLOCK) for edges in (edges_a, edges_b)]
    coded = [coder("auto", cuts_for(matrix, torch.float64), _CHUNK) for matrix in cuts]
    counts = torch.zeros(cuts[0].size + 1, cuts[1].size + 1, dtype=torch.int64)
    for first in range(0, len(left), _CHUNK):
        for code, samples in zip(coded, (left, right), strict=True):
            code.fill(*_chunk(samples[first : first + _CHUNK]))
        coded[0].add_joint(coded[1], counts)  # type: ignore[arg-type]
    n_bins_a, n_bins_b = (np.array([len(one) + 1 for one in edges]) for edges in (edges_a, edges_b))
    return frozen(histograms_of(counts.numpy(), n_bins_a, n_bins_b))


def _chunk(samples: Array) -> tuple[Tensor, int]:
    """Units x samples, filled up to whole words, and how many samples are real."""
    n = len(samples)
    columns = np.full((samples.shape[1], -(-n // WORD) * WORD), -np.inf)
    columns[:, :n] = samples.T
    return torch.from_numpy(columns), n
