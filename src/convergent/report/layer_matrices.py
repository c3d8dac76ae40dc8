"""Every layer of a net with every layer of another: matrices of similarity on one scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .._typing import Array, Float
from .style import PAGE_INCHES, VERMILLION, shorten, styled
from .wording import score

_UNDEFINED = "#F3E3EC"
_NUMBER_INCHES, _NAME_INCHES = 0.205, 0.115
_BAR_INCHES, _LETTER_INCHES = 0.55, 0.065
_MOST_PANEL, _LEAST_PANEL, _MOST_CELL = 2.5, 1.7, 0.5


@dataclass(frozen=True)
class LayerMatrix:
    """How alike the layers of two nets are.

    Attributes:
        a: name of the net whose layers are rows.
        b: name of the net whose layers are columns.
        layers_a: their names.
        layers_b: likewise.
        values: the similarities; NaN where there is none.
        title: what the panel is called; "" names the nets.
    """

    a: str
    b: str
    layers_a: Sequence[str]
    layers_b: Sequence[str]
    values: Float[Array, "layers_a layers_b"]
    title: str = ""

    @classmethod
    def of(cls, table: pd.DataFrame, a: str, b: str, *, title: str = "") -> "LayerMatrix | None":
        """That of two nets of a table; None where it has none.

        Args:
            table: columns net_a, layer_a, net_b, layer_b, cka, of any nets; layers keep its order.
            a: name of the first net.
            b: name of the second.
            title: of the matrix.
        """
        rows = table[(table["net_a"] == a) & (table["net_b"] == b)]
        if rows.empty:
            return None
        wide = rows.drop_duplicates(["layer_a", "layer_b"]).pivot(index="layer_a", columns="layer_b", values="cka")
        wide = wide.loc[rows["layer_a"].unique(), rows["layer_b"].unique()]
        return cls(a, b, list(wide.index), list(wide.columns), wide.to_numpy(dtype=float), title)

    @property
    def partners(self) -> list[int | None]:
        """Per row, the column with the largest value; None where the row has none."""
        return [None if np.isnan(row).all() else int(np.nanargmax(row)) for row in self.values]


@styled
def layer_matrices(matrices: Sequence[LayerMatrix]) -> Figure:
    """Similarities of layers, one matrix beside the other, from 0 (white) to 1 (dark blue).

    Between two nets a frame marks the largest value of each row. Numbers stand in the cells as long as they fit.

    Args:
        matrices: one to three.

    Returns:
        A figure of at most page width with a panel a matrix and one colour bar.
    """
    named = max((len(shorten(name, 16)) for one in matrices for name in one.layers_a), default=0) * _LETTER_INCHES
    beneath = (
        max((len(shorten(name, 16)) for one in matrices for name in one.layers_b), default=0) * _LETTER_INCHES
    )
    shared = len({tuple(one.layers_a) for one in matrices}) == 1
    n_named = 1 if shared else len(matrices)
    room = PAGE_INCHES - _BAR_INCHES - n_named * (named + 0.25) - 0.1 * len(matrices)
    n_layers = max((max(one.values.shape) for one in matrices), default=1)
    side = min(_MOST_PANEL, room / max(1, len(matrices)), max(_LEAST_PANEL, _MOST_CELL * n_layers))
    width = _BAR_INCHES + n_named * (named + 0.25) + len(matrices) * (side + 0.1)
    figure = Figure(figsize=(width, side + beneath + 0.5), layout="constrained")
    panels = list(figure.subplots(1, max(1, len(matrices)), squeeze=False).ravel())
    image = None
    for i, (panel, matrix) in enumerate(zip(panels, matrices, strict=False)):
        image = _draw(panel, matrix, side, rows_named=i == 0 or not shared)
    if image is not None:
        bar = figure.colorbar(image, ax=panels, label="CKA", ticks=(0, 0.5, 1), fraction=0.05, aspect=20, pad=0.01)
        bar.outline.set_visible(False)
    return figure


def _draw(panel: Axes, matrix: LayerMatrix, side: float, *, rows_named: bool) -> mpl.cm.ScalarMappable:
    blues = mpl.colormaps["Blues"].with_extremes(bad=_UNDEFINED)
    image = panel.imshow(matrix.values, cmap=blues, vmin=0, vmax=1, interpolation="nearest")
    cell = side / max(matrix.values.shape)
    if cell >= _NUMBER_INCHES:
        for (i, j), value in np.ndenumerate(matrix.values):
            colour = "white" if value > 0.6 else "black"
            panel.text(j, i, _number(value), fontsize=7, ha="center", va="center", color=colour)
    if matrix.a != matrix.b:
        for i, j in enumerate(matrix.partners):
            if j is not None:
                width = 1.2 if cell > 0.1 else 0.7
                panel.add_patch(
                    Rectangle(
                        (j - 0.46, i - 0.46), 0.92, 0.92, facecolor="none", edgecolor=VERMILLION, linewidth=width
                    )
                )
    n_letters = int(side / _LETTER_INCHES)
    a, b = (shorten(net, n_letters // 2 - 2) for net in (matrix.a, matrix.b))
    panel.set_title(matrix.title or f"{a}, {b}")
    step = max(1, int(np.ceil(_NAME_INCHES / cell)))
    rows, columns = (range(0, len(names), step) for names in (matrix.layers_a, matrix.layers_b))
    panel.set_xticks(columns, [shorten(matrix.layers_b[j], 16) for j in columns], rotation=90)
    panel.set_yticks(rows, [shorten(matrix.layers_a[i], 16) for i in rows] if rows_named else [""] * len(rows))
    panel.set_xlabel(f"layer of {b}")
    if rows_named:
        panel.set_ylabel(f"layer of {a}")
    panel.spines[:].set(visible=True, linewidth=0.4)
    return image


def _number(value: float) -> str:
    """A similarity in the least room: 1, not 1.00."""
    return score(value).replace("1.00", "1")
