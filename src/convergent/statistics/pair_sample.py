"""`PairSample`: two layers on the same samples, value by value; for measures that moments cannot give."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Array, Float64, Int64, Tensor
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from .pairs import as_samples


@dataclass(frozen=True, eq=False)
class PairSample:
    """The values of layers a and b on the same samples: what kernel and neighbourhood measures take.

    Attributes:
        a: name of the first layer.
        b: name of the second layer.
        x: samples x features of a, float64.
        y: samples x features of b; row i is the same sample as row i of `x`.
        input_of: (samples,), position of the input that each sample comes from; inputs are what is resampled.
        convention: "inputs x features" (a sample is an input; its map is flattened) or "locations x units" (a
            sample is a location of an input).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> PairSample.from_samples(x, x[:, :2]).n_inputs
        20
    """

    a: str
    b: str
    x: Float64[Array, "samples features_a"]
    y: Float64[Array, "samples features_b"]
    input_of: Int64[Array, " samples"]
    convention: str = "inputs x features"

    @property
    def n_samples(self) -> int:
        """How many samples."""
        return len(self.x)

    @property
    def n_inputs(self) -> int:
        """How many inputs they come from."""
        return len(np.unique(self.input_of))

    @property
    def swapped(self) -> "PairSample":
        """The same pair seen from b."""
        return PairSample(self.b, self.a, self.y, self.x, self.input_of, self.convention)

    @classmethod
    def from_samples(
        cls,
        x: ArrayLike | Tensor,
        y: ArrayLike | Tensor,
        *,
        input_of: ArrayLike | None = None,
        a: str = "a",
        b: str = "b",
    ) -> "PairSample":
        """From activations already at hand.

        Args:
            x: samples x features of a; NumPy array, torch tensor of any dtype on any device, or nested lists.
            y: samples x features of b; row i is the same sample as row i of `x`.
            input_of: which input each sample comes from, any whole numbers; each is its own input where not given.
            a: name for the first side.
            b: name for the second side.

        Raises:
            InvalidArgumentError: if either is not a matrix of real numbers, inputs are not numbered by whole
                numbers, or there are fewer than two samples.
            MismatchError: if they have different numbers of rows.
            NonFiniteError: if a value is infinite or not a number.
        """
        left, right = as_samples(x, a), as_samples(y, b)
        owners = np.arange(len(left)) if input_of is None else np.asarray(input_of)
        if owners.ndim != 1 or owners.dtype.kind not in "iu":
            raise InvalidArgumentError(
                f"Inputs of '{a}' with '{b}' are numbered, one whole number a sample. Found shape {owners.shape} "
                f"of type {owners.dtype}. Number them: np.unique(names, return_inverse=True)[1]."
            )
        if not len(left) == len(right) == len(owners):
            raise MismatchError(
                f"Cannot pair '{a}' with '{b}': one row must be one sample of both. "
                f"Found {len(left)} and {len(right)} rows, of {len(owners)} inputs. Give the same samples to both."
            )
        if len(left) < 2:
            raise InvalidArgumentError(
                f"Asked to compare '{a}' with '{b}' over samples. Found {len(left)}. Give at least two."
            )
        position = np.unique(owners, return_inverse=True)[1].astype(np.int64)
        convention = "inputs x features" if input_of is None else "locations x units"
        return cls(a, b, frozen(left), frozen(right), frozen(position), convention)
