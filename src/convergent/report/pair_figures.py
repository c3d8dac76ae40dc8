"""The figures about one pair of nets beyond matching: information, few-to-one maps, groups of units, pictures."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from .._typing import Array
from ..measures import PAPER_LEAF, PAPER_PENALTY, SparseMap, agglomerate_map, cluster_units, sparse_map
from . import alts_groups
from .drawables import cluster_boxes, cluster_splits, early_subtrees, joint_density, targets_at
from .drawing import Drawing
from .group_figures import MOST_CLUSTERS, agglomeration_panel, cluster_sheet, similarity_curves, subspace_zoom
from .information_figures import JointDensity, information_against_correlation, joint_densities
from .montages import FirstFilters, first_filters_figure, load_filters, most_and_least_active, unit_sheet
from .penalty_chart import penalty_chart
from .pictures import best_and_worst, ranked_ends
from .run_folder import Run
from .sheets import Tiles
from .sparse_figures import contributor_histogram, contributor_sheet, map_panels
from .split_tree import split_tree

_MOST_TARGETS = 4


def figures_of_layer(run: Run, layer: str, tiles: Mapping[str, Tiles]) -> Iterator[Drawing]:
    """S4, 6 and 6b, 7, 7b, S5 and S6, S9 and V, as far as the study asked for them.

    Args:
        run: what the folder holds.
        layer: its name.
        tiles: `run.all_tiles(layer)`.
    """
    if run.information is not None and layer in set(run.information["layer"]):
        yield _information_ends(run, layer, run.information, tiles)
    if run.targets is not None or run.clusters is not None:
        found = sparse_map(run.pair_moments(layer), penalties=[PAPER_PENALTY])
        if run.targets is not None:
            yield from _map(run, layer, found, tiles)
        if run.clusters is not None:
            yield from _groups(run, layer, found, tiles)
    if run.crops is not None:
        yield from _units(run, layer, tiles)


def figures_of_all_layers(run: Run) -> Iterator[Drawing]:
    """S4b and S1, T1 and 6c, S7, F, likewise."""
    if run.information is not None:
        table = run.information.rename(columns={"information_r": "r", "information": "mi"})[["layer", "r", "mi"]]
        yield Drawing("S4b", "", information_against_correlation(table), alts_groups.information(table))
        if densities := list(_densities(run, run.information)):
            yield Drawing("S1", "", joint_densities(densities), alts_groups.densities(densities))
    if run.paths is not None and run.targets is not None:
        paths, targets = run.of_first_pair(run.paths), run.of_first_pair(run.targets)
        yield Drawing("T1", "", penalty_chart(paths), alts_groups.penalties(paths))
        needed = targets.assign(n_contributors=targets["n_for_90"])
        yield Drawing("6c", "", contributor_histogram(needed), alts_groups.contributor_counts(needed))
    if run.clusters is not None:
        yield Drawing("S7", "", similarity_curves(run.clusters), alts_groups.similarities(run.clusters))
    if run.crops is not None:
        filters = {net: found for net, found in load_filters(run.path / "filters").items() if net in run.nets}
        pictures = {net: found.pictures for net, found in filters.items()}
        if filters:
            figure = first_filters_figure(pictures, partners=_partners(run, filters) or None)
            yield Drawing("F", "", figure, alts_groups.filters(pictures))


def _partners(run: Run, filters: Mapping[str, FirstFilters]) -> dict[str, Array]:
    """One-to-one partners of the first net's filters, where the layer or the ReLU named after it was matched."""
    first, *others = filters
    layer = filters[first].layer
    matched = [name for name in (layer, layer.replace("conv", "relu")) if name in run.layers]
    partners = {}
    for net in others if matched and (run.matches["one_to_one_partner"] >= 0).any() else []:
        rows = run.matches[(run.matches["net_a"] == first) & (run.matches["net_b"] == net)]
        rows = rows[rows["layer"] == matched[0]].sort_values("unit_a")
        if filters[net].layer == layer and len(rows) == len(filters[first].pictures):
            partners[net] = rows["one_to_one_partner"].to_numpy()
    return partners


def _information_ends(run: Run, layer: str, information: pd.DataFrame, tiles: Mapping[str, Tiles]) -> Drawing:
    rows = information[information["layer"] == layer]
    a, b = run.first_pair
    figure = best_and_worst(
        rows, tiles_a=tiles.get(a), tiles_b=tiles.get(b), score="information", partner="information_partner"
    )
    return Drawing("S4", layer, figure, alts_groups.information_ends(layer, rows))


