"""Files of statistics: the same bits come back, and whatever is not such a file is refused with a reason."""

import errno
import hashlib
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from convergent.errors import FileFormatError, InvalidArgumentError, StorageError
from convergent.results import Fingerprint
from convergent.statistics import Blocked, Moments, PairMoments, Strongest, TopInputs, files, load, save
from convergent.units import LayerRef, LayerUnits

FINGERPRINT = Fingerprint({"a": "3f2a", "ö": "91cc"}, "digits", "all")
READ = ("0123 block 0 of 2", "4567")


def moments(layers: tuple[LayerUnits, ...], rng: np.random.Generator) -> Moments:
    units = {layer.ref: layer.n_units for layer in layers}
    pairs = [(a, b) for a in units for b in units if rng.random() < 0.5]
    return Moments(
        layers,
        int(rng.integers(0, 10**12)),
        {ref: int(rng.integers(0, 10**12)) for ref in units},
        {ref: rng.normal(size=n) for ref, n in units.items()},
        {ref: rng.normal(size=n) * 10.0 ** rng.integers(-300, 300) for ref, n in units.items()},
        {(a, b): rng.normal(size=(units[a], units[b])) for a, b in pairs},
        FINGERPRINT,
    )


def top_inputs(layers: tuple[LayerUnits, ...], rng: np.random.Generator) -> TopInputs:
    k = int(rng.integers(1, 4))
    found = {
        layer.ref: Strongest(
            np.where(rng.random((layer.n_units, k)) < 0.2, -np.inf, rng.normal(size=(layer.n_units, k))),
            *(rng.integers(-(2**63), 2**63 - 1, size=(layer.n_units, k)) for _ in range(2)),
        )
        for layer in layers
    }
    return TopInputs(layers, k, int(rng.integers(0, 10**12)), found, FINGERPRINT)


def some_layers(sizes: dict[str, tuple[int, tuple[int, ...]]]) -> tuple[LayerUnits, ...]:
    return tuple(LayerUnits(LayerRef.parse(name), n, grid, 1, "mean") for name, (n, grid) in sizes.items())


names = st.sampled_from(["a/x", "b/x", "ö/features.3#1", "b/y/z"])
sizes = st.dictionaries(names, st.tuples(st.integers(1, 4), st.sampled_from([(), (5,), (3, 4)])))


def changed(one: Any, fingerprint: Fingerprint, inputs: tuple[str, ...]) -> Any:
    return replace(one, fingerprint=replace(fingerprint, inputs=inputs))


def check_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    parts = [s.blocks if isinstance(s, Blocked) else (s,) for s in (one, other)]
    for mine, theirs in zip(*parts, strict=True):
        assert (mine.layers, mine.fingerprint, mine.header()) == (
            theirs.layers,
            theirs.fingerprint,
            theirs.header(),
        )
        assert mine.arrays().keys() == theirs.arrays().keys()
        for name, array in mine.arrays().items():
            assert array.dtype == theirs.arrays()[name].dtype
            assert array.tobytes() == theirs.arrays()[name].tobytes()


