"""Digits on photographs: a small data set of real images that needs no download.

One of scikit-learn's 1,797 handwritten digits (8 x 8 scans), drawn smoothly at 32 x 32, is blended into a random
32 x 32 crop of one of scikit-learn's two photographs, halved in size: pixel = |photo - ink|. The digit inverts the
photo where it is written, so no fixed colour or edge gives it away.

The id of an input says all about it: `id = draw * 1797 + digit`, and the draw's crop is a hash of id and seed.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images

from .._typing import Array, Float32, Int64, Shaped, Tensor, UInt8
from ..batch import Batch, Input, hash_ids
from ..errors import InvalidArgumentError

Split = Literal["train", "held-out"]

NAME = "photo-digits"
SIZE = 32
N_SCANS = 1797
N_HELD_OUT = 400
# Mean and standard deviation of each colour over training inputs, on the scale 0..1.
MEAN = (0.41, 0.39, 0.39)
STD = (0.32, 0.27, 0.29)

# Salts of the hash: what is drawn must not depend on what else is hashed from the same ids (blocks, say).
_SPLIT, _CROP, _ORDER = 1 << 20, 1 << 21, 1 << 22


@dataclass(frozen=True)
class Material:
    """What the inputs are made of: the digits, drawn large, and the photographs, halved.

    Attributes:
        ink: every digit, 0 (paper) to 255.
        labels: which digit each scan shows.
        photos: the photographs, RGB, colour first.
    """

    ink: UInt8[Array, "digits 32 32"]
    labels: Int64[Array, " digits"]
    photos: UInt8[Array, "photos 3 height width"]

    @classmethod
    def load(cls) -> "Material":
        """Read scikit-learn's digits and photographs, which are installed with it. *Cost*: about 0.2 s."""
        scans = load_digits()
        return cls(
            ink=_drawn_large(scans.images),
            labels=scans.target.astype(np.int64),
            photos=np.ascontiguousarray([_halved(photo) for photo in load_sample_images().images]),
        )

    @property
    def fingerprint(self) -> str:
        """Hash of every pixel, so that another JPEG decoder's photographs are known to be others."""
        content = hashlib.sha256()
        for part in (self.ink, self.labels.astype("<i8"), self.photos):
            content.update(part.tobytes())
        return content.hexdigest()

    def blend(self, ids: Int64[Array, " inputs"], *, seed: int = 0) -> UInt8[Array, "inputs 3 32 32"]:
        """The pictures of these ids. *Cost*: about 3 ms for 1,000."""
        crops = np.lib.stride_tricks.sliding_window_view(self.photos, (SIZE, SIZE), axis=(2, 3))
        photo, top, left = (_choose(ids, crops.shape[axis], salt=_CROP + 4 * seed + axis) for axis in (0, 2, 3))
        background = crops[photo, :, top, left]
        ink = self.ink[ids % N_SCANS, None]
        return np.maximum(background, ink) - np.minimum(background, ink)

    def batch(self, ids: Int64[Array, " inputs"], *, seed: int = 0) -> Batch:
        """The inputs of these ids as nets eat them, with their labels."""
        tensor = normalised(torch.from_numpy(self.blend(ids, seed=seed)))
        return Batch(ids=ids, tensor=tensor, labels=torch.from_numpy(self.labels[ids % N_SCANS]))


