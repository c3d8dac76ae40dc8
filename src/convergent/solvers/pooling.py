"""Scores of folds in one number, how far each fold pulls it, and how sure that makes it."""

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from .._typing import Array, Float64
from ..errors import InvalidArgumentError


class Pooled(NamedTuple):
    """A number made of folds.

    Attributes:
        value: (*shape), NaN where no fold has a score.
        pull: (folds, *shape), how far each fold pulls it, to first order; they sum to 0.
        share: (folds, *shape), of all weights, that of each fold; they sum to 1.
        moved: (folds, folds, *shape), by how much the pull of fold k changed because its fit was searched for in
            fold l too; NaN for folds that were not looked at, None where none were.
    """

    value: Array
    pull: Array
    share: Array
    moved: Array | None = None

    @property
    def error(self) -> Array:
        """Standard error from the scatter of the folds, and from what they have in common; NaN for one fold alone.

        The square is sum pull^2 / (1 - share), unbiased where folds are independent and the variance of a fold's
        score is inverse to its weight, plus the sum over two folds of moved[k, l] moved[l, k]; those that are not
        known count as the mean of those that are. Each fold's fit chases noise of the other fold: where all is
        noise the product is, in the mean, the covariance of their scores, and where the fit is stable it is 0.
        """
        square = (self.pull**2 / np.where(self.share < 1, 1 - self.share, np.nan)).sum(axis=0)
        if self.moved is not None:
            n = len(self.pull)
            common = n * (n - 1) * mean_of_known(self.moved * self.moved.swapaxes(0, 1), axis=(0, 1))
            square = square + np.maximum(np.nan_to_num(common), 0)
        return np.asarray(np.sqrt(square))

    def over_units(self) -> "Pooled":
        """The mean over the last axis, of units known from two folds or more: one fold does not say how sure."""
        known = (self.share < 1).all(axis=0)

        def mean(part: Array) -> Array:
            return mean_of_known(np.where(known, part, np.nan), axis=-1)

        moved = None if self.moved is None else mean(self.moved)
        return Pooled(mean(self.value), mean(self.pull), mean(self.share), moved)


def pooled(scores: Float64[Array, "folds ..."], weights: Float64[Array, "folds ..."]) -> Pooled:
    """The weighted mean of the folds; NaN takes no part.

    Args:
        scores: one a fold, of any shape.
        weights: at least 0; the shape of the scores, or one that spreads to it.

    Example:
        >>> pooled(np.array([0.0, 1.0, np.nan]), np.array([1.0, 3.0, 9.0])).value
        array(0.75)
    """
    weight = np.where(np.isnan(scores), 0, weights)
    total = weight.sum(axis=0)
    total = np.where(total > 0, total, np.nan)
    value = np.asarray((weight * np.nan_to_num(scores)).sum(axis=0) / total)
    pull = weight * (np.nan_to_num(scores) - value) / total
    return Pooled(value, pull, weight / total)


def pooled_correlation(
    covariance: Float64[Array, "folds ..."],
    variance_x: Float64[Array, "folds ..."],
    variance_y: Float64[Array, "folds ..."],
    sizes: Float64[Array, " folds"],
) -> Pooled:
    """One correlation of all folds: covariances and variances within the folds are added up first.

    A mean of the folds' own correlations is biased where folds are small or units sparse; this is not.

    Args:
        covariance: of x and y in each fold; NaN takes no part.
        variance_x: of x.
        variance_y: of y.
        sizes: samples of each fold.
    """
    known = ~np.isnan(covariance + variance_x + variance_y) & (variance_x > 0) & (variance_y > 0)
    weight = np.where(known, sizes.reshape(-1, *[1] * (covariance.ndim - 1)), 0)
    xy, xx, yy = (weight * np.nan_to_num(part) for part in (covariance, variance_x, variance_y))
    sums = xy.sum(axis=0), xx.sum(axis=0), yy.sum(axis=0)
    size = np.sqrt(np.where(known.any(axis=0), sums[1] * sums[2], np.nan))
    r = np.asarray(np.clip(sums[0] / size, -1, 1))
    pull = xy / size - r / 2 * (
        xx / np.where(sums[1] > 0, sums[1], np.nan) + yy / np.where(sums[2] > 0, sums[2], np.nan)
    )
    total = weight.sum(axis=0)
    return Pooled(r, pull, weight / np.where(total > 0, total, np.nan))


def delete_block_error(
    whole: Float64[Array, "..."], without: Float64[Array, "blocks ..."], sizes: Float64[Array, " blocks"]
) -> Array:
    """Standard error by the delete-m_j jackknife.

    With h = n / m the number of times block m goes into n, pseudo-values are h T - (h - 1) T(without the block);
    the variance is the mean of their squared distances from their mean (weighted by 1 / h), over h - 1.

    Args:
        whole: the value of all the data.
        without: the value without each block.
        sizes: of the blocks.

    Reference: Busing, Meijer & van der Leeden 1999.
    """
    times = (sizes.sum() / sizes).reshape(-1, *[1] * whole.ndim)
    pseudo = times * whole - (times - 1) * without
    centre = (pseudo / times).sum(axis=0)
    return np.asarray(np.sqrt(((pseudo - centre) ** 2 / (times - 1)).mean(axis=0)))


def student_reach(level: float, n_parts: float | int) -> float:
    """How many standard errors an interval reaches to each side: Student's t, n_parts - 1 degrees of freedom.

    Args:
        level: how often the interval should hold the truth.
        n_parts: how many parts the standard error came from; a fraction where several errors were pooled.

    Raises:
        InvalidArgumentError: if the level is not between 0 and 1.
    """
    check_level(level)
    return float(student.ppf((1 + level) / 2, n_parts - 1))


def check_level(level: float) -> None:
    """Refuse what is no share.

    Args:
        level: how often an interval should hold the truth.

    Raises:
        InvalidArgumentError: if the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InvalidArgumentError(
            f"Asked for intervals that hold the truth in a share {level} of all cases. That is no share between 0 "
            "and 1. Give level=0.95, for instance."
        )


def mean_of_known(values: Float64[Array, "..."], *, axis: int | tuple[int, ...]) -> Array:
    """The mean of what is a number; NaN where nothing is.

    Args:
        values: of any shape.
        axis: over which.
    """
    counts = (~np.isnan(values)).sum(axis=axis)
    return np.asarray(np.where(counts > 0, np.nansum(values, axis=axis) / np.maximum(counts, 1), np.nan))
