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
from PIL import Image, ImageOps

from .._typing import Array, Float32, Int64, Tensor, UInt8
from ..batch import Batch, Input
from ..errors import DataError, InvalidArgumentError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Of ImageNet, as torchvision's nets expect them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


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

    root: Path
    size: int = field(kw_only=True)
    mean: tuple[float, float, float] = field(default=MEAN, kw_only=True)
    std: tuple[float, float, float] = field(default=STD, kw_only=True)
    names: tuple[str, ...] = field(init=False, repr=False)
    classes: tuple[str, ...] = field(init=False)
    _ids: Int64[Array, " inputs"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.size < 1 or min(self.std) <= 0:
            raise InvalidArgumentError(
                f"An image folder was asked for with size={self.size} and std={self.std}. Both must be above 0. "
                "Give the input size and the normalisation the nets were trained with."
            )
        names = _image_names(self.root)
        classes = sorted({name.split("/")[0] for name in names if "/" in name})
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "classes", tuple(classes))
        object.__setattr__(self, "_ids", _distinct_ids(names))

    @property
    def ids(self) -> Int64[Array, " inputs"]:
        """Stable id of each image."""
        return self._ids

    @property
    def fingerprint(self) -> str:
        """Hash of the images' paths and sizes in bytes, and of how they are prepared."""
        files = [(name, (self.root / name).stat().st_size) for name in self.names]
        parts = ["image-folder", files, self.size, self.mean, self.std]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> Input:
        return Input(int(self.ids[index]), self._normalised(self.picture(index)), self._label(index))

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        """Several inputs, stacked."""
        inputs = [self[int(index)] for index in indices]
        labels = torch.tensor([-1 if one.label is None else one.label for one in inputs])
        return Batch(self.ids[indices], torch.stack([one.tensor for one in inputs]), labels)

    def picture(self, index: int, /) -> UInt8[Array, "height width 3"]:
        """The image as the nets see it, before normalisation.

        Raises:
            DataError: if the file is broken, cut short or gone.
        """
        path = self.root / self.names[index]
        try:
            with Image.open(path) as image:
                upright = _rgb(ImageOps.exif_transpose(image))
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(
                f"Cannot read the image '{path}'. It is broken, cut short or gone ({error}). "
                "Replace it or take it out of the folder."
            ) from error
        return np.asarray(ImageOps.fit(upright, (self.size, self.size), method=Image.Resampling.BICUBIC))

    def _label(self, index: int) -> int | None:
        first, slash, _ = self.names[index].partition("/")
        return self.classes.index(first) if slash else None

    def _normalised(self, picture: UInt8[Array, "height width 3"]) -> Float32[Tensor, "3 height width"]:
        pixels = torch.tensor(picture).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std


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


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
