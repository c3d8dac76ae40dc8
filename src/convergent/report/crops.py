"""Pictures of units: the crops of the inputs that excite each most, cut from one sheet per layer of a net."""

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from .._typing import Array, UInt8
from ..errors import StudyError

_THUMBNAIL = 48
_AGAIN = "Remove the folder 'crops', then: convergent run STUDY.yaml --resume"


@dataclass(frozen=True)
class Crops:
    """A folder of sheets, one row of tiles a unit, strongest input first.

    Attributes:
        folder: holds NET/LAYER.png.
        k: tiles per unit.
    """

    folder: Path
    k: int

    def tiles(self, net: str, layer: str, *, n_units: int) -> UInt8[Array, "units k height width 3"]:
        """The tiles of every unit of a layer.

        Args:
            net: name of the net.
            layer: name of the layer.
            n_units: how many units it has.

        Raises:
            StudyError: if the sheet is missing, is no picture, or does not divide into tiles.
        """
        sheet = _read(self.folder / net / f"{layer}.png")
        if len(sheet) % n_units or sheet.shape[1] % self.k:
            raise StudyError(
                f"Asked for the pictures of '{net}/{layer}'. Its sheet has {sheet.shape[0]} x {sheet.shape[1]} "
                f"pixels, which are not {n_units} rows of {self.k} tiles. {_AGAIN}"
            )
        height, width = len(sheet) // n_units, sheet.shape[1] // self.k
        return sheet.reshape(n_units, height, self.k, width, 3).swapaxes(1, 2)

    def projections(self, net: str, layer: str, *, n_units: int) -> UInt8[Array, "units k height width 3"] | None:
        """What comes back from every unit to the pixels of its tiles; None where the study made none."""
        if not (self.folder / net / f"{layer}.projection.png").is_file():
            return None
        return self.tiles(net, f"{layer}.projection", n_units=n_units)


def _read(path: Path) -> UInt8[Array, "height width 3"]:
    try:
        # Not Image.open: a sheet of many units is larger than what it takes for an attack.
        with path.open("rb") as file:
            return np.asarray(PngImagePlugin.PngImageFile(file).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise StudyError(
            f"Asked for pictures of units. '{path}' is missing or damaged ({error}). {_AGAIN}"
        ) from error


def montage(tiles: UInt8[Array, "k height width 3"]) -> UInt8[Array, "rows columns 3"]:
    """The strongest tiles in a square, row by row: 3 x 3, or 2 x 2 or 1 where there are fewer.

    Example:
        >>> montage(np.zeros((9, 5, 5, 3), dtype=np.uint8)).shape
        (17, 17, 3)
    """
    side = min(3, math.isqrt(len(tiles)))
    return joined(tiles[: side * side], n_columns=side)


def strip(tiles: UInt8[Array, "k height width 3"]) -> str:
    """The tiles side by side, at most 48 pixels high, as a `data:` address."""
    picture = Image.fromarray(joined(tiles, n_columns=len(tiles)))
    height = min(_THUMBNAIL, picture.height)
    small = picture.resize((round(picture.width * height / picture.height), height), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    small.save(content, "PNG", optimize=True)
    return data_address(content.getvalue())


def joined(
    tiles: UInt8[Array, "k height width 3"], *, n_columns: int, gap: int | None = None
) -> UInt8[Array, "rows columns 3"]:
    """Tiles in rows, `gap` white pixels between them; a sixteenth of a tile where that is not given."""
    gap = max(1, tiles.shape[2] // 16) if gap is None else gap
    spaced = np.pad(tiles, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    _, height, width, _ = spaced.shape
    rows = spaced.reshape(-1, n_columns, height, width, 3).swapaxes(1, 2)
    return rows.reshape(-1, n_columns * width, 3)[:-gap, :-gap]


def data_address(picture: bytes, kind: str = "png") -> str:
    """A picture inside a `data:` address."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
