"""The ladder of invariances: how much of one layer does each kind of map from the other explain?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .._typing import Array, Bool, Float64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.pooling import Pooled, mean_of_known, pooled, pooled_correlation
from ..statistics.blocked import Blocked
from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments
from .intervals import Estimate, estimate_of
from .rungs import RUNGS, RungScore, Steps, choose_penalty_of_layer, fit_rungs, has_identity
from .sparse_map import Penalties, checked_penalties

DEFAULT_PENALTIES = (0.3, 0.1, 0.03, 0.01)
DEFAULT_RIDGE_PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-5)


class ChanceLevels(NamedTuple):
    """What each rung reaches by chance: layer means, averaged over the rolls; NaN where there are none.

    Attributes:
        r: (rungs,), in the data given.
        r2: likewise.
        r_held_out: (rungs,), on the blocks held out.
        r2_held_out: likewise.
    """

    r: Float64[Array, " rungs"]
    r2: Float64[Array, " rungs"]
    r_held_out: Float64[Array, " rungs"]
    r2_held_out: Float64[Array, " rungs"]


@dataclass(frozen=True, eq=False)
class Ladder:
    """What each kind of map from a explains of the units of b.

    Attributes:
        a: name of the layer that predicts.
        b: name of the layer that is predicted.
        rungs: names, from the narrowest kind of map; "identity" only where both layers are equally wide.
        r: (rungs, units_b), correlation of the prediction in the data given, in [-1, 1]; NaN for dead units and,
            here and below, for units to which a rung gives no partner.
        r2: likewise, share of variance explained, at most 1; 0 for units without partner, NaN for dead ones.
        r_held_out: (rungs, units_b), fitted on the other blocks, scored on the one held out, pooled.
        r2_held_out: likewise; negative where the mean would have predicted better.
        layer_r: mean of `r_held_out` over units that two blocks or more know, a rung each, with its interval; None
            where nothing was held out.
        layer_r2: likewise of `r2_held_out`.
        share_of_linear: `layer_r2` of each rung over that of ridge, with its interval; NaN where ridge explains
            nothing.
        chance: layer means where the inputs of b were rolled.
        penalties: of "sparse" and "ridge" in the data given: the middle one of those chosen for the folds.
        alive_b: False where a unit of b is dead.
        n_inputs: inputs behind the numbers.
        n_samples: samples (inputs x locations).
    """

    a: str
    b: str
    rungs: tuple[str, ...]
    r: Float64[Array, "rungs units_b"]
    r2: Float64[Array, "rungs units_b"]
    r_held_out: Float64[Array, "rungs units_b"]
    r2_held_out: Float64[Array, "rungs units_b"]
    layer_r: Estimate | None
    layer_r2: Estimate | None
    share_of_linear: Estimate | None
    chance: ChanceLevels
    penalties: Mapping[str, float]
    alive_b: Bool[Array, " units_b"]
    n_inputs: int | None
    n_samples: int | None

    def table(self) -> pd.DataFrame:
        """One row a rung: layer means in the data given and held out, interval, chance level, share of linear.

        `covered` is the share of living units of b to which the rung gives a partner; r is the mean over those, R2
        over all living units. `chance_r` and `chance_r2` are of the held-out scores.
        """
        columns: dict[str, Any] = {"a": self.a, "b": self.b, "rung": self.rungs}
        columns |= {"covered": (~np.isnan(self.r[:, self.alive_b])).mean(axis=1) if self.alive_b.any() else np.nan}
        for name, values, layer in (("r", self.r, self.layer_r), ("r2", self.r2, self.layer_r2)):
            columns |= {
                name: mean_of_known(values, axis=1),
                f"{name}_held_out": np.nan if layer is None else layer.value,
                f"{name}_low": np.nan if layer is None else layer.low,
                f"{name}_high": np.nan if layer is None else layer.high,
                f"chance_{name}": getattr(self.chance, f"{name}_held_out"),
                f"chance_{name}_in_sample": getattr(self.chance, name),
            }
        share = self.share_of_linear
        columns |= {
            "share_of_linear": np.nan if share is None else share.value,
            "share_low": np.nan if share is None else share.low,
            "share_high": np.nan if share is None else share.high,
            "n_inputs": self.n_inputs,
            "n_samples": self.n_samples,
        }
        return pd.DataFrame(columns)

    def unit_table(self) -> pd.DataFrame:
        """One row a rung and unit of b: rung, a, b, unit_b, r, r2, r_held_out, r2_held_out, dead."""
        n_rungs, n_b = self.r.shape
        return pd.DataFrame(
            {
                "rung": np.repeat(self.rungs, n_b),
                "a": self.a,
                "b": self.b,
                "unit_b": np.tile(np.arange(n_b), n_rungs),
                "r": self.r.ravel(),
                "r2": self.r2.ravel(),
                "r_held_out": self.r_held_out.ravel(),
                "r2_held_out": self.r2_held_out.ravel(),
                "dead": np.tile(~self.alive_b, n_rungs),
            }
        )


def ladder(
    pair: PairMoments | BlockedPair,
    *,
    penalties: Penalties | None = None,
    ridge_penalties: Penalties | None = None,
    level: float = 0.95,
) -> Ladder:
    """Predict every unit of b from a by wider and wider kinds of maps; what does each explain on held-out inputs?

    identity: the unit of the same index; permutation: a unit of its own (`match_one_to_one`); soft and partial
    soft matching: the mean of its partners by the mass they give; sparse: the lasso; orthogonal: Procrustes on
    standardised units; ridge: any linear map. In all but sparse and ridge the group decides the direction, and one
    least-squares length per unit, at least 0, is fitted on the same data.

    A permutation is a soft matching (the same one where layers are equally wide), a rotation and a sparse map; all
    of them are linear maps. What is nested is what a rung can express, and its in-sample objective;
    held-out scores need not rise.

    Each block is predicted by maps fitted on the others. Penalties of sparse and ridge are chosen, one for all
    units, by fitting on all but that block and the next and scoring on the next. The chance level is the same from
    the start with the inputs of b rolled.

    Args:
        pair: `BlockedPair` for all of it; moments alone give in-sample scores, with the smallest penalties.
        penalties: of the lasso, in units of correlation. Left out: 0.3, 0.1, 0.03, 0.01.
        ridge_penalties: likewise of ridge. Left out: 1, 0.1, 0.01, 0.001, 0.00001.
        level: of the intervals, which come from the scatter of the blocks.

    Returns:
        r and R2 per rung and unit, layer means with intervals, chance levels, the share of what ridge explains.

    Raises:
        InvalidArgumentError: if there are fewer than three blocks, penalties are missing or negative, or the level
            is not between 0 and 1.

    Invariant to: scaling and shifting of single units (yes); permutation of units (yes, but for identity);
        rotation of units (no: units are brought to variance 1 again).

    Cost: for 10 blocks and 4 rolls 1.5 s at 96 units a side, 17 s at 384 (two cores), a third of it the lasso.

    Reference: Khosla & Williams 2024; Li et al. 2016; Williams et al. 2021.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(400, 4))
        >>> found = ladder(BlockedPair.from_samples(x, x[:, [1, 2, 3, 0]]))
        >>> found.table().set_index("rung")["r2_held_out"].round(2)[["permutation", "orthogonal"]].tolist()
        [1.0, 1.0]
    """
    steps = {
        "sparse": _steps(penalties, DEFAULT_PENALTIES),
        "ridge": _steps(ridge_penalties, DEFAULT_RIDGE_PENALTIES),
    }
    if isinstance(pair, PairMoments):
        smallest = {name: min(several) for name, several in steps.items()}
        scores = _scores(pair, pair, smallest)
        return _in_sample(pair, scores.r, scores.r2, smallest)
    climbed = _climb(pair, steps)
    rolled = [_climb(one, steps).means() for one in pair.rolled]
    layer_r, layer_r2 = climbed.r_held_out.over_units(), climbed.r2_held_out.over_units()
    found = _in_sample(pair.total, climbed.r, climbed.r2, climbed.penalties)
    return replace(
        found,
        r_held_out=frozen(climbed.r_held_out.value),
        r2_held_out=frozen(climbed.r2_held_out.value),
        layer_r=estimate_of(layer_r, pair, level=level),
        layer_r2=estimate_of(layer_r2, pair, level=level),
        share_of_linear=estimate_of(_share(layer_r2), pair, level=level),
        chance=ChanceLevels(*np.mean(rolled, axis=0)) if rolled else found.chance,
    )


class _Climbed(NamedTuple):
    r: Array
    r2: Array
    r_held_out: Pooled
    r2_held_out: Pooled
    penalties: dict[str, float]

    def means(self) -> ChanceLevels:
        parts = self.r, self.r2, self.r_held_out.value, self.r2_held_out.value
        return ChanceLevels(*(mean_of_known(part, axis=1) for part in parts))


def _in_sample(pair: PairMoments, r: Array, r2: Array, penalties: Mapping[str, float]) -> Ladder:
    """With nothing held out, and no chance level."""
    unknown = frozen(np.full(r.shape, np.nan))
    return Ladder(
        a=pair.a,
        b=pair.b,
        rungs=RUNGS[not has_identity(pair) :],
        r=frozen(r),
        r2=frozen(r2),
        r_held_out=unknown,
        r2_held_out=unknown,
        layer_r=None,
        layer_r2=None,
        share_of_linear=None,
        chance=ChanceLevels(*np.full((4, len(r)), np.nan)),
        penalties=penalties,
        alive_b=pair.alive_b,
        n_inputs=pair.n_inputs,
        n_samples=pair.n_samples,
    )


def _climb(blocked: BlockedPair, steps: Steps) -> _Climbed:
    """All rungs in the data given and on each block held out."""
    slim = blocked.alone
    parts, sizes, chosen = [], [], []
    for (rest, held_out), inner in zip(slim.folds(), _inner_folds(slim), strict=True):
        penalties = {name: choose_penalty_of_layer(name, inner, several) for name, several in steps.items()}
        parts.append(_scores(rest, held_out, penalties))
        sizes.append(held_out.n_samples or 1)
        chosen.append(penalties)
    middle = {name: sorted(one[name] for one in chosen)[len(chosen) // 2] for name in steps}
    total = _scores(slim.total, slim.total, middle)
    folds, n = RungScore(*np.moveaxis(np.array(parts), 1, 0)), np.array(sizes, dtype=np.float64)
    return _Climbed(
        total.r,
        total.r2,
        pooled_correlation(folds.covariance, folds.spread, folds.variance, n),
        pooled(folds.r2, n[:, None, None] * folds.variance),
        middle,
    )


def _scores(fit_on: PairMoments, score_on: PairMoments, penalties: Mapping[str, float]) -> RungScore:
    """All rungs at once, rungs x units_b."""
    found = [rung.scored_on(score_on) for rung in fit_rungs(fit_on, penalties).values()]
    return RungScore(*(np.array(part) for part in zip(*found, strict=True)))


def _inner_folds(blocked: BlockedPair) -> Iterator[tuple[PairMoments, PairMoments]]:
    """For each block, (moments without it and the next, moments of the next)."""
    blocks = blocked.blocks.blocks
    n = len(blocks)
    if n < 3:
        raise InvalidArgumentError(
            f"A ladder holds out a block to score on and another one to choose penalties on. Found {n} blocks. "
            "Accumulate at least three, or pass `.total` for in-sample scores."
        )
    for i in range(n):
        others = tuple(blocks[(i + 2 + k) % n] for k in range(n - 2))
        whole = Blocked(others).total
        refs = blocked.a, blocked.b
        yield whole.pair(*refs, roll=blocked.roll), blocks[(i + 1) % n].pair(*refs, roll=blocked.roll)


def _share(layer: Pooled) -> Pooled:
    """Of what the last rung explains."""
    ridge = layer.value[-1] if layer.value[-1] > 0 else np.nan
    share = layer.value / ridge
    return Pooled(share, (layer.pull - share * layer.pull[:, -1:]) / ridge, layer.share)


def _steps(penalties: Penalties | None, default: tuple[float, ...]) -> tuple[float, ...]:
    return default if penalties is None else tuple(checked_penalties(penalties).tolist())
