"""From an image file to pixels, and from pixels to what nets eat: shared by all data made of image files."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image, ImageOps

from .._typing import Array, Float32, Int64, Tensor, UInt8
from ..errors import InvalidArgumentError

Triple = tuple[float, float, float]

# Of ImageNet, as torchvision's nets expect them.
MEAN: Triple = (0.485, 0.456, 0.406)
STD: Triple = (0.229, 0.224, 0.225)
# What Pillow raises on files that are broken, cut short, gone, or bombs.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@runtime_checkable
class LabelledPictures(Protocol):
    """Images of one size with their classes; `ImageFolder` and `HubImages` are such."""

    @property
    def mean(self) -> Triple:
        """Of each colour on the scale 0..1; subtracted before nets see them."""

    @property
    def std(self) -> Triple:
        """Of each colour on the scale 0..1; divided by."""

    @property
    def labels(self) -> Int64[Array, " inputs"]:
        """Class of each image, -1 where it has none."""

    def __len__(self) -> int: ...

    def pictures(self, indices: Int64[Array, " inputs"]) -> UInt8[Array, "inputs height width 3"]:
        """Several images as the nets see them, before normalisation."""


def check_preparation(what: str, *, size: int, std: Triple) -> None:
    """Make sure that images can be prepared so.

    Raises:
        InvalidArgumentError: if the size is not positive or a std is 0.
    """
    if size < 1 or min(std) <= 0:
        raise InvalidArgumentError(
            f"{what} was asked for with size={size} and std={std}. Both must be above 0. "
            "Give the input size and the normalisation the nets were trained with."
        )


def prepared(image: Image.Image, *, size: int) -> UInt8[Array, "size size 3"]:
    """The image turned upright, in RGB, resized so that its shorter side is `size`, and cropped in the middle."""
    upright = _rgb(ImageOps.exif_transpose(image))
    if upright.size != (size, size):
        upright = ImageOps.fit(upright, (size, size), method=Image.Resampling.BICUBIC)
    return np.asarray(upright)


def normalised(
    pixels: UInt8[Array, "*inputs height width 3"], *, mean: Triple, std: Triple
) -> Float32[Tensor, "*inputs 3 height width"]:
    """Pixels to about zero mean and unit variance, colour first."""
    scaled = torch.tensor(pixels).movedim(-1, -3).float() / 255
    middle, spread = (torch.tensor(values)[:, None, None] for values in (mean, std))
    return (scaled - middle) / spread


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
