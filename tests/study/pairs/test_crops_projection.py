import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convergent._typing import Array, Float, Int64, Tensor, UInt8
from convergent.batch import Input
from convergent.extraction import View, around_grey, first_filters, project, receptive_fields
from convergent.nets import alexnet_small
from convergent.statistics import Strongest, TopInputs
from convergent.study.pairs.crops import crop, write_crops, write_filters
from convergent.units import LayerRef, LayerUnits

SIZE = 12
IDS = np.array([40, 10, 30])


@dataclass(frozen=True)
class Noise:
    """Three inputs that are pictures."""

    tensors: Float[Tensor, "inputs channels height width"]
    fingerprint: str = "noise"

    @property
    def ids(self) -> Int64[Array, " inputs"]:
        return IDS

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, index: int, /) -> Input:
        return Input(int(IDS[index]), self.tensors[index], None)

    def picture(self, index: int, /) -> UInt8[Array, "height width 3"]:
        return np.full((SIZE, SIZE, 3), 10 + index, dtype=np.uint8)


def noise(channels: int = 3) -> Noise:
    return Noise(torch.randn(3, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))


def small_net(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 5)
    )


def top_inputs(net: nn.Module, layers: list[str], view: View, inputs: Noise, k: int = 2) -> TopInputs:
    """Any inputs and locations will do; the last unit of each layer was never excited by a second one."""
    rng = np.random.default_rng(0)
    units, strongest = [], {}
    for layer in layers:
        with torch.no_grad():
            output = nn.Sequential(*list(net.children())[: int(layer) + 1])(inputs.tensors)
        one = view.describe(LayerRef("net", layer), tuple(output.shape[1:]))
        ids = np.stack([rng.permutation(IDS)[:k] for _ in range(one.n_units)])
        locations = rng.integers(0, max(int(np.prod(one.grid)), 1), size=ids.shape)
        values = np.ones(ids.shape)
        ids[-1, 1:] = locations[-1, 1:] = -1
        values[-1, 1:] = -np.inf
        units.append(one)
        strongest[one.ref] = Strongest(values, ids, locations)
    return TopInputs(tuple(units), k, len(inputs), strongest)


def write(
    folder: Path, layers: list[str], *, net: nn.Module | None = None, view: View | None = None, channels: int = 3,
    method: str = "deconvnet",
) -> TopInputs:  # fmt: skip
    inputs, net, view = noise(channels), net or small_net(channels), view or View()
    top = top_inputs(net, layers, view, inputs)
    shape = tuple(inputs.tensors.shape[1:])
    write_crops(
        folder, top, {"net": net}, inputs, IDS.tolist(), input_shape=shape, view=view, inputs=inputs, method=method
    )
    return top


def sheet(path: Path, n_units: int, k: int = 2) -> UInt8[Array, "units k height width 3"]:
    pixels = np.asarray(Image.open(path))
    height, width = len(pixels) // n_units, pixels.shape[1] // k
    return pixels.reshape(n_units, height, k, width, 3).swapaxes(1, 2)


@pytest.mark.parametrize("method", ["deconvnet", "gradient_x_input"])
@pytest.mark.parametrize("layer", ["1", "2", "4"])
def test_each_tile_is_the_projection_cut_as_the_picture_is(tmp_path: Path, layer: str, method: str) -> None:
    net, inputs = small_net(), noise()
    top = write(tmp_path, [layer], method=method)
    (one,), (found,) = top.layers, top.strongest.values()
    tiles = sheet(tmp_path / "net" / f"{layer}.projection.png", one.n_units)
    assert tiles.shape == sheet(tmp_path / "net" / f"{layer}.png", one.n_units).shape
    field = receptive_fields(net, [layer], (3, SIZE, SIZE))[layer]
    for unit, rank in np.argwhere(found.ids >= 0):
        image = inputs.tensors[[IDS.tolist().index(found.ids[unit, rank])]]
        location = torch.tensor([int(found.locations[unit, rank])])
        whole = project(net, layer, torch.tensor([int(unit)]), image, location, method=method)[0]
        cut = whole.movedim(0, -1).numpy()
        if layer != "4":
            cut = crop(cut, field.box(int(location)), outside=0)
        expected = around_grey(torch.from_numpy(cut).movedim(-1, 0)[None]).numpy()[0]
        difference = tiles[unit, rank].astype(int) - expected
        assert np.abs(difference).max() <= 1  # batches round otherwise
    assert (tiles[-1, 1] == 128).all()
    assert np.ptp(tiles) > 100


