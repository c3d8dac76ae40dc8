"""Figures that show numbers: match curves, means per layer, sorted mean activations."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .style import (
    BLUE,
    GREY,
    NAVY,
    NET_COLOURS,
    ORANGE,
    PAGE_INCHES,
    SKY,
    VERMILLION,
    layer_grid,
    marker_size,
    shorten,
    styled,
)
from .summaries import THRESHOLD

_LETTER_INCHES, _AXIS_INCHES = 0.055, 2.65


@styled
def match_curves(pairs: pd.DataFrame) -> Figure:
    """Figure 3: the scores of every unit of a layer, sorted by its semi-matching score.

    Args:
        pairs: the matches of one net with another, of one or more layers (rows of `tables/matches.parquet`).

    Returns:
        A panel a layer with three scores per unit: semi-matching, the same held out, one-to-one matching.
    """
    layers = list(pairs["layer"].unique())
    figure, panels = layer_grid(layers)
    low = float(np.nanmin([0.0, pairs["one_to_one_r"].min(), pairs["best_r_held_out"].min()]))
    for panel, layer in zip(panels, layers, strict=True):
        _match_curve(panel, pairs[pairs["layer"] == layer])
        panel.set(ylim=(low - 0.04, 1.04))
    figure.supylabel("correlation r", fontsize=8)
    figure.supxlabel(f"unit of {shorten(str(pairs['net_a'].iloc[0]), 14)}, sorted by semi-matching", fontsize=8)
    figure.legend(handles=panels[0].get_lines()[1:], loc="outside upper left", ncols=3 if len(layers) > 2 else 2)
    return figure


def _match_curve(panel: Axes, pairs: pd.DataFrame) -> None:
    ranked = pairs.dropna(subset="best_r").sort_values("best_r", ascending=False, kind="stable")
    rank, size = np.arange(1, len(ranked) + 1), marker_size(max(1, len(ranked)))
    marks: dict[str, dict[str, Any]] = {
        "best_r": {"label": "semi-matching", "marker": "o", "color": SKY, "markeredgewidth": 0},
        "best_r_held_out": {"label": "semi-matching, held out", "marker": "_", "color": VERMILLION},
        "one_to_one_r": {"label": "one-to-one matching", "marker": "o", "color": NAVY, "markeredgewidth": 0},
    }
    panel.axhline(THRESHOLD, color=GREY, linewidth=0.5, linestyle=(0, (2, 2)))
    for column, mark in marks.items():
        scale = 0.5 if column == "one_to_one_r" else 1
        look: dict[str, Any] = {"markeredgewidth": 0.8, "linestyle": "none", "rasterized": len(ranked) > 500}
        panel.plot(rank, ranked[column], **look | mark, markersize=size * scale)


@styled
def layer_means(summary: pd.DataFrame) -> Figure:
    """Figure 4: mean scores of each layer, and the share of units without a partner.

    Args:
        summary: what `layer_summary` returns.

    Returns:
        A figure of page width. Left: both matchings (dots), held out (dashes), with whiskers from the smallest to
        the largest pair of nets; in grey untrained nets and, where it is known, chance (dashes). Right: the
        share of units with no partner of r >= .5.
    """
    names = [shorten(layer, 18) for layer in summary.index]
    upright = sum(len(name) + 1 for name in names) * _LETTER_INCHES > _AXIS_INCHES
    label_inches = max(map(len, names)) * _LETTER_INCHES if upright else 0
    figure = Figure(figsize=(PAGE_INCHES, 2.9 + label_inches), layout="constrained")
    means, alone = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for name, label, colour, marker, shift in (
        ("best", "semi-matching", BLUE, "o", -0.13),
        ("one_to_one", "one-to-one", VERMILLION, "s", 0.13),
    ):
        _compared(means, summary, name, label=label, color=colour, marker=marker, shift=shift)
        _dashes(means, summary, f"{name}_held_out", label="held out", color=colour, shift=shift)
        _untrained(means, summary, name, label="untrained", marker=marker, shift=shift)
        if summary[f"{name}_chance"].notna().any():
            _dashes(means, summary, f"{name}_chance", label="chance", color=GREY, shift=shift)
    _compared(alone, summary, "alone", label="trained", color=ORANGE, marker="D", shift=0.0)
    _untrained(alone, summary, "alone", label="untrained", marker="D", shift=0.0)
    means.set(ylabel="mean correlation r", ylim=(min(0, means.get_ylim()[0]), 1.02))
    alone.set(ylabel="units without a partner\nof r ≥ .5", ylim=(-0.03, 1.03))
    alone.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    for panel in (means, alone):
        panel.set_xticks(range(len(names)), names, rotation=90 if upright else 0)
        panel.set_xlim(-0.5, len(names) - 0.5)
        if len(panel.get_legend_handles_labels()[0]) > 1:
            panel.legend(
                loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2, columnspacing=1.6, borderaxespad=0.2
            )
    return figure


def _compared(panel: Axes, summary: pd.DataFrame, name: str, *, shift: float, color: str, **look: Any) -> None:
    x = np.arange(len(summary)) + shift
    panel.vlines(x, summary[f"{name}_low"], summary[f"{name}_high"], color=color, linewidth=0.9)
    panel.plot(x, summary[name], color=color, markersize=_fitting(4.5, summary), linewidth=0.9, **look)


def _dashes(panel: Axes, summary: pd.DataFrame, name: str, *, shift: float, **look: Any) -> None:
    x = np.arange(len(summary)) + shift
    panel.plot(
        x,
        summary[name],
        marker="_",
        markersize=_fitting(8.0, summary),
        markeredgewidth=1.2,
        linestyle="none",
        **look,
    )


def _untrained(panel: Axes, summary: pd.DataFrame, name: str, *, shift: float, **look: Any) -> None:
    values = summary[f"{name}_untrained"]
    if values.notna().any():
        x = np.arange(len(summary)) + shift
        panel.plot(
            x,
            values,
            color=GREY,
            markersize=_fitting(3.5, summary),
            linewidth=0.9,
            linestyle=(0, (1, 1.5)),
            **look,
        )


def _fitting(size: float, summary: pd.DataFrame) -> float:
    """A marker's size in points, smaller where layers are many."""
    return size * min(1, 10 / len(summary)) ** 0.6


