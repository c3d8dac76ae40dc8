"""How much the nets of one family have in common, layer by layer."""

import logging
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from ...measures import (
    Correlation,
    Estimate,
    Matching,
    calibrated,
    equal_width,
    held_out_scores,
    leave_one_net_out,
    match_best,
    match_one_to_one,
)
from ...progress import Bar, bar
from ...solvers.pooling import mean_of_known
from ...statistics import Blocked, BlockedPair, MinibatchHsic, Moments, PairMoments
from ...units import LayerRef
from ..pairs.tables import map_widest_first
from .spec import DepthStudy

_log = logging.getLogger("convergent")
_Match = Callable[[PairMoments | Correlation], Matching]
_MATCHINGS: Mapping[str, _Match] = {
    "best": match_best,
    "one_to_one": match_one_to_one,
}
AT_WIDTH = "_at_width"
MEASURES = (*_MATCHINGS, *(name + AT_WIDTH for name in _MATCHINGS), "cka")
_FEWEST_NETS = 3


def along_table(
    study: DepthStudy, places: pd.DataFrame, blocked: Blocked[Moments], hsic: MinibatchHsic
) -> pd.DataFrame:
    """One row a layer, two nets of a family, and measure.

    Columns: family, layer, position, depth, n_units, net_a, net_b, trained, measure, value, chance (with the
    inputs of the second net rolled; 0 for CKA, which is debiased), calibrated (0 at chance, 1 at best). Measures:
    `best` and `one_to_one`, mean r of partners chosen on other blocks than they are scored on, both directions;
    `best_at_width` and `one_to_one_at_width`, the same of as many units of every layer; `cka`, of flattened
    features, debiased, by batches.

    Args:
        study: what to compare.
        places: what `places_table` gives.
        blocked: moments of every two nets of a family, in blocks.
        hsic: of all layers of all nets.
    """
    pairs = [
        BlockedPair.of(blocked, LayerRef(a, row["layer"]), LayerRef(b, row["layer"]))
        for row in places.to_dict("records")
        for trained in (True, False)
        for a, b in combinations(study.nets_of(row["family"], trained=trained), 2)
    ]
    narrow = places.loc[places["n_units"] < study.width, ["family", "layer"]]
    if len(narrow):
        names = ", ".join(f"{family} {layer}" for family, layer in narrow.itertuples(index=False))
        _log.info("Narrower than width: %d, and left out at equal width: %s.", study.width, names)
    cka, index = hsic.cka(), {layer.ref: i for i, layer in enumerate(hsic.layers)}
    with bar("Matching layers", total=len(pairs)) as progress:
        tables = map_widest_first(lambda pair: _measured(pair, study, progress), pairs)
    for pair, table in zip(pairs, tables, strict=True):
        a, b = LayerRef.parse(pair.a), LayerRef.parse(pair.b)
        table.loc[len(table)] = ("cka", float(cka[index[a], index[b]]), 0.0)
        table["family"], table["layer"], table["net_a"], table["net_b"] = (
            study.family_of[a.net],
            a.layer,
            a.net,
            b.net,
        )
    found = pd.concat(tables, ignore_index=True)
    found["trained"] = found["net_a"].isin(list(study.members))
    found["calibrated"] = calibrated(found["value"].to_numpy(), found["chance"].to_numpy())
    ordered = ["family", "layer", "position", "depth", "n_units", "net_a", "net_b", "trained"]
    return found.merge(places, on=["family", "layer"])[[*ordered, "measure", "value", "chance", "calibrated"]]


def convergence_table(along: pd.DataFrame) -> pd.DataFrame:
    """One row a layer of a family and measure: means over pairs of nets, intervals over nets.

    Columns: family, layer, position, depth, n_units, measure, value, low, high, chance, untrained (the same
    between untrained nets; NaN where there are none), n_pairs. Ends are NaN with fewer than three nets.

    Args:
        along: what `along_table` gives.
    """
    keys = ["family", "layer", "position", "depth", "n_units", "measure"]
    rows = []
    for key, group in along.groupby(keys, sort=False):
        trained, untrained = group[group["trained"]], group[~group["trained"]]
        found = over_nets(trained, "value")
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"value": found.value, "low": found.low, "high": found.high}
            | {"chance": trained["chance"].mean(), "untrained": untrained["value"].mean(), "n_pairs": len(trained)}
        )
    return pd.DataFrame(rows)


def means_table(along: pd.DataFrame) -> pd.DataFrame:
    """One row a family, measure, and trained or not: family, measure, trained, value, low, high.

    Calibrated scores, the mean over the layers that have one, and over pairs of nets; intervals over nets.

    Args:
        along: what `along_table` gives.
    """
    keys = ["family", "measure", "trained"]
    rows = []
    for key, group in along.groupby(keys, sort=False):
        found = mean_over_layers(group)
        rows.append(
            dict(zip(keys, key, strict=True)) | {"value": found.value, "low": found.low, "high": found.high}
        )
    return pd.DataFrame(rows)


def mean_over_layers(along: pd.DataFrame) -> Estimate:
    """Of calibrated scores of one measure of one family: over layers, then over pairs of nets.

    Args:
        along: the rows of `along_table` that are meant.
    """
    pairs = along.groupby(["net_a", "net_b"], sort=False)["calibrated"].mean().reset_index()
    return over_nets(pairs, "calibrated")


def over_nets(pairs: pd.DataFrame, column: str) -> Estimate:
    """The mean over pairs of nets and what other nets would give; no ends with fewer than three nets.

    Args:
        pairs: one row a pair: net_a, net_b.
        column: which number of them.
    """
    nets = list(zip(pairs["net_a"], pairs["net_b"], strict=True))
    n_nets = len({net for pair in nets for net in pair})
    if n_nets < _FEWEST_NETS:
        value = float(pairs[column].mean())
        return Estimate(value, np.nan, np.nan, np.nan, 0.95, n_nets, None, None)
    return leave_one_net_out(pairs[column].to_numpy(), nets)


def _measured(pair: BlockedPair, study: DepthStudy, progress: Bar) -> pd.DataFrame:
    """Value and chance of each matching, of all units and of as many of each layer."""
    both = [pair.with_folds(), pair.rolled[0].with_folds()]
    rows = [(name, *(_both_ways(one, match) for one in both)) for name, match in _MATCHINGS.items()]
    for name, match in _MATCHINGS.items():
        rows.append((name + AT_WIDTH, *(_at_width(one, match, study) for one in both)))
    progress.advance(note=pair.a)
    return pd.DataFrame(rows, columns=["measure", "value", "chance"])


def _both_ways(pair: BlockedPair, match: _Match) -> float:
    return (held_out_mean(pair, match) + held_out_mean(pair.swapped, match)) / 2


def held_out_mean(pair: BlockedPair, match: Callable[[PairMoments | Correlation], Matching]) -> float:
    """Mean r of the units of a with the partners that other blocks chose; NaN where none has one.

    Args:
        pair: the two layers, in blocks.
        match: `match_best` or `match_one_to_one`.
    """
    return float(mean_of_known(held_out_scores(pair.folds(), match), axis=0))


def _at_width(pair: BlockedPair, match: _Match, study: DepthStudy) -> float:
    if min(pair.total.alive_a.sum(), pair.total.alive_b.sum()) < study.width:
        return float("nan")
    found = equal_width(
        pair, lambda few: _both_ways(few, match), n_units=study.width, n_draws=study.draws, seed=study.seed
    )
    return found.value
