"""Groups of units from the bottom up: the units of two nets merged by the weights of a map between them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from .._typing import Array, Float64, Int64
from ..errors import InvalidArgumentError
from ..results import frozen
from .sparse_map import SparseMap


@dataclass(frozen=True, eq=False)
class Agglomeration:
    """The tree of merges of the units of a and b, from the most similar two to all.

    A leaf is a living unit; dead ones are left out. Set number i is leaf i for i < leaves, and else the outcome of
    merge i - leaves.

    Attributes:
        a: name of the layer that predicts.
        b: name of the layer that is predicted.
        matrix: (leaves, leaves), what was agglomerated: the units of a, then those of b.
        sides: per leaf, 0 where it is of a, 1 where it is of b.
        units: per leaf, its index in its layer.
        joined: (merges, 2), the two sets that each merge joins.
        heights: per merge, mean similarity of the pairs it brings together, descending.
        with_within: whether the matrix holds the correlations within the nets; else these are 0.
    """

    a: str
    b: str
    matrix: Float64[Array, "leaves leaves"]
    sides: Int64[Array, " leaves"]
    units: Int64[Array, " leaves"]
    joined: Int64[Array, "merges 2"]
    heights: Float64[Array, " merges"]
    with_within: bool

    @property
    def n_units(self) -> Int64[Array, "merges 2"]:
        """How many units of a and of b each merge has brought together."""
        n_leaves = len(self.sides)
        counts = np.zeros((n_leaves + len(self.joined), 2), dtype=np.int64)
        counts[np.arange(n_leaves), self.sides] = 1
        for merge, (left, right) in enumerate(self.joined):
            counts[n_leaves + merge] = counts[left] + counts[right]
        return counts[n_leaves:]

    @property
    def linkage(self) -> Float64[Array, "merges 4"]:
        """The tree in SciPy's form, as `scipy.cluster.hierarchy` draws and cuts it; distance = 1 - similarity.

        Where a similarity is above 1, distance = largest similarity - similarity.
        """
        distance = max(1.0, self.heights.max()) - self.heights
        return np.column_stack([self.joined.astype(np.float64), distance, self.n_units.sum(axis=1)])

    @property
    def order(self) -> Int64[Array, " leaves"]:
        """The leaves in the order of the tree."""
        return np.asarray(leaves_list(self.linkage), dtype=np.int64)

    @property
    def n_leaf_merges(self) -> int:
        """How many merges join two single units that are similar at all (height above 0)."""
        return int(self._of_leaves.sum())

    @property
    def n_cross_leaf_merges(self) -> int:
        """How many of these join a unit of a with a unit of b.

        Without the correlations within the nets it is all of them, by construction.
        """
        return int((self.n_units[self._of_leaves] == 1).all(axis=1).sum())

    @property
    def _of_leaves(self) -> Array:
        """Joins two single units; at a height of 0 which ones is arbitrary, and does not count."""
        return np.logical_and((self.joined < len(self.sides)).all(axis=1), self.heights > 0)

    def n_above(self, height: float) -> int:
        """How many merges are of sets more similar than this.

        Args:
            height: a mean similarity.
        """
        return int((self.heights > height).sum())

    def members(self, merge: int) -> Int64[Array, " members"]:
        """The leaves that a merge has brought together, in the order of the tree.

        Args:
            merge: its number, from 0, the first.
        """
        waiting, leaves = [len(self.sides) + merge], []
        while waiting:
            one = waiting.pop()
            if one < len(self.sides):
                leaves.append(one)
            else:
                waiting += self.joined[one - len(self.sides)][::-1].tolist()
        return np.array(leaves, dtype=np.int64)

    def permuted(self) -> Float64[Array, "leaves leaves"]:
        """The matrix with its rows and columns in the order of the tree."""
        return self.matrix[np.ix_(self.order, self.order)]

    def shuffled(self, seed: int) -> "Agglomeration":
        """The same from a map whose weights stand at random: what merges look like by chance.

        The weights of each predicted unit are shuffled among the predicting ones. So each unit of b keeps its
        number of contributors and their weights; what is lost is which units of b share their contributors.

        Args:
            seed: of the shuffle.
        """
        of_a, of_b = (np.flatnonzero(self.sides == side) for side in (0, 1))
        matrix = self.matrix.copy()
        weights = np.random.default_rng(seed).permuted(matrix[np.ix_(of_b, of_a)], axis=1)
        matrix[np.ix_(of_b, of_a)], matrix[np.ix_(of_a, of_b)] = weights, weights.T
        joined, heights = _agglomerate(matrix)
        return replace(self, matrix=frozen(matrix), joined=joined, heights=heights)

    def table(self) -> pd.DataFrame:
        """One row a merge: the two sets, height, units of a and b in it, whether it is of two similar units."""
        n_units = self.n_units
        return pd.DataFrame(
            {
                "merge": np.arange(len(self.joined)),
                "left": self.joined[:, 0],
                "right": self.joined[:, 1],
                "height": self.heights,
                "n_units_a": n_units[:, 0],
                "n_units_b": n_units[:, 1],
                "of_two_units": self._of_leaves,
            }
        )

    def leaf_table(self) -> pd.DataFrame:
        """One row a leaf: its layer, its unit, its place in the order of the tree."""
        return pd.DataFrame(
            {
                "leaf": np.arange(len(self.sides)),
                "layer": np.where(self.sides == 0, self.a, self.b),
                "unit": self.units,
                "place": np.argsort(self.order),
            }
        )


def agglomerate_map(
    weights: SparseMap | ArrayLike,
    *,
    penalty: float | None = None,
    within_a: ArrayLike | None = None,
    within_b: ArrayLike | None = None,
    a: str = "a",
    b: str = "b",
) -> Agglomeration:
    """Merge the units of two nets from the bottom up, by average linkage on the weights of a map between them.

    B = [[I, W'], [W, I]], units of a first; the two sets with the largest mean of B over their pairs are merged,
    again and again. With I in the diagonal blocks, units of one net are never similar, so that the first merges
    join the nets whatever the data: pairing across nets is evidence only with `within_a` and `within_b`.

    Args:
        weights: a `SparseMap`, or its weights at one penalty, units_b x units_a; rows or columns of NaN are dead
            units.
        penalty: which of the penalties of a `SparseMap`; may be left out where there is only one.
        within_a: correlations within a, in place of I; NaN for dead units.
        within_b: likewise within b. Weights of a penalised map are smaller than correlations, so the comparison
            favours merges within nets; give the correlations between the nets as `weights` for an equal one.
        a: name of the layer that predicts, where `weights` is an array.
        b: name of the layer that is predicted.

    Returns:
        All merges with their heights, in units of the weights.

    Raises:
        InvalidArgumentError: if shapes do not fit, a value is not finite, the penalty is not one of the map, or
            there are fewer than two living units.

    Invariant to: scaling by positive numbers and shifting of single units (yes, as the weights are on standardised
        units); permutation of units, up to the numbers of leaves and ties (yes); exchange of a and b with W
        transposed (yes); rotation of units (no).

    Cost: O(units^2); 50 ms for two layers of 384 units, on one core.

    Reference: Li et al. 2016, section 4 and Figure 7.

    Example:
        >>> tree = agglomerate_map([[0.9, 0.2], [0.1, 0.5]])
        >>> tree.joined.tolist(), tree.heights.round(3).tolist()
        ([[0, 2], [1, 3], [4, 5]], [0.9, 0.5, 0.075])
    """
    if isinstance(weights, SparseMap):
        a, b, matrix = weights.a, weights.b, _at_penalty(weights, penalty)
    else:
        matrix = np.array(weights, dtype=np.float64)
        _check_shapes(matrix, penalty)
    blocks = _within(within_a, within_b, matrix.shape)
    whole = np.block([[blocks[0], matrix.T], [matrix, blocks[1]]])
    alive = ~np.isnan(np.diagonal(whole)) & (np.diagonal(whole) != 0)
    n_b, n_a = matrix.shape
    alive &= np.concatenate([~np.isnan(matrix).all(axis=0), ~np.isnan(matrix).all(axis=1)])
    living = whole[np.ix_(alive, alive)]
    _check_living(living)
    joined, heights = _agglomerate(living)
    return Agglomeration(
        a=a,
        b=b,
        matrix=frozen(living),
        sides=frozen(np.repeat([0, 1], [n_a, n_b])[alive]),
        units=frozen(np.concatenate([np.arange(n_a), np.arange(n_b)])[alive]),
        joined=joined,
        heights=heights,
        with_within=within_a is not None,
    )


def _agglomerate(matrix: Array) -> tuple[Array, Array]:
    """Merges and their heights; average linkage on distances that are positive, then turned back."""
    above = max(1.0, float(matrix.max()))
    distances = above - matrix
    np.fill_diagonal(distances, 0)
    merges = linkage(squareform(distances, checks=False), "average")
    return frozen(merges[:, :2].astype(np.int64)), frozen(above - merges[:, 2])


def _at_penalty(found: SparseMap, penalty: float | None) -> Array:
    """Weights at one penalty, NaN for dead units."""
    at = np.flatnonzero(np.isclose(found.penalties, found.penalties[0] if penalty is None else penalty, atol=0))
    if len(at) == 0 or (penalty is None and len(found.penalties) > 1):
        known = ", ".join(f"{value:.4g}" for value in found.penalties)
        asked = "no penalty" if penalty is None else f"penalty {penalty:.6g}"
        raise InvalidArgumentError(
            f"A map is agglomerated at one of its penalties. Found {asked} asked for, of {known}. "
            "Give one of these."
        )
    weights = np.where(found.alive_b[:, None], found.weights[at[0]], np.nan)
    return np.where(found.alive_a, weights, np.nan)


def _within(within_a: ArrayLike | None, within_b: ArrayLike | None, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The diagonal blocks."""
    n_b, n_a = shape
    if within_a is None and within_b is None:
        return np.eye(n_a), np.eye(n_b)
    if within_a is None or within_b is None:
        raise InvalidArgumentError(
            "Correlations within the nets are given for both or neither. Found only one of within_a and within_b. "
            "Give both."
        )
    blocks = np.array(within_a, dtype=np.float64), np.array(within_b, dtype=np.float64)
    if (blocks[0].shape, blocks[1].shape) != ((n_a, n_a), (n_b, n_b)):
        raise InvalidArgumentError(
            f"Correlations within the nets fit weights of {n_b} x {n_a} (units_b x units_a). Found shapes "
            f"{blocks[0].shape} within a and {blocks[1].shape} within b. Give ({n_a}, {n_a}) and ({n_b}, {n_b})."
        )
    return blocks


def _check_shapes(matrix: Array, penalty: float | None) -> None:
    if matrix.ndim != 2:
        raise InvalidArgumentError(
            f"The weights of a map are units_b x units_a. Found shape {matrix.shape}. Give those at one penalty."
        )
    if penalty is not None:
        raise InvalidArgumentError(
            f"A penalty chooses among those of a SparseMap. Found penalty={penalty:.6g} with an array of weights. "
            "Leave it out."
        )


def _check_living(living: Array) -> None:
    if len(living) < 2:
        raise InvalidArgumentError(
            f"Merges are of two units or more. Found {len(living)} that are alive. Give more units."
        )
    if not np.isfinite(living).all():
        i, j = np.argwhere(~np.isfinite(living))[0]
        raise InvalidArgumentError(
            f"Weights and correlations of living units are finite. Found {living[i, j]} between living units {i} "
            f"and {j}, counted through a and then b. Put NaN in the whole row or column of dead units."
        )
