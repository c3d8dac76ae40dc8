"""Images of the Hugging Face hub, or of Parquet files, by the library `datasets` (the extra `hub`).

An input's id is the number of its row within the split, so it is the same wherever the same split is read.
"""

import hashlib
import importlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .._typing import Array, Int64, UInt8
from ..batch import Batch, Input
from ..errors import DataError
from .columns import image_column, is_declared_image, label_column
from .pictures import MEAN, STD, UNREADABLE, Triple, check_preparation, normalised, prepared

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class HubImages:
    """One split of a data set of images, read by Hugging Face `datasets`.

    Made by `load` (a name on the hub) or `read` (files). The columns of images and labels are found by their types
    where they are not named. An image is turned upright (EXIF), made RGB, resized so that its shorter side is
    `size`, and cropped in the middle; one that is `size` x `size` stays as it is. Each is decoded when asked for.

    Attributes:
        rows: the split, a `datasets.Dataset`, its images left encoded.
        source: where it comes from, for errors.
        image: name of the column of images.
        label: name of the column of classes, None where there is none.
        size: pixels of each side of an input.
        mean: of each colour on the scale 0..1; subtracted.
        std: of each colour on the scale 0..1; divided by.

    Raises:
        InvalidArgumentError: if the size is not positive or a std is 0.
    """

    rows: Any = field(repr=False, compare=False)
    source: str
    image: str
    label: str | None
    size: int = field(kw_only=True)
    mean: Triple = field(default=MEAN, kw_only=True)
    std: Triple = field(default=STD, kw_only=True)
    _labels: Int64[Array, " inputs"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_preparation(f"The data set '{self.source}'", size=self.size, std=self.std)
        found = [None] * len(self.rows) if self.label is None else self.rows[self.label]
        labels = np.array([-1 if one is None else one for one in found], dtype=np.int64)
        object.__setattr__(self, "_labels", labels)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        size: int,
        split: str,
        config: str | None = None,
        revision: str | None = None,
        image: str | None = None,
        label: str | None = None,
        mean: Triple = MEAN,
        std: Triple = STD,
    ) -> "HubImages":
        """A data set of the hub. It is downloaded once, into the cache of `datasets`.

        Args:
            name: on the hub, like `uoft-cs/cifar10`.
            size: pixels of each side of an input.
            split: which part; slices like `test[:1000]` are allowed, and rows are then counted within the slice.
            config: which configuration, where the data set has several.
            revision: commit, tag or branch; give a commit if the data must never change.
            image: the column of images, where there are several.
            label: the column of classes, where there are several.
            mean: of each colour on the scale 0..1; subtracted.
            std: of each colour on the scale 0..1; divided by.

        Raises:
            DataError: if `datasets` is not installed, the data set cannot be read, or its columns do not say which
                holds images.
            UnknownNameError: if a named column does not exist.

        Example:
            >>> HubImages.load("uoft-cs/cifar10", split="test", size=32)  # doctest: +SKIP
            HubImages(source='uoft-cs/cifar10 (test)', image='img', label='label', size=32, ...)
        """
        library = _datasets(name)
        rows = _opened(library, name, lambda: library.load_dataset(name, config, split=split, revision=revision))
        return cls._of(rows, f"{name} ({split})", image, label, size=size, mean=mean, std=std)

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        size: int,
        split: str | None = None,
        image: str | None = None,
        label: str | None = None,
        mean: Triple = MEAN,
        std: Triple = STD,
    ) -> "HubImages":
        """A Parquet file, or a folder as `datasets` understands them (of Parquet or image files).

        Args:
            path: the file or folder.
            size: pixels of each side of an input.
            split: which part of a folder, by the names of its files; needed where it has several. All rows of one
                file are one split, whatever it is called here. Slices like `test[:1000]` are allowed.
            image: the column of images, where there are several.
            label: the column of classes, where there are several.
            mean: of each colour on the scale 0..1; subtracted.
            std: of each colour on the scale 0..1; divided by.

        Raises:
            DataError: if `datasets` is not installed, the files cannot be read, there are several splits and none
                is chosen, or the columns do not say which holds images.
            UnknownNameError: if a named column does not exist.
        """
        path, library = Path(path), _datasets(str(path))
        if not path.exists():
            raise DataError(
                f"Cannot read images from '{path}'. There is no such file or folder. Check the path, or use "
                "HubImages.load for a name on the hub."
            )
        if path.is_file():
            split = split or "all_rows"
            files = {split.partition("[")[0]: str(path)}
            rows = _opened(
                library, str(path), lambda: library.load_dataset("parquet", data_files=files, split=split)
            )
        else:
            rows = _opened(library, str(path), lambda: library.load_dataset(str(path.resolve()), split=split))
        return cls._of(_one_split(rows, str(path)), str(path), image, label, size=size, mean=mean, std=std)

    @classmethod
    def _of(
        cls, rows: Any, source: str, image: str | None, label: str | None, *, size: int, mean: Triple, std: Triple
    ) -> "HubImages":
        image = image_column(rows.features, image, source=source)
        label = label_column(rows.features, label, source=source)
        rows = rows.select_columns([image] if label is None else [image, label])
        if is_declared_image(rows.features[image]):
            rows = rows.cast_column(image, _datasets(source).Image(decode=False))
        return cls(rows, source, image, label, size=size, mean=mean, std=std)

    @property
    def ids(self) -> Int64[Array, " inputs"]:
        """The number of each row within the split."""
        return np.arange(len(self))

    @property
    def labels(self) -> Int64[Array, " inputs"]:
        """Class of each image, -1 where it has none."""
        return self._labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, where the data set says them; a label is an index into them."""
        return tuple(getattr(self.rows.features.get(self.label), "names", ()))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every encoded image and label, in order, and of how they are prepared.

        The same on every machine, from whatever files the rows come: the fingerprint of `datasets` itself changes
        with the path of a file. Found once. *Cost*: reads all images; 0.1 s for 10,000 of 300 bytes.
        """
        content = hashlib.sha256()
        for start in range(0, len(self), _ROWS_AT_ONCE):
            for encoded in self._encoded(range(start, min(start + _ROWS_AT_ONCE, len(self)))):
                content.update(len(encoded).to_bytes(8, "little") + encoded)
        content.update(self._labels.astype("<i8").tobytes())
        parts = ["hub-images", content.hexdigest(), self.size, self.mean, self.std]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Input:
        label = int(self._labels[index])
        tensor = normalised(self.picture(index), mean=self.mean, std=self.std)
        return Input(range(len(self))[index], tensor, None if label < 0 else label)

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        """Several inputs, stacked; faster than one by one."""
        tensor = normalised(self.pictures(indices), mean=self.mean, std=self.std)
        return Batch(self.ids[indices], tensor, torch.from_numpy(self._labels[indices]))

    def picture(self, index: int, /) -> UInt8[Array, "height width 3"]:
        """The image as the nets see it, before normalisation.

        Raises:
            DataError: if it cannot be decoded.
        """
        return self.pictures(np.array([index]))[0]

    def pictures(self, indices: Int64[Array, " inputs"]) -> UInt8[Array, "inputs height width 3"]:
        """Several images as the nets see them. *Cost*: about 0.15 s for 1,000 JPEGs of 32 x 32.

        Raises:
            DataError: if one cannot be decoded.
        """
        pixels = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)
        for start in range(0, len(indices), _ROWS_AT_ONCE):
            wanted = [range(len(self))[int(index)] for index in indices[start : start + _ROWS_AT_ONCE]]
            for place, (row, encoded) in enumerate(zip(wanted, self._encoded(wanted), strict=True), start):
                pixels[place] = self._decoded(row, encoded)
        return pixels

    def _encoded(self, rows: Sequence[int]) -> list[bytes]:
        """The files of some images, as bytes."""
        return [_content(cell) for cell in self.rows[list(rows)][self.image]]

    def _decoded(self, row: int, encoded: bytes) -> UInt8[Array, "height width 3"]:
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                return prepared(image, size=self.size)
        except UNREADABLE as error:
            raise DataError(
                f"Cannot read the image in row {row} of '{self.source}'. It is missing, broken or cut short "
                f"({error}). Take that row out of the data set."
            ) from error


