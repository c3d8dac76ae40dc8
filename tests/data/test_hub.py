"""Data sets read by Hugging Face `datasets`, from tiny Parquet files and never from the network."""

import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from convergent.batch import Inputs, Pictures
from convergent.data import HubImages, ImageFolder
from convergent.errors import DataError, InvalidArgumentError, UnknownNameError

os.environ["HF_HUB_OFFLINE"] = "1"
datasets = pytest.importorskip("datasets")

IMAGE = {"_type": "Image"}
CLASSES = {"_type": "ClassLabel", "names": ["cat", "dog", "owl"]}
PIXELS = np.random.default_rng(0).integers(256, size=(5, 8, 8, 3), dtype=np.uint8)
LABELS = [2, 0, 1, 1, 0]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def encoded(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def cells(images: Sequence[bytes | None]) -> pa.Array:
    form = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.array([None if one is None else {"bytes": one, "path": None} for one in images], form)


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    """A Parquet file as `datasets` writes it, or, without features, as anything else does."""
    table = pa.table(columns)
    if features is not None:
        said = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": said})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


PNGS = [encoded(Image.fromarray(pixels)) for pixels in PIXELS]
GOOD = {"image": cells(PNGS), "label": pa.array(LABELS)}
DECLARED = {"image": IMAGE, "label": CLASSES}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "some.parquet", GOOD, DECLARED)


def test_rows_are_inputs_with_their_numbers_as_ids(path: Path) -> None:
    images = HubImages.read(path, size=8)
    assert isinstance(images, Inputs)
    assert isinstance(images, Pictures)
    assert len(images) == 5
    assert [images[i].id for i in range(5)] == images.ids.tolist() == [0, 1, 2, 3, 4]
    assert [images[i].label for i in range(5)] == images.labels.tolist() == LABELS
    assert images.classes == ("cat", "dog", "owl")
    for i in range(5):
        np.testing.assert_array_equal(images.picture(i), PIXELS[i])


def test_an_input_is_its_picture_normalised(path: Path) -> None:
    images = HubImages.read(path, size=8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    expected = (PIXELS[1].transpose(2, 0, 1) / 255 - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array(
        [0.5, 0.25, 1.0]
    )[:, None, None]
    np.testing.assert_allclose(images[1].tensor.numpy(), expected, atol=1e-6)


def test_a_batch_is_its_inputs_stacked(path: Path) -> None:
    images = HubImages.read(path, size=8)
    batch = images.batch(np.array([3, 0, 3]))
    assert batch.ids.tolist() == [3, 0, 3]
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 2, 1]
    assert torch.equal(batch.tensor, torch.stack([images[i].tensor for i in (3, 0, 3)]))


def test_pictures_are_those_of_a_folder_of_the_same_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    photos = [Image.fromarray(rng.integers(256, size=(h, w, 3), dtype=np.uint8)) for h, w in [(20, 30), (31, 9)]]
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [encoded(photos[0], "jpeg", exif=exif), encoded(photos[1].convert("P"), "png")]
    for name, content in zip("ab", files, strict=True):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / f"{name}.png").write_bytes(content)
    folder = ImageFolder(tmp_path / "folder", size=12)
    hub = HubImages.read(write(tmp_path / "x.parquet", {"image": cells(files)}, {"image": IMAGE}), size=12)
    np.testing.assert_array_equal(hub.pictures(hub.ids), folder.pictures(np.arange(2)))


