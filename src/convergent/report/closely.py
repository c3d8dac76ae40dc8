"""The figures about one pair of nets beyond matching: information, few-to-one maps, groups of units."""

from collections.abc import Iterator

import numpy as np

from .._typing import Array
from ..measures import SparseMap, agglomerate_map, cluster_units, sparse_map
from . import alts_groups
from .drawables import cluster_boxes, cluster_splits, early_subtrees, joint_density, targets_at
from .drawing import Drawing
from .group_figures import agglomeration_panel, cluster_sheet, similarity_curves, subspace_zoom
from .information_figures import JointDensity, information_against_correlation, joint_densities
from .montages import first_filters_figure, load_filters, most_and_least_active, unit_sheet
from .penalty_chart import penalty_chart
from .pictures import best_and_worst, ranked_ends
from .run_folder import Run
from .sparse_figures import contributor_histogram, contributor_sheet, map_panels
from .split_tree import split_tree

MAP_PENALTY = 96 * 10**-2.6  # the lambda of the paper's Figures 6 and 7, in units of correlation
_MAX_LEAF = 5  # as in the tables of groups
_MOST_TARGETS = 4


def information_figures(run: Run) -> Iterator[Drawing]:
    """S4 a layer, S4b and S1, where the study asked for mutual information."""
    if run.information is None:
        return
    for layer, rows in run.information.groupby("layer", sort=False):
        tiles = [run.tiles(net, str(layer)) for net in run.first_pair]
        figure = best_and_worst(
            rows, tiles_a=tiles[0], tiles_b=tiles[1], score="information", partner="information_partner"
        )
        yield Drawing("S4", str(layer), figure, alts_groups.information_ends(str(layer), rows))
    table = run.information.rename(columns={"information_r": "r", "information": "mi"})[["layer", "r", "mi"]]
    yield Drawing("S4b", "", information_against_correlation(table), alts_groups.information(table))
    if densities := list(_densities(run)):
        yield Drawing("S1", "", joint_densities(densities), alts_groups.densities(densities))


def _densities(run: Run) -> Iterator[JointDensity]:
    """The best and the worst match of each layer."""
    if run.densities is None or run.information is None:
        return
    for a, b in run.densities.counts:
        pair = run.densities.pair(a, b)
        of_layer = run.information[run.information["layer"] == a.layer].set_index("unit_a")
        rows = {i: of_layer.loc[unit] for i, unit in enumerate(pair.units_a.tolist()) if unit in of_layer.index}
        for i, row in sorted(rows.items(), key=lambda item: -item[1]["best_r"]):
            j = np.flatnonzero(pair.units_b == row["best_partner"])
            if len(j):
                yield joint_density(pair, i, int(j[0]), r=row["best_r"], mi=row["best_information"])


def map_figures(run: Run) -> Iterator[Drawing]:
    """T1 and 6c over all layers, 6 and 6b a layer, where the study asked for sparse maps."""
    if run.paths is None or run.targets is None:
        return
    a, b = run.first_pair
    paths, targets = (table[(table["net_a"] == a) & (table["net_b"] == b)] for table in (run.paths, run.targets))
    yield Drawing("T1", "", penalty_chart(paths), alts_groups.penalties(paths))
    needed = targets.assign(n_contributors=targets["n_for_90"])
    yield Drawing("6c", "", contributor_histogram(needed), alts_groups.contributor_counts(needed))
    for layer in run.pair_layers:
        found = sparse_map(run.pair_moments(layer), penalties=[MAP_PENALTY])
        order_a, order_b = _aligned(found.weights[0])
        panels = map_panels(found.weights[0], order_a, order_b, a=found.a, b=found.b)
        yield Drawing("6", layer, panels, alts_groups.sparse_map(found.weights[0], a=found.a, b=found.b))
        shown = targets_at(found, _spread(found), penalty=MAP_PENALTY)
        sheet = contributor_sheet(shown, run.tiles(a, layer), run.tiles(b, layer), a=a, b=b)
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


def group_figures(run: Run) -> Iterator[Drawing]:
    """7, 7b, S5 and S6 a layer, S7 over all, where the study asked for groups."""
    if run.clusters is None:
        return
    a, b = run.first_pair
    for layer in run.pair_layers:
        pair = run.pair_moments(layer)
        tiles = {net: found for net in (a, b) if (found := run.tiles(net, layer)) is not None}
        tree = agglomerate_map(sparse_map(pair, penalties=[MAP_PENALTY]))
        panel = agglomeration_panel(tree.matrix, tree.sides, tree.linkage, a=a, b=b)
        yield Drawing("7", layer, panel, alts_groups.merges(tree.linkage, len(tree.sides), a=a, b=b))
        if blocks := early_subtrees(tree):
            zoom = subspace_zoom(blocks, tiles.get(a), tiles.get(b), a=a, b=b)
            yield Drawing("7b", layer, zoom, alts_groups.subspaces(blocks, a=a, b=b))
        clusters = cluster_units(pair, max_leaf=_MAX_LEAF)
        splits, boxes = cluster_splits(clusters), cluster_boxes(clusters)
        yield Drawing("S5", layer, split_tree(splits, tiles), alts_groups.splits(splits))
        yield Drawing("S6", layer, cluster_sheet(boxes, tiles), alts_groups.clusters(boxes[:8]))
    yield Drawing("S7", "", similarity_curves(run.clusters), alts_groups.similarities(run.clusters))


def unit_figures(run: Run) -> Iterator[Drawing]:
    """S9 and V a layer, F over all nets, where the inputs are pictures."""
    if run.crops is None:
        return
    if filters := {net: found for net, found in load_filters(run.path / "filters").items() if net in run.nets}:
        yield Drawing("F", "", first_filters_figure(filters), alts_groups.filters(filters))
    for layer in run.pair_layers:
        units = run.units[(run.units["layer"] == layer) & run.units["net"].isin(run.nets)]
        tiles = {net: found for net in units["net"].unique() if (found := run.tiles(net, layer)) is not None}
        yield Drawing("S9", layer, most_and_least_active(units, tiles), alts_groups.active(layer, units))
        net = run.first_pair[0]
        matches = run.pair_matches()
        best, worst = ranked_ends(matches[matches["layer"] == layer], 3)
        shown = [int(unit) for unit in [*best["unit_a"], *worst["unit_a"]]]
        if shown and (projections := run.projections(net, layer)) is not None:
            sheet = unit_sheet(tiles[net], projections, units=shown)
            yield Drawing("V", layer, sheet, alts_groups.projections(net, layer, shown))
