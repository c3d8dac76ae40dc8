"""Matching by optimal transport: layers of different widths, and units that stay without partner."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .._typing import Array, Bool, Float64
from ..errors import MismatchError
from ..results import frozen
from ..solvers.transport import transport_plan
from ..statistics.pairs import PairMoments
from .correlation import Correlation, correlation

_STRAIGHT = 0.05
_NOTHING = 1e-9


@dataclass(frozen=True, eq=False)
class SoftMatching:
    """Who gives how much of its mass to whom; every living unit has an equal share of its layer's mass of 1.

    Attributes:
        a: name of the first layer.
        b: name of the second layer.
        plan: (units_a, units_b), mass carried, at least 0; 0 for dead units.
        score: sum of plan x r, in [-1, 1]; NaN where a layer is dead.
        r_a: per unit of a, the mean correlation of the mass it gives; NaN for units that give none.
        r_b: likewise for the units of b.
        alive_a: False where a unit of a is dead.
        alive_b: likewise for b.
    """

    a: str
    b: str
    plan: Float64[Array, "units_a units_b"]
    score: float
    r_a: Float64[Array, " units_a"]
    r_b: Float64[Array, " units_b"]
    alive_a: Bool[Array, " units_a"]
    alive_b: Bool[Array, " units_b"]

    @property
    def mass(self) -> float:
        """How much is carried, in [0, 1]; 1 unless the matching is partial."""
        return float(self.plan.sum())

    @property
    def mean(self) -> float:
        """Mean correlation of what is carried, score / mass, in [-1, 1]; NaN where nothing is."""
        return self.score / self.mass if self.mass else float("nan")

    @property
    def soft_matching_distance(self) -> float:
        """Root of the sum of plan x |z_a - z_b|^2 per sample, units standardised: sqrt(2 (mass - score))."""
        return float(np.sqrt(max(2 * (self.mass - self.score), 0)))

    @property
    def carried_a(self) -> Float64[Array, " units_a"]:
        """Share of each unit's mass that finds a partner, in [0, 1]; 0 where unmatched, NaN where dead."""
        return _shares(self.plan.sum(axis=1), self.alive_a)

    @property
    def carried_b(self) -> Float64[Array, " units_b"]:
        """Likewise for the units of b."""
        return _shares(self.plan.sum(axis=0), self.alive_b)

    def scored_on(self, pair: PairMoments) -> "SoftMatching":
        """The same plan, with its correlations in another pair's data: fit on one, score on another.

        Args:
            pair: moments of the same two layers on other inputs. Mass of units that are dead there counts 0.

        Raises:
            MismatchError: if the pair is of other layers or numbers of units.
        """
        if (pair.a, pair.b, pair.cov_ab.shape) != (self.a, self.b, self.plan.shape):
            raise MismatchError(
                f"Cannot score a plan of '{self.a}' with '{self.b}' ({self.plan.shape[0]} x {self.plan.shape[1]} "
                f"units) on '{pair.a}' with '{pair.b}' ({pair.cov_ab.shape[0]} x {pair.cov_ab.shape[1]}). "
                "Give moments of the same layers on other inputs."
            )
        score, r_a, r_b = _scores(self.plan, correlation(pair).between)
        return replace(self, score=score, r_a=r_a, r_b=r_b)

    def table(self) -> pd.DataFrame:
        """One row a unit of either layer: layer, unit, carried, r, top_partner (-1 where unmatched), dead."""
        return pd.concat(
            [
                _side(self.a, self.plan, self.carried_a, self.r_a, self.alive_a),
                _side(self.b, self.plan.T, self.carried_b, self.r_b, self.alive_b),
            ],
            ignore_index=True,
        )


def soft_matching(pair: PairMoments) -> SoftMatching:
    """Match all units of two layers of any widths: the transport plan with the largest sum of plan x r.

    Each of n living units of a holds 1 / n, each of m of b 1 / m, and all mass is carried. Of equally many units
    the plan is the one-to-one matching; otherwise units of the narrower layer divide among several.

    Args:
        pair: joint moments of the two layers.

    Returns:
        Plan, score in [-1, 1] and r per unit, with the soft-matching distance; NaN where a layer is dead.

    Invariant to: scaling and shifting of single units (yes); permutation of units (yes); rotation of units (no).

    Cost: 5 to 15 ms at 384 units a side.

    Reference: Khosla & Williams 2024.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> found = soft_matching(PairMoments.from_samples(x, x[:, [0, 0, 1, 1]]))
        >>> round(found.score, 9), found.plan.tolist()
        (1.0, [[0.25, 0.25, 0.0, 0.0], [0.0, 0.0, 0.25, 0.25]])
    """
    found = correlation(pair)
    return _soft_matching(found, mass=1.0)


