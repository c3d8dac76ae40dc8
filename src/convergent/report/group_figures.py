"""Figures of groups of units: merges of the sparse map, clusters of units of several nets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .._typing import Array, Float, Int, Shaped
from .sheets import Sheet, Tiles, pooled
from .style import (
    BLUE,
    GREEN,
    GREY,
    NET_COLOURS,
    ORANGE,
    PAGE_INCHES,
    layer_grid,
    marker_size,
    shorten,
    styled,
)
from .wording import score

_MOST_DRAWN = 600
_UNDEFINED = "#F3E3EC"
_MERGE: dict[str, Any] = {"color": GREEN, "linewidth": 0.9}
_WEAK_MERGE: dict[str, Any] = {"color": "#A6D8C8", "linewidth": 0.5}


@styled
def agglomeration_panel(
    matrix: Float[Array, "units units"],
    sides: Int[Array, " units"],
    linkage: Shaped[Array, "merges columns"],
    *,
    a: str,
    b: str,
    least: float = 0.05,
) -> Figure:
    """Figure 7, left: the matrix that was agglomerated, in the order of the tree, with its merges.

    Grey is the weight, from 0 (white) to the largest off the diagonal (black). The diagonal has the colours of the
    nets. A merge is an angle below the diagonal around the units that it joins. More than 600 units are drawn in
    blocks, of each the weight farthest from 0.

    Args:
        matrix: similarities of the units of both nets, in their natural order.
        sides: 0 where a unit is of a, 1 where it is of b.
        linkage: a row a merge; its first two columns are what is joined: a unit, or n_units + an earlier row.
        a: name of the layer whose side is 0.
        b: name of the layer whose side is 1.
        least: merges with a smaller mean weight between the two parts are pale; those of no or negative weight
            are not drawn.

    Returns:
        A figure wider than a journal column, with one panel and a colour bar.
    """
    order, spans = _tree(linkage, len(matrix))
    drawn = matrix[np.ix_(order, order)]
    off_diagonal = np.where(np.eye(len(drawn), dtype=bool) | ~np.isfinite(drawn), 0, drawn)
    norm = Normalize(0, float(off_diagonal.max(initial=0)) or 1.0)
    figure = Figure(figsize=(4.6, 4.35), layout="constrained")
    panel, n = figure.subplots(), len(drawn)
    greys = mpl.colormaps["Greys"].with_extremes(bad=_UNDEFINED)
    place = (-0.5, n - 0.5, n - 0.5, -0.5)
    image = panel.imshow(pooled(drawn, _MOST_DRAWN), cmap=greys, norm=norm, interpolation="nearest", extent=place)
    panel.add_collection(_diagonal(sides[order]))
    angles = [(weight, angle) for weight, angle in _angles(drawn, spans) if weight > 0]
    for look, chosen in (
        (_WEAK_MERGE, [angle for weight, angle in angles if weight < least]),
        (_MERGE, [angle for weight, angle in angles if weight >= least]),
    ):
        width = look["linewidth"] * (1 if n <= 250 else 0.6)
        panel.add_collection(LineCollection(chosen, colors=look["color"], linewidths=width))
    panel.set(xlim=place[:2], ylim=place[2:], xticks=[], yticks=[])
    panel.spines[:].set(visible=True, linewidth=0.4)
    bar = figure.colorbar(image, ax=panel, label="weight", shrink=0.6, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    names = {BLUE: a, NET_COLOURS[1]: b}
    handles = [Patch(color=colour, label=f"unit of {shorten(name, 18)}") for colour, name in names.items()]
    merges = Line2D([], [], label=f"merge of weight ≥ {score(least)}", **_MERGE)
    weak = Line2D([], [], label="weaker merge", **_WEAK_MERGE)
    figure.legend(handles=[*handles, merges, weak], loc="outside upper left", ncols=2)
    return figure


def _tree(linkage: Array, n_units: int) -> tuple[Array, list[tuple[int, int, int]]]:
    """The leaves in the order of the tree, and of each merge where it begins, where its second part, its end."""
    members: dict[int, list[int]] = {unit: [unit] for unit in range(n_units)}
    joined = []
    for i, (first, second) in enumerate(linkage[:, :2].astype(int)):
        left, right = members.pop(int(first)), members.pop(int(second))
        members[n_units + i] = left + right
        joined.append((left[0], right[0], right[-1]))
    order = np.array([unit for tree in members.values() for unit in tree], dtype=np.int64)
    at = np.argsort(order)
    return order, [(int(at[first]), int(at[middle]), int(at[last]) + 1) for first, middle, last in joined]


def _angles(matrix: Array, spans: Sequence[tuple[int, int, int]]) -> Iterator[tuple[float, list[tuple[int, int]]]]:
    """Of each merge its weight and an angle: down from the corner of one part, across to that of the other."""
    for first, middle, end in spans:
        weight = float(matrix[middle:end, first:middle].mean())
        yield weight, [(first, middle - 1), (first, end - 1), (middle, end - 1)]


def _diagonal(sides: Array) -> PolyCollection:
    """A square a unit on the diagonal; squares never get too small to be seen."""
    half = max(1.0, len(sides) / 160) / 2
    corners = half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    squares = list(np.arange(len(sides))[:, None, None] + corners)
    colours = [NET_COLOURS[side] for side in sides]
    return PolyCollection(squares, facecolors=colours, linewidths=0, rasterized=len(sides) > 400)


@dataclass(frozen=True)
class Subtree:
    """A few units that were merged early, in the order of the tree.

    Attributes:
        matrix: their similarities.
        sides: 0 where a unit is of a, 1 where it is of b.
        units: their indices in their layers.
    """

    matrix: Float[Array, "units units"]
    sides: Sequence[int]
    units: Sequence[int]


_ZOOM, _ZOOM_LEFT, _ZOOM_TOP, _MOST_CELL = 2.9, 0.42, 0.52, 0.72


@styled
def subspace_zoom(
    blocks: Sequence[Subtree], tiles_a: Tiles | None, tiles_b: Tiles | None, *, a: str = "a", b: str = "b"
) -> Figure:
    """Figure 7, right: one or two small subtrees, with pictures of their units on the diagonal.

    Args:
        blocks: the subtrees; the first two are drawn.
        tiles_a: pictures of the units of a; without them their numbers are drawn.
        tiles_b: pictures of the units of b.
        a: name of the net whose side is 0.
        b: name of the net whose side is 1.

    Returns:
        A figure of page width, or half of it for one subtree; frames and numbers have the colours of the nets,
        other cells are weights.
    """
    cells = [min(_MOST_CELL, _ZOOM / max(1, len(block.units))) for block in blocks[:2]]
    heights = (cell * len(block.units) for cell, block in zip(cells, blocks, strict=False))
    width = PAGE_INCHES if len(cells) == 2 else PAGE_INCHES / 2
    sheet = Sheet.blank(width, _ZOOM_TOP + max(heights, default=0.0) + 0.08)
    for i, name in enumerate((a, b)):
        sheet.box(0.04 + 1.7 * i, 0.07, 0.22, 0.1, facecolor=NET_COLOURS[i])
        sheet.text(0.31 + 1.7 * i, 0.12, f"unit of {shorten(name, 12)}", fontsize=7)
    for i, (block, cell) in enumerate(zip(blocks, cells, strict=False)):
        _draw_block(sheet, _ZOOM_LEFT + i * PAGE_INCHES / 2, _ZOOM_TOP, block, cell, (tiles_a, tiles_b))
    return sheet.figure


def _draw_block(
    sheet: Sheet, left: float, top: float, block: Subtree, cell: float, tiles: tuple[Tiles | None, Tiles | None]
) -> None:
    n = len(block.units)
    off_diagonal = np.where(np.eye(n, dtype=bool), 0, np.nan_to_num(block.matrix))
    largest = off_diagonal.max(initial=0) or 1.0
    greys = mpl.colormaps["Greys"]
    for i, j in np.ndindex(n, n):
        if i != j:
            weight = float(block.matrix[i, j])
            shade = 0.75 * np.clip(off_diagonal[i, j] / largest, 0, 1)
            # Its edge closes the hairline that viewers leave between boxes.
            look = {"facecolor": greys(shade), "edgecolor": greys(shade), "linewidth": 0.7}
            sheet.box(left + j * cell, top + i * cell, cell, cell, **look)
            if cell > 0.28 and abs(off_diagonal[i, j]) >= 0.005:
                ink = {"ha": "center", "fontsize": 7, "color": "white" if shade > 0.5 else "black"}
                sheet.text(left + (j + 0.5) * cell, top + (i + 0.5) * cell, score(weight), **ink)
    sheet.box(left, top, n * cell, n * cell, facecolor="none", edgecolor="#444444", linewidth=0.5)
    for i, (side, unit) in enumerate(zip(block.sides, block.units, strict=True)):
        x, y, colour = left + i * cell, top + i * cell, NET_COLOURS[side]
        sheet.unit(x + 0.02, y + 0.02, unit, tiles[side], size=cell - 0.04, numbered=False)
        sheet.box(x + 0.01, y + 0.01, cell - 0.02, cell - 0.02, facecolor="none", edgecolor=colour, linewidth=1.3)
        if cell > 0.18:
            name = {"fontsize": 7, "color": colour}
            sheet.text(left - 0.06, y + cell / 2, str(unit), ha="right", **name)
            sheet.text(x + cell / 2, top - 0.1, str(unit), ha="center", **name)


@dataclass(frozen=True)
class ClusterBox:
    """A cluster of units of several nets.

    Attributes:
        name: its number or name.
        members: indices of its units by net; a net may have none.
        between: mean correlation of its units of different nets.
    """

    name: str
    members: Mapping[str, Sequence[int]]
    between: float


MOST_CLUSTERS = 8
_BOX_WIDTH, _BOX_STEP = 3.3, 3.46
_TILE, _PITCH, _ROW, _MOST_TILES = 0.46, 0.52, 0.68, 5


@styled
def cluster_sheet(clusters: Sequence[ClusterBox], tiles_by_net: Mapping[str, Tiles]) -> Figure:
    """Figures S5 and S6: clusters as boxes, units of the first net above, of the others below.

    Args:
        clusters: the first eight are drawn, of each the first five units of each net.
        tiles_by_net: pictures of the units of each net; a net without pictures shows numbers.

    Returns:
        A figure of page width with two boxes beside each other.
    """
    shown = clusters[:MOST_CLUSTERS]
    nets = list(dict.fromkeys(net for cluster in shown for net in cluster.members))
    height = 0.36 + _ROW * max(1, len(nets))
    sheet = Sheet.blank(PAGE_INCHES, max(0.3, -(-len(shown) // 2) * (height + 0.14)))
    if not shown:
        sheet.text(0.02, 0.15, "No cluster.")
    for i, cluster in enumerate(shown):
        left, top = 0.02 + (i % 2) * _BOX_STEP, 0.02 + (i // 2) * (height + 0.14)
        sheet.box(left, top, _BOX_WIDTH, height, facecolor="none", edgecolor="#AAAAAA", linewidth=0.6)
        sheet.text(left + 0.08, top + 0.14, shorten(cluster.name, 24), weight="bold")
        similarity = f"between nets {score(cluster.between)}"
        sheet.text(left + _BOX_WIDTH - 0.08, top + 0.14, similarity, ha="right", fontsize=7)
        for j, net in enumerate(nets):
            units, y = cluster.members.get(net, ()), top + 0.42 + j * _ROW
            _draw_members(sheet, left, y, net, units, tiles_by_net.get(net), NET_COLOURS[j % len(NET_COLOURS)])
    return sheet.figure


def _draw_members(
    sheet: Sheet, left: float, y: float, net: str, units: Sequence[int], tiles: Tiles | None, colour: str
) -> None:
    sheet.text(left + 0.08, y + _TILE / 2, shorten(net, 5), fontsize=7, color=colour, weight="bold")
    if not units:
        sheet.text(left + 0.5, y + _TILE / 2, "no unit", fontsize=7, color=GREY)
    for i, unit in enumerate(units[:_MOST_TILES]):
        sheet.unit(left + 0.5 + i * _PITCH, y, unit, tiles, size=_TILE)
    if len(units) > _MOST_TILES:
        x = left + 0.5 + _MOST_TILES * _PITCH
        sheet.text(x - 0.02, y + _TILE / 2, f"+{len(units) - _MOST_TILES}", fontsize=7)


@styled
def similarity_curves(clusters: pd.DataFrame) -> Figure:
    """Figure S7: similarity between and within nets of every cluster, sorted by the similarity between nets.

    Args:
        clusters: one row a cluster: layer, between, within, between_random (random clusters of the same sizes).

    Returns:
        A panel a layer with three curves; clusters of one net only have a similarity between nets of 0.
    """
    layers = list(clusters["layer"].unique())
    figure, panels = layer_grid(layers)
    looks: dict[str, dict[str, Any]] = {
        "between": {"label": "between nets", "color": BLUE, "marker": "o", "linewidth": 1, "zorder": 3},
        "within": {"label": "within nets", "color": ORANGE, "marker": "o", "linestyle": "none"},
        "between_random": {"label": "between nets, random clusters", "color": GREY, "linewidth": 0.8},
    }
    values = clusters[list(looks)].to_numpy(dtype=float)
    low = float(np.min(values, initial=0, where=np.isfinite(values)))
    for panel, layer in zip(panels, layers, strict=True):
        ranked = clusters[clusters["layer"] == layer].sort_values("between", ascending=False, kind="stable")
        rank, size = np.arange(1, len(ranked) + 1), 0.6 * marker_size(max(1, len(ranked)))
        for column, look in looks.items():
            panel.plot(rank, ranked[column], markersize=size, markeredgewidth=0, **look)
        panel.set(ylim=(1.1 * low - 0.03, 1.03), xlim=(0, len(ranked) + 1))
    if layers:
        figure.supylabel("mean correlation r", fontsize=8)
        figure.supxlabel("cluster, sorted by similarity between nets", fontsize=8)
        handles = panels[0].get_lines()
        figure.legend(handles=handles, loc="outside upper left", ncols=3 if len(layers) > 2 else 1)
    return figure
