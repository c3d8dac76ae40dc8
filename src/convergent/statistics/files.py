"""Statistics on disk: safetensors with a versioned JSON header, described in docs/format.md."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .._typing import Array
from ..errors import FileFormatError, InvalidArgumentError
from ..files import replacing, why_unreadable
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .base import Header, Statistic, under
from .blocked import Blocked
from .histograms import Histograms
from .input_sample import InputSample
from .minibatch_hsic import MinibatchHsic
from .moments import Moments
from .quantiles import Quantiles
from .top_inputs import TopInputs

FORMAT = "convergent-statistic"
VERSION = 1
_KINDS: Mapping[str, type[Statistic]] = {
    "Moments": Moments,
    "TopInputs": TopInputs,
    "Quantiles": Quantiles,
    "Histograms": Histograms,
    "InputSample": InputSample,
    "MinibatchHsic": MinibatchHsic,
}


def save(statistic: Statistic | Blocked[Any], path: str | Path) -> None:
    """Write a statistic, blocked or not, to one file; the file is whole or not there.

    Args:
        statistic: `Moments`, `TopInputs`, `Quantiles`, `Histograms`, `InputSample`, `MinibatchHsic`, or `Blocked`
            of these.
        path: where; `.safetensors` by convention.

    Raises:
        InvalidArgumentError: if it is none of these.
        StorageError: if it cannot be written.
    """
    blocked = isinstance(statistic, Blocked)
    parts: tuple[Statistic, ...] = statistic.blocks if isinstance(statistic, Blocked) else (statistic,)
    if not parts or any(type(part) is not type(parts[0]) or type(part).__name__ not in _KINDS for part in parts):
        held = ", ".join(sorted({type(part).__name__ for part in parts})) or "nothing"
        raise InvalidArgumentError(
            f"Cannot save {held}. Files hold one of {', '.join(_KINDS)}, whole or in blocks. "
            "Save the statistic; tables of results are saved with pandas."
        )
    arrays = {
        f"{i}/{name}": np.ascontiguousarray(array)
        for i, part in enumerate(parts)
        for name, array in part.arrays().items()
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "kind": type(parts[0]).__name__,
        "blocked": blocked,
        "layers": [_layer_header(layer) for layer in parts[0].layers],
        "fingerprint": _fingerprint_header(parts[0].fingerprint),
        "inputs": [part.fingerprint.inputs for part in parts],
        "parts": [part.header() for part in parts],
    }
    text = json.dumps(header)
    with replacing(Path(path)) as temporary:
        save_file(arrays, temporary, metadata={"convergent": text, "sha256": checksum(text, arrays)})


def load(path: str | Path) -> Any:
    """Read back what `save` wrote.

    Raises:
        FileFormatError: if the file is missing, truncated, damaged, foreign, or of a newer version.
    """
    path = Path(path)
    metadata, arrays = _read(path)
    header = _header(path, metadata.get("convergent", "null"))
    if checksum(metadata["convergent"], arrays) != metadata.get("sha256"):
        raise FileFormatError(
            f"Cannot read '{path}': its content does not match the checksum written with it. "
            "The file is damaged. Remove it and compute it again."
        )
    try:
        return _rebuilt(header, arrays)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # whatever a wrong header leads to
        raise FileFormatError(
            f"Cannot read '{path}': its header and its arrays do not fit ({type(error).__name__}: {error}). "
            "Remove the file and compute it again."
        ) from error


def _rebuilt(header: Header, arrays: Mapping[str, Array]) -> Statistic | Blocked[Any]:
    layers = tuple(_layer(layer) for layer in header["layers"])
    fingerprint = Fingerprint(**header["fingerprint"])
    inputs = header.get("inputs") or [()] * len(header["parts"])
    kind = _KINDS[header["kind"]]
    parts = tuple(
        kind.rebuild(part, under(f"{i}/", arrays), layers, replace(fingerprint, inputs=tuple(inputs[i])))
        for i, part in enumerate(header["parts"])
    )
    return Blocked(parts) if header["blocked"] and parts else parts[0]


def _read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    if not path.is_file():
        raise FileFormatError(
            f"Cannot read statistics from '{path}'. {why_unreadable(path, FileNotFoundError())}. "
            "Run the pass that writes it."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            return file.metadata() or {}, arrays
    except SafetensorError as error:
        raise FileFormatError(
            f"Cannot read statistics from '{path}': it is truncated or not a safetensors file ({error}). "
            "Remove the file and compute it again."
        ) from error


def _header(path: Path, text: str) -> Header:
    try:
        header = json.loads(text)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FileFormatError(
            f"Cannot read statistics from '{path}': its header does not say {FORMAT!r}. "
            "Give a file written by convergent's save."
        )
    version, kind = header.get("version"), header.get("kind")
    if version != VERSION or str(kind) not in _KINDS:
        raise FileFormatError(
            f"Cannot read '{path}': it holds {kind!r} in format version {version}. This release knows "
            f"{', '.join(_KINDS)} in version {VERSION}. Install a newer convergent."
        )
    return header


def checksum(text: str, arrays: Mapping[str, Array]) -> str:
    """SHA-256 of a header and the arrays beside it, as docs/format.md has it."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].data)
    return digest.hexdigest()


def _layer_header(layer: LayerUnits) -> Header:
    return asdict(layer) | {"ref": str(layer.ref)}


def _fingerprint_header(fingerprint: Fingerprint) -> Header:
    """What all parts share."""
    said = asdict(fingerprint)
    del said["inputs"]
    return said


def _layer(header: Header) -> LayerUnits:
    return LayerUnits(**header | {"ref": LayerRef.parse(header["ref"]), "grid": tuple(header["grid"])})