def _densities(run: Run, information: pd.DataFrame) -> Iterator[JointDensity]:
    """The best and the worst match of each layer."""
    if run.densities is None:
        return
    for a, b in run.densities.counts:
        pair = run.densities.pair(a, b)
        of_layer = information[information["layer"] == a.layer].set_index("unit_a")
        rows = {i: of_layer.loc[unit] for i, unit in enumerate(pair.units_a.tolist()) if unit in of_layer.index}
        for i, row in sorted(rows.items(), key=lambda item: -item[1]["best_r"]):
            j = np.flatnonzero(pair.units_b == row["best_partner"])
            if len(j):
                yield joint_density(pair, i, int(j[0]), r=row["best_r"], mi=row["best_information"])


def _map(run: Run, layer: str, found: SparseMap, tiles: Mapping[str, Tiles]) -> Iterator[Drawing]:
    a, b = run.first_pair
    order_a, order_b = _aligned(found.weights[0])
    panels = map_panels(found.weights[0], order_a, order_b, a=found.a, b=found.b)
    yield Drawing("6", layer, panels, alts_groups.sparse_map(found.weights[0], a=found.a, b=found.b))
    shown = targets_at(found, _spread(found), penalty=PAPER_PENALTY)
    sheet = contributor_sheet(shown, tiles.get(a), tiles.get(b), a=a, b=b)
    yield Drawing("6b", layer, sheet, alts_groups.contributors(shown, a=a, b=b))


def _aligned(weights: Array) -> tuple[Array, Array]:
    """Sources in natural order; targets in the order of the source that weighs most in them."""
    top = np.abs(weights).argmax(axis=1)
    return np.arange(weights.shape[1]), np.lexsort((-np.abs(weights).max(axis=1), top))


def _spread(found: SparseMap) -> list[int]:
    """Targets with two contributors or more, from the best predicted to the worst."""
    r2 = found.r2[0]
    several = np.flatnonzero((found.n_contributors()[0] >= 2) & ~np.isnan(r2))
    ranked = several[np.argsort(-r2[several], kind="stable")]
    places = np.unique(np.linspace(0, len(ranked) - 1, _MOST_TARGETS).astype(int))
    return ranked[places].tolist() if len(ranked) else []


def _groups(run: Run, layer: str, found: SparseMap, tiles: Mapping[str, Tiles]) -> Iterator[Drawing]:
    a, b = run.first_pair
    if not (found.alive_a.any() and found.alive_b.any()):
        return
    tree = agglomerate_map(found)
    panel = agglomeration_panel(tree.matrix, tree.sides, tree.linkage, a=a, b=b)
    yield Drawing("7", layer, panel, alts_groups.merges(tree.linkage, len(tree.sides), a=a, b=b))
    if blocks := early_subtrees(tree):
        zoom = subspace_zoom(blocks, tiles.get(a), tiles.get(b), a=a, b=b)
        yield Drawing("7b", layer, zoom, alts_groups.subspaces(blocks, a=a, b=b))
    clusters = cluster_units(found.fitted_on, max_leaf=PAPER_LEAF)
    splits, boxes = cluster_splits(clusters), cluster_boxes(clusters)
    yield Drawing("S5", layer, split_tree(splits, tiles), alts_groups.splits(splits))
    yield Drawing("S6", layer, cluster_sheet(boxes, tiles), alts_groups.clusters(boxes[:MOST_CLUSTERS]))


def _units(run: Run, layer: str, tiles: Mapping[str, Tiles]) -> Iterator[Drawing]:
    units = run.units[(run.units["layer"] == layer) & run.units["net"].isin(run.nets)]
    yield Drawing("S9", layer, most_and_least_active(units, tiles), alts_groups.active(layer, units))
    net, matches = run.first_pair[0], run.pair_matches()
    best, worst = ranked_ends(matches[matches["layer"] == layer], 3)
    shown = [int(unit) for unit in [*best["unit_a"], *worst["unit_a"]]]
    if shown and (projections := run.projections(net, layer)) is not None:
        sheet = unit_sheet(tiles[net], projections, units=shown)
        yield Drawing("V", layer, sheet, alts_groups.projections(net, layer, shown))
