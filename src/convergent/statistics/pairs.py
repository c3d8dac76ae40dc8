"""`PairMoments`: the joint moments of the units of two layers, which every moment-based measure takes."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import bfloat16

from .._typing import Array, Bool, Float64, Tensor
from ..errors import InvalidArgumentError, MismatchError, NonFiniteError

# A unit computed in float32 is constant where its standard deviation is within a few roundings of its mean.
DEAD_RATIO = 1e-6
DEAD_RATIO_FLOAT64 = 1e-15
# Powers of two within which squares of float64 neither overflow nor vanish.
_PLAIN_POWERS = 400


class NormProducts(NamedTuple):
    """Means over the samples of products of k = |x - mean|^2 and l = |y - mean|^2: what debiased HSIC needs.

    Attributes:
        aa: of k k.
        bb: of l l.
        ab: of k l.
    """

    aa: float
    bb: float
    ab: float


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Means and covariances of the units of layers a and b over the same samples.

    Attributes:
        a: name of the first layer (rows), `net/layer`.
        b: name of the second layer (columns).
        n_inputs: how many inputs; None where only matrices were given.
        n_samples: how many samples (inputs x locations); None likewise.
        mean_a: (units_a,) float64.
        mean_b: (units_b,).
        cov_aa: within a, (units_a, units_a), divided by n_samples.
        cov_bb: within b.
        cov_ab: between a and b, (units_a, units_b).
        floor_a: per unit, the standard deviation that rounding alone can make, where it is known; a unit that has
            no more is dead. By default a millionth of its mean, the rounding of float32 activations.
        floor_b: likewise.
        norms: of the squared norms of centred samples, where they were kept; debiased measures need them.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> pair = PairMoments.from_samples(x, x[:, ::-1])
        >>> bool(np.allclose(pair.cov_ab, pair.cov_aa[:, ::-1]))
        True
    """

    a: str
    b: str
    n_inputs: int | None
    n_samples: int | None
    mean_a: Float64[Array, " units_a"]
    mean_b: Float64[Array, " units_b"]
    cov_aa: Float64[Array, "units_a units_a"]
    cov_bb: Float64[Array, "units_b units_b"]
    cov_ab: Float64[Array, "units_a units_b"]
    floor_a: Float64[Array, " units_a"] | None = None
    floor_b: Float64[Array, " units_b"] | None = None
    norms: NormProducts | None = None

    @property
    def std_a(self) -> Float64[Array, " units_a"]:
        """Standard deviation of each unit of a."""
        return np.sqrt(np.maximum(np.diagonal(self.cov_aa), 0))

    @property
    def std_b(self) -> Float64[Array, " units_b"]:
        """Standard deviation of each unit of b."""
        return np.sqrt(np.maximum(np.diagonal(self.cov_bb), 0))

    @property
    def alive_a(self) -> Bool[Array, " units_a"]:
        """False where a unit of a is dead: it varies no more than rounding does, or there is but one sample."""
        return alive(self.std_a, self.mean_a, self.floor_a, n_samples=self.n_samples)

    @property
    def alive_b(self) -> Bool[Array, " units_b"]:
        """False where a unit of b is dead."""
        return alive(self.std_b, self.mean_b, self.floor_b, n_samples=self.n_samples)

    @property
    def swapped(self) -> "PairMoments":
        """The same pair seen from b."""
        return PairMoments(
            self.b,
            self.a,
            self.n_inputs,
            self.n_samples,
            self.mean_b,
            self.mean_a,
            self.cov_bb,
            self.cov_aa,
            self.cov_ab.T,
            self.floor_b,
            self.floor_a,
            None if self.norms is None else NormProducts(self.norms.bb, self.norms.aa, self.norms.ab),
        )

    def of_units(self, a: ArrayLike, b: ArrayLike) -> "PairMoments":
        """The same moments of some units of each side, in this order; norms, which are of all units, are left out.

        Args:
            a: indices of units of a, or one truth a unit.
            b: likewise of b.
        """
        a, b = np.asarray(a), np.asarray(b)
        return replace(
            self,
            mean_a=self.mean_a[a],
            mean_b=self.mean_b[b],
            cov_aa=self.cov_aa[a][:, a],
            cov_bb=self.cov_bb[b][:, b],
            cov_ab=self.cov_ab[a][:, b],
            floor_a=None if self.floor_a is None else self.floor_a[a],
            floor_b=None if self.floor_b is None else self.floor_b[b],
            norms=None,
        )

    @classmethod
    def from_samples(
        cls, x: ArrayLike | Tensor, y: ArrayLike | Tensor, *, a: str = "a", b: str = "b"
    ) -> "PairMoments":
        """From activations already at hand, in float64, two passes.

        A unit whose values go beyond 2**400, or stay below 2**-400, is measured in a power of two, so that its
        variance is a number; correlations do not change by that. A unit given in float32 or less is dead where its
        standard deviation is at most a millionth of its mean, one in float64 where it is at most 1e-15 of it.

        Args:
            x: samples x units_a; NumPy array, torch tensor of any dtype on any device, or nested lists.
            y: samples x units_b; row i is the same sample as row i of `x`.
            a: name for the first side.
            b: name for the second side.

        Raises:
            InvalidArgumentError: if either is not a matrix of real numbers, or there are fewer than two samples.
            MismatchError: if they have different numbers of rows.
            NonFiniteError: if a value is infinite or not a number.

        Cost: 2 n (units_a + units_b)^2 floating-point operations.
        """
        left, right = Centred.of(x, a), Centred.of(y, b)
        n = len(left.deviations)
        if n != len(right.deviations):
            raise MismatchError(
                f"Cannot pair '{a}' with '{b}': one row must be one sample of both. "
                f"Found {n} and {len(right.deviations)} rows. Give the same inputs to both."
            )
        if n < 2:
            raise InvalidArgumentError(
                f"Asked to compare '{a}' with '{b}' over samples. Found {n}. Give at least two."
            )
        x, y = left.deviations, right.deviations
        within_a, within_b, between = x.T @ x / n, y.T @ y / n, x.T @ y / n
        k, l = ((deviations**2).sum(axis=1) for deviations in (x, y))  # noqa: E741  (the literature's letters)
        norms = NormProducts(float(k @ k / n), float(l @ l / n), float(k @ l / n))
        means, floors = (left.mean, right.mean), (left.floor, right.floor)
        return cls(a, b, n, n, *means, within_a, within_b, between, *floors, norms)

    @classmethod
    def from_correlation(
        cls,
        within_a: ArrayLike | Tensor,
        within_b: ArrayLike | Tensor,
        between: ArrayLike | Tensor,
        *,
        a: str = "a",
        b: str = "b",
    ) -> "PairMoments":
        """From correlation matrices, published ones for instance; units get mean 0 and variance 1.

        A unit whose diagonal entry is 0 or NaN is dead.

        Args:
            within_a: units_a x units_a, with ones on the diagonal.
            within_b: units_b x units_b.
            between: units_a x units_b.
            a: name for the first side.
            b: name for the second side.

        Raises:
            InvalidArgumentError: if the shapes do not fit each other, or a value is not a correlation.
        """
        aa, bb, ab = (as_float64(matrix, "a correlation matrix") for matrix in (within_a, within_b, between))
        if ab.ndim != 2 or aa.shape != (ab.shape[0],) * 2 or bb.shape != (ab.shape[1],) * 2:
            raise InvalidArgumentError(
                "Correlations of a and b are units_a x units_a, units_b x units_b and units_a x units_b. "
                f"Found {aa.shape}, {bb.shape} and {ab.shape}. Give three matrices that fit."
            )
        for name, matrix in (("within_a", aa), ("within_b", bb), ("between", ab)):
            _check_correlations(name, matrix)
        for name, matrix in (("within_a", aa), ("within_b", bb)):
            _check_diagonal(name, matrix)
        _check_known(aa, bb, ab)
        return cls(a, b, None, None, np.zeros(len(aa)), np.zeros(len(bb)), aa, bb, ab)


