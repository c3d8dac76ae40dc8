"""Which unit of b is the partner of each unit of a: the best one, or a one-to-one assignment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from .._typing import Array, Bool, Float64, Int64
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from ..solvers.assignment import assign
from ..statistics.pairs import PairMoments
from .correlation import Correlation, correlation


@runtime_checkable
class Scores(Protocol):
    """How alike the units of two layers are, larger is more: `Correlation` and `MutualInformation` are such."""

    @property
    def a(self) -> str:
        """Name of the layer of the rows."""

    @property
    def b(self) -> str:
        """Name of the layer of the columns."""

    @property
    def between(self) -> Float64[Array, "units_a units_b"]:
        """Any numbers; NaN only where a unit is dead."""

    @property
    def alive_a(self) -> Bool[Array, " units_a"]:
        """False where a unit of a is dead."""

    @property
    def alive_b(self) -> Bool[Array, " units_b"]:
        """False where a unit of b is dead."""


@dataclass(frozen=True, eq=False)
class Matching:
    """A partner in b for each unit of a.

    Attributes:
        a: name of the layer whose units look for a partner.
        b: name of the layer where they look.
        method: "best" (semi-matching) or "one_to_one" (assignment).
        partner: index in b per unit of a, -1 where none.
        score: correlation (or whatever was maximised) with the partner per unit of a, NaN where none.
        alive_a: False where a unit of a is dead.
        n_units_b: how many units b has.
        score_name: the column of the scores in the table: "r" for correlations, else "score".
    """

    a: str
    b: str
    method: str
    partner: Int64[Array, " units_a"]
    score: Float64[Array, " units_a"]
    alive_a: Bool[Array, " units_a"]
    n_units_b: int
    score_name: str = "r"

    @property
    def mean(self) -> float:
        """Mean score over the units that have a partner; NaN where none has."""
        scores = self.score[~np.isnan(self.score)]
        return float(scores.mean()) if len(scores) else float("nan")

    @property
    def n_used(self) -> int:
        """How many different units of b are somebody's partner."""
        return len(np.unique(self.partner[self.partner >= 0]))

    def share_below(self, threshold: float) -> float:
        """Share of the living units of a whose partner's score is below a threshold, or that have none, in [0, 1].

        Args:
            threshold: a score; for correlations the paper uses 0.5.
        """
        reached = self.score[self.alive_a] >= threshold
        return float((~reached).mean()) if len(reached) else float("nan")

    def scored_on(self, pair: PairMoments | Scores) -> "Matching":
        """The same partners, with their score in another pair's data: fit on one, score on another.

        Args:
            pair: moments of the same two layers on other inputs, which give correlations; or any other scores.

        Raises:
            MismatchError: if the pair is of other layers or numbers of units.
        """
        scores = _scores_of(pair)
        n_a, n_b = scores.between.shape
        if (scores.a, scores.b, n_a, n_b) != (self.a, self.b, len(self.partner), self.n_units_b):
            raise MismatchError(
                f"Cannot score a matching of '{self.a}' with '{self.b}' ({len(self.partner)} x {self.n_units_b} "
                f"units) on '{scores.a}' with '{scores.b}' ({n_a} x {n_b}). "
                "Give moments of the same layers on other inputs."
            )
        return replace(self, score=_of_partners(scores.between, self.partner), score_name=_name_of(scores))

    def align(self, between: Float64[Array, "units_a units_b"]) -> Float64[Array, "units_a units_a"]:
        """Columns of a units_a x units_b matrix in the order of the partners: a match lies on the diagonal.

        Units without partner get a column of NaN.
        """
        aligned = np.full((len(between), len(self.partner)), np.nan)
        matched = self.partner >= 0
        aligned[:, matched] = between[:, self.partner[matched]]
        return aligned

    def cycle_order(self) -> Int64[Array, " units_a"]:
        """Units in the order in which following partners visits them: i, partner[i], partner[partner[i]], ...

        Each walk starts at the smallest unit not yet seen and ends where it closes (or where there is no partner).
        Permuting rows *and* columns of the between-net matrix by it puts the matches just above the diagonal.

        Raises:
            InvalidArgumentError: if a and b have different numbers of units, or partners repeat.
        """
        matched = self.partner[self.partner >= 0]
        if len(self.partner) != self.n_units_b or len(np.unique(matched)) != len(matched):
            raise InvalidArgumentError(
                f"Cycles exist in a one-to-one matching of equally many units. Found {len(self.partner)} units in "
                f"'{self.a}', {self.n_units_b} in '{self.b}', matched by {self.method!r}. Use align() instead."
            )
        order: list[int] = []
        seen: set[int] = set()
        for start in range(len(self.partner)):
            unit = start
            while unit >= 0 and unit not in seen:
                seen.add(unit)
                order.append(unit)
                unit = int(self.partner[unit])
        return np.array(order, dtype=np.int64)

    def table(self) -> pd.DataFrame:
        """One row a unit of a: both layers, unit_a, partner, r (or score), dead, method."""
        return pd.DataFrame(
            {
                "a": self.a,
                "unit_a": np.arange(len(self.partner)),
                "b": self.b,
                "partner": self.partner,
                self.score_name: self.score,
                "dead": ~self.alive_a,
                "method": self.method,
            }
        )


