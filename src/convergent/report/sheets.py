"""A sheet of pictures of units with their numbers, laid out in inches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .._typing import Array, Shaped, UInt8
from .crops import montage

Tiles = UInt8[Array, "units k height width 3"]

_PLAIN = "#E8EEF4"


@dataclass(frozen=True)
class Sheet:
    """A figure laid out in inches from its upper left corner, in one frame: many would be slow."""

    figure: Figure
    axes: Axes

    @classmethod
    def blank(cls, width: float, height: float) -> "Sheet":
        """An empty sheet, width and height in inches."""
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        return cls(figure, axes)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text whose vertical middle is at y."""
        self.axes.text(x, y, text, **{"va": "center"} | style)

    def picture(self, x: float, y: float, picture: UInt8[Array, "height width 3"], *, size: float) -> None:
        """A picture in the middle of a square."""
        height, width = np.array(picture.shape[:2]) / max(picture.shape[:2]) * size
        x, y = x + (size - width) / 2, y + (size - height) / 2
        self.axes.imshow(picture, extent=(x, x + width, y + height, y), interpolation="nearest", aspect="auto")

    def box(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        """A box without a line around it, pale unless told otherwise."""
        look: dict[str, Any] = {"facecolor": _PLAIN, "linewidth": 0}
        self.axes.add_patch(Rectangle((x, y), width, height, **look | style))

    def line(self, x: tuple[float, ...], y: tuple[float, ...], **style: Any) -> None:
        """A line through points."""
        look: dict[str, Any] = {"linewidth": 0.7, "color": "#444444", "solid_capstyle": "butt"}
        self.axes.plot(x, y, **look | style)

    def unit(
        self, x: float, y: float, unit: int, tiles: Tiles | None, *, size: float, numbered: bool = True
    ) -> None:
        """A unit as its strongest inputs, under its number; without tiles, as its number in a pale box."""
        if tiles is None:
            self.box(x, y, size, size)
            self.text(x + size / 2, y + size / 2, str(unit), ha="center", fontsize=7)
        else:
            self.picture(x, y, montage(tiles[unit]), size=size)
            if numbered:
                self.text(x + size / 2, y - 0.09, str(unit), ha="center", fontsize=7)


def pooled(matrix: Shaped[Array, "rows columns"], limit: int) -> Shaped[Array, "fewer_rows fewer_columns"]:
    """A matrix of at most `limit` rows and columns: of each block of entries the one farthest from 0.

    Taking every n-th row would lose most entries of a sparse matrix. A block of NaN only is NaN.

    Example:
        >>> pooled(np.array([[0, -3, 0, 0], [1, 0, 0, 2]]), 2).tolist()
        [[-3.0, 2.0]]
    """
    if not matrix.size:
        return matrix
    step = -(-max(matrix.shape) // limit)
    rows, columns = (-(-n // step) for n in matrix.shape)
    padded = np.full((rows * step, columns * step), np.nan)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    blocks = padded.reshape(rows, step, columns, step).swapaxes(1, 2).reshape(rows, columns, step * step)
    farthest = np.argmax(np.nan_to_num(np.abs(blocks), nan=-1.0), axis=2)
    return np.take_along_axis(blocks, farthest[..., None], axis=2)[..., 0]
