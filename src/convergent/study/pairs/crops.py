"""What excites each unit: the parts of its strongest inputs that it can see, and what of them comes back from it.

One picture a layer, a row of tiles a unit; beside it, of the same tiling, their projections.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..._typing import Array, Float32, Int64, Shaped, Tensor, UInt8
from ...batch import Inputs, Pictures
from ...errors import NetError
from ...extraction import (
    ReceptiveField,
    View,
    around_grey,
    first_convolution,
    first_filters,
    project,
    receptive_fields,
)
from ...files import replacing
from ...statistics import Strongest, TopInputs
from ...units import LayerUnits

GREY = 128
_PAIRS = 512  # projected at once
_LARGEST = (
    96  # pixels of a tile's longer side: as large as any page shows it, and thousands of units fit in memory
)
_log = logging.getLogger("convergent")


def write_crops(
    folder: Path,
    top_inputs: TopInputs,
    nets: Mapping[str, nn.Module],
    pictures: Pictures,
    ids: Sequence[int],
    *,
    input_shape: Sequence[int],
    view: View,
    inputs: Inputs | None = None,
    method: str = "deconvnet",
) -> None:
    """Write `NET/LAYER.png` (a row a unit, its strongest input first) and `index.json` (k, the tiles in a row).

    A tile is the receptive field of the location where the unit was strongest, grey outside the picture; where a
    layer sees the whole picture, or was averaged over locations, it is the picture. Tiles above 96 pixels are
    made smaller.

    Where `inputs` are given, `NET/LAYER.projection.png` has the projection of the unit to the pixels of each tile,
    0 in grey and its largest magnitude black or full. Layers that have none by `method` are told to the log.

    Args:
        folder: where the files go.
        top_inputs: the strongest inputs; only layers of `nets` are drawn.
        nets: by name.
        pictures: the inputs as pictures, by index.
        ids: the id at each index.
        input_shape: channels, height, width of what the nets eat.
        view: the view the statistics were made with.
        inputs: what the nets eat, by the same index as the pictures.
        method: how to project, as in `project`.
    """
    index_of = {int(one): index for index, one in enumerate(ids)}
    for name, net in nets.items():
        layers = [layer for layer in top_inputs.layers if layer.ref.net == name]
        fields = _fields(name, net, [layer.ref.layer for layer in layers], input_shape, view)
        for layer in layers:
            field = _usable(fields.get(layer.ref.layer), layer, input_shape)
            tiling = _Tiling.of(top_inputs.strongest[layer.ref], field, index_of, input_shape)
            _write_png(folder / name / f"{layer.ref.layer}.png", tiling.pictures(pictures))
            if inputs is not None and input_shape[0] in (1, 3):
                projecting = _Projecting(net, layer, view, method)
                _write_projections(folder / name, projecting, tiling, inputs, [one.ref.layer for one in layers])
    with replacing(folder / "index.json") as temporary:
        temporary.write_text(json.dumps({"k": top_inputs.k}))


def _fields(
    name: str, net: nn.Module, layers: Sequence[str], input_shape: Sequence[int], view: View
) -> dict[str, ReceptiveField]:
    try:
        return receptive_fields(net, layers, input_shape, view=view)
    except NetError as error:
        _log.warning("What units of '%s' see is shown as whole pictures: %s", name, error)
        return {}


def _usable(field: ReceptiveField | None, layer: LayerUnits, input_shape: Sequence[int]) -> ReceptiveField | None:
    """The field, or None where the whole picture is to be shown."""
    whole = field is None or not field.grid or layer.n_samples_per_input == 1
    if field is None or whole or any(n >= m for n, m in zip(field.size, input_shape[1:], strict=True)):
        return None
    return field


@dataclass(frozen=True)
class _Tiling:
    """Which part of which input every tile of a sheet shows; one entry a tile that shows one."""

    n_units: int
    k: int
    size: tuple[int, int]
    units: Int64[Array, " tiles"]
    ranks: Int64[Array, " tiles"]
    indices: Int64[Array, " tiles"]
    locations: Int64[Array, " tiles"]
    field: ReceptiveField | None

    @classmethod
    def of(
        cls,
        found: Strongest,
        field: ReceptiveField | None,
        index_of: Mapping[int, int],
        input_shape: Sequence[int],
    ) -> "_Tiling":
        units, ranks = np.nonzero(found.ids >= 0)
        indices = np.array([index_of[int(one)] for one in found.ids[units, ranks]], dtype=np.int64)
        size = field.size if field is not None else (input_shape[1], input_shape[2])
        n_units, k = found.ids.shape
        return cls(n_units, k, size, units, ranks, indices, found.locations[units, ranks], field)

    def pictures(self, pictures: Pictures) -> UInt8[Array, "height width 3"]:
        """The sheet of what the units see."""
        sheet = self._blank()
        for tile, index in enumerate(self.indices):
            self._place(sheet, tile, self._cut(pictures.picture(int(index)), tile, outside=GREY))
        return sheet

    def projections(self, projecting: "_Projecting", inputs: Inputs) -> UInt8[Array, "height width 3"]:
        """The sheet of what comes back from the units."""
        sheet = self._blank()
        by_input = np.argsort(self.indices, kind="stable")  # an input that many units like is then read once
        for first in range(0, len(by_input), _PAIRS):
            tiles = by_input[first : first + _PAIRS]
            images = projecting.images(
                self.units[tiles], _stacked(inputs, self.indices[tiles]), self.locations[tiles]
            )
            cut = [self._cut(image, tile, outside=0) for image, tile in zip(images, tiles.tolist(), strict=True)]
            drawn = around_grey(torch.from_numpy(np.stack(cut)).movedim(-1, 1)).numpy()
            for tile, picture in zip(tiles.tolist(), drawn, strict=True):
                self._place(sheet, tile, picture)
        return sheet

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of a tile on the sheet."""
        factor = min(1, _LARGEST / max(self.size))
        return max(1, round(factor * self.size[0])), max(1, round(factor * self.size[1]))

    def _blank(self) -> UInt8[Array, "height width 3"]:
        height, width = self.shown
        return np.full((self.n_units * height, self.k * width, 3), GREY, dtype=np.uint8)

    def _cut(self, image: Array, tile: int, *, outside: int) -> Array:
        if self.field is None:
            return image
        return crop(image, self.field.box(int(self.locations[tile])), outside=outside)

    def _place(self, sheet: Array, tile: int, picture: Array) -> None:
        (height, width), unit, rank = self.shown, self.units[tile], self.ranks[tile]
        if self.shown != self.size:
            picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
        sheet[unit * height : (unit + 1) * height, rank * width : (rank + 1) * width] = picture