@pytest.mark.parametrize("make", [moments, top_inputs])
@pytest.mark.parametrize("blocked", [False, True])
@settings(max_examples=25)
@given(sizes=sizes, seed=st.integers(0, 2**32 - 1))
def test_the_same_bits_come_back(
    make: Callable[..., Any], blocked: bool, sizes: Any, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one: Any = make(some_layers(sizes), np.random.default_rng(seed))
    statistic = Blocked((changed(one, FINGERPRINT, READ), one.merge(one), one.identity())) if blocked else one
    path = tmp_path_factory.mktemp("round") / "trip.safetensors"
    save(statistic, path)
    check_same(load(str(path)), statistic)


@pytest.fixture
def example() -> Moments:
    layers = tuple(LayerUnits(LayerRef(net, "conv"), 3, (2, 2), 4, "all") for net in "ab")
    return moments(layers, np.random.default_rng(3))


@pytest.fixture
def path(tmp_path: Path, example: Moments) -> Path:
    save(example, tmp_path / "moments.safetensors")
    return tmp_path / "moments.safetensors"


def test_the_format_is_the_one_written_down(path: Path, example: Moments) -> None:
    """A reader made from docs/format.md alone."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    digest = hashlib.sha256(metadata["convergent"].encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode() + arrays[name].tobytes())
    assert metadata["sha256"] == digest.hexdigest()
    header = json.loads(metadata["convergent"])
    assert (header["format"], header["version"], header["kind"]) == ("convergent-statistic", 1, "Moments")
    assert header["layers"][1] == {
        "ref": "b/conv",
        "n_units": 3,
        "grid": [2, 2],
        "n_samples_per_input": 4,
        "sampling": "all",
    }
    assert header["fingerprint"] == {"weights": {"a": "3f2a", "ö": "91cc"}, "data": "digits", "view": "all"}
    (part,) = header["parts"]
    a, b = (LayerRef.parse(name) for name in part["pairs"][0])
    n = part["n_samples"][0]
    np.testing.assert_array_equal(arrays["0/origin/a/conv"] + arrays["0/sum/a/conv"] / n, example.mean("a/conv"))
    np.testing.assert_array_equal(arrays["0/product/0"], example.products[a, b])


def test_truncated_anywhere(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match="it is truncated or not a safetensors file"):
            load(path)


def test_damaged_anywhere(path: Path, example: Moments) -> None:
    """A flipped bit is noticed, wherever it is; in the few places where it changes nothing, nothing changes."""
    whole = path.read_bytes()
    refused = 0
    for place in range(8, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = load(path)
        except FileFormatError:
            refused += 1
        else:
            check_same(found, example)
    assert refused > 0.95 * len(range(8, len(whole), 5))


def test_damaged_numbers(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 16]) + whole[-2:])
    with pytest.raises(FileFormatError, match="its content does not match the checksum written with it"):
        load(path)


def test_damaged_counts(path: Path, example: Moments) -> None:
    count, other = (str(n).encode() for n in (example.n_inputs, example.n_inputs + 1))
    path.write_bytes(path.read_bytes().replace(count, other))
    with pytest.raises(FileFormatError, match="does not match the checksum"):
        load(path)


@pytest.mark.parametrize(
    "metadata", [None, {"convergent": "{"}, {"convergent": "[]"}, {"convergent": '{"format": 1}'}]
)
def test_foreign(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3)}, tmp_path / "net.safetensors", metadata=metadata)
    with pytest.raises(FileFormatError, match="its header does not say 'convergent-statistic'"):
        load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle in a zip", b"\x80\x04\x95" + b"x" * 50])
def test_not_safetensors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FileFormatError, match="it is truncated or not a safetensors file"):
        load(tmp_path / "x")


@pytest.mark.parametrize(
    ("key", "value"), [("version", 2), ("kind", "Sketch"), ("kind", ["Moments"]), ("version", None)]
)
def test_newer(key: str, value: object, path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["convergent"]) | {key: value}
    save_file({}, path, metadata={"convergent": json.dumps(header)})
    with pytest.raises(
        FileFormatError, match=r"This release knows Moments, TopInputs, .* in version 1\. Install a newer"
    ):
        load(path)


def forged(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], object]) -> Path:
    """The file with another header or arrays, and a checksum that is right."""
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["convergent"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    change(header, arrays)
    text = json.dumps(header)
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode() + arrays[name].tobytes())
    save_file(arrays, path, metadata={"convergent": text, "sha256": digest.hexdigest()})
    return path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda h, a: h.pop("layers"), "KeyError: 'layers'"),
        (lambda h, a: h.pop("parts"), "KeyError: 'parts'"),
        (lambda h, a: h.update(parts=[]), "IndexError"),
        (lambda h, a: h.update(parts=[], blocked=True), "IndexError"),
        (lambda h, a: h["fingerprint"].update(more=1), "TypeError"),
        (lambda h, a: h["layers"][0].update(n_units=4), r"'0?/?origin/a/conv' is of shape \(3,\), .* \(4,\)"),
        (lambda h, a: a.pop("0/sum/a/conv"), r"'sum/a/conv' is missing, where its header promises \(3,\)"),
        (lambda h, a: a.update({"0/sum/b/conv": np.zeros(5)}), r"'sum/b/conv' is of shape \(5,\)"),
        (lambda h, a: a.update({"0/product/0": np.zeros((2, 3))}), r"'product/0' is of shape \(2, 3\)"),
    ],
)
def test_a_right_checksum_over_wrong_content(path: Path, change: Any, told: str) -> None:
    with pytest.raises(
        FileFormatError, match=rf"its header and its arrays do not fit .*{told}.*Remove the file and compute it"
    ):
        load(forged(path, change))


def test_a_file_that_does_not_say_which_inputs_it_holds(path: Path, example: Moments) -> None:
    check_same(load(forged(path, lambda header, arrays: header.pop("inputs"))), example)


def test_what_is_no_statistic_is_not_saved(tmp_path: Path) -> None:
    pair: Any = PairMoments.from_samples(np.eye(3), np.eye(3))
    for thing, held in ((pair, "PairMoments"), (Blocked(()), "nothing")):
        with pytest.raises(InvalidArgumentError, match=rf"Cannot save {held}. Files hold one of Moments, Top"):
            inspect.unwrap(save)(thing, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"There is no such file\. Run the pass that writes it"):
        load(tmp_path / "none.safetensors")


def disk_is_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def safetensors_says_disk_is_full(_: object, path: Path, **__: object) -> None:
    path.write_bytes(b"half")
    raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [(os, "fsync", disk_is_full), (files, "save_file", safetensors_says_disk_is_full)],
)
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_full_disk(
    owner: Any,
    name: str,
    failure: Callable[..., None],
    before: bytes | None,
    example: Moments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "moments.safetensors"
    if before is not None:
        target.write_bytes(before)
    monkeypatch.setattr(owner, name, failure)
    with pytest.raises(
        StorageError, match=r"Cannot write '.*': .*No space left on device.*Nothing was left under that"
    ):
        save(example, target)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if before is None else [before])
