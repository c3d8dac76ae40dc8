"""What measures of inputs against inputs share: one sample is one input, and cosines leave out the zero ones."""

import numpy as np

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..statistics.pair_sample import PairSample


def check_one_per_input(sample: PairSample, *, asked: str) -> None:
    """Refuse several samples of one input: they are alike in any net, and no independent neighbours.

    Args:
        sample: the samples of two layers.
        asked: what for, in the error.

    Raises:
        InvalidArgumentError: if an input has more than one sample.
    """
    if sample.n_samples != sample.n_inputs:
        raise InvalidArgumentError(
            f"Asked for {asked} of '{sample.a}' with '{sample.b}', which compares inputs with inputs. Found "
            f"{sample.n_samples} samples of {sample.n_inputs} inputs. Flatten or average each input's locations."
        )


def check_samples_left(n: int, at_least: int, *, asked: str) -> None:
    """Refuse too few inputs.

    Args:
        n: how many there are whose values are defined.
        at_least: how many are needed.
        asked: what for, in the error.

    Raises:
        InvalidArgumentError: if there are fewer.
    """
    if n < at_least:
        raise InvalidArgumentError(
            f"Asked for {asked}, which needs at least {at_least} inputs. Found {n}, without those whose "
            "values are all equal or zero. Take in more inputs."
        )


def both_defined(a: Float64[Array, "inputs inputs"], b: Float64[Array, "inputs inputs"]) -> tuple[Array, Array]:
    """Both matrices without the inputs whose diagonal entry is NaN in either.

    Args:
        a: of inputs against inputs.
        b: of the same inputs.
    """
    known = np.flatnonzero(~np.isnan(np.diagonal(a) + np.diagonal(b)))
    if len(known) == len(a):
        return a, b
    return a[np.ix_(known, known)], b[np.ix_(known, known)]
