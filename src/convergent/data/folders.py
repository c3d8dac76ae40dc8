"""A folder of images, as inputs whose ids do not change when files are added.

An input's id is a hash of its path inside the folder, written with '/', and of nothing else.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .._typing import Array, Int64, UInt8
from ..batch import Batch, Input
from ..errors import DataError
from .pictures import MEAN, STD, UNREADABLE, Triple, check_preparation, normalised, prepared

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True)
class ImageFolder:
    """All images in a folder and below, in the order of their paths.

    The class of an image is the first folder on its path, numbered in alphabetical order; images that lie directly
    in the root have none. An image is turned upright (EXIF), made RGB, resized so that its shorter side is `size`,
    and cropped in the middle. Hidden files are left out.

    Attributes:
        root: the folder.
        size: pixels of each side of an input.
        mean: of each colour on the scale 0..1; subtracted.
        std: of each colour on the scale 0..1; divided by.
        names: path of each image, from the root, with '/'.
        classes: names of the classes; a label is an index into them.

    Raises:
        DataError: if the folder is missing or holds no image.
        InvalidArgumentError: if the size is not positive or a std is 0.
    """

    root: str | Path
    size: int = field(kw_only=True)
    mean: Triple = field(default=MEAN, kw_only=True)
    std: Triple = field(default=STD, kw_only=True)
    names: tuple[str, ...] = field(init=False, repr=False)
    classes: tuple[str, ...] = field(init=False)
    _ids: Int64[Array, " inputs"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_preparation("An image folder", size=self.size, std=self.std)
        names = _image_names(Path(self.root))
        classes = sorted({name.split("/")[0] for name in names if "/" in name})
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "classes", tuple(classes))
        object.__setattr__(self, "_ids", _distinct_ids(names))

    @property
    def ids(self) -> Int64[Array, " inputs"]:
        """Stable id of each image."""
        return self._ids

    @property
    def labels(self) -> Int64[Array, " inputs"]:
        """Class of each image, -1 where it has none."""
        return self._labels_of(np.arange(len(self)))

    @property
    def fingerprint(self) -> str:
        """Hash of the images' paths and sizes in bytes, and of how they are prepared."""
        files = [(name, (Path(self.root) / name).stat().st_size) for name in self.names]
        parts = ["image-folder", files, self.size, self.mean, self.std]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> Input:
        tensor = normalised(self.picture(index), mean=self.mean, std=self.std)
        return Input(int(self.ids[index]), tensor, self._label(index))

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        """Several inputs, stacked."""
        tensor = normalised(self.pictures(indices), mean=self.mean, std=self.std)
        return Batch(self.ids[indices], tensor, torch.from_numpy(self._labels_of(indices)))

    def picture(self, index: int, /) -> UInt8[Array, "height width 3"]:
        """The image as the nets see it, before normalisation.

        Raises:
            DataError: if the file is broken, cut short or gone.
        """
        path = Path(self.root) / self.names[index]
        try:
            with Image.open(path) as image:
                return prepared(image, size=self.size)
        except UNREADABLE as error:
            raise DataError(
                f"Cannot read the image '{path}'. It is broken, cut short or gone ({error}). "
                "Replace it or take it out of the folder."
            ) from error

    def pictures(self, indices: Int64[Array, " inputs"]) -> UInt8[Array, "inputs height width 3"]:
        """Several images as the nets see them, before normalisation."""
        pixels = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)
        for place, index in enumerate(indices):
            pixels[place] = self.picture(int(index))
        return pixels

    def _labels_of(self, indices: Int64[Array, " inputs"]) -> Int64[Array, " inputs"]:
        labels = [self._label(int(index)) for index in indices]
        return np.array([-1 if label is None else label for label in labels], dtype=np.int64)

    def _label(self, index: int) -> int | None:
        first, slash, _ = self.names[index].partition("/")
        return self.classes.index(first) if slash else None


def _image_names(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise DataError(
            f"Cannot read images from '{root}'. There is no such folder. Check the path; it is taken from the "
            "folder you are in unless it is absolute."
        )
    inside = [path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in SUFFIXES]
    shown = [path for path in inside if not any(part.startswith(".") for part in path.parts)]
    names = sorted(path.as_posix() for path in shown if (root / path).is_file())
    if not names:
        n_files = sum(path.is_file() for path in root.rglob("*"))
        raise DataError(
            f"Cannot read images from '{root}'. None of its {n_files} files is an image by its name. "
            f"Put files ending in {' '.join(sorted(SUFFIXES))} there."
        )
    return tuple(names)


def _distinct_ids(names: Sequence[str]) -> Int64[Array, " inputs"]:
    by_id: dict[int, str] = {}
    for name in names:
        other = by_id.setdefault(_id_of(name), name)
        if other != name:
            raise DataError(
                f"Cannot tell the images '{other}' and '{name}' apart. Their paths have the same hash. "
                "Rename one of them."
            )
    return np.array(list(by_id), dtype=np.int64)


def _id_of(name: str) -> int:
    """The first 63 bits of the path's SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
