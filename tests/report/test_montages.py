import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from convergent._typing import Array, UInt8
from convergent.errors import InvalidArgumentError, StudyError
from convergent.report.montages import first_filters_figure, load_filters, most_and_least_active, unit_sheet
from convergent.report.style import PAGE_INCHES


def units(means: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"net": net, "layer": "relu1", "index": i, "mean": mean, "dead": mean == 0}
            for net, of_net in means.items()
            for i, mean in enumerate(of_net)
        ]
    )


def coloured(n_units: int, k: int = 1, size: int = 4) -> UInt8[Array, "units k height width 3"]:
    """A tile is told by its colour: unit in red, rank in green."""
    tiles = np.zeros((n_units, k, size, size, 3), dtype=np.uint8)
    tiles[..., 0] = np.arange(n_units)[:, None, None, None]
    tiles[..., 1] = np.arange(k)[:, None, None]
    return tiles


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def pictures(figure: Figure) -> list[Array]:
    """What is drawn, row by row and from left to right."""
    images = figure.axes[0].get_images()
    ordered = sorted(images, key=lambda image: (round(image.get_extent()[3], 2), image.get_extent()[0]))
    return [np.asarray(image.get_array()) for image in ordered]


def assert_nothing_is_cut_off(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    assert width == PAGE_INCHES
    for image in figure.axes[0].get_images():
        left, right, bottom, top = image.get_extent()
        assert -1e-9 <= left < right <= width + 1e-9
        assert -1e-9 <= top < bottom <= height + 1e-9
    for text in figure.axes[0].texts:
        box = text.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert box.x0 >= -0.03
        assert box.x1 <= width + 0.03
        assert box.y0 >= -0.01
        assert box.y1 <= height + 0.01
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_highest_and_the_lowest_means_are_shown_falling_with_their_units() -> None:
    means = {"net1": [float(5 + i) for i in range(20)], "net2": [0.0, 0.0, *(100.0 - i for i in range(18))]}
    figure = most_and_least_active(units(means), {"net1": coloured(20), "net2": coloured(20)})
    shown = [int(picture[0, 0, 0]) for picture in pictures(figure)]
    assert shown[:16] == [*range(19, 11, -1), *range(7, -1, -1)]
    assert shown[16:] == [*range(2, 10), *range(12, 20)]
    said = texts(figure)
    assert [said.count(word) for word in ("24.0", "5.0", "13.0", "100.0", "0.0", "2 dead")] == [1, 1, 0, 1, 0, 1]
    assert_nothing_is_cut_off(figure)


def test_no_unit_is_both_most_and_least_active() -> None:
    figure = most_and_least_active(units({"net1": [1.0, 3.0, 2.0, 0.0, 4.0, 5.0]}), {"net1": coloured(6)})
    assert [int(picture[0, 0, 0]) for picture in pictures(figure)] == [5, 4, 1, 2, 0]


def test_small_means_get_the_digits_they_need() -> None:
    said = texts(most_and_least_active(units({"net1": [1.0, 0.0312]})))
    assert {"1.000", "0.031"} <= set(said)
    assert {"12.00", "\N{MINUS SIGN}0.31"} <= set(
        texts(most_and_least_active(units({"a": [12.0], "b": [-0.3125]})))
    )
    assert {"12.0", "3.1"} <= set(texts(most_and_least_active(units({"net1": [12.0, 3.12]}))))


def test_many_nets_of_long_names_fit_and_so_do_more_columns() -> None:
    means = {f"a_long_name_of_net_{i}": [0.0] * 12 + [1234.5 - i] * 30 for i in range(7)}
    assert_nothing_is_cut_off(most_and_least_active(units(means)))
    assert_nothing_is_cut_off(most_and_least_active(units({"net1": [1.0, 2.0, 3.0]}), n=2))


def test_nothing_alive_and_nothing_at_all_are_drawn() -> None:
    assert "3 dead" in texts(most_and_least_active(units({"net1": [0.0] * 3})))
    nothing = units({"net1": [1.0]}).iloc[:0]
    assert texts(most_and_least_active(nothing)) == ["highest means", "lowest means"]


def filters(n: int, size: int = 3) -> UInt8[Array, "filters height width 3"]:
    return coloured(n, size=size)[:, 0]


def in_grid(picture: Array, n: int, n_columns: int, size: int = 3) -> list[int]:
    """The red of the filters in a panel, in order."""
    starts = [divmod(i, n_columns) for i in range(n)]
    return [int(picture[row * (size + 1), column * (size + 1), 0]) for row, column in starts]


def test_filters_are_drawn_in_natural_order_and_at_the_place_of_their_partners() -> None:
    orders = {"net2": np.arange(32)[::-1].copy(), "net3": np.full(32, -1)}
    orders["net3"][5] = 30
    sprites = {"net1": filters(32), "net2": filters(32), "net3": filters(32)}
    figure = first_filters_figure(sprites, partners=orders)
    panels = [in_grid(picture, 32, 8) for picture in pictures(figure)]
    natural = list(range(32))
    assert panels[:5] == [natural] * 4 + [natural[::-1]]
    assert panels[5] == [255] * 5 + [30] + [255] * 26
    assert "each in the place of its partner in net1" in texts(figure)
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize("counts", [(96,), (96, 96), (5, 33), (32,) * 9, (1, 1, 1)])
def test_filters_of_any_number_of_nets_fit(counts: tuple[int, ...]) -> None:
    figure = first_filters_figure({f"a_rather_long_name_of_net_{i}": filters(n) for i, n in enumerate(counts)})
    assert len(pictures(figure)) == len(counts)
    assert_nothing_is_cut_off(figure)
    images = figure.axes[0].get_images()
    for image in images:
        left, right, bottom, top = image.get_extent()
        n_rows, n_columns = np.asarray(image.get_array()).shape[:2]
        assert (right - left) / (bottom - top) == pytest.approx(n_columns / n_rows, rel=0.05)  # square pixels


def test_no_filters_are_an_empty_figure() -> None:
    assert pictures(first_filters_figure({})) == []


@pytest.mark.parametrize("order", [np.arange(3), np.array([0, 1, 2, 4]), np.array([0, 1, 2, -2])])
def test_partners_that_do_not_fit_are_refused(order: Array) -> None:
    with pytest.raises(InvalidArgumentError, match=r"Cannot align the filters of 'net2'\. It has 4 filters"):
        first_filters_figure({"net1": filters(4), "net2": filters(4)}, partners={"net2": order})


def test_projections_stand_beneath_the_crops_of_their_unit() -> None:
    tiles, projections = coloured(9, k=9), coloured(9, k=9) + 100
    figure = unit_sheet(tiles, projections, units=[8, 3], names=["net1/relu1[8]", "three"])
    drawn = pictures(figure)
    assert [int(picture[0, 0, 0]) for picture in drawn] == [8, 3, 108, 103]
    assert [int(drawn[0][5 * i, 5 * j, 1]) for i in range(3) for j in range(3)] == list(range(9))
    assert texts(figure) == ["net1/relu1[8]", "three"]
    assert_nothing_is_cut_off(figure)


def test_many_units_go_on_in_a_new_row_and_projections_may_be_missing() -> None:
    figure = unit_sheet(coloured(20, k=9), None, units=range(20))
    assert [int(picture[0, 0, 0]) for picture in pictures(figure)] == list(range(20))
    assert texts(figure) == [str(i) for i in range(20)]
    assert_nothing_is_cut_off(figure)


def test_units_without_pictures_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="There are pictures of 4 units"):
        unit_sheet(coloured(4), None, units=[4])
    with pytest.raises(InvalidArgumentError, match="under 1 names"):
        unit_sheet(coloured(4), None, units=[1, 2], names=["one"])


def test_filters_of_a_study_are_read(tmp_path: Path) -> None:
    assert load_filters(tmp_path / "filters") == {}
    folder = tmp_path / "filters"
    folder.mkdir()
    Image.fromarray(filters(6).swapaxes(0, 1).reshape(3, 18, 3)).save(folder / "net1.png")
    about = {"net1": {"layer": "conv1", "n": 6, "height": 3, "width": 3}}
    (folder / "index.json").write_text(json.dumps(about))
    found = load_filters(folder)
    assert list(found) == ["net1"]
    assert found["net1"].layer == "conv1"
    assert np.array_equal(found["net1"].pictures, filters(6))
    (folder / "net1.png").unlink()
    with pytest.raises(StudyError, match="missing or damaged"):
        load_filters(folder)