@styled
def sorted_means(units: pd.DataFrame) -> Figure:
    """Figure S8: mean activation of the living units of each net, sorted.

    The axis is logarithmic in a layer whose means are all positive and span a factor of ten or more.

    Args:
        units: one row a unit (rows of `tables/units.parquet`).

    Returns:
        A panel a layer, a curve a net.
    """
    layers, nets = list(units["layer"].unique()), list(units["net"].unique())
    figure, panels = layer_grid(layers)
    living = units[~units["dead"].astype(bool)]
    for panel, layer in zip(panels, layers, strict=True):
        means = living[living["layer"] == layer]
        for i, net in enumerate(nets):
            falling = np.sort(means.loc[means["net"] == net, "mean"].to_numpy())[::-1]
            colour, dashes = NET_COLOURS[i % len(NET_COLOURS)], "-" if i < len(NET_COLOURS) else "--"
            rank = np.arange(1, len(falling) + 1)
            panel.plot(rank, falling, color=colour, linestyle=dashes, linewidth=1, label=shorten(net, 20))
        if (spans := factor(means["mean"])) >= 10:
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if spans < 100 else (1,)))
            panel.yaxis.set_major_formatter(lambda mean, _: f"{mean:g}")
            panel.yaxis.set_minor_formatter(NullFormatter())
    figure.supylabel("mean activation", fontsize=8)
    figure.supxlabel("unit, sorted by its mean activation", fontsize=8)
    figure.legend(
        handles=panels[0].get_lines(), loc="outside upper left", ncols=min(len(nets), 2 * len(panels) + 1)
    )
    return figure


def factor(values: pd.Series) -> float:
    """How many times the smallest the largest is; 1 where not all are positive."""
    return float(values.max() / values.min()) if len(values) and values.min() > 0 else 1.0