@dataclass(frozen=True)
class _Projecting:
    """How units of a layer are projected to the image."""

    net: nn.Module
    layer: LayerUnits
    view: View
    method: str

    def images(
        self, units: Int64[Array, " tiles"], inputs: Tensor, locations: Int64[Array, " tiles"]
    ) -> Float32[Array, "tiles height width channels"]:
        where = None if self.view.rule == "mean" else torch.from_numpy(locations)
        chosen = torch.from_numpy(units)
        name = self.layer.ref.layer
        images = project(self.net, name, chosen, inputs, where, method=self.method, view=self.view)
        return images.movedim(1, -1).numpy()


def _write_projections(
    folder: Path, projecting: _Projecting, tiling: _Tiling, inputs: Inputs, layers: Sequence[str]
) -> None:
    ref = projecting.layer.ref
    if f"{ref.layer}.projection" in layers:
        _log.warning("No projections of units of '%s': a layer's pictures are named as they would be.", ref)
        return
    try:
        sheet = tiling.projections(projecting, inputs)
    except NetError as error:
        _log.warning("No projections of units of '%s': %s", ref, error)
        return
    _write_png(folder / f"{ref.layer}.projection.png", sheet)


def _stacked(inputs: Inputs, indices: Int64[Array, " tiles"]) -> Tensor:
    distinct, back = np.unique(indices, return_inverse=True)
    return torch.stack([inputs[int(index)].tensor for index in distinct])[torch.from_numpy(back)]


def write_filters(folder: Path, nets: Mapping[str, nn.Module]) -> None:
    """Write `NET.png`, the filters of each net's first convolution side by side, and `index.json`.

    The index has, for each net that could be drawn, the layer's name, `n` filters, their `height` and `width`.
    Nets whose first convolution does not see 1 or 3 channels are told to the log.

    Args:
        folder: where the files go.
        nets: by name.
    """
    index = {}
    for name, net in nets.items():
        try:
            layer = first_convolution(net)
            filters = first_filters(net, layer).numpy()
        except NetError as error:
            _log.warning("No filters of '%s': %s", name, error)
            continue
        n, height, width, _ = filters.shape
        _write_png(folder / f"{name}.png", filters.swapaxes(0, 1).reshape(height, n * width, 3))
        index[name] = {"layer": layer, "n": n, "height": height, "width": width}
    with replacing(folder / "index.json") as temporary:
        temporary.write_text(json.dumps(index))


def crop(
    picture: Shaped[Array, "height width channels"], box: tuple[int, int, int, int], *, outside: int = GREY
) -> Shaped[Array, "h w channels"]:
    """Cut a box (top, left, bottom, right) out of a picture, `outside` where it reaches beyond the picture."""
    top, left, bottom, right = box
    tile = np.full((bottom - top, right - left, picture.shape[2]), outside, dtype=picture.dtype)
    rows = slice(max(top, 0), min(bottom, picture.shape[0]))
    columns = slice(max(left, 0), min(right, picture.shape[1]))
    inside = picture[rows, columns]
    tile[rows.start - top :, columns.start - left :][: inside.shape[0], : inside.shape[1]] = inside
    return tile


def _write_png(path: Path, sprite: UInt8[Array, "height width 3"]) -> None:
    with replacing(path) as temporary:
        Image.fromarray(sprite).save(temporary, format="png", compress_level=1)