def match_best(pair: PairMoments | Scores) -> Matching:
    """Semi-matching: each unit of a takes the unit of b it correlates with most; several may take the same.

    partner[i] = argmax_j r_ij (signed; the first j where several are equal).

    Args:
        pair: joint moments of the two layers, for correlations; or any other scores, such as `MutualInformation`.
            The direction matters: `match_best(pair.swapped)` asks from b.

    Returns:
        Partners and scores, correlations in [-1, 1]; dead units have partner -1 and score NaN, and are nobody's
        partner.

    Invariant to: scaling and shifting of single units (yes); permutation of units (yes); rotation of units (no).

    Cost: one look at each of units_a x units_b correlations.

    Reference: Li et al. 2016, section 3.1 ("semi-matching").
    """
    return _match(pair, "best", lambda between: between.argmax(axis=1))


def match_one_to_one(pair: PairMoments | Scores) -> Matching:
    """Bipartite matching: every unit has one partner of its own, and the sum of correlations is largest.

    Where a and b have different numbers of living units, the surplus units of the larger side stay alone.

    Args:
        pair: joint moments of the two layers, for correlations; or any other scores, such as `MutualInformation`.

    Returns:
        Partners and scores, correlations in [-1, 1]; -1 and NaN for dead units and those left over.

    Invariant to: scaling and shifting of single units (yes); permutation of units (yes); rotation of units (no).

    Cost: O(units^3); 4 ms at 384 units a side.

    Reference: Li et al. 2016, section 3.1 ("matching").
    """
    return _match(pair, "one_to_one", assign)


def overlap(best: Matching, one_to_one: Matching) -> float:
    """Share of the living units of a that have the same partner under both matchings, in [0, 1].

    Args:
        best: a matching of a with b.
        one_to_one: another matching of the same layers.

    Raises:
        MismatchError: if they are of different layers.
    """
    if (best.a, best.b, best.partner.shape) != (one_to_one.a, one_to_one.b, one_to_one.partner.shape):
        raise MismatchError(
            f"Asked for the overlap of two matchings. Found '{best.a}' with '{best.b}' "
            f"({len(best.partner)} units) against '{one_to_one.a}' with '{one_to_one.b}' "
            f"({len(one_to_one.partner)} units). Match the same layers twice."
        )
    same = (best.partner == one_to_one.partner) & (best.partner >= 0)
    n_alive = int(best.alive_a.sum())
    return float(same.sum() / n_alive) if n_alive else float("nan")


def _match(pair: PairMoments | Scores, method: str, choose: Callable[[Array], Array]) -> Matching:
    found = _scores_of(pair)
    rows, columns = np.flatnonzero(found.alive_a), np.flatnonzero(found.alive_b)
    partner = np.full(len(found.alive_a), -1, dtype=np.int64)
    if len(rows) and len(columns):
        chosen = choose(found.between[np.ix_(rows, columns)])
        partner[rows] = np.where(chosen >= 0, columns[chosen], -1)
    return Matching(
        a=found.a,
        b=found.b,
        method=method,
        partner=frozen(partner),
        score=_of_partners(found.between, partner),
        alive_a=found.alive_a,
        n_units_b=len(found.alive_b),
        score_name=_name_of(found),
    )


def _scores_of(pair: PairMoments | Scores) -> Scores:
    return correlation(pair) if isinstance(pair, PairMoments) else pair


def _name_of(scores: Scores) -> str:
    return "r" if isinstance(scores, Correlation) else "score"


def _of_partners(between: Array, partner: Array) -> Array:
    scores = np.full(len(partner), np.nan)
    matched = np.flatnonzero(partner >= 0)
    scores[matched] = between[matched, partner[matched]]
    return frozen(scores)
