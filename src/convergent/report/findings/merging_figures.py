"""Figures of nets merged and combined: the way from one to the other, and what each way of combining buys."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from ..style import BLACK, BLUE, GREEN, GREY, ORANGE, PAGE_INCHES, PURPLE, SKY, VERMILLION, styled
from .cause_figures import reach

WAYS: Mapping[tuple[bool, bool], tuple[str, dict[str, Any]]] = {
    (False, False): ("as they are", {"color": GREY, "linestyle": (0, (3, 2))}),
    (False, True): ("mended", {"color": GREY}),
    (True, False): ("matched", {"color": BLUE, "linestyle": (0, (3, 2))}),
    (True, True): ("matched and mended", {"color": BLUE}),
}
COMBINED: Mapping[str, tuple[str, str, str]] = {
    "ensemble": ("both nets' scores", BLACK, "s"),
    "readout of one": ("readout of one net", GREY, "D"),
    "with unique": ("with units it lacks", BLUE, "o"),
    "with matched": ("with units like these", SKY, "o"),
    "with shared": ("with shared units", VERMILLION, "o"),
    "with random": ("with random units", ORANGE, "o"),
    "with copies": ("with copies of its own", GREY, "v"),
    "with noise": ("with noise", GREY, "x"),
    "distilled": ("one taught by two", GREEN, "*"),
}
LOWEST_GAIN = -0.1  # what loses more is not drawn, or nothing else could be told apart
_ZIPPED = ("zipped", PURPLE, "P")


@styled
def barriers(means: pd.DataFrame) -> Figure:
    """Loss and accuracy of the nets between two nets, a column a family.

    Args:
        means: rows of `tables/merging_means.parquet`.
    """
    families = list(means["family"].unique())
    width = PAGE_INCHES * min(1, (len(families) + 0.8) / 3.8)
    figure = Figure(figsize=(width, 3.4), layout="constrained")
    panels = figure.subplots(2, len(families), squeeze=False, sharex=True, sharey="row")
    for column, family in enumerate(families):
        rows = means[means["family"] == family]
        for panel, number in zip(panels[:, column], ("loss", "accuracy"), strict=True):
            _between(panel, rows, number)
        panels[0, column].set_title(family)
        panels[1, column].set_xlabel("weight of the second net")
    panels[0, 0].set_ylabel("loss (nats)")
    panels[1, 0].set_ylabel("accuracy")
    marks = [Line2D([], [], label=name, linewidth=1.3, **look) for name, look in WAYS.values()]
    figure.legend(handles=marks, loc="outside lower center", ncols=4 if len(families) > 2 else 2)
    return figure


def _between(panel: Axes, rows: pd.DataFrame, number: str) -> None:
    for (matched, mended), (_, look) in WAYS.items():
        own = rows[(rows["matched"] == matched) & (rows["mended"] == mended)].sort_values("weight")
        low = own[f"{number}_low"].clip(lower=own[number].min() / 4)
        panel.fill_between(own["weight"], low, own[f"{number}_high"], color=look["color"], alpha=0.12, linewidth=0)
        panel.plot(own["weight"], own[number], linewidth=1.3, marker="o", markersize=2.5, **look)
    panel.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    if number == "loss":
        panel.set_yscale("log")
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        panel.set_ylim(0, 1.03)
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


@styled
def against_costs(means: pd.DataFrame, zipped: pd.DataFrame) -> Figure:
    """Accuracy gained over the better net against multiply-adds, a panel a family; large losses are left out.

    Args:
        means: family, way, accuracy_gain with its interval, and times_multiply_adds.
        zipped: the same of zipped nets, with their width in place of the way; may be empty.
    """
    families = list(means["family"].unique())
    n_columns = min(2, len(families))
    n_rows = -(-len(families) // n_columns)
    figure = Figure(figsize=(PAGE_INCHES, 1.0 + 1.75 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True).ravel()
    for i, (panel, family) in enumerate(zip(panels, families, strict=False)):
        panel.tick_params(labelbottom=i + n_columns >= len(families))
        own = zipped[zipped["family"] == family] if len(zipped) else zipped
        _costs(panel, means[means["family"] == family], own)
        panel.set_title(family)
    for spare in panels[len(families) :]:
        spare.remove()
    figure.supylabel("accuracy gained (points)", fontsize=8)
    figure.supxlabel("multiply-adds, in those of one net", fontsize=8)
    there = [COMBINED[way] for way in COMBINED if way in set(means["way"])]
    marks = [_mark(*look) for look in [*there, *([_ZIPPED] if len(zipped) else [])]]
    figure.legend(handles=marks, loc="outside upper center", ncols=4)
    return figure


def _costs(panel: Axes, means: pd.DataFrame, zipped: pd.DataFrame) -> None:
    """Ways of equal cost stand beside each other."""
    panel.axhline(0, color="#444444", linewidth=0.6)
    rows = means.set_index("way").reindex([way for way in COMBINED if way in set(means["way"])])
    near = rows["times_multiply_adds"].round(1)
    rank = near.groupby(near).cumcount() - (near.groupby(near).transform("size") - 1) / 2
    for (way, row), beside in zip(rows.iterrows(), rank, strict=True):
        _, colour, marker = COMBINED[str(way)]
        x, own = row["times_multiply_adds"] + 0.06 * beside, 100 * row.to_frame().T[list(_GAIN)].astype(float)
        panel.errorbar([x], own["accuracy_gain"], yerr=reach(own, "accuracy_gain"), color=colour, **_look(marker))
    if len(zipped):
        own = zipped.sort_values("width")
        gains = 100 * own[list(_GAIN)]
        panel.errorbar(
            own["times_multiply_adds"] - 0.04,
            gains["accuracy_gain"],
            yerr=reach(gains, "accuracy_gain"),
            color=_ZIPPED[1],
            linewidth=0.8,
            **{**_look(_ZIPPED[2]), "linestyle": "-"},
        )
    drawn = np.concatenate([rows["accuracy_gain"], zipped["accuracy_gain"] if len(zipped) else []])
    drawn = drawn[drawn > LOWEST_GAIN]
    if len(drawn):
        panel.set_ylim(100 * float(drawn.min()) - 1.5, 100 * float(drawn.max()) + 2)


_GAIN = ("accuracy_gain", "accuracy_gain_low", "accuracy_gain_high")


def _look(marker: str) -> dict[str, Any]:
    return {"marker": marker, "markersize": 4, "elinewidth": 0.7, "linestyle": "none"}


def _mark(name: str, colour: str, marker: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markersize=4.5, linestyle="none", label=name)
