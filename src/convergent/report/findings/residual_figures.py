"""Figures of the inside of nets: units against lag, layers with layers, steps along depth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from ..._typing import Array, Float64
from ..style import GREEN, GREY, NET_COLOURS, PAGE_INCHES, shorten, styled

_UNTRAINED: dict[str, Any] = {"linestyle": (0, (3, 2)), "linewidth": 0.9}
_ROTATED: dict[str, Any] = {"linestyle": (0, (1, 1.2)), "linewidth": 1.2, "color": GREEN}
_TRAINED: dict[str, Any] = {"linewidth": 1.3, "marker": "o", "markersize": 3}
_WHISKERS = 0.7  # points
_BOUNDARY = "#E4E4E4"
_BAR_INCHES, _NAMES_INCHES = 0.65, 0.28
_NUMBERS: Mapping[str, str] = {"self_r": "r of a unit with itself", "share": "identity share"}
_MATRICES: Mapping[str, tuple[str, str]] = {
    "cka": ("CKA, debiased", "Blues"),
    "one_to_one_r": ("one-to-one r", "Greens"),
}


@styled
def against_lag(lags: pd.DataFrame, stages: Sequence[str]) -> Figure:
    """How much of a unit is left some blocks later: a column a stage; above r with itself, beneath identity share.

    Solid lines are trained nets with intervals over nets, dashed ones untrained nets; dotted is the first family
    in rotated bases; grey is chance.

    Args:
        lags: rows of `tables/family_lags.parquet`.
        stages: what each stage is called, in order.
    """
    figure = Figure(figsize=(PAGE_INCHES, 4.4), layout="constrained")
    panels = figure.subplots(len(_NUMBERS), len(stages), squeeze=False, sharey="row")
    for i, number in enumerate(_NUMBERS):
        for stage, panel in enumerate(panels[i]):
            _lines(panel, lags[lags["stage"] == stage], number)
            panel.set_title(shorten(stages[stage], 36) if i == 0 else "")
            panel.set_xlabel("blocks later" if i else "")
        panels[i, 0].set_ylabel(_NUMBERS[number])
    first = lags["family"].iloc[0]
    marks = [_mark(kind) for kind in _kinds(lags)]
    marks.append(Line2D([], [], label=f"{first}, rotated bases", **_ROTATED))
    marks.append(Line2D([], [], label="chance", color=GREY, linewidth=1.4))
    figure.legend(handles=marks, loc="outside lower center", ncols=3)
    return figure


def _lines(panel: Axes, rows: pd.DataFrame, number: str) -> None:
    if number == "self_r":
        panel.axhline(0.5, color=GREY, linewidth=0.6, linestyle=(0, (1, 3)))
        panel.axhline(0, color=GREY, linewidth=1.4)
    for kind in reversed(_kinds(rows)):
        own = _of(rows, kind).sort_values("lag")
        lag = np.concatenate([[0], own["lag"]])
        panel.errorbar(
            lag, _from_one(own[number]), yerr=_reach(own, number, kind), elinewidth=_WHISKERS, **kind.look
        )
        if kind.trained and kind.place == 0:
            panel.plot(lag, _from_one(own[f"rotated_{number}"]), **_ROTATED)
            if number == "share":
                panel.plot(own["lag"], own["chance"], color=GREY, linewidth=1.4)
    panel.set(ylim=(-0.08, 1.05))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


@styled
def steps_along(steps: pd.DataFrame) -> Figure:
    """CKA of each layer with the next, from the input to the output; boundaries of stages are shaded.

    Args:
        steps: rows of `tables/family_steps.parquet`.
    """
    kinds = _kinds(steps)
    first = _of(steps, kinds[0]).sort_values("step")
    figure = Figure(figsize=(PAGE_INCHES, 3.3), layout="constrained")
    panel = figure.subplots()
    across = first.loc[first["across"], "step"]
    for step in across:
        panel.axvspan(step - 0.5, step + 0.5, color=_BOUNDARY, linewidth=0)
    for kind in reversed(kinds):
        own = _of(steps, kind).sort_values("step")
        panel.errorbar(
            own["step"], own["cka"], yerr=_reach(own, "cka", kind)[:, 1:], elinewidth=_WHISKERS, **kind.look
        )
    every = range(0, len(first), max(1, len(first) // 24))
    panel.xaxis.set_major_locator(FixedLocator(list(every)))
    panel.set_xticklabels([shorten(first["b"].iloc[i], 22) for i in every], rotation=90)
    panel.set(ylim=(-0.03, 1.03), xlim=(-0.6, len(first) - 0.4), ylabel="CKA with the layer before")
    marks: list[Artist] = [_mark(kind) for kind in kinds]
    if len(across):
        marks.append(Patch(color=_BOUNDARY, label="boundary of stages"))
    figure.legend(handles=marks, loc="outside upper center", ncols=5)
    return figure


@dataclass(frozen=True)
class _Kind:
    """Trained or untrained nets of a family, and its place among the families."""

    family: str
    trained: bool
    place: int

    @property
    def look(self) -> dict[str, Any]:
        return {"color": NET_COLOURS[self.place % len(NET_COLOURS)], **(_TRAINED if self.trained else _UNTRAINED)}


def _kinds(table: pd.DataFrame) -> list[_Kind]:
    """Those of a table: every family's trained nets, then its untrained ones."""
    known = set(zip(table["family"], table["trained"], strict=True))
    families = enumerate(table["family"].unique())
    return [
        _Kind(family, trained, place)
        for place, family in families
        for trained in (True, False)
        if (family, trained) in known
    ]


