"""Figures of units taken out and put in: curves, forests and bars."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, PercentFormatter

from ..._typing import Array, Float64
from ..style import BLUE, COLUMN_INCHES, GREEN, GREY, ORANGE, PAGE_INCHES, SKY, VERMILLION, shorten, styled

ORDERS: Mapping[str, tuple[str, str]] = {
    "unique": ("most unique first", BLUE),
    "shared": ("most shared first", VERMILLION),
    "random": ("in random order", GREY),
}
SETS: Mapping[str, tuple[str, str]] = {
    "unique": ("most unique units", BLUE),
    "shared": ("most shared units", VERMILLION),
}
MAPS: Mapping[str, tuple[str, str]] = {
    "one-to-one": ("one to one", BLUE),
    "best partner": ("best partner", SKY),
    "sparse": ("sparse", GREEN),
    "ridge": ("all units (ridge)", ORANGE),
}
_LOWEST = -0.25  # of what is recovered; images that mislead more are drawn there
_ZERO: Mapping[str, Any] = {"color": "#444444", "linewidth": 0.6}


@styled
def curves(means: pd.DataFrame, number: str) -> Figure:
    """Accuracy or loss against the share of units taken out, a panel a layer, a row a family.

    Lines are means over nets, bands their intervals.

    Args:
        means: rows of `tables/curves_means.parquet`.
        number: "accuracy" or "loss"; loss is on a logarithmic scale.
    """
    families = list(means["family"].unique())
    layers = {family: list(means.loc[means["family"] == family, "layer"].unique()) for family in families}
    n_columns = max(map(len, layers.values()))
    width = COLUMN_INCHES if n_columns == 1 else PAGE_INCHES * min(1, (n_columns + 0.5) / 3.5)
    figure = Figure(figsize=(width, 0.7 + 1.35 * len(families)), layout="constrained")
    panels = figure.subplots(len(families), n_columns, squeeze=False, sharex=True, sharey="row")
    for row, family in enumerate(families):
        for column, panel in enumerate(panels[row]):
            if column >= len(layers[family]):
                panel.remove()
                continue
            layer = layers[family][column]
            _curve(panel, means[(means["family"] == family) & (means["layer"] == layer)], number)
            panel.set_title(shorten(f"{family}, {layer}", 32))
            if row == len(families) - 1 or column >= len(layers[families[row + 1]]):
                panel.set_xlabel("units taken out")
                panel.tick_params(labelbottom=True)
        panels[row, 0].set_ylabel("accuracy" if number == "accuracy" else "loss (nats)")
    marks = [Line2D([], [], color=colour, linewidth=1.3, label=name) for name, colour in ORDERS.values()]
    figure.legend(handles=marks, loc="outside lower center", ncols=3 if n_columns > 1 else 1)
    return figure


def _curve(panel: Axes, rows: pd.DataFrame, number: str) -> None:
    for order in reversed(tuple(ORDERS)):
        own, colour = rows[rows["order"] == order].sort_values("share"), ORDERS[order][1]
        low, high = (own[f"{number}_{end}"] for end in ("low", "high"))
        if number == "loss":
            low = low.clip(lower=own["loss"].min() / 4)
        panel.fill_between(own["share"], low, high, color=colour, alpha=0.15, linewidth=0)
        panel.plot(own["share"], own[number], color=colour, linewidth=1.3, marker="o", markersize=2.5)
    panel.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if number == "loss":
        panel.set_yscale("log")
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        panel.set_ylim(0, 1.03)
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


@styled
def forest(means: pd.DataFrame) -> Figure:
    """What it costs to take out the most unique and the most shared units, a row a layer.

    Left, the loss that is added; right, how much more than without random units like them.

    Args:
        means: rows of `tables/ablation_means.parquet`.
    """
    places = means[["family", "layer"]].drop_duplicates().reset_index(drop=True)
    figure = Figure(figsize=(PAGE_INCHES, 0.9 + 0.27 * len(places)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    columns = ("loss_change", "loss added (nats)"), ("loss_difference", "beyond random units like them (nats)")
    for panel, (column, label) in zip(panels, columns, strict=True):
        panel.axvline(0, **_ZERO)
        for offset, (kind, (_, colour)) in zip((-0.17, 0.17), SETS.items(), strict=True):
            own = places.merge(means[means["set"] == kind], on=["family", "layer"], how="left")
            y = np.arange(len(places)) + offset
            panel.errorbar(own[column], y, xerr=reach(own, column), color=colour, fmt="o", **_SMALL)
        panel.set_xlabel(label)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        for edge in _edges(places["family"]):
            panel.axhline(edge - 0.5, color="#DDDDDD", linewidth=0.6)
    names = [shorten(f"{family}, {layer}", 30) for family, layer in places.itertuples(index=False)]
    panels[0].yaxis.set_major_locator(FixedLocator(list(range(len(places)))))
    panels[0].set_yticklabels(names)
    panels[0].set_ylim(len(places) - 0.5, -0.5)
    marks = [
        Line2D([], [], color=colour, marker="o", linestyle="none", markersize=4, label=name)
        for name, colour in SETS.values()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2)
    return figure


_SMALL: Mapping[str, Any] = {"markersize": 3.2, "elinewidth": 0.9}


def _edges(families: pd.Series) -> list[int]:
    """Rows at which another family begins."""
    names = families.tolist()
    return [i for i in range(1, len(names)) if names[i] != names[i - 1]]


@styled
def recovered(means: pd.DataFrame) -> Figure:
    """How much of the loss images of another net's units give back, a panel a family, a group of bars a layer.

    Args:
        means: rows of `tables/transplant_means.parquet`.
    """
    families = list(means["family"].unique())
    n_columns = min(2, len(families))
    n_rows = -(-len(families) // n_columns)
    figure = Figure(figsize=(PAGE_INCHES, 0.8 + 1.5 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for panel, family in zip(panels, families, strict=False):
        _bars(panel, means[means["family"] == family])
        panel.set_title(family)
    for spare in panels[len(families) :]:
        spare.remove()
    figure.supylabel("loss recovered", fontsize=8)
    marks = [Patch(color=colour, label=name) for name, colour in MAPS.values()]
    figure.legend(handles=marks, loc="outside lower center", ncols=4)
    return figure


def _bars(panel: Axes, rows: pd.DataFrame) -> None:
    layers = list(rows["layer"].unique())
    x, width = np.arange(len(layers)), 0.8 / len(MAPS)
    panel.axhline(0, **_ZERO)
    for i, (kind, (_, colour)) in enumerate(MAPS.items()):
        own = rows[rows["units_are"] == kind].set_index("layer").reindex(layers)
        at = x + (i - (len(MAPS) - 1) / 2) * width
        panel.bar(at, own["loss_recovered"].clip(lower=_LOWEST), width * 0.92, color=colour)
        low, high = (own[f"loss_recovered_{end}"].clip(lower=_LOWEST) for end in ("low", "high"))
        panel.vlines(at, low, high, color="black", linewidth=0.7)
    panel.set_ylim(min(0, _LOWEST if (rows["loss_recovered"] < 0).any() else 0), 1.12)
    panel.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    panel.xaxis.set_major_locator(FixedLocator(x.tolist()))
    panel.set_xticklabels([shorten(layer, 18) for layer in layers])


def reach(rows: pd.DataFrame, column: str) -> Float64[Array, "2 rows"]:
    """Whiskers of a column, as Matplotlib wants them; none where there is no interval."""
    ends = [rows[column] - rows[f"{column}_low"], rows[f"{column}_high"] - rows[column]]
    return np.nan_to_num(np.array(ends, dtype=np.float64)).clip(min=0)
