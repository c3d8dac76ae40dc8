"""Figures of convergence against depth and family."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from ..style import BLUE, GREEN, GREY, NET_COLOURS, ORANGE, PAGE_INCHES, SKY, shorten, styled

LEVELS: Mapping[str, str] = {
    "one_to_one_at_width": "units: one-to-one r, held out, equal width",
    "cka": "whole layers: CKA, debiased",
}
_SCORES: Mapping[str, tuple[str, str]] = {
    "best": ("best partner", SKY),
    "one_to_one": ("one to one", BLUE),
    "one_to_one_at_width": ("one to one, equal width", GREEN),
    "cka": ("CKA", ORANGE),
}
_LIMITS = (-0.03, 1.03)


@styled
def against_depth(convergence: pd.DataFrame) -> Figure:
    """Agreement of the nets of each family against relative depth: unit by unit, and as whole layers.

    Solid lines are trained nets, whiskers intervals over nets; dashed lines are untrained nets.

    Args:
        convergence: rows of `tables/convergence.parquet`.
    """
    figure = Figure(figsize=(PAGE_INCHES, 3.1), layout="constrained")
    families = list(convergence["family"].unique())
    colours = dict(zip(families, NET_COLOURS, strict=False))
    for panel, (measure, title) in zip(figure.subplots(1, 2), LEVELS.items(), strict=True):
        panel.set_title(title)
        for family in families:
            own = convergence[(convergence["family"] == family) & (convergence["measure"] == measure)]
            own = own.dropna(subset=["value"])
            colour = colours.get(family, GREY)
            panel.plot(own["depth"], own["untrained"], color=colour, linewidth=0.8, linestyle=(0, (3, 2)))
            panel.errorbar(
                own["depth"], own["value"], yerr=_reach(own), color=colour, linewidth=1.3, elinewidth=0.6,
                marker="o", markersize=3,
            )  # fmt: skip
        panel.set(ylim=_LIMITS, xlim=(-0.03, 1.03), xlabel="relative depth")
    lines = [Line2D([], [], color=colours.get(family, GREY), marker="o", markersize=3) for family in families]
    lines.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (3, 2))))
    figure.legend(lines, [*families, "untrained"], loc="outside lower center", ncols=min(6, len(lines)))
    return figure


@styled
def by_layer(convergence: pd.DataFrame) -> Figure:
    """The same layer by layer, a panel a family: every score, its chance level, and one-to-one untrained.

    Args:
        convergence: rows of `tables/convergence.parquet`.
    """
    families = list(convergence["family"].unique())
    n_rows = -(-len(families) // 2)
    figure = Figure(figsize=(PAGE_INCHES, 0.4 + 2.5 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, min(2, len(families)), squeeze=False).ravel()
    for panel, family in zip(panels, families, strict=False):
        _layers(panel, convergence[convergence["family"] == family])
        panel.set_title(family)
    for spare in panels[len(families) :]:
        spare.remove()
    marks = [Line2D([], [], color=colour, marker="o", markersize=3) for _, colour in _SCORES.values()]
    marks.append(Line2D([], [], color=BLUE, linewidth=0.8, linestyle=(0, (3, 2))))
    marks.append(Line2D([], [], color=GREY, linewidth=1))
    names = [name for name, _ in _SCORES.values()]
    figure.legend(
        marks, [*names, "one to one, untrained", "chance of one to one"], loc="outside lower center", ncols=3
    )
    return figure


def _layers(panel: Axes, rows: pd.DataFrame) -> None:
    layers = list(rows["layer"].unique())
    places = {layer: i for i, layer in enumerate(layers)}
    for measure, (_, colour) in _SCORES.items():
        own = rows[rows["measure"] == measure].dropna(subset=["value"])
        x = own["layer"].map(places)
        panel.errorbar(
            x,
            own["value"],
            yerr=_reach(own),
            color=colour,
            linewidth=1,
            elinewidth=0.6,
            marker="o",
            markersize=2.5,
        )
        if measure == "one_to_one":
            panel.plot(x, own["untrained"], color=colour, linewidth=0.8, linestyle=(0, (3, 2)))
            panel.plot(x, own["chance"], color=GREY, linewidth=1)
    panel.set(ylim=_LIMITS)
    panel.xaxis.set_major_locator(FixedLocator(range(len(layers))))
    panel.set_xticklabels([shorten(layer, 28) for layer in layers], rotation=90)


@styled
def families_matrix(matrix: pd.DataFrame, across: pd.DataFrame | None) -> Figure:
    """Every layer of every family with every layer of every other.

    On and above the diagonal CKA, the mean over pairs of nets; beneath it, how well units have one-to-one
    partners. Layers from the input (left, top) to the output.

    Args:
        matrix: rows of `tables/layer_matrix.parquet`.
        across: rows of `tables/across.parquet`, or None where there is one family.
    """
    families = list(dict.fromkeys([*matrix["family_a"], *matrix["family_b"]]))
    n = len(families)
    side = min(1.55, (PAGE_INCHES - 1.3) / n)
    figure = Figure(figsize=(1.3 + side * n, 0.7 + side * n), layout="constrained")
    panels = figure.subplots(n, n, squeeze=False)
    images: dict[str, mpl.cm.ScalarMappable] = {}
    for (i, j), panel in np.ndenumerate(panels):
        if i <= j:
            values, cmap, name = _mean_matrix(matrix, families[i], families[j], "cka"), "Blues", "CKA"
        else:
            known = across if across is not None else matrix.assign(r=np.nan)
            values, cmap, name = _mean_matrix(known, families[j], families[i], "r").T, "Greens", "one-to-one r"
        images[name] = panel.imshow(values, cmap=cmap, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, linewidth=0.4)
        if i == 0:
            panel.set_title(families[j], loc="center")
        if j == 0:
            panel.set_ylabel(families[i])
    for name, image in images.items():
        bar = figure.colorbar(image, ax=panels, label=name, ticks=(0, 0.5, 1), fraction=0.03, aspect=25, pad=0.02)
        bar.outline.set_visible(False)
    return figure


def _mean_matrix(table: pd.DataFrame, a: str, b: str, column: str) -> np.ndarray:
    rows = table[(table["family_a"] == a) & (table["family_b"] == b)]
    wide = rows.pivot_table(index="layer_a", columns="layer_b", values=column, aggfunc="mean", sort=False)
    return wide.to_numpy(dtype=float) if len(wide) else np.full((1, 1), np.nan)


COMPARED: Mapping[str, str] = {
    "one_to_one": "units, all",
    "one_to_one_at_width": "units, equal width",
    "cka": "whole layers (CKA)",
}


@styled
def families_compared(means: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Mean agreement of each family over its layers, with intervals over nets; open marks are untrained nets.

    Args:
        means: rows of `tables/means.parquet`.
        order: of the families, from above.
    """
    figure = Figure(figsize=(PAGE_INCHES, 0.9 + 0.32 * len(order)), layout="constrained")
    for panel, (measure, title) in zip(figure.subplots(1, 3, sharey=True), COMPARED.items(), strict=True):
        panel.set_title(title)
        for trained, face in ((False, "white"), (True, BLUE)):
            own = means[(means["measure"] == measure) & (means["trained"] == trained)].set_index("family")
            own = own.reindex([family for family in order if family in own.index])
            y = [list(order).index(family) for family in own.index]
            panel.errorbar(
                own["value"], y, xerr=_reach(own), fmt="o", color=BLUE if trained else GREY, markersize=4.5,
                markerfacecolor=face if trained else "white", elinewidth=1,
            )  # fmt: skip
        panel.set(xlim=(0, 1), xlabel="0 is chance, 1 the same")
        panel.grid(axis="x", linewidth=0.3)
    panel.set_yticks(range(len(order)), list(order))
    panel.invert_yaxis()
    return figure


def _reach(rows: pd.DataFrame) -> np.ndarray:
    """How far the ends of intervals lie from the values; 0 where there are none."""
    return np.nan_to_num(np.array([rows["value"] - rows["low"], rows["high"] - rows["value"]]))