@pytest.mark.parametrize("mode", ["L", "1", "RGBA", "CMYK"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image = encoded(Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode), "tiff")
    images = HubImages.read(write(tmp_path / "x.parquet", {"image": cells([image])}, {"image": IMAGE}), size=8)
    assert images[0].tensor.shape == (3, 8, 8)
    assert (images.picture(0) == 255).all()


def test_the_fingerprint_is_of_the_content_alone(path: Path, tmp_path: Path) -> None:
    first = HubImages.read(path, size=8).fingerprint
    # Pinned: statistics on disk carry it. The images are not Pillow's, whose encoder may change.
    plain = {"image": cells([b"one", b"two"]), "label": pa.array([1, 0])}
    pinned = HubImages.read(write(tmp_path / "pinned.parquet", plain, DECLARED), size=8)
    assert pinned.fingerprint[:16] == "692c3acd20bdb2a3"
    elsewhere = write(tmp_path / "other" / "name.parquet", {"label": pa.array(LABELS), "image": cells(PNGS)})
    assert HubImages.read(elsewhere, size=8).fingerprint == first
    others = [
        {"image": cells(PNGS[::-1]), "label": pa.array(LABELS)},
        {"image": cells(PNGS), "label": pa.array(LABELS[::-1])},
        {"image": cells([*PNGS[:3], PNGS[3] + PNGS[4], b""]), "label": pa.array(LABELS)},
    ]
    found = {
        HubImages.read(write(tmp_path / f"{i}.parquet", o, DECLARED), size=8).fingerprint
        for i, o in enumerate(others)
    }
    found |= {
        HubImages.read(path, size=9).fingerprint,
        HubImages.read(path, size=8, mean=(0.0, 0.0, 0.0)).fingerprint,
    }
    assert len(found | {first}) == 6


def test_many_rows_are_read_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = HubImages.read(path, size=8)
    monkeypatch.setattr("convergent.data.hub._ROWS_AT_ONCE", 2)
    parts = HubImages.read(path, size=8)
    assert parts.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(parts.pictures(np.array([4, 1, 0, 0, 2])), PIXELS[[4, 1, 0, 0, 2]])


def test_a_folder_has_the_splits_of_its_files(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write(folder / "train.parquet", {"image": cells(PNGS[:3]), "label": pa.array(LABELS[:3])}, DECLARED)
    with_one = HubImages.read(folder, size=8)
    assert len(with_one) == 3
    write(folder / "test.parquet", {"image": cells(PNGS[3:]), "label": pa.array(LABELS[3:])}, DECLARED)
    test = HubImages.read(folder, split="test", size=8)
    np.testing.assert_array_equal(test.pictures(test.ids), PIXELS[3:])
    assert HubImages.load(str(folder), split="test", size=8).fingerprint == test.fingerprint
    with pytest.raises(DataError, match=r"set'. It has 2 splits: train, test. Choose one with split."):
        HubImages.read(folder, size=8)
    with pytest.raises(DataError, match=r"'datasets' says ValueError: Unknown split \"tests\".*Check name"):
        HubImages.read(folder, split="tests", size=8)


def test_a_slice_of_a_file(path: Path) -> None:
    images = HubImages.read(path, split="test[1:3]", size=8)
    assert images.ids.tolist() == [0, 1]
    assert images.labels.tolist() == LABELS[1:3]
    np.testing.assert_array_equal(images.pictures(images.ids), PIXELS[1:3])


def test_a_folder_of_image_files(tmp_path: Path) -> None:
    for i, name in enumerate(["cat/0.png", "dog/1.png"]):
        (tmp_path / "files" / name).parent.mkdir(parents=True)
        (tmp_path / "files" / name).write_bytes(PNGS[i])
    images = HubImages.read(tmp_path / "files", size=8)
    np.testing.assert_array_equal(images.pictures(images.ids), PIXELS[:2])
    assert images.labels.tolist() == [0, 1]
    table = {"image": cells(PNGS[:2]), "label": pa.array([0, 1])}
    assert images.fingerprint == HubImages.read(write(tmp_path / "x.parquet", table), size=8).fingerprint


@pytest.mark.parametrize(
    ("columns", "features", "image", "label"),
    [
        ({"img": cells(PNGS), "fine": LABELS}, {"img": IMAGE, "fine": CLASSES}, "img", "fine"),
        ({"n": LABELS, "x": cells(PNGS), "labels": LABELS}, None, "x", "labels"),
        ({"x": cells(PNGS), "n": LABELS}, None, "x", None),
        ({"x": cells(PNGS), "label": list("abcde")}, None, "x", None),
    ],
)
def test_columns_are_found_by_what_they_hold(
    tmp_path: Path, columns: dict[str, Any], features: dict[str, Any] | None, image: str, label: str | None
) -> None:
    images = HubImages.read(write(tmp_path / "x.parquet", columns, features), size=8)
    assert (images.image, images.label) == (image, label)
    assert images[0].label == (None if label is None else 2)
    np.testing.assert_array_equal(images.picture(4), PIXELS[4])


def test_columns_can_be_named(tmp_path: Path) -> None:
    columns = {"a": cells(PNGS), "b": cells(PNGS[::-1]), "raw": PNGS, "coarse": [0, 0, 1, 1, None], "fine": LABELS}
    features = {
        "a": IMAGE,
        "b": IMAGE,
        "raw": {"dtype": "binary", "_type": "Value"},
        "coarse": CLASSES,
        "fine": CLASSES,
    }
    path = write(tmp_path / "x.parquet", columns, features)
    images = HubImages.read(path, image="b", label="coarse", size=8)
    np.testing.assert_array_equal(images.picture(0), PIXELS[4])
    assert images.labels.tolist() == [0, 0, 1, 1, -1]
    assert images[4].label is None
    raw = HubImages.read(path, image="raw", label="fine", size=8)
    np.testing.assert_array_equal(raw.picture(1), PIXELS[1])
    with pytest.raises(DataError, match=r"2 of its columns hold images; there are a, b, raw.*Name one with image"):
        HubImages.read(path, label="fine", size=8)
    with pytest.raises(DataError, match=r"labels of '.*x.parquet'. 2 columns hold classes: coarse, fine. Name"):
        HubImages.read(path, image="a", size=8)
    with pytest.raises(UnknownNameError, match=r"the column 'fin' of .* none of that name. Nearest: 'fine'"):
        HubImages.read(path, image="a", label="fin", size=8)
    with pytest.raises(UnknownNameError, match=r"the column 'c' of .*none of that name. Known: 'a'"):
        HubImages.read(path, image="c", size=8)
    with pytest.raises(
        DataError, match=r"images from the column 'fine' of .*It holds ClassLabel.* Name a column of"
    ):
        HubImages.read(path, image="fine", size=8)
    with pytest.raises(
        DataError, match=r"labels from the column 'raw' of .*It holds .*binary.*Name a column of whole"
    ):
        HubImages.read(path, image="a", label="raw", size=8)


def test_a_table_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images of '.*x.parquet'. 0 of its columns hold images; there are label"):
        HubImages.read(write(tmp_path / "x.parquet", {"label": LABELS}), size=8)


@pytest.mark.parametrize("content", [None, b"", b"GIF89 no", PNGS[0][:-40]])
def test_a_broken_image_is_named(tmp_path: Path, content: bytes | None) -> None:
    columns = {"image": cells([PNGS[0], content]), "label": [0, 1]}
    images = HubImages.read(write(tmp_path / "x.parquet", columns, DECLARED), size=8)
    assert images.fingerprint
    np.testing.assert_array_equal(images.picture(0), PIXELS[0])
    with pytest.raises(
        DataError, match=r"the image in row 1 of '.*x.parquet'. It is missing, broken or.*Take that"
    ):
        images[1]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'.*nowhere'. There is no such file or folder. Check the path, or use"):
        HubImages.read(tmp_path / "nowhere", size=8)


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"words")
    with pytest.raises(DataError, match=r"the data set '.*x.parquet'. The library 'datasets' says .*Check name"):
        HubImages.read(tmp_path / "x.parquet", size=8)


def test_a_name_that_cannot_be_reached() -> None:
    with pytest.raises(DataError, match=r"the data set 'no-such/name'. The library 'datasets' says .*connection"):
        HubImages.load("no-such/name", split="test", size=8)


def test_without_the_library_it_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DataError, match=r"'datasets', which is not installed. Install it: pip install 'convergent\[hub\]'"
    ):
        HubImages.read(path, size=8)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8, "std": (1.0, 0.0, 1.0)}])
def test_an_impossible_preparation_is_refused(path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'.*some.parquet' was asked for with size=\d and std=.*Give"):
        HubImages.read(path, **wrong)


def test_nothing_is_drawn_where_nobody_looks(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    HubImages.read(path, size=8)
    assert capfd.readouterr().err == ""
    assert datasets.is_progress_bar_enabled()
