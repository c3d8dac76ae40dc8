"""One pair of nets looked at closely: information, few-to-one maps and groups of units, as tables."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..._typing import Array
from ...errors import InvalidArgumentError
from ...measures import (
    PAPER_LEAF,
    PAPER_PENALTY,
    UnitClusters,
    agglomerate_map,
    cluster_units,
    correlation,
    excess_over_gaussian,
    local_or_distributed,
    match_best,
    mutual_information,
    sparse_map,
    stability,
    subspace_angles,
)
from ...statistics import Blocked, BlockedPair, Histograms, Moments, PairMoments
from ...units import LayerRef
from .tables import LayerPair, map_widest_first, with_names

_PENALTIES_OF_PAPER = (0.0, 0.03, 0.1, PAPER_PENALTY)
_MOST_UNITS_OF_PAPER = 96

_log = logging.getLogger("convergent")
Tables = dict[str, pd.DataFrame]


def information_table(histograms: Histograms, moments: Moments) -> pd.DataFrame:
    """One row a unit of the first net: its best partner by information and by correlation.

    Columns: layer, net_a, unit_a, net_b; information_partner, information (nats, bias corrected), information_r
    (correlation with that partner), excess (nats above what a Gaussian pair of that correlation shares);
    best_partner and best_r by correlation, and best_information (nats, with that partner).
    """
    parts = []
    for a, b in histograms.counts:
        information = mutual_information(histograms.pair(a, b))
        found = correlation(moments.pair(a, b))
        by_information, best = match_best(information), match_best(found)
        excess = excess_over_gaussian(information, found)
        parts.append(
            pd.DataFrame(
                {
                    "layer": a.layer,
                    "net_a": a.net,
                    "unit_a": np.arange(len(best.partner)),
                    "net_b": b.net,
                    "information_partner": by_information.partner,
                    "information": by_information.score,
                    "information_r": _at(found.between, by_information.partner),
                    "excess": _at(excess, by_information.partner),
                    "best_partner": best.partner,
                    "best_r": best.score,
                    "best_information": _at(information.between, best.partner),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _at(matrix: Array, partner: Array) -> Array:
    return np.where(partner >= 0, matrix[np.arange(len(partner)), partner], np.nan)


def map_tables(blocked: Blocked[Moments], pairs: Sequence[LayerPair]) -> Tables:
    """`targets`, one row a unit that is predicted, in both directions; `paths`, one row a penalty.

    The optimiser of the paper stands beside the exact path in layers of at most 96 units, as its conv1 had;
    it takes seconds there.
    """
    found = map_widest_first(_maps, [BlockedPair.of(blocked, a, b) for a, b in pairs])
    return {
        name: pd.concat([table for one in found for table in one[name]], ignore_index=True)
        for name in ("targets", "paths")
    }


def _maps(one: BlockedPair) -> dict[str, list[pd.DataFrame]]:
    targets, paths = [], []
    one = one.with_folds()
    for seen in (one, one.swapped):
        found = local_or_distributed(seen.total, seen.folds())
        targets.append(with_names(found.table(), seen.a, seen.b))
        paths.append(with_names(found.sparse.path_table(), seen.a, seen.b))
    pair = one.total
    if max(pair.cov_ab.shape) <= _MOST_UNITS_OF_PAPER:
        paper = sparse_map(pair, penalties=_PENALTIES_OF_PAPER, solver="paper")
        paths.append(with_names(paper.path_table(), pair.a, pair.b))
    return {"targets": targets, "paths": paths}


def group_tables(blocked: Blocked[Moments], pairs: Sequence[LayerPair], *, seed: int = 0) -> Tables:
    """`clusters`, one row a cluster; `members`, one row a unit; `groups`, one row a layer."""
    clusters, members, layers = [], [], []
    for a, b in pairs:
        one = BlockedPair.of(blocked, a, b)
        pair = one.total
        found = cluster_units(pair, max_leaf=PAPER_LEAF, seed=seed)
        table = _clusters(found, seed=seed)
        clusters.append(with_names(table, pair.a, pair.b))
        members.append(_members(found, a.layer))
        layers.append(with_names(pd.DataFrame([_summary(one, found, table, seed=seed)]), pair.a, pair.b))
    return {
        "clusters": pd.concat(clusters, ignore_index=True),
        "members": pd.concat(members, ignore_index=True),
        "groups": pd.concat(layers, ignore_index=True),
    }


def _clusters(found: UnitClusters, *, seed: int) -> pd.DataFrame:
    names = found.joint.names
    table = found.table().rename(
        columns={f"n_units {name}": f"n_units_{side}" for name, side in zip(names, "ab", strict=True)}
    )
    random = (
        np.mean([draw.between for draw in found.baseline(seed, keep_nets=True)], axis=0)
        if len(table)
        else np.zeros(0)
    )
    angles = _angles(found, seed=seed)
    columns = ["cluster", "n_units", "n_units_a", "n_units_b", "between", "within"]
    return table[columns].assign(
        a=names[0],
        b=names[1],
        between_random=random,
        angle=table["cluster"].map(angles["mean_angle"]),
        angle_random=table["cluster"].map(angles["random_mean"]),
        shared=table["cluster"].map(angles["shared"]),
        shared_random=table["cluster"].map(angles["random_shared"]),
    )


def _angles(found: UnitClusters, *, seed: int) -> pd.DataFrame:
    """By cluster; none where a layer has too few samples for its units."""
    try:
        angles = subspace_angles(found, seed=seed)
    except InvalidArgumentError as error:
        _log.warning("No angles and no shared variance in clusters of '%s': %s", found.joint.names[0], error)
        return pd.DataFrame(columns=["mean_angle", "random_mean", "shared", "random_shared"], dtype=np.float64)
    return angles.table().set_index("cluster")


def _members(found: UnitClusters, layer: str) -> pd.DataFrame:
    table = found.unit_table()
    nets = [LayerRef.parse(name).net for name in table["layer"]]
    return table.assign(layer=layer, net=nets)[["layer", "net", "unit", "cluster"]]


def _summary(one: BlockedPair, found: UnitClusters, table: pd.DataFrame, *, seed: int) -> Mapping[str, object]:
    """What a layer's groups come to."""
    return {
        "a": one.a,
        "b": one.b,
        "n_clusters": found.n_clusters,
        "n_several": found.n_several,
        "n_isolated": int(found.isolated.sum()),
        "stability": stability(*one.halves, max_leaf=PAPER_LEAF, seed=seed),
        "angle": table["angle"].mean(),
        "angle_random": table["angle_random"].mean(),
        "shared": table["shared"].mean(),
        "shared_random": table["shared_random"].mean(),
        **_merges(one.total, seed=seed),
    }


def _merges(pair: PairMoments, *, seed: int) -> Mapping[str, float | int]:
    """Merges of a layer's map beside those of a shuffled one, and of its correlations; none where a net is dead.

    `r_leaf_merges` are those of two units by correlations within and between, `r_leaf_merges_across` of both nets.
    """
    if not (pair.alive_a.any() and pair.alive_b.any()):
        return {}
    tree = agglomerate_map(sparse_map(pair, penalties=[PAPER_PENALTY]))
    found = correlation(pair)
    fair = agglomerate_map(found.between.T, within_a=found.within_a, within_b=found.within_b, a=pair.a, b=pair.b)
    return {
        "first_merge": float(tree.heights[0]),
        "merges_above": tree.n_above(0.05),
        "merges_above_shuffled": tree.shuffled(seed).n_above(0.05),
        "r_leaf_merges": fair.n_leaf_merges,
        "r_leaf_merges_across": fair.n_cross_leaf_merges,
    }
