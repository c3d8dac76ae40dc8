"""Families of nets along their streams: means over nets, with intervals over them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..._typing import Array, Float64
from ...measures import leave_one_net_out
from ...solvers.half_life import half_life
from ...solvers.pooling import delete_block_error, mean_of_known, student_reach

_GROUP = ["family", "trained"]
_LAG_NUMBERS = ("self_r", "share", "rotated_self_r", "rotated_share")
_FEWEST = 3  # nets


def family_lags(by_lag: pd.DataFrame) -> pd.DataFrame:
    """One row a family, trained or not, stage and lag: n_nets, chance, and means over nets with their ends.

    Columns: self_r, share, rotated_self_r, rotated_share, each with `_low` and `_high`: 95 % over nets, NaN of
    fewer than three.

    Args:
        by_lag: one row a net, stage and lag.
    """
    rows: list[dict[str, Any]] = []
    for key, own in by_lag.groupby([*_GROUP, "stage", "lag"], sort=False):
        named = dict(zip((*_GROUP, "stage", "lag"), key, strict=True))
        rows.append({**named, "n_nets": len(own), "chance": own["chance"].mean(), **_means(own, _LAG_NUMBERS)})
    return pd.DataFrame(rows)


def family_half_lives(by_lag: pd.DataFrame) -> pd.DataFrame:
    """One row a family, trained or not, and stage: n_nets, half_life, low, high, more_than, rotated.

    The half-life is that of the mean curve of the nets. Where it was not reached, it is NaN and more_than is the
    longest lag. The interval is by leaving out one net at a time, through the logarithm; NaN of fewer than three
    nets, or where the half-life is not reached without some net.

    Args:
        by_lag: one row a net, stage and lag.
    """
    rows = []
    for key, own in by_lag.groupby([*_GROUP, "stage"], sort=False):
        curves, rotated = (_curves(own, number) for number in ("self_r", "rotated_self_r"))
        value = half_life(curves.mean(axis=0))
        low, high = _half_life_ends(curves, value)
        rows.append(
            {
                **dict(zip((*_GROUP, "stage"), key, strict=True)),
                "n_nets": len(curves),
                "half_life": value,
                "low": low,
                "high": high,
                "more_than": float(own["lag"].max()) if np.isnan(value) else np.nan,
                "rotated": half_life(rotated.mean(axis=0)),
            }
        )
    return pd.DataFrame(rows)


def family_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """One row a family, trained or not, and layer with the next: n_nets, a, b, across, cka with its ends.

    Args:
        steps: one row a net and step.
    """
    rows = []
    numbered = steps.assign(step=steps.groupby("net", sort=False).cumcount())
    for key, own in numbered.groupby([*_GROUP, "step"], sort=False):
        first = own.iloc[0]
        where = {name: first[name] for name in ("a", "b", "across", "estimator")}
        named = dict(zip((*_GROUP, "step"), key, strict=True))
        rows.append({**named, **where, "n_nets": len(own), **_means(own, ("cka",))})
    return pd.DataFrame(rows)


def _means(own: pd.DataFrame, numbers: Sequence[str]) -> dict[str, float]:
    """Means over nets, and ends."""
    nets = [(net, net) for net in own["net"]]
    found: dict[str, float] = {}
    for number in numbers:
        values = own[number].to_numpy(dtype=np.float64)
        ends = (np.nan, np.nan)
        if len(nets) >= _FEWEST:
            estimate = leave_one_net_out(values, nets)
            ends = float(estimate.low), float(estimate.high)
        found |= {number: float(mean_of_known(values, axis=0))}
        found |= {f"{number}_low": ends[0], f"{number}_high": ends[1]}
    return found


def _curves(own: pd.DataFrame, number: str) -> Float64[Array, "nets lags"]:
    """One row a net: 1 at lag 0, then the numbers."""
    wide = own.pivot(index="net", columns="lag", values=number).to_numpy(dtype=np.float64)
    return np.concatenate([np.ones((len(wide), 1)), wide], axis=1)


def _half_life_ends(curves: Float64[Array, "nets lags"], value: float) -> tuple[float, float]:
    if len(curves) < _FEWEST:
        return np.nan, np.nan
    without = [half_life(np.delete(curves, i, axis=0).mean(axis=0)) for i in range(len(curves))]
    error = delete_block_error(np.array(np.log(value)), np.log(np.array(without)), np.ones(len(curves)))
    reach = student_reach(0.95, len(curves)) * float(error)
    return float(value * np.exp(-reach)), float(value * np.exp(reach))
