"""How unique each unit is among the nets of its family, and the sets of units that experiments are about."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ...errors import StudyError
from ...measures import held_out_scores, match_best, unit_verdicts
from ...statistics import Blocked, BlockedPair, Moments
from ...units import LayerRef

_FEWEST = 4  # living units: one unique, one shared, and one like each


def units_table(blocked: Blocked[Moments], *, share: float) -> pd.DataFrame:
    """One row a unit: layer, net, unit, mean_r, uniqueness, verdict and set.

    mean_r is over the other nets: the correlation with the best partner there, chosen on the other blocks of
    inputs and scored on the block left out. uniqueness is 1 - mean_r, 1 where no other net has a living unit.
    Of the living units of each net and layer, the share with the largest is the set "unique", that with the
    smallest is "shared", and all others have "".

    Args:
        blocked: moments of the same layers in several nets.
        share: of the living units, at most a half; one unit at least.

    Raises:
        StudyError: if a layer of a net has fewer than four living units.
    """
    matches = pd.concat(list(_matches(blocked)), ignore_index=True)
    judged = unit_verdicts(matches, units=_living(blocked.total)).drop_duplicates(["layer", "net_a", "unit_a"])
    units = judged.rename(columns={"net_a": "net", "unit_a": "unit"})[
        ["layer", "net", "unit", "mean_r", "verdict"]
    ]
    units["uniqueness"] = np.where(units["verdict"] == "dead", np.nan, 1 - units["mean_r"].fillna(0))
    parts = [_with_sets(rows, share) for _, rows in units.groupby(["layer", "net"], sort=False)]
    return pd.concat(parts, ignore_index=True)


def _matches(blocked: Blocked[Moments]) -> Iterator[pd.DataFrame]:
    """One row a unit and other net, both directions of every pair."""
    for a, b in blocked.blocks[0].products:
        if a.net != b.net:
            pair = BlockedPair.of(blocked, a, b)
            yield _one_way(pair)
            yield _one_way(pair.swapped)


def _one_way(pair: BlockedPair) -> pd.DataFrame:
    matching, a, b = match_best(pair.total), LayerRef.parse(pair.a), LayerRef.parse(pair.b)
    columns = {
        "layer": a.layer,
        "net_a": a.net,
        "unit_a": np.arange(len(matching.partner)),
        "net_b": b.net,
        "best_partner": matching.partner,
        "best_r": matching.score,
    }
    if pair.n_blocks > 1:
        columns["best_r_held_out"] = held_out_scores(pair.folds(), match_best)
    return pd.DataFrame(columns)


def _living(moments: Moments) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "layer": units.ref.layer,
                "net": units.ref.net,
                "unit": np.arange(units.n_units),
                "dead": ~moments.pair(units.ref, units.ref).alive_a,
            }
        )
        for units in moments.layers
    ]
    return pd.concat(parts, ignore_index=True)


def _with_sets(rows: pd.DataFrame, share: float) -> pd.DataFrame:
    living = rows[rows["verdict"] != "dead"].sort_values("uniqueness", ascending=False, kind="stable").index
    if len(living) < _FEWEST:
        net, layer = rows["net"].iloc[0], rows["layer"].iloc[0]
        raise StudyError(
            f"Cannot set unique units of '{net}/{layer}' apart from others. {len(living)} of its {len(rows)} "
            f"units are alive, and it takes {_FEWEST}. Leave the layer out, or fit on more inputs."
        )
    k = max(1, round(share * len(living)))
    sets = pd.Series("", index=rows.index, dtype=object)
    sets[living[:k]], sets[living[-k:]] = "unique", "shared"
    return rows.assign(set=sets)
