"""What excites each unit: the parts of its strongest inputs that it can see, as one picture a layer."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from .._typing import Array, UInt8
from ..batch import Pictures
from ..errors import NetError
from ..extraction import ReceptiveField, View, receptive_fields
from ..files import replacing
from ..statistics import Strongest, TopInputs
from ..units import LayerUnits

GREY = 128
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
) -> None:
    """Write `NET/LAYER.png` (a row a unit, its strongest input first) and `index.json` (k, the tiles in a row).

    A tile is the receptive field of the location where the unit was strongest, grey outside the picture; where a
    layer sees the whole picture, or was averaged over locations, it is the picture.

    Args:
        folder: where the files go.
        top_inputs: the strongest inputs; only layers of `nets` are drawn.
        nets: by name.
        pictures: the inputs as pictures, by index.
        ids: the id at each index.
        input_shape: channels, height, width of what the nets eat.
        view: the view the statistics were made with.
    """
    index_of = {int(one): index for index, one in enumerate(ids)}
    for name, net in nets.items():
        layers = [layer for layer in top_inputs.layers if layer.ref.net == name]
        fields = _fields(name, net, [layer.ref.layer for layer in layers], input_shape, view)
        for layer in layers:
            field = _usable(fields.get(layer.ref.layer), layer, input_shape)
            sprite = _sprite(top_inputs.strongest[layer.ref], field, pictures, index_of, input_shape)
            _write_png(folder / name / f"{layer.ref.layer}.png", sprite)
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


def _tile_size(field: ReceptiveField | None, input_shape: Sequence[int]) -> tuple[int, int]:
    return field.size if field is not None else (input_shape[1], input_shape[2])


def _sprite(
    found: Strongest,
    field: ReceptiveField | None,
    pictures: Pictures,
    index_of: Mapping[int, int],
    input_shape: Sequence[int],
) -> UInt8[Array, "height width 3"]:
    height, width = _tile_size(field, input_shape)
    n_units, k = found.ids.shape
    sprite = np.full((n_units * height, k * width, 3), GREY, dtype=np.uint8)
    for unit, rank in np.argwhere(found.ids >= 0):
        picture = pictures.picture(index_of[int(found.ids[unit, rank])])
        tile = picture if field is None else crop(picture, field.box(int(found.locations[unit, rank])))
        sprite[unit * height : (unit + 1) * height, rank * width : (rank + 1) * width] = tile
    return sprite


def crop(picture: UInt8[Array, "height width 3"], box: tuple[int, int, int, int]) -> UInt8[Array, "h w 3"]:
    """Cut a box (top, left, bottom, right) out of a picture, grey where it reaches beyond the picture."""
    top, left, bottom, right = box
    tile = np.full((bottom - top, right - left, 3), GREY, dtype=np.uint8)
    rows = slice(max(top, 0), min(bottom, picture.shape[0]))
    columns = slice(max(left, 0), min(right, picture.shape[1]))
    inside = picture[rows, columns]
    tile[rows.start - top :, columns.start - left :][: inside.shape[0], : inside.shape[1]] = inside
    return tile


def _write_png(path: Path, sprite: UInt8[Array, "height width 3"]) -> None:
    with replacing(path) as temporary:
        Image.fromarray(sprite).save(temporary, format="png", compress_level=1)
