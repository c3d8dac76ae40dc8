"""Folders of images, kind and unkind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convergent.batch import Inputs, Pictures
from convergent.data import ImageFolder, folders
from convergent.errors import DataError, InvalidArgumentError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ["cat/b.png", "cat/a.jpg", "dog/deep/c.PNG", "d.bmp"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(20, 30, 3), dtype=np.uint8)).save(path)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"not an image either")
    return tmp_path


def save(root: Path, image: Image.Image, name: str = "x.png", **options: object) -> np.ndarray:
    root.mkdir(exist_ok=True)
    image.save(root / name, **options)  # type: ignore[arg-type]
    return ImageFolder(root, size=8).picture(0)


def test_images_come_sorted_with_classes_from_their_first_folder(root: Path) -> None:
    images = ImageFolder(root, size=16)
    assert images.names == ("cat/a.jpg", "cat/b.png", "d.bmp", "dog/deep/c.PNG")
    assert images.classes == ("cat", "dog")
    assert [images[i].label for i in range(4)] == [0, 0, None, 1]
    assert isinstance(images, Inputs)
    assert isinstance(images, Pictures)


def test_the_folder_may_be_a_string(root: Path) -> None:
    images, same = ImageFolder(str(root), size=16), ImageFolder(root, size=16)
    assert images.fingerprint == same.fingerprint
    np.testing.assert_array_equal(images.picture(1), same.picture(1))


def test_an_input_is_its_picture_normalised(root: Path) -> None:
    images = ImageFolder(root, size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    picture = images.picture(1)
    assert picture.shape == (16, 16, 3)
    expected = (picture.transpose(2, 0, 1)[2] / 255 - 0.3) / 1.0
    np.testing.assert_allclose(images[1].tensor[2].numpy(), expected, atol=1e-6)


def test_a_batch_is_its_inputs_stacked(root: Path) -> None:
    images = ImageFolder(root, size=16)
    batch = images.batch(np.array([3, 2]))
    assert batch.ids.tolist() == [images[3].id, images[2].id]
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, -1]
    assert torch.equal(batch.tensor[1], images[2].tensor)


def test_adding_a_file_changes_no_other_id(root: Path) -> None:
    before = ImageFolder(root, size=16)
    Image.new("RGB", (9, 9)).save(root / "aaa.png")
    after = ImageFolder(root, size=16)
    assert (
        dict(zip(before.names, before.ids, strict=True)).items()
        <= dict(zip(after.names, after.ids, strict=True)).items()
    )
    assert before.ids.min() >= 0
    assert before.fingerprint != after.fingerprint


def test_an_id_is_a_hash_of_the_path_alone(root: Path) -> None:
    # Pinned: statistics on disk carry these ids.
    assert ImageFolder(root, size=16).ids[0] == 3490030790389126637


def test_the_fingerprint_covers_preparation_and_content_size(root: Path) -> None:
    first = ImageFolder(root, size=16)
    others = [ImageFolder(root, size=17), ImageFolder(root, size=16, mean=(0.0, 0.0, 0.0))]
    assert first.fingerprint == ImageFolder(root, size=16).fingerprint
    assert first.fingerprint not in [other.fingerprint for other in others]
    before = first.fingerprint
    with (root / "d.bmp").open("ab") as file:
        file.write(b"x")
    assert ImageFolder(root, size=16).fingerprint != before


def test_the_shorter_side_is_resized_and_the_middle_kept(tmp_path: Path) -> None:
    stripes = np.zeros((10, 30, 3), dtype=np.uint8)
    stripes[:, 10:20, 1] = 200  # a green middle third, as wide as the image is high
    Image.fromarray(stripes).save(tmp_path / "wide.png")
    picture = ImageFolder(tmp_path, size=10).picture(0)
    assert (picture == (0, 200, 0)).all()


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1", "LA", "RGBA", "I;16"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 128 * 256, dtype=np.uint16))
    else:
        image = Image.new("RGB", (8, 8), (128, 128, 128)).convert(mode, palette=Image.Palette.ADAPTIVE)
    picture = save(tmp_path, image, "x.tif")
    assert picture.shape == (8, 8, 3)
    if mode != "1":
        assert np.abs(picture.astype(int) - 128).max() <= 3


def test_a_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert (save(tmp_path, image, transparency=bytes([0, 255])) == (10, 200, 30)).all()


def test_a_turned_photo_is_put_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255  # bright top
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees to the right
    picture = save(tmp_path, Image.fromarray(pixels), exif=exif)
    assert (picture[:, 4:] == 255).all()
    assert (picture[:, :4] == 0).all()


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"from '.*nowhere'. There is no such folder. Check the path"):
        ImageFolder(tmp_path / "nowhere", size=8)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(DataError, match=r"None of its 1 files is an image.*Put files ending in"):
        ImageFolder(tmp_path, size=8)


@pytest.mark.parametrize("fault", ["foreign", "cut short", "empty", "gone"])
def test_a_broken_image_is_named(root: Path, fault: str) -> None:
    images = ImageFolder(root, size=8)
    path = root / "cat" / "a.jpg"
    content = path.read_bytes()
    if fault == "gone":
        path.unlink()
    else:
        path.write_bytes({"foreign": b"GIF89 no", "cut short": content[:-200], "empty": b""}[fault])
    with pytest.raises(DataError, match=r"the image '.*cat/a.jpg'. It is broken, cut short or gone.*Replace"):
        images[0]


def test_two_paths_with_one_hash_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_id_of", len)
    with pytest.raises(DataError, match=r"'cat/a.jpg' and 'cat/b.png' apart.*same hash. Rename"):
        ImageFolder(root, size=8)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8, "std": (1.0, 0.0, 1.0)}])
def test_an_impossible_preparation_is_refused(root: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"size=\d and std=.*must be above 0. Give"):
        ImageFolder(root, **wrong)  # type: ignore[arg-type]
