"""Labelled images to train on, mirrored and shifted at random: what `train` asks of data."""

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
import torch

from .._typing import Array, Float32, Int64, Tensor, UInt8, UInt64
from ..batch import Batch, hash_ids
from ..errors import DataError, InvalidArgumentError, MismatchError
from .pictures import LabelledPictures, Triple, normalised

# Salts of the hash, so that order, mirror and shift are drawn independently.
_ORDER, _FLIP, _DOWN, _RIGHT = 1 << 23, 1 << 24, 1 << 25, 1 << 26


@dataclass(frozen=True)
class LabelledPixels:
    """Images held in memory, as they were decoded, and their classes.

    Attributes:
        pixels: the images.
        labels: their classes, none of them unknown.
    """

    pixels: UInt8[Array, "inputs height width 3"]
    labels: Int64[Array, " inputs"]

    @classmethod
    def read(cls, images: LabelledPictures) -> "LabelledPixels":
        """Decode all images, once.

        Raises:
            DataError: if an image has no label, or cannot be decoded.
        """
        labels = np.asarray(images.labels)
        unknown = np.flatnonzero(labels < 0)
        if len(unknown) or not len(labels):
            raise DataError(
                f"Cannot train on {len(labels)} images. {len(unknown)} of them have no label"
                f"{f', first number {unknown[0]}' if len(unknown) else ''}. Give images that all have one."
            )
        return cls(images.pictures(np.arange(len(labels))), labels)


@dataclass(frozen=True)
class ImageTraining:
    """Labelled images to train on and others to test on; `train` and `train_many` take it.

    An epoch shows every image once, in an order drawn from the seed. Each time it is shown, an image is mirrored
    or not, and shifted by up to `shift` pixels in each direction; beyond its edge it is reflected. All of it is a
    hash of seed, step and place in the batch: the same step gives the same batch, always.

    Attributes:
        name: what recipes call this data.
        training: images to train on.
        held_out: images to test on, never mirrored or shifted.
        mean: of each colour on the scale 0..1; subtracted.
        std: of each colour on the scale 0..1; divided by.
        flip: whether images are mirrored left to right, half of the time.
        shift: most pixels by which they are shifted.

    Raises:
        InvalidArgumentError: if the shift is negative or not smaller than the images.
        MismatchError: if the images to train and to test on differ in size.
    """

    name: str
    training: LabelledPixels = field(repr=False)
    held_out: LabelledPixels = field(repr=False)
    mean: Triple = field(kw_only=True)
    std: Triple = field(kw_only=True)
    flip: bool = field(default=True, kw_only=True)
    shift: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        shapes = [one.pixels.shape[1:3] for one in (self.training, self.held_out)]
        if shapes[0] != shapes[1]:
            raise MismatchError(
                f"Cannot train '{self.name}' on images of {shapes[0]} pixels. Those held out have {shapes[1]}. "
                "Prepare both to one size."
            )
        if not 0 <= self.shift < min(shapes[0]):
            raise InvalidArgumentError(
                f"Training images of {shapes[0]} pixels were to be shifted by shift={self.shift}. A shift is at "
                "least 0 and smaller than the image. Give a few pixels, 4 for images of 32."
            )

    @classmethod
    def of(
        cls, train: LabelledPictures, held_out: LabelledPictures, *, name: str, flip: bool = True, shift: int = 0
    ) -> "ImageTraining":
        """Decode all images of two sets and hold them in memory, a byte for each colour of each pixel.

        Args:
            train: images to train on.
            held_out: images to test on.
            name: what recipes call this data.
            flip: whether images are mirrored left to right, half of the time.
            shift: most pixels by which they are shifted.

        Raises:
            DataError: if an image has no label, or cannot be decoded.
            MismatchError: if the two sets are prepared differently.
            InvalidArgumentError: if the shift does not fit.
        """
        ways = [(images.mean, images.std) for images in (train, held_out)]
        if ways[0] != ways[1]:
            raise MismatchError(
                f"Cannot train '{name}' on images normalised by mean and std {ways[0]}. Those held out are "
                f"normalised by {ways[1]}. Prepare both in the same way."
            )
        mean, std = ways[0]
        both = [LabelledPixels.read(images) for images in (train, held_out)]
        return cls(name, *both, mean=mean, std=std, flip=flip, shift=shift)

    @property
    def fingerprint(self) -> str:
        """Hash of every pixel and label, and of how images are normalised, mirrored and shifted."""
        content = hashlib.sha256()
        for part in (self.training, self.held_out):
            content.update(json.dumps(part.pixels.shape).encode())
            content.update(np.ascontiguousarray(part.pixels).data)
            content.update(part.labels.astype("<i8").tobytes())
        parts = ["images", self.name, content.hexdigest(), self.mean, self.std, self.flip, self.shift]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        """The batch of one step. Ids are numbers of training images. *Cost*: 2 ms for 64 of 32 x 32 pixels."""
        draws = step * size + np.arange(size)
        chosen = self._order(draws, seed=seed)
        tensor = normalised(self._moved(chosen, draws, seed=seed), mean=self.mean, std=self.std)
        return _batch(chosen, tensor, self.training.labels[chosen])

    def held_out_batch(self) -> Batch:
        """All images that are held out. Ids are their numbers."""
        tensor = normalised(self.held_out.pixels, mean=self.mean, std=self.std)
        return _batch(np.arange(len(tensor)), tensor, self.held_out.labels)

    def _order(self, draws: Int64[Array, " inputs"], *, seed: int) -> Int64[Array, " inputs"]:
        """Which image each draw shows: epoch after epoch, every image once in each."""
        n = len(self.training.labels)
        epochs, places = np.divmod(draws, n)
        chosen = np.empty_like(draws)
        for epoch in np.unique(epochs):
            salt = int(hash_ids(np.array([epoch]), salt=_ORDER + seed)[0])
            order = np.argsort(hash_ids(np.arange(n), salt=salt))  # the hashes of different ids are different
            chosen[epochs == epoch] = order[places[epochs == epoch]]
        return chosen

    def _moved(
        self, chosen: Int64[Array, " inputs"], draws: Int64[Array, " inputs"], *, seed: int
    ) -> UInt8[Array, "inputs height width 3"]:
        """Images with their mirroring and shift."""
        _, height, width, _ = self.training.pixels.shape
        rows = _shifted(height, hash_ids(draws, salt=_DOWN + seed), shift=self.shift)
        columns = _shifted(width, hash_ids(draws, salt=_RIGHT + seed), shift=self.shift)
        if self.flip:
            mirrored = hash_ids(draws, salt=_FLIP + seed) % np.uint64(2) == 1
            columns[mirrored] = columns[mirrored, ::-1]
        return self.training.pixels[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]


def _shifted(n: int, random: UInt64[Array, " inputs"], *, shift: int) -> Int64[Array, "inputs pixels"]:
    """For each input, which of its n rows is seen where; beyond the edge it is reflected."""
    by = (random % np.uint64(2 * shift + 1)).astype(np.int64) - shift
    seen = np.abs(np.arange(n) + by[:, None])
    return np.where(seen < n, seen, 2 * (n - 1) - seen)


def _batch(
    ids: Int64[Array, " inputs"], tensor: Float32[Tensor, "inputs 3 height width"], labels: Int64[Array, " inputs"]
) -> Batch:
    return Batch(ids=ids, tensor=tensor.contiguous(), labels=torch.from_numpy(labels))
