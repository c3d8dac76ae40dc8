"""Figures of few-to-one prediction: the map, contributors of single units, how many there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .._typing import Array, Float, Int
from .sheets import Sheet, Tiles, pooled
from .style import BLUE, GREY, ORANGE, PAGE_INCHES, SKY, layer_grid, shorten, styled
from .wording import NONE, score

_MOST_DRAWN, _LETTERS_PER_INCH = 400, 15


@styled
def map_panels(
    weights: Float[Array, "units_b units_a"],
    order_a: Int[Array, " shown_a"],
    order_b: Int[Array, " shown_b"],
    *,
    a: str,
    b: str,
) -> Figure:
    """Figure 6, left: the weights that predict units of b from units of a, in natural and in aligned order.

    One diverging scale with 0 in the middle. More than 400 units are drawn in blocks, of each the weight farthest
    from 0. Undefined weights are grey.

    Args:
        weights: rows are targets in b, columns are sources in a.
        order_a: sources in the order of the second panel.
        order_b: targets in the order of the second panel.
        a: name of the layer that predicts.
        b: name of the layer that is predicted.

    Returns:
        A figure of page width with two panels and a colour bar.
    """
    orders = {"in natural order": weights, "in aligned order": weights[np.ix_(order_b, order_a)]}
    largest = float(np.max(np.abs(weights), initial=0, where=np.isfinite(weights))) or 1.0
    colours = mpl.colormaps["RdBu_r"].with_extremes(bad="#BBBBBB")
    aspect = float(np.clip(weights.shape[0] / max(1, weights.shape[1]), 0.2, 1.6))
    height = max(2.1, 0.6 + 2.75 * aspect)
    figure = Figure(figsize=(PAGE_INCHES, height), layout="constrained")
    axes = figure.subplots(1, 2)
    short_a, short_b = shorten(a, 26), shorten(b, min(26, int(height * _LETTERS_PER_INCH) - 19))
    for panel, (title, matrix) in zip(axes, orders.items(), strict=True):
        if matrix.size:
            limits = {"vmin": -largest, "vmax": largest, "cmap": colours}
            image = panel.imshow(pooled(matrix, _MOST_DRAWN), interpolation="nearest", aspect="auto", **limits)
        panel.set(title=title, xlabel=f"unit of {short_a}, predicting", xticks=[], yticks=[])
        panel.set_box_aspect(aspect)
        panel.spines[:].set(visible=True, linewidth=0.4)
    axes[0].set_ylabel(f"unit of {short_b}, predicted")
    if weights.size:
        bar = figure.colorbar(image, ax=axes, label="weight", aspect=28, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
        bar.locator = MaxNLocator(5, symmetric=True)
    return figure


@dataclass(frozen=True)
class Target:
    """A unit of b and the units of a that predict it.

    Attributes:
        unit: its index in b.
        r2: share of its variance that they predict.
        sources: indices in a with their weights.
    """

    unit: int
    r2: float
    sources: Sequence[tuple[int, float]]


_SIZE, _STEP, _FIRST, _ROW = 0.7, 0.79, 1.5, 1.2
_MOST_SOURCES = 6


@styled
def contributor_sheet(
    targets: Sequence[Target], tiles_a: Tiles | None, tiles_b: Tiles | None, *, a: str = "a", b: str = "b"
) -> Figure:
    """Figure 6, right: a few units of b, each beside the units of a that predict it, with their weights.

    Args:
        targets: the units of b, each with its contributors; up to six are drawn, largest weights first.
        tiles_a: pictures of the units of a; without them their numbers are drawn.
        tiles_b: pictures of the units of b.
        a: name of the net that predicts.
        b: name of the net that is predicted.

    Returns:
        A figure of page width, a row a target.
    """
    sheet = Sheet.blank(PAGE_INCHES, 0.32 + max(1, len(targets)) * _ROW - 0.1)
    if not targets:
        sheet.text(0.02, 0.2, "No unit to predict.")
        return sheet.figure
    sheet.text(0.02, 0.12, f"unit of {shorten(b, 10)}", weight="bold")
    sheet.text(_FIRST, 0.12, f"units of {shorten(a, 30)} that predict it, with their weights", weight="bold")
    for i, target in enumerate(targets):
        _draw_target(sheet, 0.32 + i * _ROW, target, tiles_a, tiles_b)
    return sheet.figure


def _draw_target(sheet: Sheet, top: float, target: Target, tiles_a: Tiles | None, tiles_b: Tiles | None) -> None:
    upper = top + 0.16
    sheet.unit(0.02, upper, target.unit, tiles_b, size=_SIZE)
    sheet.text(0.02 + _SIZE / 2, upper + _SIZE + 0.1, f"R² {score(target.r2)}", ha="center", fontsize=7)
    sheet.text((_FIRST + 0.02 + _SIZE) / 2, upper + _SIZE / 2, "≈", ha="center", fontsize=12)
    falling = sorted(target.sources, key=lambda source: -abs(source[1]))
    for j, (unit, weight) in enumerate(falling[:_MOST_SOURCES]):
        x = _FIRST + j * _STEP
        sheet.unit(x, upper, unit, tiles_a, size=_SIZE)
        sheet.text(x + _SIZE / 2, upper + _SIZE + 0.1, score(weight), ha="center", weight="bold")
    if not falling:
        sheet.text(_FIRST, upper + _SIZE / 2, "no unit")
    if len(falling) > _MOST_SOURCES:
        x = _FIRST + _MOST_SOURCES * _STEP
        sheet.text(x, upper + _SIZE / 2, f"+{len(falling) - _MOST_SOURCES}")


_UNKNOWN = "n/a"
VERDICTS: Mapping[str, str] = {"local": BLUE, "few": SKY, "distributed": ORANGE, "unpredictable": GREY}
_BANDS = (*((n, n) for n in range(5)), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128))


@styled
def contributor_histogram(targets: pd.DataFrame) -> Figure:
    """How many units of a it takes to predict a unit of b: targets counted, in the colours of their verdicts.

    From 5 on, bars hold ranges that double. Targets that no number of units predicts (NaN or -1) stand at n/a;
    those with another verdict than these four, as dead ones, are not drawn.

    Args:
        targets: one row a target: layer, n_contributors, verdict (local, few, distributed or unpredictable).

    Returns:
        A panel a layer of stacked bars.
    """
    layers = list(targets["layer"].unique())
    targets = targets[targets["verdict"].isin(list(VERDICTS))]
    figure, panels = layer_grid(layers)
    bands = [label_of(float(number)) for number in targets["n_contributors"]]
    order = [name for name in _BAND_NAMES if name in bands]
    used = _BAND_NAMES[1 : 1 + max((_BAND_NAMES.index(name) for name in order), default=1)]
    shown = ([_UNKNOWN] if _UNKNOWN in bands else []) + [name for name in used if name != "0" or "0" in bands]
    for panel, layer in zip(panels, layers, strict=True):
        chosen = targets["layer"] == layer
        rows = pd.DataFrame(
            {"band": np.array(bands)[chosen], "verdict": targets.loc[chosen, "verdict"].to_numpy()}
        )
        below = np.zeros(len(shown))
        for verdict, colour in VERDICTS.items():
            names = rows.loc[rows["verdict"] == verdict, "band"]
            heights = np.array([(names == name).sum() for name in shown], dtype=float)
            panel.bar(range(len(shown)), heights, 0.8, bottom=below, color=colour, label=verdict)
            below += heights
        panel.set_xticks(range(len(shown)), shown, rotation=90 if len(shown) > 6 else 0)
        panel.set_xlim(-0.6, len(shown) - 0.4)
        panel.set_ylim(0, 1.06 * max(1, below.max(initial=0)))
        panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    if layers:
        figure.supylabel("target units", fontsize=8)
        figure.supxlabel("number of units that predict a target", fontsize=8)
        handles = [Patch(color=c, label=v) for v, c in VERDICTS.items() if (targets["verdict"] == v).any()]
        figure.legend(handles=handles, loc="outside upper left", ncols=2 if len(layers) == 1 else 4)
    return figure


_BAND_NAMES = [_UNKNOWN, *(str(low) if low == high else f"{low}{NONE}{high}" for low, high in _BANDS), "129+"]


def label_of(number: float) -> str:
    """The bar a number of contributors belongs to.

    Example:
        >>> [label_of(number) for number in (3.0, 7.0, 900.0, float("nan"))]
        ['3', '5–8', '129+', 'n/a']
    """
    if not number >= 0:
        return _UNKNOWN
    return next(
        (_BAND_NAMES[i + 1] for i, (low, high) in enumerate(_BANDS) if low <= number <= high), _BAND_NAMES[-1]
    )
