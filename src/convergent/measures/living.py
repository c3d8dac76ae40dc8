"""A pair without its dead units, and what must hold before it is whitened."""

from dataclasses import replace

from ..errors import InvalidArgumentError
from ..statistics.pairs import PairMoments

FLOOR = 1e-5  # share of the largest variance up to which a direction is noise: ten times what float32 sums leave


def of_living(pair: PairMoments) -> PairMoments:
    """The same moments of the living units alone.

    Args:
        pair: joint moments of two layers.

    Example:
        >>> import numpy as np
        >>> x = np.array([[0.0, 5], [1, 5], [2, 5]])
        >>> of_living(PairMoments.from_samples(x, x)).cov_ab.shape
        (1, 1)
    """
    a, b = pair.alive_a, pair.alive_b
    if a.all() and b.all():
        return pair
    return replace(pair.of_units(a, b), norms=pair.norms)  # to which dead units add nothing


def check_enough_samples(pair: PairMoments, n_directions: int, *, asked: str) -> None:
    """Refuse to whiten what any two nets would share: directions of a and b that together fill the sample space.

    Args:
        pair: whose samples count; passes where their number is not known.
        n_directions: of a and b together.
        asked: what for, in the error.

    Raises:
        InvalidArgumentError: if there are as many directions as samples, or more.
    """
    if pair.n_samples is not None and n_directions >= pair.n_samples:
        raise InvalidArgumentError(
            f"Asked for {asked} of '{pair.a}' with '{pair.b}'. Found {n_directions} units or directions on both "
            f"sides together, and {pair.n_samples} samples: correlations of 1 are certain. "
            "Take in more inputs, truncate with svcca, or use debiased linear_cka."
        )


def check_floor(floor: float) -> None:
    """Refuse a noise floor that is no share of the largest variance.

    Args:
        floor: directions with at most this share of it are left out.

    Raises:
        InvalidArgumentError: if it is not between 0 and 1.
    """
    if not 0 < floor < 1:
        raise InvalidArgumentError(
            f"The noise floor is a share of the largest variance, between 0 and 1. Found {floor}. "
            f"The default is {FLOOR:g}."
        )
