"""Figures of mutual information: joint densities of pairs of units, information against correlation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .._typing import Array, Float, Shaped
from .style import BLUE, COLUMN_INCHES, PAGE_INCHES, VERMILLION, layer_grid, marker_size, shorten, styled
from .wording import score


@dataclass(frozen=True)
class JointDensity:
    """How often two units had which activations together.

    Attributes:
        counts: samples in each cell, rows are bins of a.
        edges_a: edges of the bins of a, rising; the outer ones may be infinite.
        edges_b: likewise for b.
        name_a: name of the unit of a.
        name_b: name of the unit of b.
        r: correlation of the two.
        mi: mutual information of the two in nats.
    """

    counts: Shaped[Array, "bins_a bins_b"]
    edges_a: Float[Array, " edges_a"]
    edges_b: Float[Array, " edges_b"]
    name_a: str
    name_b: str
    r: float
    mi: float


@styled
def joint_densities(densities: Sequence[JointDensity]) -> Figure:
    """Figure S1: joint densities of pairs of units.

    Density is samples per area, 1 the 99th percentile of the cells that hold any; its scale is a square root.
    Cells without samples are white.

    Args:
        densities: the pairs, in the order in which they are drawn.

    Returns:
        A square panel a pair, at most four beside each other, under its r and mutual information.
    """
    n_columns = min(4, max(1, len(densities)))
    n_rows = max(1, -(-len(densities) // n_columns))
    width = COLUMN_INCHES if n_columns == 1 else PAGE_INCHES * (n_columns + 0.6) / 4.6
    figure = Figure(figsize=(width, 0.1 + width / (n_columns + 0.3) * 1.13 * n_rows), layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).ravel())
    for panel in panels[len(densities) :]:
        panel.remove()
    drawn = [_density(panel, density) for panel, density in zip(panels, densities, strict=False)]
    if drawn:
        axes = panels[: len(densities)]
        bar = figure.colorbar(drawn[-1], ax=axes, label="density", ticks=(0, 0.1, 0.3, 0.6, 1), aspect=18 * n_rows)
        bar.outline.set_visible(False)
    return figure


def _density(panel: Axes, density: JointDensity) -> mpl.cm.ScalarMappable:
    edges_a, edges_b = _finite(density.edges_a), _finite(density.edges_b)
    area = np.outer(np.diff(edges_a), np.diff(edges_b))
    per_area = np.divide(density.counts, area, out=np.zeros(area.shape), where=area > 0)
    occupied = per_area[per_area > 0]
    shares = per_area / (np.percentile(occupied, 99) if occupied.size else 1.0)
    filled = np.ma.masked_equal(shares.T, 0)
    mesh = panel.pcolormesh(edges_a, edges_b, filled, cmap="magma_r", norm=PowerNorm(0.5, 0, 1), rasterized=True)
    panel.set(xlim=(edges_a[0], edges_a[-1]), ylim=(edges_b[0], edges_b[-1]))
    panel.set(xlabel=shorten(density.name_a, 22), ylabel=shorten(density.name_b, 22))
    panel.set_title(f"r {score(density.r)}, MI {score(density.mi)}")
    panel.set_box_aspect(1)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(3))
    return mesh


def _finite(edges: Float[Array, " edges"]) -> Float[Array, " edges"]:
    """Edges with infinite ends put one bin away: as wide as the next one or as the mean, whichever is wider."""
    finite = edges[np.isfinite(edges)].astype(float)
    widths = np.diff(finite) if len(finite) > 1 else np.ones(1)
    low, high = (finite[0], finite[-1]) if len(finite) else (0.0, 0.0)
    below, above = low - max(widths.mean(), widths[0]), high + max(widths.mean(), widths[-1])
    return np.where(np.isfinite(edges), edges, np.where(edges < 0, below, above)).astype(float)


@styled
def information_against_correlation(table: pd.DataFrame) -> Figure:
    """Mutual information of units with their best partners, against the correlation of the two.

    The line is what two Gaussian variables of that correlation share, -0.5 ln(1 - r^2). A unit above it depends on
    its partner in more than a linear way.

    Args:
        table: one row a unit: layer, r and mi (nats).

    Returns:
        A panel a layer.
    """
    layers = list(table["layer"].unique())
    figure, panels = layer_grid(layers)
    living = table.dropna(subset=["r", "mi"])
    low, high = (float(living["r"].min()), float(living["r"].max())) if len(living) else (0.0, 1.0)
    left, right = min(0.0, low) - 0.03, max(0.5, high) + 0.03
    top = 1.08 * float(living["mi"].max()) if len(living) and living["mi"].max() > 0 else 1.0
    bottom = min(0.0, float(living["mi"].min())) if len(living) else 0.0
    curve = np.linspace(max(left, -0.9999), min(right, 0.9999), 400)
    for panel, layer in zip(panels, layers, strict=True):
        chosen = living[living["layer"] == layer]
        look: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgewidth": 0, "color": BLUE}
        size, many = 0.8 * marker_size(max(1, len(chosen))), len(chosen) > 500
        panel.plot(chosen["r"], chosen["mi"], markersize=size, rasterized=many, label="unit", **look)
        gaussian = -0.5 * np.log1p(-(curve**2))
        panel.plot(curve, gaussian, color=VERMILLION, linewidth=1, label="Gaussian of this r", zorder=1)
        panel.set(xlim=(left, right), ylim=(bottom - 0.03 * top, top))
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.yaxis.set_major_locator(MaxNLocator(4))
    if layers:
        figure.supylabel("mutual information (nats)", fontsize=8)
        figure.supxlabel("correlation r", fontsize=8)
        figure.legend(handles=panels[0].get_lines(), loc="outside upper left", ncols=2)
    return figure
