"""The ladder chart: how much of a layer each kind of map explains, from the narrowest kind to any linear map."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from .style import BLUE, GREY, layer_grid, shorten, styled
from .wording import percent

RUNG_NAMES: Mapping[str, str] = {
    "identity": "same index",
    "permutation": "permutation",
    "soft_matching": "soft matching",
    "partial_soft_matching": "partial soft",
    "sparse": "sparse",
    "orthogonal": "rotation",
    "ridge": "any linear",
}
SHARED = ("permutation", "orthogonal")
_LOWEST = -0.25
_LABEL_INCHES = 0.72
_MARKS: Mapping[str, dict[str, Any]] = {
    "chance_r2": {"label": "chance", "color": GREY, "marker": "_", "markersize": 8, "markeredgewidth": 1.4},
    "r2_held_out": {"label": "held out", "color": BLUE, "marker": "o", "markersize": 4, "markeredgewidth": 0},
    "r2": {
        "label": "all inputs",
        "color": BLUE,
        "marker": "o",
        "markersize": 3,
        "markerfacecolor": "white",
        "markeredgewidth": 0.7,
    },
}
_LINE: dict[str, Any] = {"color": "#444444", "linewidth": 0.7, "linestyle": (0, (1, 2))}
_BESIDE = 0.3


@styled
def ladder_chart(ladder: pd.DataFrame) -> Figure:
    """What maps of a growing kind explain of a layer: same index, permutation, ..., rotation, any linear map.

    A dot is R2 on held-out inputs, with its interval as a whisker; the small open one beside it is R2 on the
    inputs that the map was fitted to; a grey dash is chance. The dotted line continues the held-out R2 of any
    linear map, and what stands above it is the share of it that a permutation and a rotation reach.

    Args:
        ladder: one row a layer and rung (rows of `tables/ladder.parquet` of one pair of nets).

    Returns:
        A panel a layer, all on one scale. What lies below -.25 is drawn there, as a triangle.
    """
    layers, rungs = list(ladder["layer"].unique()), rungs_of(ladder)
    figure, panels = layer_grid(layers, panel_height=1.4)
    bottom = _bottom(ladder)
    for panel, layer in zip(panels, layers, strict=True):
        _draw(panel, ladder[ladder["layer"] == layer].set_index("rung").reindex(rungs), bottom)
    _name_rungs(figure, panels, [RUNG_NAMES.get(rung, rung.replace("_", " ")) for rung in rungs])
    if layers:
        figure.supylabel(f"R² of the units of {shorten(str(ladder['net_b'].iloc[0]), 14)}", fontsize=8)
        handles = [Line2D([], [], linestyle="none", **_MARKS[kind]) for kind in ("r2_held_out", "r2", "chance_r2")]
        line = Line2D([], [], label="any linear map, held out", **_LINE)
        figure.legend(handles=[*handles, line], loc="outside upper left", ncols=4 if len(layers) > 2 else 2)
    return figure


def rungs_of(ladder: pd.DataFrame) -> list[str]:
    """The rungs of a ladder from the narrowest to the widest; unknown ones last, as they come."""
    places = {rung: place for place, rung in enumerate(RUNG_NAMES)}
    return sorted(ladder["rung"].unique(), key=lambda rung: places.get(rung, len(places)))


def _bottom(ladder: pd.DataFrame) -> float:
    values = ladder[list(_MARKS)].to_numpy(dtype=float)
    lowest = float(np.min(values, initial=0, where=np.isfinite(values)))
    return max(_LOWEST, lowest)


def _draw(panel: Axes, rungs: pd.DataFrame, bottom: float) -> None:
    x = np.arange(len(rungs))
    reached = float(rungs["r2_held_out"].get("ridge", np.nan))
    panel.axhline(reached, zorder=1, **_LINE)
    low, high = (rungs[end].to_numpy(dtype=float).clip(bottom, 1.1) for end in ("r2_low", "r2_high"))
    panel.vlines(x, low, high, color=BLUE, linewidth=1)
    for column, mark in _MARKS.items():
        values, at = rungs[column].to_numpy(dtype=float), x + (_BESIDE if column == "r2" else 0)
        inside = np.where(values < bottom, np.nan, values)
        panel.plot(at, inside, linestyle="none", **mark)
        below = np.where(values < bottom, bottom, np.nan)
        panel.plot(at, below, linestyle="none", **mark | {"marker": "v", "markersize": 3.5, "label": ""})
    for place, (rung, share) in enumerate(rungs["share_of_linear"].items()):
        if rung in SHARED and not np.isnan(share) and reached > bottom:
            top = max(reached, float(np.nan_to_num(high[place], nan=bottom)))
            panel.text(place, top + 0.04, percent(share), fontsize=7, ha="center")
    panel.set(xlim=(-0.6, len(rungs) - 0.3), ylim=(bottom - 0.06, 1.19))
    panel.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))


def _name_rungs(figure: Figure, panels: list[Axes], names: list[str]) -> None:
    """Beneath the lowest panel of each column, for which the figure grows."""
    n_columns = min(4, len(panels))
    for i, panel in enumerate(panels):
        lowest = i + n_columns >= len(panels)
        panel.xaxis.set_major_locator(FixedLocator(list(range(len(names)))))
        panel.set_xticklabels(names if lowest else [], rotation=90)
    n_rows_named = 2 if n_columns and len(panels) % n_columns and len(panels) > n_columns else bool(panels)
    figure.set_figheight(figure.get_figheight() + _LABEL_INCHES * n_rows_named)
