"""What units see, as pictures: the most and the least active ones, first filters, and projections under crops."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .._typing import Array, Float64, Shaped, UInt8
from ..errors import InvalidArgumentError
from .crops import Crops, joined, montage
from .pictures import ranked_ends
from .sheets import Sheet, Tiles
from .style import PAGE_INCHES, shorten, styled

_PITCH, _TILE, _ROW = 0.365, 0.34, 0.53  # of most_and_least_active
_GAP = 0.16
_UNIT, _ACROSS, _BENEATH = 1.02, 6, 1.1  # of unit_sheet


@styled
def most_and_least_active(units: pd.DataFrame, tiles: Mapping[str, Tiles] | None = None, *, n: int = 8) -> Figure:
    """Figures S9 and S10: the units of a layer with the highest and the lowest mean activation, a row a net.

    Each is shown by the part of its strongest input that it sees, over its mean activation. Dead units are left
    out, and counted.

    Args:
        units: the units of one layer (rows of `tables/units.parquet`).
        tiles: pictures of the units of each net; without them their numbers are drawn.
        n: at most how many of each kind.

    Returns:
        A figure of page width; means fall from left to right.
    """
    nets = list(units["net"].unique())
    living = units[~units["dead"].astype(bool)]
    shown = {net: ranked_ends(living[living["net"] == net], n, score="mean") for net in nets}
    decimals = _decimals(np.array([mean for ends in shown.values() for end in ends for mean in end["mean"]]))
    left = PAGE_INCHES - 16 * _PITCH - _GAP
    sheet = Sheet.blank(PAGE_INCHES, 0.3 + _ROW * max(1, len(nets)))
    pitch = min(_PITCH, _PITCH * 8 / n)
    size = pitch * _TILE / _PITCH
    starts = (left, left + 8 * _PITCH + _GAP)
    for x, words in zip(starts, ("highest means", "lowest means"), strict=True):
        sheet.text(x, 0.11, words, weight="bold")
    for y, net in zip(np.arange(len(nets)) * _ROW + 0.26, nets, strict=True):
        rows = units[units["net"] == net]
        ends = shown[net]
        sheet.text(0.02, y + size / 2, shorten(str(net), 8), fontsize=7)
        if n_dead := int(rows["dead"].sum()):
            sheet.text(0.02, y + size / 2 + 0.13, f"{n_dead} dead", fontsize=6, color="#444444")
        for start, end in zip(starts, ends, strict=True):
            for i, (unit, mean) in enumerate(zip(end["index"], end["mean"], strict=True)):
                x = start + i * pitch
                _draw_first(sheet, x, y, int(unit), None if tiles is None else tiles[str(net)], size=size)
                sheet.text(x + size / 2, y + size + 0.075, _number(mean, decimals), ha="center", fontsize=6)
    return sheet.figure


def _draw_first(sheet: Sheet, x: float, y: float, unit: int, tiles: Tiles | None, *, size: float) -> None:
    if tiles is None:
        sheet.unit(x, y, unit, None, size=size)
    else:
        sheet.picture(x, y, tiles[unit, 0], size=size)


def _decimals(means: Float64[Array, " units"]) -> int:
    """One, as in the paper, or so many that the smallest shows two digits; at most three."""
    smallest = np.abs(means).min(initial=np.inf, where=means != 0)
    return int(np.clip(1 - np.floor(np.log10(smallest)), 1, 3))


def _number(mean: float, decimals: int) -> str:
    return f"{mean:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


@styled
def first_filters_figure(
    filters: Mapping[str, UInt8[Array, "filters height width 3"]],
    *,
    partners: Mapping[str, Shaped[Array, " filters_of_first"]] | None = None,
) -> Figure:
    """Filters of the first convolution of each net, in natural order and aligned to the first net.

    Args:
        filters: pictures of the filters of each net.
        partners: for the other nets, which filter is the partner of each filter of the first net, -1 where it has
            none; a second row then shows each net's filters in this order.

    Returns:
        A figure of page width.

    Raises:
        InvalidArgumentError: if partners do not fit the filters.
    """
    nets = list(filters)
    panels = [(shorten(net, 22), filters[net]) for net in nets]
    bands = [("in natural order", panels)]
    if partners is not None:
        _check_partners(filters, partners)
        first = nets[0]
        aligned = [
            (shorten(net, 22), _ordered(filters[net], partners[net])) for net in nets[1:] if net in partners
        ]
        bands.append((f"each in the place of its partner in {shorten(first, 22)}", [panels[0], *aligned]))
    across = min(4, max(len(panels), 1))
    width = (PAGE_INCHES + _GAP) / across - _GAP
    heights = [[max(_grid_height(f, width) for _, f in row) for row in _rows(band, across)] for _, band in bands]
    sheet = Sheet.blank(PAGE_INCHES, sum(0.26 + sum(h + 0.3 for h in row) for row in heights))
    y = 0.0
    for (title, band), row_heights in zip(bands, heights, strict=True):
        sheet.text(0.0, y + 0.1, title, weight="bold")
        y += 0.26
        for row, height in zip(_rows(band, across), row_heights, strict=True):
            for i, (name, pictures) in enumerate(row):
                _draw_filters(sheet, i * (width + _GAP), y, name, pictures, width=width)
            y += height + 0.3
    return sheet.figure


def _check_partners(filters: Mapping[str, Array], partners: Mapping[str, Array]) -> None:
    n_first = len(next(iter(filters.values()), ()))
    for net, order in partners.items():
        n = len(filters.get(net, ()))
        if len(order) != n_first or not all(-1 <= one < n for one in order):
            raise InvalidArgumentError(
                f"Cannot align the filters of '{net}'. It has {n} filters, and {len(order)} partners from "
                f"{min(order, default=-1)} to {max(order, default=-1)} are given for the first net's {n_first}. "
                "Give each of these its partner, or -1."
            )


def _rows(band: Sequence[tuple[str, Array]], across: int) -> Iterator[Sequence[tuple[str, Array]]]:
    return (band[i : i + across] for i in range(0, len(band), across))


def _ordered(pictures: Array, order: Array) -> Array:
    """In this order; white where there is none."""
    blank = np.full_like(pictures[:1], 255)
    return np.concatenate([pictures, blank])[order]


def _shape(n: int) -> tuple[int, int]:
    """Rows and columns of n filters, about twice as wide as high; 8 columns for 32, 12 for 96."""
    n_columns = min(n, max(8, 4 * round(np.sqrt(1.5 * n) / 4)))
    return -(-n // n_columns), n_columns


def _grid_height(pictures: Array, width: float) -> float:
    n_rows, n_columns = _shape(len(pictures))
    return width / n_columns * n_rows * pictures.shape[1] / pictures.shape[2]


def _draw_filters(sheet: Sheet, x: float, y: float, name: str, pictures: Array, *, width: float) -> None:
    n_rows, n_columns = _shape(len(pictures))
    sheet.text(x, y + 0.07, name, fontsize=7)
    spare = np.full((n_rows * n_columns - len(pictures), *pictures.shape[1:]), 255, dtype=np.uint8)
    together = joined(np.concatenate([pictures, spare]), n_columns=n_columns, gap=1)
    height = width * together.shape[0] / together.shape[1]
    extent = (x, x + width, y + 0.17 + height, y + 0.17)
    sheet.axes.imshow(together, extent=extent, interpolation="nearest", aspect="auto")


@styled
def unit_sheet(
    tiles: Tiles, projections: Tiles | None, *, units: Sequence[int], names: Sequence[str] | None = None
) -> Figure:
    """For a few units the parts of their strongest inputs that they see, and beneath what comes back from them.

    Args:
        tiles: pictures of all units of a layer.
        projections: their projections, of the same tiling; None where there are none.
        units: which to show, at most six beside each other.
        names: what to write above each, instead of its number.

    Returns:
        A figure of page width.

    Raises:
        InvalidArgumentError: if there is no such unit, or names and units differ in number.
    """
    names = [str(unit) for unit in units] if names is None else names
    if len(names) != len(units) or not all(0 <= unit < len(tiles) for unit in units):
        raise InvalidArgumentError(
            f"Cannot draw units {list(units)} under {len(names)} names. There are pictures of {len(tiles)} units. "
            f"Choose from 0 to {len(tiles) - 1}, with a name for each or none."
        )
    height = 0.22 + _BENEATH * (1 if projections is None else 2)
    sheet = Sheet.blank(PAGE_INCHES, height * max(1, -(-len(units) // _ACROSS)) + 0.02)
    for i, (unit, name) in enumerate(zip(units, names, strict=True)):
        x, y = i % _ACROSS * (PAGE_INCHES - _UNIT) / (_ACROSS - 1), i // _ACROSS * height
        sheet.text(x + _UNIT / 2, y + 0.1, shorten(name, 18), ha="center", fontsize=7)
        for row, pictures in enumerate((tiles, projections)):
            if pictures is not None:
                sheet.picture(x, y + 0.2 + row * _BENEATH, montage(pictures[unit]), size=_UNIT)
    return sheet.figure


@dataclass(frozen=True)
class FirstFilters:
    """Filters of a net's first convolution.

    Attributes:
        layer: its name.
        pictures: (filters, height, width, 3).
    """

    layer: str
    pictures: UInt8[Array, "filters height width 3"]


def load_filters(folder: Path) -> dict[str, FirstFilters]:
    """The filters of each net, as a study wrote them; none where there is no such folder.

    Args:
        folder: holds NET.png and `index.json`.

    Raises:
        StudyError: if a picture is missing or damaged, or does not divide into filters.
    """
    if not (folder / "index.json").is_file():
        return {}
    index = json.loads((folder / "index.json").read_text())
    # A strip of filters is a sheet of one unit.
    return {
        net: FirstFilters(about["layer"], Crops(folder.parent, about["n"]).tiles(folder.name, net, n_units=1)[0])
        for net, about in index.items()
    }