def test_outside_of_the_picture_is_grey(tmp_path: Path) -> None:
    top = write(tmp_path, ["1"])
    found = next(iter(top.strongest.values()))
    tiles = sheet(tmp_path / "net" / "1.projection.png", 4)
    left = np.argwhere((found.locations % SIZE == 0) & (found.ids >= 0))
    assert all((tiles[unit, rank][:, 0] == 128).all() for unit, rank in left)


def test_one_channel_is_grey_and_two_have_no_projection(tmp_path: Path) -> None:
    write(tmp_path / "one", ["1"], channels=1)
    tiles = sheet(tmp_path / "one" / "net" / "1.projection.png", 4)
    assert (tiles == tiles[..., :1]).all()
    write(tmp_path / "two", ["1"], channels=2)
    assert [path.name for path in (tmp_path / "two" / "net").iterdir()] == ["1.png"]


def test_units_that_were_averaged_are_projected_from_everywhere(tmp_path: Path) -> None:
    net, inputs = small_net(), noise()
    top = write(tmp_path, ["1"], view=View(locations="mean"))
    found = next(iter(top.strongest.values()))
    image = inputs.tensors[[IDS.tolist().index(found.ids[0, 0])]]
    expected = around_grey(project(net, "1", torch.tensor([0]), image, None)).numpy()[0]
    tiles = sheet(tmp_path / "net" / "1.projection.png", 4)
    assert np.abs(tiles[0, 0].astype(int) - expected).max() <= 1


def test_without_inputs_only_pictures_are_written(tmp_path: Path) -> None:
    net, inputs = small_net(), noise()
    top = top_inputs(net, ["1"], View(), inputs)
    write_crops(tmp_path, top, {"net": net}, inputs, IDS.tolist(), input_shape=(3, SIZE, SIZE), view=View())
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["1.png", "index.json"]


def test_a_layer_that_has_no_projection_is_told_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.GELU())
    with caplog.at_level(logging.WARNING, logger="convergent"):
        write(tmp_path, ["1", "2"], net=net)
    written = sorted(path.name for path in (tmp_path / "net").iterdir())
    assert written == ["1.png", "1.projection.png", "2.png"]
    (said,) = caplog.messages
    assert said.startswith("No projections of units of 'net/2': Cannot project")
    assert "'2' (GELU)" in said


def test_no_projection_overwrites_the_pictures_of_another_layer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(nn.Conv2d):
        projection: nn.Module

        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            return self.projection(super().forward(input))

    inner = Odd(3, 4, 3)
    inner.projection = nn.ReLU()
    net, inputs = nn.Sequential(inner), noise()
    layers = tuple(LayerUnits(LayerRef("net", name), 4, (10, 10), 100, "all") for name in ("0", "0.projection"))
    nothing = Strongest(np.full((4, 2), -np.inf), np.full((4, 2), -1), np.full((4, 2), -1))
    top = TopInputs(layers, 2, 0, {one.ref: nothing for one in layers})
    with caplog.at_level(logging.WARNING, logger="convergent"):
        write_crops(
            tmp_path,
            top,
            {"net": net},
            inputs,
            IDS.tolist(),
            input_shape=(3, SIZE, SIZE),
            view=View(),
            inputs=inputs,
        )
    assert "a layer's pictures are named as they would be" in caplog.text
    assert (sheet(tmp_path / "net" / "0.projection.projection.png", 4) == 128).all()


def test_filters_are_written_side_by_side(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = alexnet_small()
    with caplog.at_level(logging.WARNING, logger="convergent"):
        write_filters(tmp_path, {"net": net, "flat": nn.Linear(3, 3)})
    assert json.loads((tmp_path / "index.json").read_text()) == {
        "net": {"layer": "conv1", "n": 32, "height": 7, "width": 7}
    }
    tiles = sheet(tmp_path / "net.png", 1, k=32)[0]
    assert np.array_equal(tiles, first_filters(net).numpy())
    assert "No filters of 'flat'" in caplog.text


def test_large_tiles_are_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergent.study.pairs.crops._LARGEST", 6)
    inputs, top = noise(), write(tmp_path, ["1", "4"])
    small, whole = (sheet(tmp_path / "net" / f"{layer}.png", n) for layer, n in (("1", 4), ("4", 5)))
    assert small.shape[2:4] == (3, 3)
    assert whole.shape[2:4] == (6, 6)
    assert sheet(tmp_path / "net" / "4.projection.png", 5).shape == whole.shape
    found = list(top.strongest.values())[1]
    for unit, rank in np.argwhere(found.ids >= 0):
        assert (whole[unit, rank] == inputs.picture(IDS.tolist().index(found.ids[unit, rank]))[0, 0]).all()
