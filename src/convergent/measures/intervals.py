"""How sure a number is: intervals from blocks of whole inputs, and from whole nets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._typing import Array
from ..errors import InvalidArgumentError, MismatchError
from ..solvers.pooling import Pooled, delete_block_error, mean_of_known, pooled, student_reach
from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments
from .chance import Value, plain

_NEAR_ONE = 1 - 1e-15


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number, or one a unit, with its interval.

    Attributes:
        value: of all the data; a float, or an array of any shape.
        standard_error: how far it is from the truth, typically; NaN where it hangs on one block alone.
        low: lower end of the interval.
        high: upper end.
        level: share of such intervals that hold the truth, if what they assume holds.
        n_blocks: in how many parts the data were left out in turn: blocks of inputs, or nets.
        n_inputs: inputs behind the numbers; None where nets were left out.
        n_samples: samples (inputs x locations), likewise.
    """

    value: Value
    standard_error: Value
    low: Value
    high: Value
    level: float
    n_blocks: int
    n_inputs: int | None
    n_samples: int | None

    def table(self) -> pd.DataFrame:
        """One row a unit, or one alone: value, standard_error, low, high, level, n_blocks, n_inputs, n_samples."""
        return pd.DataFrame(
            {
                "value": np.ravel(self.value),
                "standard_error": np.ravel(self.standard_error),
                "low": np.ravel(self.low),
                "high": np.ravel(self.high),
                "level": self.level,
                "n_blocks": self.n_blocks,
                "n_inputs": self.n_inputs,
                "n_samples": self.n_samples,
            }
        )


def jackknife(
    blocked: BlockedPair,
    measure: Callable[[PairMoments], Value],
    *,
    level: float = 0.95,
    transform: str | None = None,
) -> Estimate:
    """The interval of any measure of a pair, by leaving out one block of whole inputs at a time.

    Blocks of different sizes are weighed: with h = n / m the number of times block m goes into n, pseudo-values
    are h T - (h - 1) T(without the block), and their squared distances from the mean count 1 / (h - 1). The
    interval is T plus and minus that standard error times Student's t with n_blocks - 1 degrees of freedom.

    A choice inside the measure, such as the best partner, is made anew without each block, and the interval is
    then that of a maximum, which the jackknife does not get right: fix partners first (`matched_interval`).

    Args:
        blocked: the pair in blocks of inputs.
        measure: a smooth function of the moments; a float, or an array of any shape, NaN allowed.
        level: how often the interval should hold the truth, between 0 and 1.
        transform: "fisher" for correlations: the interval is made of atanh(r) and turned back, so that it stays
            within -1 and 1. None leaves the value as it is.

    Returns:
        The value of all inputs and its interval; the interval is NaN where some block alone makes it a number.

    Raises:
        InvalidArgumentError: if there are fewer than two blocks with inputs, the level is not between 0 and 1, or
            the transform is unknown.

    Cost: n_blocks + 1 calls of the measure.

    Reference: Busing, Meijer & van der Leeden 1999 (delete-m_j jackknife).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 1))
        >>> r = jackknife(BlockedPair.from_samples(x, x + 1), lambda pair: float(pair.cov_ab[0, 0]))
        >>> r.low < 1 < r.high
        True
    """
    forward, back = scale_of(transform)
    if blocked.n_blocks < 2:
        raise InvalidArgumentError(
            f"Asked to leave out one block of inputs of '{blocked.a}' with '{blocked.b}' at a time. Found "
            f"{blocked.n_blocks} block with inputs. Give more inputs or more blocks, or measure `.total` alone."
        )
    whole = np.asarray(measure(blocked.total), dtype=np.float64)
    parts = [(measure(rest), held_out.n_samples or 1) for rest, held_out in blocked.folds()]
    without = np.array([part for part, _ in parts], dtype=np.float64)
    sizes = np.array([size for _, size in parts], dtype=np.float64)
    reach = student_reach(level, len(sizes)) * delete_block_error(forward(whole), forward(without), sizes)
    return _estimate(
        whole,
        delete_block_error(whole, without, sizes),
        (back(forward(whole) - reach), back(forward(whole) + reach)),
        level,
        blocked,
    )


def cross_fitted(
    blocked: BlockedPair, score: Callable[[PairMoments, PairMoments], Value], *, level: float = 0.95
) -> Estimate:
    """A held-out score and its interval: fitted on the other blocks, scored on the one left out, averaged.

    The interval comes from the scatter of the blocks' scores, weighted by their samples. It is that of the fits
    that were made; how much another training set would change them is not in it.

    Args:
        blocked: the pair in blocks of inputs.
        score: of (moments of the other blocks, moments of the block left out); a float or an array, NaN allowed.
        level: how often the interval should hold the truth, between 0 and 1.

    Returns:
        The mean over blocks, NaN where no block has a number; its interval, NaN where only one has.

    Raises:
        InvalidArgumentError: if the level is not between 0 and 1.

    Cost: n_blocks calls of the score.

    Reference: Bayle, Bayle, Janson & Mackey 2020.

    Example:
        >>> from convergent.measures import match_best
        >>> x = np.random.default_rng(0).normal(size=(500, 3))
        >>> held_out = lambda rest, block: match_best(rest).scored_on(block).mean
        >>> round(cross_fitted(BlockedPair.from_samples(x, x), held_out).value, 6)
        1.0
    """
    parts = [(score(*fold), fold[1].n_samples or 1) for fold in blocked.folds()]
    scores = np.array([part for part, _ in parts], dtype=np.float64)
    sizes = np.array([size for _, size in parts], dtype=np.float64)
    return estimate_of(pooled(scores, sizes.reshape(-1, *[1] * (scores.ndim - 1))), blocked, level=level)


