"""Is a unit still itself some layers later? What only layers in one basis, a residual stream, can be asked."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .._typing import Array, Bool, Float64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.assignment import assign
from ..solvers.haar import haar
from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments
from .chance import Chance
from .correlation import correlation
from .intervals import Estimate, jackknife
from .matching import Matching, match_best, match_one_to_one
from .shared_basis import check_shared_basis, mean_self_r, one_step_out, share_of_themselves, turned


@dataclass(frozen=True, eq=False)
class IdentityIntervals:
    """How sure the numbers of an `IdentityShare` are; each block of inputs is left out in turn.

    Attributes:
        units: each unit's correlation with itself.
        self_r: the mean of these.
        share: of units that are their own best partner; without each block, partners are chosen by the others.
        one_to_one: of units that are their own partner in the assignment, likewise.
    """

    units: Estimate
    self_r: Estimate
    share: Estimate
    one_to_one: Estimate


@dataclass(frozen=True, eq=False)
class IdentityShare:
    """Which units of a layer are themselves in another layer of the same basis.

    Attributes:
        best: the partner in b of each unit of a, largest (signed) correlation.
        one_to_one: the partners of the assignment with the largest sum of correlations.
        self_r: the correlation of each unit of a with the same unit of b, NaN where it is dead in either.
        rotated_share: the share of best partners that are themselves, beside that in rotated bases.
        rotated_one_to_one: likewise of the assignment.
        rotated_self_r: likewise the mean correlation of a unit with itself.
        intervals: where the pair came in blocks of inputs, else None.
    """

    best: Matching
    one_to_one: Matching
    self_r: Float64[Array, " units"]
    rotated_share: Chance
    rotated_one_to_one: Chance
    rotated_self_r: Chance
    intervals: IdentityIntervals | None = None

    @property
    def alive(self) -> Bool[Array, " units"]:
        """False where a unit is dead in either layer: it is left out of shares and means."""
        return ~np.isnan(self.self_r)

    @property
    def share(self) -> float:
        """Share of the living units whose best partner is themselves, in [0, 1]."""
        return share_of_themselves(self.best, self.self_r)

    @property
    def one_to_one_share(self) -> float:
        """Share of the living units that the assignment leaves where they are, in [0, 1]."""
        return share_of_themselves(self.one_to_one, self.self_r)

    @property
    def mean_self_r(self) -> float:
        """Mean correlation of a living unit with itself, in [-1, 1]."""
        return mean_self_r(self.self_r)

    @property
    def chance(self) -> float:
        """Either share where partners are drawn blindly: 1 / living units."""
        n_alive = int(self.alive.sum())
        return 1 / n_alive if n_alive else float("nan")

    def table(self) -> pd.DataFrame:
        """One row a unit: a, b, unit, self_r, partner, r, one_to_one_partner, itself, dead (in either layer).

        With intervals also low and high, of self_r.
        """
        units = np.arange(len(self.self_r))
        columns = {
            "a": self.best.a,
            "b": self.best.b,
            "unit": units,
            "self_r": self.self_r,
            "partner": self.best.partner,
            "r": self.best.score,
            "one_to_one_partner": self.one_to_one.partner,
            "itself": self.best.partner == units,
            "dead": ~self.alive,
        }
        if self.intervals is not None:
            columns |= {"low": self.intervals.units.low, "high": self.intervals.units.high}
        return pd.DataFrame(columns)

    def summary(self) -> pd.DataFrame:
        """Three rows, share, one_to_one_share and self_r: value, low, high, chance, rotated, p (of a rotation).

        low and high are NaN without blocks.
        """
        null = [self.rotated_share, self.rotated_one_to_one, self.rotated_self_r]
        found = self.intervals
        estimates = [None] * 3 if found is None else [found.share, found.one_to_one, found.self_r]
        return pd.DataFrame(
            {
                "a": self.best.a,
                "b": self.best.b,
                "score": ["share", "one_to_one_share", "self_r"],
                "value": [self.share, self.one_to_one_share, self.mean_self_r],
                "low": [np.nan if one is None else one.low for one in estimates],
                "high": [np.nan if one is None else one.high for one in estimates],
                "chance": [self.chance, self.chance, 0.0],
                "rotated": [one.mean for one in null],
                "p": [one.p for one in null],
                "n_units": int(self.alive.sum()),
            }
        )


def identity_share(
    pair: PairMoments | BlockedPair, *, n_draws: int = 20, seed: int = 0, level: float = 0.95
) -> IdentityShare:
    """Ask of two layers in one basis, such as two residual sums, how many units are still themselves.

    A unit is itself where argmax_j r_ij = i, with r signed as in `match_best`; and in the assignment with the
    largest sum, as in `match_one_to_one`. Its correlation with itself is r_ii.

    The control is a rotation of the basis, the *same* for both layers, drawn evenly from all (Haar):
    R'C_aa R, R'C_bb R, R'C_ab R. What the layers pass on to each other is unchanged; that it is passed on unit by
    unit is not. The units alive in both layers are turned, each first divided, in both layers, by the root of its
    mean variance, so that a unit much larger than all others does not spread over every direction.

    Args:
        pair: joint moments of two layers of one net; in blocks of inputs, for intervals too.
        n_draws: how many rotations.
        seed: of the rotations.
        level: how often an interval should hold the truth, between 0 and 1.

    Returns:
        Shares in [0, 1], correlations in [-1, 1]; NaN where no unit is alive.

    Raises:
        MismatchError: if the layers differ in width.
        InvalidArgumentError: if there is no draw; with blocks, if they are fewer than two, or the level is not
            between 0 and 1.

    Invariant to: positive scaling and shifting of single units (yes); one permutation of the units of both layers
        (yes); a permutation of one layer (no); one rotation of both layers (no, and that is the point).

    Cost: an assignment, and for each draw four products of units x units and another; 20 draws take 0.4 s at 256
        units, one core. With blocks, an assignment for each.

    Reference: Li et al. 2016 (the matchings); Elhage et al. 2021 (the residual stream as one basis).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 10))
        >>> found = identity_share(PairMoments.from_samples(x, x + 0.75 * rng.normal(size=(500, 10))))
        >>> found.share, round(found.mean_self_r, 1), found.chance
        (1.0, 0.8, 0.1)
    """
    whole = pair.total if isinstance(pair, BlockedPair) else pair
    check_shared_basis(whole)
    if n_draws < 1:
        raise InvalidArgumentError(
            f"Asked for {n_draws} rotations of the basis of '{whole.a}' and '{whole.b}'. They are the control. "
            "Give n_draws of at least 1."
        )
    scores = correlation(whole)
    best, one_to_one = match_best(scores), match_one_to_one(scores)
    self_r = frozen(np.diagonal(scores.between).copy())
    native = _numbers(whole)
    draws = np.array(list(_rotated(whole, n_draws, seed)))
    null = f"one rotation of {int((~np.isnan(self_r)).sum())} units in both layers"
    share, assigned, mean = (Chance(float(native[k]), frozen(draws[:, k]), null) for k in range(3))
    intervals = _intervals(pair, level) if isinstance(pair, BlockedPair) else None
    return IdentityShare(best, one_to_one, self_r, share, assigned, mean, intervals)


def _numbers(pair: PairMoments) -> Float64[Array, "3"]:
    """Share, one-to-one share, mean self_r."""
    scores = correlation(pair)
    self_r = np.diagonal(scores.between)
    shares = [share_of_themselves(match(scores), self_r) for match in (match_best, match_one_to_one)]
    return np.array([*shares, mean_self_r(self_r)])


def _rotated(pair: PairMoments, n_draws: int, seed: int) -> Iterator[Float64[Array, "3"]]:
    """The same in rotated bases."""
    units = np.flatnonzero(pair.alive_a & pair.alive_b)
    scale = np.sqrt((pair.std_a[units] ** 2 + pair.std_b[units] ** 2) / 2)
    aa, bb, ab = (
        cov[np.ix_(units, units)] / np.outer(scale, scale) for cov in (pair.cov_aa, pair.cov_bb, pair.cov_ab)
    )
    rng = np.random.default_rng(seed)
    for _ in range(n_draws):
        if not len(units):
            yield np.full(3, np.nan)
            continue
        r = turned(aa, bb, ab, haar(len(units), rng))
        themselves = [partner == np.arange(len(r)) for partner in (r.argmax(axis=1), assign(r))]
        yield np.array([*(one.mean() for one in themselves), np.diagonal(r).mean()])


def _intervals(blocked: BlockedPair, level: float) -> IdentityIntervals:
    units = jackknife(
        blocked, lambda pair: np.diagonal(correlation(pair).between), level=level, transform="fisher"
    )
    means = jackknife(
        blocked, lambda pair: mean_self_r(np.diagonal(correlation(pair).between)), level=level, transform="fisher"
    )
    n_alive = int((~np.isnan(np.asarray(units.value))).sum())
    shares = one_step_out(jackknife(blocked, lambda pair: _numbers(pair)[:2], level=level), n_alive)
    return IdentityIntervals(units, means, _part(shares, 0), _part(shares, 1))


def _part(found: Estimate, k: int) -> Estimate:
    """One number of several that were estimated together."""
    value, error, low, high = (
        float(np.asarray(part)[k]) for part in (found.value, found.standard_error, found.low, found.high)
    )
    return replace(found, value=value, standard_error=error, low=low, high=high)