@dataclass(frozen=True)
class PhotoDigits:
    """A finite set of digits on photographs, the same on every run.

    Attributes:
        material: digits and photographs.
        ids: which inputs, as `draw * 1797 + digit`.
        seed: another seed puts the same ids into other crops.

    Example:
        >>> probe = PhotoDigits.probe(n=800)
        >>> len(probe), tuple(probe[0].tensor.shape), probe.picture(0).shape
        (800, (3, 32, 32), (32, 32, 3))
    """

    material: Material
    ids: Int64[Array, " inputs"]
    seed: int = 0

    @classmethod
    def probe(cls, n: int = 4000) -> "PhotoDigits":
        """The inputs nets are compared on: held-out digits, each once before any comes again."""
        return cls.first("held-out", n=n)

    @classmethod
    def first(cls, split: Split, *, n: int, seed: int = 0) -> "PhotoDigits":
        """The first n inputs of a split: draw 0 of all its digits, then draw 1, and so on.

        Raises:
            InvalidArgumentError: if n is not positive.
        """
        if n < 1:
            raise InvalidArgumentError(
                f"PhotoDigits was asked for n={n} inputs. A set needs at least one. Give n=1 or more."
            )
        return cls(Material.load(), _first_ids(split, n=n), seed)

    @property
    def fingerprint(self) -> str:
        """Hash of the pixels of digits and photographs, the seed and the normalisation; not of the ids."""
        parts = [NAME, self.material.fingerprint, self.seed, MEAN, STD]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int, /) -> Input:
        batch = self.batch(np.array([index]))
        return Input(int(batch.ids[0]), batch.tensor[0], int(self.material.labels[batch.ids[0] % N_SCANS]))

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        """Many inputs at once, much faster than one by one."""
        return self.material.batch(self.ids[indices], seed=self.seed)

    def picture(self, index: int, /) -> UInt8[Array, "32 32 3"]:
        """The input in RGB, before normalisation."""
        picture = self.material.blend(self.ids[[index]], seed=self.seed)[0]
        return np.ascontiguousarray(picture.transpose(1, 2, 0))


@dataclass(frozen=True)
class PhotoDigitsTraining:
    """Endless labelled batches of the training digits, and the probe to test on: what training asks for.

    Attributes:
        material: digits and photographs.
        n_held_out: inputs of the probe that a trained net is tested on.
    """

    material: Material
    n_held_out: int = 4000

    @classmethod
    def load(cls) -> "PhotoDigitsTraining":
        """From scikit-learn's installed files."""
        return cls(Material.load())

    @property
    def name(self) -> str:
        """What recipes call this data."""
        return NAME

    @property
    def fingerprint(self) -> str:
        """Hash of all pixels, of the normalisation and of the size of the test."""
        parts = [NAME, self.material.fingerprint, MEAN, STD, self.n_held_out]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        """The batch of one step: digits drawn with replacement, never the same crop by plan twice."""
        draws = step * size + np.arange(size)
        digits = digits_of("train")
        chosen = digits[_choose(draws, len(digits), salt=_ORDER + seed)]
        return self.material.batch(draws * N_SCANS + chosen, seed=seed)

    def held_out_batch(self) -> Batch:
        """The first inputs of the probe."""
        return self.material.batch(_first_ids("held-out", n=self.n_held_out))


def digits_of(split: Split) -> Int64[Array, " digits"]:
    """The scans of one half of the fixed split: 1,397 to train on, 400 held out, none in both."""
    shuffled = np.argsort(hash_ids(np.arange(N_SCANS), salt=_SPLIT), kind="stable")
    return np.sort(shuffled[:N_HELD_OUT] if split == "held-out" else shuffled[N_HELD_OUT:])


def normalised(pictures: UInt8[Tensor, "inputs 3 32 32"]) -> Float32[Tensor, "inputs 3 32 32"]:
    """Pixels to about zero mean and unit variance, by the fixed MEAN and STD."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (pictures.float() / 255 - mean) / std


def _first_ids(split: Split, *, n: int) -> Int64[Array, " inputs"]:
    digits = digits_of(split)
    order = np.arange(n)
    return order // len(digits) * N_SCANS + digits[order % len(digits)]


def _choose(ids: Int64[Array, " inputs"], n: int, *, salt: int) -> Int64[Array, " inputs"]:
    """One of 0 .. n - 1 for each id; another salt chooses independently."""
    return (hash_ids(ids, salt=salt) % np.uint64(n)).astype(np.int64)


def _drawn_large(scans: Shaped[Array, "digits 8 8"]) -> UInt8[Array, "digits 32 32"]:
    ink = torch.from_numpy(scans).double()[:, None] * (255 / 16)
    large = torch.nn.functional.interpolate(ink, size=(SIZE, SIZE), mode="bicubic", align_corners=False)
    return large[:, 0].round().clamp(0, 255).to(torch.uint8).numpy()


def _halved(photo: UInt8[Array, "height width 3"]) -> UInt8[Array, "3 half_height half_width"]:
    height, width = photo.shape[0] // 2, photo.shape[1] // 2
    blocks = photo[: 2 * height, : 2 * width].astype(np.uint16).reshape(height, 2, width, 2, 3)
    return ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8).transpose(2, 0, 1)
