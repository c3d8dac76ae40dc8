"""What is known of the units of one net along its layers: the result of `stream_along`."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._typing import Array, Float64, Int64
from ..solvers.half_life import half_life
from ..solvers.pooling import mean_of_known
from .intervals import Estimate


@dataclass(frozen=True, eq=False)
class StreamIntervals:
    """How sure the numbers of a `ResidualStream` are; each block of inputs is left out in turn.

    Attributes:
        self_r: one a pair of layers of a stage.
        share: likewise; partners are chosen anew without each block.
        cka: one a neighbouring pair of layers.
        half_life: one a stage; NaN where it was not reached without some block.
    """

    self_r: Estimate
    share: Estimate
    cka: Estimate
    half_life: Estimate


@dataclass(frozen=True, eq=False)
class ResidualStream:
    """Units of one net along its layers. A stage is a run of layers of one width; only there is a basis shared.

    Attributes:
        layers: from the input up.
        n_units: of each layer.
        stage: of each layer, from 0.
        first: of each pair of layers of one stage, the position of the earlier one.
        second: of the later one; the lag is second - first, in layers of the list.
        n_alive: of each pair, how many units are alive in both.
        self_r: of each pair, the mean correlation of a unit with itself, in [-1, 1].
        share: of each pair, the share of units that are their own best partner, in [0, 1].
        one_to_one: of each pair, the share of units that the assignment leaves where they are, in [0, 1].
        rotated_self_r: (draws, pairs), the same in rotated bases, one rotation for a whole stage.
        rotated_share: (draws, pairs), likewise.
        cka: of each layer with the next, linear, across stages too.
        estimator: of the CKA: "debiased" where the moments hold norms, else "biased".
        intervals: where the moments came in blocks of inputs, else None.
    """

    layers: tuple[str, ...]
    n_units: tuple[int, ...]
    stage: Int64[Array, " layers"]
    first: Int64[Array, " pairs"]
    second: Int64[Array, " pairs"]
    n_alive: Int64[Array, " pairs"]
    self_r: Float64[Array, " pairs"]
    share: Float64[Array, " pairs"]
    one_to_one: Float64[Array, " pairs"]
    rotated_self_r: Float64[Array, "draws pairs"]
    rotated_share: Float64[Array, "draws pairs"]
    cka: Float64[Array, " steps"]
    estimator: str
    intervals: StreamIntervals | None = None

    @property
    def lag(self) -> Int64[Array, " pairs"]:
        """How many layers of the list lie from the first to the second of a pair."""
        return self.second - self.first

    @property
    def half_life(self) -> Float64[Array, " stages"]:
        """Of each stage, the lag at which mean self_r is 1/2; NaN where it stays above it: see `longest_lag`."""
        return half_lives(self.self_r, self.lag, self.stage[self.first], self.n_stages)

    @property
    def longest_lag(self) -> Int64[Array, " stages"]:
        """Of each stage, the longest lag that was seen: where the half-life is NaN, it is more than this."""
        return np.bincount(self.stage) - 1

    @property
    def n_stages(self) -> int:
        """Runs of layers of one width."""
        return int(self.stage[-1]) + 1

    def table(self) -> pd.DataFrame:
        """One row a pair of layers of one stage.

        Columns: a, b, stage, lag, self_r, self_r_low, self_r_high, share, share_low, share_high,
        one_to_one_share, chance (1 / living units), rotated_self_r, rotated_share. Ends are NaN without blocks.
        """
        names = np.array(self.layers, dtype=object)
        r, share = (None, None) if self.intervals is None else (self.intervals.self_r, self.intervals.share)
        return pd.DataFrame(
            {
                "a": names[self.first],
                "b": names[self.second],
                "stage": self.stage[self.first],
                "lag": self.lag,
                "self_r": self.self_r,
                **_ends("self_r", r),
                "share": self.share,
                **_ends("share", share),
                "one_to_one_share": self.one_to_one,
                "chance": np.where(self.n_alive, 1 / np.maximum(self.n_alive, 1), np.nan),
                "rotated_self_r": mean_of_known(self.rotated_self_r, axis=0),
                "rotated_share": mean_of_known(self.rotated_share, axis=0),
            }
        )

    def by_lag(self) -> pd.DataFrame:
        """One row a stage and lag: n_pairs, and the means over pairs of the numbers of `table`, without ends."""
        table = self.table()
        numbers = ["self_r", "share", "one_to_one_share", "chance", "rotated_self_r", "rotated_share"]
        grouped = table.groupby(["stage", "lag"])
        return pd.concat([grouped.size().rename("n_pairs"), grouped[numbers].mean()], axis=1).reset_index()

    def steps(self) -> pd.DataFrame:
        """One row a layer and the next: a, b, across (a boundary of stages), cka, cka_low, cka_high, estimator.

        Then self_r and share, which are NaN across a boundary: there is no shared basis.
        """
        pairs = {(i, j): k for k, (i, j) in enumerate(zip(self.first, self.second, strict=True))}
        within = [pairs.get((i, i + 1)) for i in range(len(self.layers) - 1)]
        return pd.DataFrame(
            {
                "a": self.layers[:-1],
                "b": self.layers[1:],
                "across": np.diff(self.stage) > 0,
                "cka": self.cka,
                **_ends("cka", None if self.intervals is None else self.intervals.cka),
                "estimator": self.estimator,
                "self_r": [np.nan if k is None else self.self_r[k] for k in within],
                "share": [np.nan if k is None else self.share[k] for k in within],
            }
        )

    def half_lives(self) -> pd.DataFrame:
        """One row a stage: n_layers, n_units, half_life, low, high, more_than, rotated.

        more_than is the longest lag seen where the half-life was not reached, else NaN; rotated is the half-life
        of the mean over rotated bases. Lags count layers of the list: blocks, where it holds the sum after each.
        """
        first = [int(np.argmax(self.stage == stage)) for stage in range(self.n_stages)]
        values, found = self.half_life, None if self.intervals is None else self.intervals.half_life
        turned_r = mean_of_known(self.rotated_self_r, axis=0)
        return pd.DataFrame(
            {
                "stage": np.arange(self.n_stages),
                "n_layers": np.bincount(self.stage),
                "n_units": [self.n_units[layer] for layer in first],
                "half_life": values,
                "low": np.nan if found is None else found.low,
                "high": np.nan if found is None else found.high,
                "more_than": np.where(np.isnan(values), self.longest_lag, np.nan),
                "rotated": half_lives(turned_r, self.lag, self.stage[self.first], self.n_stages),
            }
        )


def half_lives(
    self_r: Float64[Array, " pairs"], lag: Int64[Array, " pairs"], stage: Int64[Array, " pairs"], n_stages: int
) -> Float64[Array, " stages"]:
    """Of each stage, the half-life of the mean over pairs at each lag.

    Args:
        self_r: of each pair of layers.
        lag: of each pair.
        stage: of each pair.
        n_stages: how many there are; one of a single layer has no pair.
    """
    found = np.full(n_stages, np.nan)
    for k in range(n_stages):
        own = stage == k
        steps = range(1, int(lag[own].max(initial=0)) + 1)
        found[k] = half_life(
            np.array([1.0, *(mean_of_known(self_r[own & (lag == step)], axis=0) for step in steps)])
        )
    return found


def _ends(name: str, found: Estimate | None) -> dict[str, object]:
    """Columns of both ends of an interval."""
    low, high = (np.nan, np.nan) if found is None else (found.low, found.high)
    return {f"{name}_low": low, f"{name}_high": high}