def _content(cell: Any) -> bytes:
    """The bytes of an image, which stand in the cell or in a file that it names; none where it is empty."""
    if isinstance(cell, bytes):
        return cell
    if not cell or (cell["bytes"] is None and not cell["path"]):
        return b""
    return Path(cell["path"]).read_bytes() if cell["bytes"] is None else cell["bytes"]


def _datasets(source: str) -> Any:
    """The library, imported when it is needed."""
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise DataError(
            f"Cannot read '{source}'. That needs the library 'datasets', which is not installed. "
            "Install it: pip install 'convergent[hub]'."
        ) from error


def _opened(library: Any, source: str, load: Callable[[], Any]) -> Any:
    try:
        with _quiet_off_terminals(library):
            return load()
    except Exception as error:  # whatever `datasets`, the hub and Arrow raise; they share no base class
        raise DataError(
            f"Cannot read the data set '{source}'. The library 'datasets' says {type(error).__name__}: {error}. "
            "Check name, configuration, split and the connection to the hub."
        ) from error


@contextmanager
def _quiet_off_terminals(library: Any) -> Iterator[None]:
    """The progress bars of `datasets` are drawn in log files too."""
    silence = not sys.stderr.isatty() and library.is_progress_bar_enabled()
    if silence:
        library.disable_progress_bars()
    try:
        yield
    finally:
        if silence:
            library.enable_progress_bars()


def _one_split(rows: Any, source: str) -> Any:
    if not isinstance(rows, dict):
        return rows
    if len(rows) > 1:
        raise DataError(
            f"Cannot read images from '{source}'. It has {len(rows)} splits: {', '.join(rows)}. "
            "Choose one with split."
        )
    return next(iter(rows.values()))
