"""`JointMoments`: the joint moments of the units of any number of layers, for measures of groups of units."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Array, Bool, Float64, Int64, Tensor
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..results import frozen
from .pairs import Centred, PairMoments, alive, as_float64


@dataclass(frozen=True, eq=False)
class JointMoments:
    """Mean and covariance of the units of several layers over the same samples, one layer after another.

    Attributes:
        names: the layers, `net/layer`, each once.
        sizes: how many units each of them has.
        mean: (units,) float64, over the concatenated units.
        cov: (units, units), divided by n_samples.
        n_inputs: how many inputs; None where only matrices were given.
        n_samples: how many samples (inputs x locations); None likewise.
        floor: per unit, the standard deviation that rounding alone can make, where it is known; see `PairMoments`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> joint = JointMoments.from_samples({"a": x, "b": x[:, :2], "c": -x})
        >>> joint.slices["b"], joint.correlation()[0, [3, 5]].round(6).tolist()
        (slice(3, 5, None), [1.0, -1.0])
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    mean: Float64[Array, " units"]
    cov: Float64[Array, "units units"]
    n_inputs: int | None = None
    n_samples: int | None = None
    floor: Float64[Array, " units"] | None = None

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names) or len(self.names) != len(self.sizes):
            raise InvalidArgumentError(
                f"Joint moments are of layers of different names. Found {list(self.names)} with "
                f"{list(self.sizes)} units. Name each layer once, and at least one."
            )
        if sum(self.sizes) != len(self.mean):
            raise InvalidArgumentError(
                f"Joint moments cover the units of all layers. Found {sum(self.sizes)} units in {len(self.sizes)} "
                f"layers and moments of {len(self.mean)}. Give sizes that add up."
            )

    @property
    def slices(self) -> dict[str, slice]:
        """Where the units of each layer stand among all units."""
        edges = pairwise(accumulate(self.sizes, initial=0))
        return {name: slice(start, stop) for name, (start, stop) in zip(self.names, edges, strict=True)}

    @property
    def layer_of(self) -> Int64[Array, " units"]:
        """For each unit, the position of its layer in `names`."""
        return np.repeat(np.arange(len(self.names)), self.sizes)

    @property
    def std(self) -> Float64[Array, " units"]:
        """Standard deviation of each unit."""
        return np.sqrt(np.maximum(np.diagonal(self.cov), 0))

    @property
    def alive(self) -> Bool[Array, " units"]:
        """False where a unit is dead: it varies no more than rounding does, or there is but one sample."""
        return alive(self.std, self.mean, self.floor, n_samples=self.n_samples)

    def correlation(self) -> Float64[Array, "units units"]:
        """Correlations of all units with all, in [-1, 1]; NaN in the rows and columns of dead units."""
        scale = np.where(self.alive, self.std, np.nan)
        return frozen(np.clip(self.cov / np.outer(scale, scale), -1, 1))

    def pair(self, a: str, b: str) -> PairMoments:
        """The moments of two of the layers, or of one with itself: what measures of pairs take.

        Args:
            a: name of the layer whose units become rows.
            b: name of the layer whose units become columns.

        Raises:
            UnknownNameError: if a layer is not there.
        """
        for name in (a, b):
            if name not in self.names:
                raise UnknownNameError(
                    f"Asked for layer '{name}'. These joint moments have {len(self.names)} layers. "
                    f"{nearest(name, self.names)}"
                )
        x, y = self.slices[a], self.slices[b]
        means, cov = (self.mean[x], self.mean[y]), self.cov
        floors = (None, None) if self.floor is None else (self.floor[x], self.floor[y])
        return PairMoments(a, b, self.n_inputs, self.n_samples, *means, cov[x, x], cov[y, y], cov[x, y], *floors)

    @classmethod
    def from_samples(cls, samples: Mapping[str, ArrayLike | Tensor]) -> "JointMoments":
        """From activations already at hand, in float64, two passes.

        Args:
            samples: by name, samples x units; row i is the same sample in all of them.

        Raises:
            InvalidArgumentError: if there is no layer, one is not a matrix of real numbers, or there are not two
                samples.
            MismatchError: if they have different numbers of rows.
            NonFiniteError: if a value is infinite or not a number.

        Cost: n units^2 multiplications and additions.
        """
        arrays = {name: Centred.of(values, name) for name, values in samples.items()}
        n_rows = {name: len(values.deviations) for name, values in arrays.items()}
        if len(set(n_rows.values())) > 1:
            found = ", ".join(f"{n} of '{name}'" for name, n in n_rows.items())
            raise MismatchError(
                f"Cannot join {len(arrays)} layers: one row must be one sample of all. Found rows: {found}. "
                "Give the same inputs to all."
            )
        n = next(iter(n_rows.values()), 0)
        if n < 2:
            raise InvalidArgumentError(
                f"Asked to join {len(arrays)} layers over samples. Found {n} samples. "
                "Give at least one layer and two samples."
            )
        together = np.concatenate([values.deviations for values in arrays.values()], axis=1)
        mean, floor = (
            np.concatenate([getattr(values, name) for values in arrays.values()]) for name in ("mean", "floor")
        )
        sizes = tuple(len(values.mean) for values in arrays.values())
        return cls(tuple(arrays), sizes, mean, together.T @ together / n, n, n, floor)

    @classmethod
    def from_pair(cls, pair: PairMoments) -> "JointMoments":
        """From the moments of two layers.

        Args:
            pair: of two different layers.
        """
        floors = None if pair.floor_a is None or pair.floor_b is None else (pair.floor_a, pair.floor_b)
        return cls(
            (pair.a, pair.b),
            (len(pair.mean_a), len(pair.mean_b)),
            np.concatenate([pair.mean_a, pair.mean_b]),
            np.block([[pair.cov_aa, pair.cov_ab], [pair.cov_ab.T, pair.cov_bb]]),
            pair.n_inputs,
            pair.n_samples,
            None if floors is None else np.concatenate(floors),
        )

    @classmethod
    def from_correlation(cls, correlation: ArrayLike | Tensor, *, sizes: Mapping[str, int]) -> "JointMoments":
        """From a correlation matrix of all units with all; units get mean 0 and variance 1.

        A unit whose diagonal entry is 0 or NaN is dead.

        Args:
            correlation: units x units, symmetric, with ones on the diagonal.
            sizes: by name of layer, how many units it has, in the order of the matrix.

        Raises:
            InvalidArgumentError: if the matrix is not square or symmetric, a value is not a correlation, or the
                sizes do not add up.
        """
        matrix = as_float64(correlation, "a correlation matrix")
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
        if not square or not np.allclose(matrix, matrix.T, rtol=0, atol=1e-6, equal_nan=True):
            raise InvalidArgumentError(
                f"Correlations of all units with all are a symmetric matrix. Found shape {matrix.shape}, or "
                "entries that differ from their mirror images. Give both triangles."
            )
        PairMoments.from_correlation(matrix, matrix, matrix)  # each entry is checked there
        return cls(tuple(sizes), tuple(sizes.values()), np.zeros(len(matrix)), matrix)