@dataclass(frozen=True, eq=False)
class Centred:
    """Samples about their mean, with the standard deviation that rounding alone can make of each unit."""

    mean: Float64[Array, " units"]
    deviations: Float64[Array, "samples units"]
    floor: Float64[Array, " units"]

    @classmethod
    def of(cls, values: ArrayLike | Tensor, name: str) -> "Centred":
        """Each unit in the power of two in which its squares fit, which is 1 for all but the most extreme."""
        given = _numbers(values, f"samples of '{name}'")
        samples = as_samples(given, name)
        powers = np.frexp(np.abs(samples).max(axis=0, initial=0))[1]
        samples = np.ldexp(samples, np.where(np.abs(powers) > _PLAIN_POWERS, -powers, 0))
        mean = samples.mean(axis=0) if len(samples) else np.zeros(samples.shape[1])
        samples -= mean
        rest = samples.mean(axis=0) if len(samples) else 0.0  # what rounding left in the mean
        ratio = DEAD_RATIO if is_narrow(given) else DEAD_RATIO_FLOAT64
        return cls(mean + rest, samples - rest, ratio * np.abs(mean))


def alive(
    std: Float64[Array, " units"],
    mean: Float64[Array, " units"],
    floor: Float64[Array, " units"] | None,
    *,
    n_samples: int | None,
) -> Bool[Array, " units"]:
    """Where a unit varies more than rounding does.

    Args:
        std: of each unit.
        mean: of each unit.
        floor: what rounding alone can make of the std; a millionth of the mean where not known.
        n_samples: how many samples there are, if that is known; one alone says nothing of how a unit varies.
    """
    if n_samples is not None and n_samples < 2:
        return np.zeros(len(std), dtype=bool)
    return std > (DEAD_RATIO * np.abs(mean) if floor is None else floor)


