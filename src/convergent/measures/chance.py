"""What is left of a score by chance, with the search inside it: partner inputs rolled, basis rotated."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments

Value = float | Array


@dataclass(frozen=True, eq=False)
class Chance:
    """A score beside the same score where there is nothing but chance.

    Attributes:
        value: the score of the data; a float, or an array of any shape.
        draws: (draws, *shape), the score by chance, with every search made anew.
        null: what chance is here, in words.
    """

    value: Value
    draws: Float64[Array, "draws ..."]
    null: str

    @property
    def mean(self) -> Value:
        """The chance level: mean of the draws."""
        return plain(self.draws.mean(axis=0))

    @property
    def excess(self) -> Value:
        """Score minus chance level."""
        return plain(np.asarray(self.value) - self.mean)

    @property
    def p(self) -> Value:
        """(1 + draws at least as large) / (1 + draws): add-one corrected, never 0; NaN where the score is."""
        at_least = (self.draws >= self.value).sum(axis=0)
        return plain(np.where(np.isnan(self.value), np.nan, (1 + at_least) / (1 + len(self.draws))))

    def calibrated(self, best: float | int = 1) -> Value:
        """(score - chance) / (best - chance): 0 at chance, 1 at best, negative below chance.

        Args:
            best: the largest score there is.
        """
        return plain(np.asarray(calibrated(self.value, self.mean, best=best)))

    def table(self) -> pd.DataFrame:
        """One row a score: score, chance, excess, calibrated, p, n_draws, null."""
        return pd.DataFrame(
            {
                "score": np.ravel(self.value),
                "chance": np.ravel(self.mean),
                "excess": np.ravel(self.excess),
                "calibrated": np.ravel(self.calibrated()),
                "p": np.ravel(self.p),
                "n_draws": len(self.draws),
                "null": self.null,
            }
        )


def chance(blocked: BlockedPair, measure: Callable[[PairMoments], Value]) -> Chance:
    """A measure of a pair beside the same with the partner's inputs rolled: nothing between them but chance.

    Each roll keeps both layers as they are, their sparsity and how locations of an input repeat each other, and
    pairs every input with another one. With n rolls p is at least 1 / (n + 1): accumulate 19 or more
    (`MomentsPlan(n_rolls=19)`) where the p-value of one number matters, or see `partner_chance` for units.

    Args:
        blocked: the pair in blocks of inputs, with rolls.
        measure: of moments; whatever it searches for is searched for in each draw.

    Returns:
        Score, one draw a roll, chance level, add-one p-value and calibrated score.

    Raises:
        InvalidArgumentError: if there are no rolls.

    Cost: 1 + n_rolls calls of the measure.

    Example:
        >>> from convergent.measures import match_best
        >>> x, y = np.random.default_rng(0).normal(size=(2, 200, 20))
        >>> noise = chance(BlockedPair.from_samples(x, y), lambda pair: match_best(pair).mean)
        >>> noise.mean > 0.1, abs(noise.calibrated()) < 0.05
        (True, True)
    """
    draws = [measure(pair) for pair in rolled_pairs(blocked, n_remixes=1, seed=0)]
    return Chance(plain(np.asarray(measure(blocked.total))), frozen(np.array(draws)), "rolled inputs")


def calibrated(score: Value | int, chance: Value | int, *, best: float | int = 1) -> Value:
    """(score - chance) / (best - chance): 0 at chance, 1 at best, negative below chance.

    Args:
        score: any numbers.
        chance: their chance levels.
        best: the largest score there is.

    Returns:
        At most 1; NaN where chance is as good as the best.

    Example:
        >>> calibrated(0.75, 0.5)
        0.5
    """
    room = np.asarray(best - np.asarray(chance, dtype=np.float64))
    above = np.asarray(score, dtype=np.float64) - np.asarray(chance, dtype=np.float64)
    return plain(np.divide(above, room, out=np.full(above.shape, np.nan), where=room > 0))


def rolled_pairs(blocked: BlockedPair, *, n_remixes: int, seed: int) -> Iterator[PairMoments]:
    """Moments of the pair with the partner's inputs rolled, each block by a roll of its own.

    The first n_rolls are the rolls as they are. In each of the others every block deals out its rolls in a random
    order, so that no two draws of one remix share a block's roll.

    Args:
        blocked: the pair in blocks of inputs.
        n_remixes: how often rolls are dealt.
        seed: of the dealing.

    Raises:
        InvalidArgumentError: if there are no rolls, or less than one remix is asked for.
    """
    blocks = blocked.blocks.blocks
    n_rolls = blocks[0].n_rolls
    if n_rolls == 0 or n_remixes < 1:
        raise InvalidArgumentError(
            f"Asked for chance levels of '{blocked.a}' with '{blocked.b}'. Found {n_rolls} rolls and "
            f"n_remixes={n_remixes}. Accumulate rolls with MomentsPlan(n_rolls=4), and deal them at least once."
        )
    total = blocked.blocks.total
    # About one origin, the rolls of all blocks add up; nothing else differs between remixes.
    rolls = [(blocks[0].identity() + block).rolled for block in blocks]
    rng = np.random.default_rng(seed)
    for remix in range(n_remixes):
        orders = [rng.permutation(n_rolls) if remix else np.arange(n_rolls) for _ in blocks]
        dealt = {
            pair: sum((rolled[pair][order] for rolled, order in zip(rolls, orders, strict=True)), np.zeros(()))
            for pair in total.rolled
        }
        moments = replace(total, rolled=dealt)
        yield from (moments.pair(blocked.a, blocked.b, roll=k) for k in range(1, n_rolls + 1))


def plain(value: Value) -> Value:
    """A float where it is one number, else an array that does not change.

    Args:
        value: a number, or an array of any shape.
    """
    array = np.asarray(value, dtype=np.float64)
    return frozen(array) if array.ndim else float(array)