def partial_soft_matching(pair: PairMoments, *, mass: float | int | None = None) -> SoftMatching:
    """Match only what has a partner: the plan that carries a part of the mass with the largest sum of plan x r.

    Which part is read from the curve of the score against the mass carried, best pairs of the full matching first.
    It rises steeply for pairs that belong together and little for those that are left. Its elbow is where two
    slopes explain it best: the split of the pairs' r in two levels that leaves the least variance. Where the curve
    is nearly straight (nowhere more than 5 % of the largest r above its chord) there is no elbow, and all mass is
    carried.

    Args:
        pair: joint moments of the two layers.
        mass: how much is carried, above 0 and at most 1. Left out, that of the elbow.

    Returns:
        Plan, score in [-1, 1], mass, and per unit which share of it is carried: 0 for units without partner.

    Raises:
        InvalidArgumentError: if the mass is not above 0 and at most 1.

    Invariant to: scaling and shifting of single units (yes); permutation of units (yes); rotation of units (no).

    Cost: two matchings; 20 ms at 384 units a side.

    Reference: Chapel, Alaya & Gasso 2020 (partial transport); Otsu 1979 (split in two levels).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 6))
        >>> found = partial_soft_matching(PairMoments.from_samples(x[:, :4], x[:, 1:5]))
        >>> found.carried_a.round(6).tolist(), round(found.mass, 6)
        ([0.0, 1.0, 1.0, 1.0], 0.75)
    """
    found = correlation(pair)
    if mass is None:
        full = _soft_matching(found, mass=1.0)
        if not full.mass:
            return full
        mass = _elbow(full.plan, found.between)
        if mass == 1:
            return full
    return _soft_matching(found, mass=mass)


def _soft_matching(found: Correlation, *, mass: float | int) -> SoftMatching:
    """Among the living units."""
    living = np.ix_(found.alive_a, found.alive_b)
    plan = np.zeros(found.between.shape)
    if found.alive_a.any() and found.alive_b.any():
        plan[living] = transport_plan(found.between[living], mass=mass)
    score, r_a, r_b = _scores(plan, found.between)
    return SoftMatching(found.a, found.b, frozen(plan), score, r_a, r_b, found.alive_a, found.alive_b)


def _scores(plan: Array, between: Array) -> tuple[float, Array, Array]:
    gained = plan * np.nan_to_num(between)
    per_unit = (
        np.divide(gained.sum(axis=axis), given, out=np.full(len(given), np.nan), where=given > _NOTHING)
        for axis, given in ((1, plan.sum(axis=1)), (0, plan.sum(axis=0)))
    )
    r_a, r_b = per_unit
    return float(gained.sum()) if plan.any() else float("nan"), frozen(r_a), frozen(r_b)


def _elbow(plan: Array, between: Array) -> float:
    """The mass of the pairs of a full matching that are better than the split."""
    pairs = np.nonzero(plan > _NOTHING)  # what is less is rounding, and would be split off as a level of its own
    order = np.argsort(-between[pairs], kind="stable")
    mass, r = plan[pairs][order], between[pairs][order]
    carried, gained = np.cumsum(mass), np.cumsum(mass * r)
    above_chord = gained - carried * gained[-1] / carried[-1]
    if len(r) < 2 or above_chord.max() <= _STRAIGHT * np.abs(r).max():
        return 1.0
    # Variance between the two levels: the distance above the chord, squared, over the product of their masses.
    first, rest = carried[:-1], carried[-1] - carried[:-1]
    return min(float(first[(above_chord[:-1] ** 2 / (first * rest)).argmax()]), 1.0)


def _shares(given: Array, alive: Array) -> Array:
    share = np.where(alive, np.clip(given * alive.sum(), 0, 1), np.nan)
    return frozen(np.where(share < _NOTHING, 0.0, share))


def _side(layer: str, plan: Array, carried: Array, r: Array, alive: Array) -> pd.DataFrame:
    top = plan.argmax(axis=1) if plan.shape[1] else np.full(len(plan), -1)
    return pd.DataFrame(
        {
            "layer": layer,
            "unit": np.arange(len(plan)),
            "carried": carried,
            "r": r,
            "top_partner": np.where(np.nan_to_num(carried) > 0, top, -1),
            "dead": ~alive,
        }
    )
