"""Table 1 of Li et al. (2016) as a chart: losses and contributors along the penalties."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from .._typing import Array
from .style import BLUE, COLUMN_INCHES, PAGE_INCHES, shorten, styled

_MOST_LINES = 5
_SOLVERS: Mapping[str, dict[str, Any]] = {
    "exact": {"label": "exact optimum", "linestyle": "-", "marker": "o", "markersize": 2.6, "zorder": 3},
    "paper": {
        "label": "the paper's optimiser",
        "linestyle": (0, (3, 1.5)),
        "marker": "s",
        "markersize": 3.6,
        "markerfacecolor": "white",
        "markeredgewidth": 0.8,
        "zorder": 2,
    },
}
_LIGHT = "#DDDDDD"
_NOTHING = Line2D([], [], linestyle="none", label="")


@styled
def penalty_chart(paths: pd.DataFrame) -> Figure:
    """Table 1 as a chart: loss, and contributors per target, against the penalty.

    Both axes of penalty and contributors are logarithmic; penalty 0 stands left of a break, and a mean of 0
    contributors is not drawn.

    Args:
        paths: one row a penalty: layer, solver ("exact" or "paper"), penalty, loss, n_contributors (mean over
            the targets).

    Returns:
        Up to five layers: loss above contributors, a line a layer, one journal column wide. More layers: two such
        panels a layer, the other layers in pale grey.
    """
    layers = list(paths["layer"].unique())
    axis = _Penalties.of(paths["penalty"].to_numpy(dtype=float))
    solvers = [solver for solver in _SOLVERS if (paths["solver"] == solver).any()]
    if len(layers) > _MOST_LINES:
        return _penalty_grid(paths, layers, solvers, axis)
    n_rows = max(len(layers), len(solvers))
    figure = Figure(figsize=(COLUMN_INCHES, 3.5 + 0.15 * n_rows), layout="constrained")
    panels = list(figure.subplots(2, 1, sharex=True))
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.8, len(layers)))
    for layer, colour in zip(layers, shades, strict=True):
        _paths_of(panels, paths[paths["layer"] == layer], axis, color=colour)
    _limit(panels, paths)
    axis.mark(panels, minor_ticks=True)
    panels[0].set_ylabel("loss ½ (1 \N{MINUS SIGN} mean R²)")
    panels[1].set(ylabel="contributors per target", xlabel="penalty (in units of correlation)")
    of_layers = [Line2D([], [], color=c, label=shorten(str(n), 22)) for n, c in zip(layers, shades, strict=True)]
    columns = (of_layers, _solver_handles(solvers))
    handles = [handle for column in columns for handle in [*column, *[_NOTHING] * (n_rows - len(column))]]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, labelspacing=0.35)
    return figure


def _penalty_grid(paths: pd.DataFrame, layers: list[str], solvers: list[str], axis: "_Penalties") -> Figure:
    n_rows = -(-len(layers) // 4)
    figure = Figure(figsize=(PAGE_INCHES, 0.7 + 2.2 * n_rows), layout="constrained")
    grid = figure.subplots(2 * n_rows, 4, squeeze=False)
    for i, layer in enumerate(layers):
        panels = list(grid[2 * (i // 4) : 2 * (i // 4) + 2, i % 4])
        for other in layers:
            chosen = paths[(paths["layer"] == other) & (paths["solver"] == solvers[0])]
            if other != layer:
                _paths_of(panels, chosen, axis, color=_LIGHT, markersize=0, zorder=1)
        _paths_of(panels, paths[paths["layer"] == layer], axis, color=BLUE)
        _limit(panels, paths)
        axis.mark(panels, minor_ticks=False)
        panels[1].yaxis.set_minor_locator(NullLocator())
        panels[0].set_title(shorten(str(layer), 20))
        panels[0].tick_params(labelbottom=False)
        if i % 4 == 0:
            panels[0].set_ylabel("loss")
            panels[1].set_ylabel("contributors")
        else:
            for panel in panels:
                panel.tick_params(labelleft=False)
    for i in range(len(layers), 4 * n_rows):
        for spare in grid[2 * (i // 4) : 2 * (i // 4) + 2, i % 4]:
            spare.remove()
    figure.supxlabel("penalty (in units of correlation)", fontsize=8)
    others = Line2D([], [], color=_LIGHT, label="the other layers")
    figure.legend(handles=[*_solver_handles(solvers), others], loc="outside upper left", ncols=3)
    return figure


def _paths_of(panels: Sequence[Axes], paths: pd.DataFrame, axis: "_Penalties", **look: Any) -> None:
    """The lines of one layer in both panels, one a solver."""
    for solver, rows in paths.groupby("solver", sort=False):
        rising = rows.sort_values("penalty")
        x = axis.place(rising["penalty"].to_numpy(dtype=float))
        style = {"linewidth": 1.0, "markevery": -(-len(x) // 12)} | _SOLVERS[str(solver)] | look
        contributors = rising["n_contributors"].astype(float)
        panels[0].plot(x, rising["loss"], **style)
        panels[1].plot(x, contributors.where(contributors > 0), **style)


def _solver_handles(solvers: list[str]) -> list[Line2D]:
    return [Line2D([], [], color="#444444", linewidth=1.0, **_SOLVERS[solver]) for solver in solvers]


def _limit(panels: Sequence[Axes], paths: pd.DataFrame) -> None:
    """Axes that all layers share: loss from 0, contributors logarithmic."""
    counts = paths.loc[paths["n_contributors"] > 0, "n_contributors"]
    low, high = (counts.min(), counts.max()) if len(counts) else (1.0, 10.0)
    highest = float(np.nanmax([0.5, paths["loss"].max()]))
    panels[0].set(ylim=(0, 1.06 * highest))
    panels[0].yaxis.set_major_locator(MaxNLocator(4))
    panels[1].set(yscale="log", ylim=(min(0.8, low / 1.3), max(1.3 * high, 12)))
    panels[1].yaxis.set_major_locator(LogLocator(numticks=5))
    panels[1].yaxis.set_major_formatter(lambda number, _: f"{number:g}")
    panels[1].yaxis.set_minor_formatter(NullFormatter())


@dataclass(frozen=True)
class _Penalties:
    """A logarithmic axis of penalties with a place for 0 left of a break."""

    lowest: float
    highest: float
    zero: float | None

    @classmethod
    def of(cls, penalties: Array) -> "_Penalties":
        positive = penalties[penalties > 0]
        low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
        gap = max(4.0, (high / low) ** 0.2)
        return cls(float(low), float(high), float(low / gap) if (penalties == 0).any() else None)

    def place(self, penalties: Array) -> Array:
        return penalties if self.zero is None else np.where(penalties == 0, self.zero, penalties)

    def mark(self, panels: Sequence[Axes], *, minor_ticks: bool) -> None:
        decades = 10.0 ** np.arange(np.floor(np.log10(self.lowest)), np.ceil(np.log10(self.highest)) + 1)
        left = self.lowest if self.zero is None else self.zero
        margin = max(1.2, (self.highest / left) ** 0.05)
        for panel in panels:
            panel.set(xscale="log", xlim=(left / margin, self.highest * margin))
            shown = [x for x in decades if self.lowest / 1.01 <= x <= self.highest * 1.01]
            every = -(-len(shown) // 5)
            shown = shown[::-1][::every]
            places, labels = shown, [f"$10^{{{round(np.log10(x))}}}$" for x in shown]
            if self.zero is not None:
                places, labels = [self.zero, *shown], ["0", *labels]
                self._break(panel)
            panel.set_xticks(places, labels)
            minor = [k * x for x in decades for k in range(2, 10) if self.lowest <= k * x <= self.highest]
            panel.xaxis.set_minor_locator(FixedLocator(minor) if minor_ticks else NullLocator())

    def _break(self, panel: Axes) -> None:
        assert self.zero is not None
        middle = float(np.sqrt(self.zero * self.lowest))
        x = middle * (self.lowest / self.zero) ** np.array([-0.09, 0.09])
        floor = panel.get_xaxis_transform()
        panel.plot(x, [0, 0], color="white", linewidth=1.6, transform=floor, clip_on=False, zorder=4)
        stroke: dict[str, Any] = {"marker": [(-1, -2), (1, 2)], "markersize": 5, "markeredgewidth": 0.6}
        panel.plot(
            x, [0, 0], linestyle="none", color="#444444", transform=floor, clip_on=False, zorder=5, **stroke
        )
