"""Figures that show matrices and pictures: correlations before and after matching, best and worst pairs."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .._typing import Array
from ..measures import Correlation, Matching
from . import wording
from .crops import montage
from .sheets import Sheet, Tiles
from .style import PAGE_INCHES, shorten, styled

_MOST_DRAWN = 400
_FOUR_PANELS = {"left": 0.05, "right": 0.86, "bottom": 0.05, "top": 0.955, "wspace": 0.14, "hspace": 0.24}
_UNDEFINED = "#BFD9EE"


@styled
def correlation_panels(found: Correlation, matching: Matching) -> Figure:
    """Figure 1: correlations within a, within b, between them, and between them after matching.

    One linear grey scale for all four panels, from their lowest correlation (black) to 1 (white). Where there are
    more than 400 units, every m-th is drawn. Dead units, and units left without a partner, are pale blue.

    Args:
        found: correlations of two layers.
        matching: a one-to-one matching of the same layers.

    Returns:
        A figure of two by two panels, one journal column wide or wider.
    """
    step = drawn_step(found)
    within_a, within_b = (f"within {shorten(name, 23)}" for name in (found.a, found.b))
    a, b = (shorten(name.partition("/")[0], 16) for name in (found.a, found.b))
    panels = {
        (0, 0): (found.within_a, within_a, f"unit of {a}", f"unit of {a}"),
        (0, 1): (found.within_b, within_b, f"unit of {b}", f"unit of {b}"),
        (1, 0): (found.between, "between, in natural order", f"unit of {a}", f"unit of {b}"),
        (1, 1): (matching.align(found.between), "between, after matching", f"unit of {a}", f"its partner in {b}"),
    }
    figure = Figure(figsize=(5.2, 4.7))
    lowest = min(float(np.min(matrix, initial=0, where=~np.isnan(matrix))) for matrix, *_ in panels.values())
    greys = mpl.colormaps["gray"].with_extremes(bad=_UNDEFINED)
    axes = figure.subplots(2, 2, gridspec_kw=_FOUR_PANELS)
    for place, (matrix, title, rows, columns) in panels.items():
        panel, drawn = axes[place], matrix[::step, ::step]
        image = panel.imshow(drawn, cmap=greys, vmin=lowest, vmax=1, interpolation="nearest", aspect="auto")
        panel.set(title=title, ylabel=rows, xlabel=columns, xticks=[], yticks=[])
        panel.set_box_aspect(drawn.shape[0] / drawn.shape[1])
        panel.spines[:].set_visible(False)
    bar = figure.colorbar(image, cax=figure.add_axes((0.885, 0.25, 0.018, 0.5)), label="correlation r")
    bar.outline.set_visible(False)
    return figure


def drawn_step(found: Correlation) -> int:
    """Every how many units one is drawn in Figure 1."""
    return -(-max(found.between.shape) // _MOST_DRAWN)


@styled
def best_and_worst(
    pairs: pd.DataFrame,
    *,
    tiles_a: Tiles | None = None,
    tiles_b: Tiles | None = None,
    n: int = 8,
    score: str = "best_r",
    partner: str = "best_partner",
) -> Figure:
    """Figures 2 and S4: the pairs of units with the highest and the lowest semi-matching scores.

    Args:
        pairs: the matches of one layer of one net with another (rows of `tables/matches.parquet`).
        tiles_a: pictures of the units of the first net; without them only numbers are drawn.
        tiles_b: pictures of the units of the second net.
        n: at most how many pairs of each kind.
        score: the column that ranks the pairs; Figure S4 ranks by mutual information.
        partner: the column that holds the partner of unit_a.

    Returns:
        A figure of page width; above is the unit of a, below its best partner in b.
    """
    ranked = zip(("best", "worst"), ranked_ends(pairs, n, score=score), strict=True)
    bands = {
        f"{len(band)} {name}": band.assign(unit_b=band[partner], score=band[score])
        for name, band in ranked
        if len(band)
    }
    pictures = (tiles_a, tiles_b) if tiles_a is not None and tiles_b is not None else None
    band_height = _BAND_HEIGHT if pictures else _PLAIN_BAND_HEIGHT
    page = Sheet.blank(PAGE_INCHES, max(1, len(bands)) * band_height)
    if not bands:
        page.text(0.02, 0.1, "No unit has a partner.")
    for i, (name, band) in enumerate(bands.items()):
        _draw_band(page, i * band_height, name, band, pictures)
    return page.figure


def ranked_ends(pairs: pd.DataFrame, n: int, *, score: str = "best_r") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The n pairs with the highest and the n with the lowest score, both falling; none is in both."""
    ranked = pairs.dropna(subset=score).sort_values(score, ascending=False, kind="stable")
    n_best = min(n, -(-len(ranked) // 2))
    n_worst = min(n, len(ranked) - n_best)
    return ranked.head(n_best), ranked.tail(n_worst)


_TILE, _PITCH, _LEFT = 0.7, 0.765, 0.68
_BAND_HEIGHT, _PLAIN_TILE, _PLAIN_BAND_HEIGHT = 2.3, 0.26, 1.1


def _draw_band(
    page: Sheet, top: float, title: str, band: pd.DataFrame, pictures: tuple[Array, Array] | None
) -> None:
    page.text(0.02, top + 0.1, title, weight="bold")
    first = band.iloc[0]
    tile = _TILE if pictures else _PLAIN_TILE
    upper = top + (0.38 if pictures else 0.26)
    lower = upper + tile + 0.05
    for y, net in ((upper, first["net_a"]), (lower, first["net_b"])):
        page.text(0.02, y + tile / 2, shorten(str(net), 10), fontsize=7)
    for i, pair in enumerate(band.to_dict("records")):
        x = _LEFT + i * _PITCH
        units = (int(pair["unit_a"]), int(pair["unit_b"]))
        for y, side in ((upper, 0), (lower, 1)):
            if pictures:
                page.picture(x, y, montage(pictures[side][units[side]]), size=_TILE)
            else:
                page.box(x, y, _TILE, tile)
                page.text(x + _TILE / 2, y + tile / 2, str(units[side]), ha="center")
        below = lower + tile
        if pictures:
            page.text(x + _TILE / 2, upper - 0.09, str(units[0]), ha="center", fontsize=7)
            page.text(x + _TILE / 2, below + 0.1, str(units[1]), ha="center", fontsize=7)
            below += 0.13
        page.text(x + _TILE / 2, below + 0.12, wording.score(pair["score"]), ha="center", weight="bold")
