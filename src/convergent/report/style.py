"""How figures look: sizes of a journal's column, type of 7 to 8 points, colours that all can tell apart."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

COLUMN_INCHES = 3.3
PAGE_INCHES = 6.8
DPI = 200

# Okabe and Ito's palette, without its yellow, which is too pale for a line on white.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, BLACK, GREY = "#56B4E9", "#E69F00", "#000000", "#8C8C8C"
NAVY = "#003B5C"
NET_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)

STYLE: dict[RcKeyType, Any] = {
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "pdf.fonttype": 42,
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the house style and leave Matplotlib's settings as they were."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            figure = draw(*args, **kwargs)
            # Ticks are made at the first draw, from the settings of then; and one layout is enough.
            figure.draw_without_rendering()
            figure.set_layout_engine(None)  # "none" would draw it once more before each file
        return figure

    return inside


def layer_grid(layers: Sequence[str], *, panel_height: float = 1.45) -> tuple[Figure, list[Axes]]:
    """A panel a layer, at most four beside each other, titled with the layer's name; an empty figure for none."""
    if not layers:
        return Figure(figsize=(COLUMN_INCHES, 1)), []
    n_columns = min(4, len(layers))
    n_rows = -(-len(layers) // n_columns)
    width = COLUMN_INCHES if n_columns == 1 else PAGE_INCHES * (n_columns + 1) / 5
    figure = Figure(figsize=(width, 0.7 + panel_height * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for panel, layer in zip(panels, layers, strict=False):
        panel.set_title(shorten(layer, 24 if n_columns < 3 else 20))
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for spare in panels[len(layers) :]:
        spare.remove()
    return figure, list(panels[: len(layers)])


def shorten(name: str, length: int) -> str:
    """A name with its middle left out where it is too long for its place.

    Example:
        >>> shorten("features.denseblock1.relu", 15)
        'feature…k1.relu'
    """
    if len(name) <= length:
        return name
    half = length // 2
    return f"{name[:half]}…{name[half + 1 - length :]}"


def marker_size(n: int) -> float:
    """Diameter in points at which n markers side by side are still told apart."""
    return float(np.clip(160 / n, 2.2, 5))
