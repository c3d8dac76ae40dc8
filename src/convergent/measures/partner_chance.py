"""Is a unit's partner more than the search finds by chance? q-values per unit."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._typing import Array, Float64, Int64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.false_discovery import benjamini_hochberg, tail_p
from ..solvers.pooling import mean_of_known
from ..statistics.blocked_pair import BlockedPair
from .chance import calibrated, rolled_pairs
from .correlation import Correlation, correlation
from .matching import Matching, match_best


@dataclass(frozen=True, eq=False)
class PartnerChance:
    """Each unit's partner beside the partners that the same search finds by chance.

    Attributes:
        a: name of the layer whose units look for a partner.
        b: name of the layer where they look.
        partner: index in b per unit of a, -1 where none.
        score: correlation with the partner; NaN where none, here and below.
        chance: mean score of the best partners by chance.
        p: p-value, from the scaled chance scores of all units of the layer together; NaN, as q is, where half of
            the blocks have no more inputs than there are rolls.
        q: of Benjamini and Hochberg: the false discovery rate among units of this p or less.
        n_null: how many chance scores p comes from, those of all remixes counted.
    """

    a: str
    b: str
    partner: Int64[Array, " units_a"]
    score: Float64[Array, " units_a"]
    chance: Float64[Array, " units_a"]
    p: Float64[Array, " units_a"]
    q: Float64[Array, " units_a"]
    n_null: int

    @property
    def calibrated(self) -> Float64[Array, " units_a"]:
        """(score - chance) / (1 - chance) per unit: 0 at chance, 1 at best."""
        return np.asarray(calibrated(self.score, self.chance))

    def share_found(self, rate: float = 0.05) -> float:
        """Share of the units with a score whose partner is more than chance, in [0, 1]; NaN where none has one.

        Args:
            rate: the false discovery rate that is allowed for.
        """
        tested = self.q[~np.isnan(self.q)]
        return float((tested <= rate).mean()) if len(tested) else float("nan")

    def table(self) -> pd.DataFrame:
        """One row a unit of a: a, unit_a, b, partner, r, r_chance, r_calibrated, p, q."""
        return pd.DataFrame(
            {
                "a": self.a,
                "unit_a": np.arange(len(self.partner)),
                "b": self.b,
                "partner": self.partner,
                "r": self.score,
                "r_chance": self.chance,
                "r_calibrated": self.calibrated,
                "p": self.p,
                "q": self.q,
            }
        )


def partner_chance(
    blocked: BlockedPair,
    *,
    match: Callable[[Correlation], Matching] = match_best,
    n_remixes: int = 10,
    seed: int = 0,
) -> PartnerChance:
    """Tell for each unit of a whether its partner is more than the search finds by chance.

    The search is repeated with the partner's inputs rolled (`chance`). Which roll a block takes does not matter,
    so rolls are dealt to the blocks anew `n_remixes` times. Scores are divided by the unit's own scale, the root
    mean square of its correlations by chance, since sparse units and those whose locations repeat each other vary
    more; the scale of a chance score comes from the other rolls of its remix. The p-value of a unit counts the
    scaled chance scores of all units of the layer, as `tail_p` does: within the largest tenth of them and beyond,
    by an exponential tail that is known from no more than n_rolls independent numbers.

    q-values hold for the layer whatever its units are like: at any threshold, the expected false discoveries are
    at most the chance scores above it divided by the number of draws. p-values of single units hold as far as the
    scale made the units alike.

    Args:
        blocked: the pair in blocks of inputs, with rolls.
        match: `match_best` or `match_one_to_one`.
        n_remixes: how often the rolls are dealt to the blocks; 1 takes them as they are.
        seed: of the dealing.

    Returns:
        Partner, score, chance level, p and q per unit of a.

    Raises:
        InvalidArgumentError: if there are fewer than two rolls, or less than one remix is asked for.

    Invariant to: scaling and shifting of single units (yes); permutation of units, up to the order of rows (yes);
        rotation of units (no).

    Cost: 1 + n_remixes x n_rolls searches; 0.6 s at 384 units a side and 4 rolls.

    Reference: Benjamini & Hochberg 1995; Tusher, Tibshirani & Chu 2001 (pooled null scores).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 20))
        >>> y = np.hstack([x[:, :5] + rng.normal(size=(500, 5)), rng.normal(size=(500, 15))])
        >>> found = partner_chance(BlockedPair.from_samples(x, y))
        >>> np.flatnonzero(found.q < 0.05).tolist()
        [0, 1, 2, 3, 4]
    """
    n_rolls = _checked_rolls(blocked)
    found = match(correlation(blocked.total))
    draws, squares = _by_chance(blocked, match, n_remixes, seed)
    others = (squares.sum(axis=1, keepdims=True) - squares) / (n_rolls - 1)
    null = (draws / _scale(others)).ravel()
    scores = found.score / _scale(mean_of_known(squares, axis=(0, 1)))
    p = tail_p(scores, null, n_copies=n_remixes, n_independent=n_rolls)
    if np.median([block.n_inputs for block in blocked.blocks.blocks]) <= n_rolls:
        p = np.full(len(p), np.nan)  # the rolls of so few inputs repeat each other
    return PartnerChance(
        a=found.a,
        b=found.b,
        partner=found.partner,
        score=found.score,
        chance=frozen(np.where(np.isnan(found.score), np.nan, mean_of_known(draws, axis=(0, 1)))),
        p=frozen(p),
        q=frozen(benjamini_hochberg(p)),
        n_null=int((~np.isnan(null)).sum()),
    )


def _checked_rolls(blocked: BlockedPair) -> int:
    n_rolls = blocked.blocks.blocks[0].n_rolls
    if n_rolls < 2:
        raise InvalidArgumentError(
            f"Asked which partners of '{blocked.a}' in '{blocked.b}' are more than chance. Found {n_rolls} rolls "
            "of the inputs, where two are needed. Accumulate them with MomentsPlan(n_rolls=4)."
        )
    return n_rolls


def _scale(squares: Array) -> Array:
    """NaN where nothing is known."""
    return np.sqrt(np.where(squares > 0, squares, np.nan))


def _by_chance(
    blocked: BlockedPair, match: Callable[[Correlation], Matching], n_remixes: int, seed: int
) -> tuple[Array, Array]:
    """Scores of partners and mean squares of all correlations, remixes x rolls x units_a."""
    scores, squares = [], []
    for pair in rolled_pairs(blocked, n_remixes=n_remixes, seed=seed):
        found = correlation(pair)
        scores.append(match(found).score)
        squares.append(mean_of_known(found.between**2, axis=1))
    shape = n_remixes, -1, len(scores[0])
    return np.array(scores).reshape(shape), np.array(squares).reshape(shape)