def _of(table: pd.DataFrame, kind: _Kind) -> pd.DataFrame:
    return table[(table["family"] == kind.family) & (table["trained"] == kind.trained)]


def _mark(kind: _Kind) -> Line2D:
    return Line2D([], [], label=kind.family if kind.trained else f"{kind.family}, untrained", **kind.look)


def _from_one(values: pd.Series) -> Float64[Array, " lags"]:
    """What is found at each lag, and 1 at lag 0: a unit is itself."""
    return np.concatenate([[1.0], values.to_numpy(dtype=np.float64)])


def _reach(rows: pd.DataFrame, number: str, kind: _Kind) -> Float64[Array, "2 lags"]:
    """How far the ends of intervals lie from the values; 0 at lag 0, where there are none, and untrained."""
    ends = [rows[number] - rows[f"{number}_low"], rows[f"{number}_high"] - rows[number]]
    reach = np.nan_to_num(np.array(ends, dtype=np.float64)) * kind.trained
    return np.concatenate([np.zeros((2, 1)), reach], axis=1)


@dataclass(frozen=True)
class LayerPanel:
    """Layers of one kind of net with layers of it.

    Attributes:
        title: of the panel.
        rows: of `tables/layer_matrix.parquet`, of nets of one kind; those of several nets are averaged.
        boundaries_a: how many rows stand before each boundary of stages.
        boundaries_b: columns, likewise.
        names_a: what stages are called, one more than boundaries.
        names_b: likewise.
    """

    title: str
    rows: pd.DataFrame
    boundaries_a: Sequence[int]
    boundaries_b: Sequence[int]
    names_a: Sequence[str]
    names_b: Sequence[str]

    def values(self, measure: str) -> Float64[Array, "layers_a layers_b"]:
        """The mean over nets of a measure."""
        wide = self.rows.pivot_table(
            index="a", columns="b", values=measure, aggfunc="mean", sort=False, dropna=False
        )
        order = [self.rows[side].unique() for side in ("a", "b")]
        return wide.reindex(index=order[0], columns=order[1]).to_numpy(dtype=np.float64)


@styled
def layers_with_layers(panels: Sequence[LayerPanel]) -> Figure:
    """Every layer with every layer, from the input (top, left); above CKA, beneath one-to-one r.

    Lines are boundaries of stages, which are named by their units.

    Args:
        panels: one a column.
    """
    side = min(1.6, (PAGE_INCHES - _BAR_INCHES) / len(panels) - _NAMES_INCHES)
    width, height = side + _NAMES_INCHES, side + _NAMES_INCHES
    figure = Figure(figsize=(_BAR_INCHES + width * len(panels), 0.2 + 2 * height), layout="constrained")
    grid = figure.subplots(len(_MATRICES), len(panels), squeeze=False)
    for axes, (measure, (name, colours)) in zip(grid, _MATRICES.items(), strict=True):
        images = [_draw(one, panel, measure, colours) for one, panel in zip(axes, panels, strict=True)]
        bar = figure.colorbar(images[0], ax=list(axes), label=name, ticks=(0, 0.5, 1), fraction=0.05, pad=0.01)
        bar.outline.set_visible(False)
    for one, panel in zip(grid[0], panels, strict=True):
        one.set_title(panel.title, loc="center")
    return figure


def _draw(axes: Axes, panel: LayerPanel, measure: str, colours: str) -> mpl.cm.ScalarMappable:
    values = panel.values(measure)
    image = axes.imshow(values, cmap=colours, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    for line, boundaries in ((axes.axhline, panel.boundaries_a), (axes.axvline, panel.boundaries_b)):
        for boundary in boundaries:
            line(boundary - 0.5, color="black", linewidth=0.7)
    for axis, boundaries, names, n in (
        (axes.yaxis, panel.boundaries_a, panel.names_a, values.shape[0]),
        (axes.xaxis, panel.boundaries_b, panel.names_b, values.shape[1]),
    ):
        axis.set_ticks(list(_middles(boundaries, n)), list(names))
        axis.set_tick_params(length=0)
    axes.spines[:].set(visible=True, linewidth=0.4)
    return image


def _middles(boundaries: Sequence[int], n: int) -> Iterator[float]:
    """Where the middle of each stage lies."""
    ends = [0, *boundaries, n]
    for first, last in pairwise(ends):
        yield (first + last - 1) / 2