def leave_one_net_out(
    values: Sequence[float | int] | Array, nets: Sequence[tuple[str, str]], *, level: float = 0.95
) -> Estimate:
    """The interval of a claim about nets (seeds) from numbers of pairs of nets.

    Pairs that share a net are not independent. Each net is left out with all its pairs, and the jackknife is over
    nets: the interval tells what other seeds would give, where blocks of inputs tell what other inputs would.

    Args:
        values: one a pair of nets; more axes after the first are kept. A pair whose value is NaN is left out.
        nets: the two nets of each pair.
        level: how often the interval should hold the truth, between 0 and 1.

    Returns:
        The mean over pairs and its interval.

    Raises:
        MismatchError: if there is not one pair of nets for each value.
        InvalidArgumentError: if there are fewer than three nets, or the level is not between 0 and 1.

    Reference: Arvesen 1969 (jackknife of U-statistics).

    Example:
        >>> leave_one_net_out([0.5, 0.6, 0.7], [("a", "b"), ("a", "c"), ("b", "c")]).value
        0.6
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim < 1 or len(given) != len(nets):
        raise MismatchError(
            f"Asked for the interval of values of pairs of nets. Found values of shape {given.shape} and "
            f"{len(nets)} pairs. Give one value a pair."
        )
    names = sorted({net for pair in nets for net in pair})
    if len(names) < 3:
        raise InvalidArgumentError(
            f"Asked to leave out one net at a time. Found {len(names)}: {names}. Give at least three."
        )
    without = np.array([mean_of_known(given[[net not in pair for pair in nets]], axis=0) for net in names])
    whole = mean_of_known(given, axis=0)
    error = delete_block_error(whole, without, np.ones(len(names)))
    reach = student_reach(level, len(names)) * error
    ends = plain(whole - reach), plain(whole + reach)
    return Estimate(plain(whole), plain(error), *ends, level, len(names), None, None)


def contrast(estimates: Sequence[Estimate], weights: Sequence[float | int], *, level: float = 0.95) -> Estimate:
    """A weighted sum of independent estimates, such as the difference of two: families of nets, say.

    Squared errors add up, each times its squared weight; Student's t has the degrees of freedom of Welch and
    Satterthwaite.

    Args:
        estimates: each of a single number, from other nets or inputs than the others.
        weights: one each; 1 and -1 make a difference.
        level: how often the interval should hold the truth, between 0 and 1.

    Returns:
        The sum and its interval; NaN where an estimate is.

    Raises:
        MismatchError: if there is not one weight for each estimate.
        InvalidArgumentError: if there are no estimates, one is not of a single number, or the level is not between
            0 and 1.

    Reference: Welch 1947.

    Example:
        >>> nets = [("a", "b"), ("a", "c"), ("b", "c")]
        >>> both = [leave_one_net_out(values, nets) for values in ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3])]
        >>> round(contrast(both, [1, -1]).value, 6)
        0.4
    """
    if len(estimates) != len(weights):
        raise MismatchError(
            f"Asked for a weighted sum of {len(estimates)} estimates. Found {len(weights)} weights. Give one each."
        )
    if not estimates or any(np.ndim(one.value) for one in estimates):
        shapes = [np.shape(one.value) for one in estimates]
        raise InvalidArgumentError(
            f"Asked for a weighted sum of estimates. Found {len(estimates)}, of shapes {shapes}. Give one or "
            "more, each of a single number."
        )
    value = sum(weight * float(one.value) for weight, one in zip(weights, estimates, strict=True))
    squares = np.array([(w * float(one.standard_error)) ** 2 for w, one in zip(weights, estimates, strict=True)])
    freedom = np.array([one.n_blocks - 1 for one in estimates])
    error = float(np.sqrt(squares.sum()))
    effective = squares.sum() ** 2 / (squares**2 / freedom).sum() if error > 0 else freedom.min()
    reach = student_reach(level, float(effective) + 1) * error
    n_blocks = sum(one.n_blocks for one in estimates)
    return Estimate(value, error, value - reach, value + reach, level, n_blocks, None, None)


def estimate_of(found: Pooled, blocked: BlockedPair, *, level: float) -> Estimate:
    """A number made of folds, with the interval that their scatter and what they have in common give.

    Args:
        found: the number, and how far each fold pulls it.
        blocked: whose folds they are.
        level: how often the interval should hold the truth, between 0 and 1.
    """
    reach = student_reach(level, len(found.pull)) * found.error
    return _estimate(found.value, found.error, (found.value - reach, found.value + reach), level, blocked)


def scale_of(transform: str | None) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """The scale on which an interval is made, and the way back.

    Args:
        transform: "fisher" for atanh, or None for the value as it is.

    Raises:
        InvalidArgumentError: if there is no such transform.
    """
    if transform is None:
        return np.asarray, np.asarray
    if transform == "fisher":
        return lambda r: np.asarray(np.arctanh(np.clip(r, -_NEAR_ONE, _NEAR_ONE))), np.tanh
    raise InvalidArgumentError(
        f"Asked for transform {transform!r}. There are 'fisher', for correlations, and None. Choose one of these."
    )


def _estimate(
    value: Value, error: Value, ends: tuple[Value, Value], level: float, blocked: BlockedPair
) -> Estimate:
    total = blocked.total
    low, high = (plain(end) for end in ends)
    n_blocks = len(blocked.blocks.blocks)
    return Estimate(plain(value), plain(error), low, high, level, n_blocks, total.n_inputs, total.n_samples)
