"""A folder that cannot be reported on is told so, and what to do about it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from convergent.errors import StudyError
from convergent.report import load_run, write_report
from convergent.report.content import page
from convergent.report.crops import Crops, montage
from convergent.units import LayerRef


@pytest.fixture
def copy(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "copy"))


def test_layers_and_nets_come_in_the_order_of_the_tables(run_folder: Path) -> None:
    run = load_run(run_folder)
    assert run.layers == run.pair_layers == ["relu1", "features.0"]
    assert run.nets == ["net1", "net2", "net3"]
    assert run.first_pair == ("net1", "net2")
    assert run.name == "planted units"


def test_the_moments_are_those_of_all_blocks(run_folder: Path) -> None:
    run = load_run(run_folder)
    whole, merged = (
        run.pair_moments("relu1"),
        run.moments.total.pair(LayerRef("net1", "relu1"), LayerRef("net2", "relu1")),
    )
    assert whole.n_inputs == 600
    np.testing.assert_array_equal(whole.cov_ab, merged.cov_ab)


@pytest.mark.parametrize(
    "name",
    [
        "study.yaml",
        "provenance.json",
        "tables/units.parquet",
        "tables/matches.parquet",
        "statistics/moments.safetensors",
    ],
)
def test_a_missing_file_is_named_with_the_command_that_makes_it(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(StudyError, match=f"'{name}' is missing. Make it with: convergent run STUDY.yaml --resume"):
        write_report(copy)
    assert not (copy / "report.html").exists()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="There is no such folder"):
        load_run(tmp_path / "nowhere")


def test_a_damaged_table_is_an_error(copy: Path) -> None:
    (copy / "tables/units.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StudyError, match=r"'tables/units.parquet' is not a parquet table"):
        load_run(copy)


def test_a_table_without_its_columns_is_an_error(copy: Path) -> None:
    pd.DataFrame({"layer": ["a"]}).to_parquet(copy / "tables/matches.parquet")
    with pytest.raises(StudyError, match="lacks the columns net_a, unit_a"):
        load_run(copy)


def test_damaged_provenance_is_an_error(copy: Path) -> None:
    (copy / "provenance.json").write_text("{", encoding="utf-8")
    with pytest.raises(StudyError, match=r"'provenance.json' is not JSON"):
        load_run(copy)


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_provenance_without_keys_is_an_error(copy: Path, text: str) -> None:
    (copy / "provenance.json").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"'provenance.json' is not JSON \(of keys and values, but"):
        load_run(copy)


@pytest.mark.parametrize("text", ['{"x": 1}', '{"k": 0}', '{"k": "many"}'])
def test_an_index_of_pictures_that_does_not_count_them_is_an_error(copy: Path, text: str) -> None:
    (copy / "crops/index.json").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"'crops/index.json' does not say how many pictures a unit has"):
        load_run(copy)


def test_one_net_alone_is_an_error(copy: Path) -> None:
    units = load_run(copy).units
    units[units["net"] == "net1"].to_parquet(copy / "tables/units.parquet")
    with pytest.raises(StudyError, match="hold 1 nets"):
        load_run(copy)


def test_a_study_that_is_not_yaml_costs_the_name_only(copy: Path) -> None:
    (copy / "study.yaml").write_text("a: [", encoding="utf-8")
    assert load_run(copy).name == "copy"


def test_a_missing_sheet_of_crops_is_an_error(copy: Path) -> None:
    (copy / "crops/net2/relu1.png").unlink()
    with pytest.raises(StudyError, match=r"relu1.png' is missing or damaged"):
        write_report(copy)


def test_a_damaged_sheet_of_crops_is_an_error(copy: Path) -> None:
    sheet = copy / "crops/net2/relu1.png"
    sheet.write_bytes(sheet.read_bytes()[:200])
    with pytest.raises(StudyError, match=r"relu1.png' is missing or damaged"):
        write_report(copy)


def test_a_sheet_of_another_size_is_an_error(copy: Path) -> None:
    Image.new("RGB", (10, 10)).save(copy / "crops/net1/relu1.png")
    with pytest.raises(StudyError, match="which are not 10 rows of 9 tiles"):
        load_run(copy).tiles("net1", "relu1")


def test_tiles_are_cut_row_by_row(tmp_path: Path) -> None:
    sheet = np.arange(2 * 3 * 4 * 5 * 3, dtype=np.uint8).reshape(2 * 4, 3 * 5, 3)
    (tmp_path / "net").mkdir()
    Image.fromarray(sheet).save(tmp_path / "net/conv.png")
    tiles = Crops(tmp_path, 3).tiles("net", "conv", n_units=2)
    np.testing.assert_array_equal(tiles[1, 2], sheet[4:, 10:])


def test_a_sheet_may_be_as_large_as_many_units_make_it(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    tiles = load_run(run_folder).tiles("net1", "relu1")
    assert tiles is not None
    assert tiles.shape == (10, 9, 12, 12, 3)


@pytest.mark.parametrize(("k", "side"), [(1, 1), (3, 1), (4, 2), (9, 3), (25, 3)])
def test_a_montage_is_a_square_with_the_strongest_first(k: int, side: int) -> None:
    tiles = np.arange(k, dtype=np.uint8)[:, None, None, None] + np.zeros((k, 4, 6, 3), dtype=np.uint8)
    picture = montage(tiles)
    assert picture.shape == (side * 5 - 1, side * 7 - 1, 3)
    corners = picture[::5, ::7, 0].ravel()
    np.testing.assert_array_equal(corners, np.arange(side * side))


def test_a_net_with_weights_of_its_factory_is_not_called_trained(copy: Path) -> None:
    said = json.loads((copy / "provenance.json").read_text(encoding="utf-8"))
    said["nets"]["net2"]["trained"] = None
    (copy / "provenance.json").write_text(json.dumps(said), encoding="utf-8")
    nets = {row["name"]: row["trained"] for row in page(load_run(copy))["nets"]}
    assert nets == {"net1": "yes", "net2": "factory's own", "net3": "yes", "random1": "no", "random2": "no"}


def test_what_the_provenance_lacks_the_page_does_without(copy: Path) -> None:
    (copy / "provenance.json").write_text(json.dumps({"nets": {}}), encoding="utf-8")
    assert "planted units" in write_report(copy).read_text(encoding="utf-8")