def is_narrow(values: ArrayLike | Tensor) -> bool:
    """Whether numbers are floats of less than 64 bits, which rounding makes vary by a millionth of their mean.

    Args:
        values: as `from_samples` takes them.
    """
    dtype = _numbers(values, "samples").dtype
    return dtype.kind == "f" and dtype.itemsize < 8


def _numbers(values: ArrayLike | Tensor, what: str) -> Array:
    """An array of real numbers in the precision they came in, NaN and infinity included."""
    try:
        if isinstance(values, Tensor):
            whole = values.detach().cpu().resolve_conj()
            array = (whole.float() if whole.dtype == bfloat16 else whole).numpy()
        else:
            array = np.asarray(values)
        found = f"numbers of type {array.dtype}"
    except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths, for instance
        array, found = None, f"what NumPy cannot read ({error})"
    if array is None or array.dtype.kind not in "biuf":
        raise InvalidArgumentError(
            f"Cannot use {what}. Found {found}, where real numbers in equal rows are needed. "
            "Give a matrix of floats; take the absolute value or both parts of complex numbers."
        )
    return array


def as_float64(values: ArrayLike | Tensor, what: str) -> Array:
    """A copy that is the caller's no longer."""
    return np.array(_numbers(values, what), np.float64)


def as_samples(values: ArrayLike | Tensor, name: str) -> Array:
    """A float64 copy of samples x units, all finite."""
    samples = as_float64(values, f"samples of '{name}'")
    if samples.ndim != 2 or samples.shape[1] == 0:
        raise InvalidArgumentError(
            f"Samples of '{name}' are a matrix, samples x units. Found shape {samples.shape}. "
            "Flatten or average other axes first."
        )
    finite = np.isfinite(samples)
    if not finite.all():
        row, unit = np.argwhere(~finite)[0]
        raise NonFiniteError(
            f"Samples of '{name}' must be finite. Found {samples[row, unit]} at sample {row}, unit {unit}. "
            "Remove such samples or mend the net."
        )
    return samples


def _check_correlations(name: str, matrix: Array) -> None:
    largest = np.max(np.abs(matrix), initial=0, where=~np.isnan(matrix))
    if largest > 1 + 1e-6:
        raise InvalidArgumentError(
            f"Correlations lie between -1 and 1. Found {largest:.6g} in {name}. "
            "Give correlations, or build the pair with PairMoments.from_samples."
        )


def _check_diagonal(name: str, matrix: Array) -> None:
    diagonal = np.diagonal(matrix)
    fits = np.isnan(diagonal) | (diagonal == 0) | (np.abs(diagonal - 1) < 1e-6)
    if not fits.all():
        unit = int(np.argmin(fits))
        raise InvalidArgumentError(
            f"A unit's correlation with itself is 1 (0 or NaN where it is dead). "
            f"Found {diagonal[unit]:.6g} for unit {unit} of {name}. Give the within-net correlation matrix."
        )


def _check_known(aa: Array, bb: Array, ab: Array) -> None:
    """NaN between two units says that one of them is dead, and then its own diagonal says so too."""
    alive = [np.nan_to_num(np.diagonal(matrix)) > 0 for matrix in (aa, bb)]
    unknown = np.argwhere(np.isnan(ab) & np.outer(*alive))
    if len(unknown):
        i, j = unknown[0]
        raise InvalidArgumentError(
            f"Units whose correlation is NaN are dead. Found NaN between unit {i} of a and unit {j} of b, "
            "and 1 on both their diagonals. Put NaN on the diagonal of the dead one."
        )
