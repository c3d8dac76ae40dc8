"""What users hand us as inputs, turned into batches that every net of a run eats in lockstep."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch.utils.data import (
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from .._typing import Array, Int64, Tensor
from ..batch import Batch, Input, Inputs
from ..errors import DataError, MismatchError
from ..files import sha256

Loader: TypeAlias = Iterable[object]

_RANDOM = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


@runtime_checkable
class Feed(Protocol):
    """Batches for every net, the same inputs for each, in an order that never changes."""

    @property
    def n_inputs(self) -> int | None:
        """How many inputs there are, or None where that is not known beforehand."""

    def batches(self, start: int) -> Iterator[Mapping[str, Batch]]:
        """Batches by name of net, from batch number `start` on."""

    def fingerprint(self) -> str:
        """Where they come from and how they are prepared."""

    def digest(self) -> str:
        """Which inputs these are."""


def feed_nets(
    nets: Iterable[str], inputs: Inputs | Loader | Mapping[str, Inputs | Loader], *, batch_size: int
) -> Feed:
    """Turn whatever the user has into a `Feed`.

    Args:
        nets: names of the nets.
        inputs: `Inputs` or a loader for all nets, or one for each net.
        batch_size: inputs per batch, where the inputs do not come in batches.

    Returns:
        The feed.

    Raises:
        DataError: if there are no inputs, their ids are not stable or not unique, or a net has none of its own.
    """
    if not isinstance(inputs, Mapping):
        return _Shared(tuple(nets), _stream(inputs, batch_size=batch_size, needs_ids=False))
    if set(inputs) != set(nets):
        raise DataError(
            f"Cannot give each net its own inputs. Found nets {sorted(nets)} and inputs for {sorted(inputs)}. "
            "Give one entry per net, or the same inputs to all."
        )
    return _Apart({n: _stream(inputs[n], batch_size=batch_size, needs_ids=True) for n in nets})


@runtime_checkable
class _Stream(Protocol):
    @property
    def n_inputs(self) -> int | None: ...
    def batches(self, start: int) -> Iterator[Batch]: ...
    def fingerprint(self) -> str: ...
    def digest(self) -> str: ...


def _stream(inputs: Inputs | Loader, *, batch_size: int, needs_ids: bool) -> _Stream:
    if isinstance(inputs, Inputs):
        return _Indexed(inputs, batch_size)
    return _Loaded(inputs, needs_ids=needs_ids)


@dataclass(frozen=True)
class _Shared:
    """One batch feeds every net."""

    nets: tuple[str, ...]
    stream: _Stream

    @property
    def n_inputs(self) -> int | None:
        return self.stream.n_inputs

    def batches(self, start: int) -> Iterator[Mapping[str, Batch]]:
        for batch in self.stream.batches(start):
            yield dict.fromkeys(self.nets, batch)

    def fingerprint(self) -> str:
        return self.stream.fingerprint()

    def digest(self) -> str:
        return self.stream.digest()


@dataclass(frozen=True)
class _Apart:
    """Each net prepares the inputs in its own way; ids prove that they are the same inputs."""

    streams: Mapping[str, _Stream]

    @property
    def n_inputs(self) -> int | None:
        known = (stream.n_inputs for stream in self.streams.values())
        return next((n for n in known if n is not None), None)

    def batches(self, start: int) -> Iterator[Mapping[str, Batch]]:
        together = zip_longest(*(stream.batches(start) for stream in self.streams.values()))
        for number, row in enumerate(together, start):
            batches = dict(zip(self.streams, row, strict=True))
            _require_same_inputs(batches, number)
            yield batches

    def fingerprint(self) -> str:
        return sha256("".join(s.fingerprint() for s in self.streams.values()).encode())

    def digest(self) -> str:
        return sha256("".join(s.digest() for s in self.streams.values()).encode())


@dataclass(frozen=True)
class _Indexed:
    """Inputs read by index: a run can start at any batch."""

    inputs: Inputs
    batch_size: int

    def __post_init__(self) -> None:
        ids, counts = np.unique(self.inputs.ids, return_counts=True)
        if (counts > 1).any():
            raise DataError(
                f"Cannot tell inputs apart. Found id {ids[counts > 1][0]} on {counts.max()} of {len(self.inputs)} "
                "inputs. Give every input an id of its own."
            )

    @property
    def n_inputs(self) -> int | None:
        return len(self.inputs)

    def batches(self, start: int) -> Iterator[Batch]:
        for first in range(start * self.batch_size, len(self.inputs), self.batch_size):
            indices = np.arange(first, min(first + self.batch_size, len(self.inputs)))
            whole = getattr(self.inputs, "batch", None)
            yield _checked(whole(indices) if whole else _stack([self.inputs[int(i)] for i in indices]))

    def fingerprint(self) -> str:
        return self.inputs.fingerprint

    def digest(self) -> str:
        return sha256(np.asarray(self.inputs.ids).astype("<i8").tobytes())


@dataclass(frozen=True)
class _Loaded:
    """A user's own loader; where it gives no ids, an input's id is its position."""

    loader: Loader
    needs_ids: bool

    def __post_init__(self) -> None:
        if isinstance(self.loader, Iterator):
            raise DataError(
                f"Cannot read inputs from a {type(self.loader).__name__} more than once. The first batch is read "
                "again for calibration. Give a list or a DataLoader, which start anew each time."
            )
        _require_same_order(self)

    @property
    def n_inputs(self) -> int | None:
        loader = self.loader
        if not isinstance(loader, DataLoader) or not isinstance(loader.sampler, SequentialSampler):
            return None
        return None if loader.drop_last or loader.batch_size is None else len(loader.sampler)

    def batches(self, start: int) -> Iterator[Batch]:
        yield from islice(self._numbered(), start, None)

    def _numbered(self) -> Iterator[Batch]:
        seen: set[int] = set()
        for item in self.loader:
            batch = _checked(_as_batch(item, len(seen), needs_ids=self.needs_ids))
            _require_new(batch.ids, seen)
            yield batch

    def fingerprint(self) -> str:
        # A loader does not say where its inputs come from: only their kind is known.
        first = next(self._numbered())
        return f"loader of {first.tensor.dtype} {tuple(first.tensor.shape[1:])}"

    def digest(self) -> str:
        # All that a loader lets us know without reading everything: how many, and what the first batch is.
        return sha256(f"{self.n_inputs} ".encode() + _content(next(self._numbered())))


def _require_same_order(loaded: _Loaded) -> None:
    """Refuse a loader that shuffles: one that is known to, or whose first batch is another one the next time."""
    loader = loaded.loader
    samplers = (getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None))
    known = next((type(one).__name__ for one in samplers if isinstance(one, _RANDOM)), None)
    if known is None:
        first, again = (next(loaded.batches(0), None) for _ in range(2))
        if first is None or again is None or _content(first) == _content(again):
            return
    found = f"a {known}" if known else "another first batch when it was read again"
    raise DataError(
        f"Cannot use a loader that shuffles or draws at random. Found {found}: its batches would not be the same "
        "the next time. Make it with shuffle=False and without random transforms."
    )


def _require_new(ids: Int64[Array, " inputs"], seen: set[int]) -> None:
    """Refuse an id that came before; remember all."""
    for one in ids.tolist():
        if one in seen:
            raise DataError(
                f"Cannot tell inputs apart. Found id {one} a second time after {len(seen)} inputs. "
                "Give every input an id of its own, and each input once."
            )
        seen.add(one)


def _content(batch: Batch) -> bytes:
    """Ids and tensor of a batch, as bytes."""
    pixels = batch.tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{batch.tensor.dtype} {tuple(batch.tensor.shape)}".encode() + batch.ids.tobytes() + pixels.tobytes()


def _as_batch(item: object, position: int, *, needs_ids: bool) -> Batch:
    if isinstance(item, Batch):
        return item
    tensor = item[0] if isinstance(item, tuple | list) and item else item
    if needs_ids or not isinstance(tensor, Tensor):
        raise DataError(
            f"Cannot use a {type(item).__name__} as a batch of inputs. "
            + (
                "Nets with loaders of their own need ids to check. Yield Batch(ids, tensor)."
                if needs_ids
                else "No tensor comes first in it. Yield Batch(ids, tensor), (tensor, labels) or a tensor."
            )
        )
    return Batch(_positions(position, len(tensor)), tensor, _classes(item, len(tensor)))


def _classes(item: object, n_inputs: int) -> Tensor | None:
    """The second part of a loader's batch where it can be read as one class for each input."""
    second = item[1] if isinstance(item, tuple | list) and len(item) > 1 else None
    known = isinstance(second, Tensor) and second.shape == (n_inputs,) and not second.is_floating_point()
    return second.long() if isinstance(second, Tensor) and known else None


def _positions(first: int, count: int) -> Int64[Array, " inputs"]:
    return np.arange(first, first + count, dtype=np.int64)


def _checked(batch: Batch) -> Batch:
    lengths = [len(part) for part in (batch.tensor, batch.mask) if part is not None]
    if any(n != len(batch.ids) for n in lengths):
        raise DataError(
            f"Cannot use a batch of {len(batch.ids)} ids. Its tensor (and mask) hold {lengths} inputs. "
            "Give each input one id."
        )
    return batch


def _stack(items: list[Input]) -> Batch:
    odd = next((item for item in items if item.tensor.shape != items[0].tensor.shape), None)
    if odd is not None:
        raise DataError(
            f"Cannot put inputs into one batch. Input {items[0].id} has shape {tuple(items[0].tensor.shape)} "
            f"and input {odd.id} has {tuple(odd.tensor.shape)}. Bring all to one shape, or use batch_size=1."
        )
    labels = [-1 if item.label is None else item.label for item in items]
    return Batch(
        np.array([item.id for item in items], dtype=np.int64),
        torch.stack([item.tensor for item in items]),
        torch.tensor(labels),
    )


def _require_same_inputs(batches: Mapping[str, Batch | None], number: int) -> None:
    (first_net, first), *others = batches.items()
    for net, batch in others:
        ids_a, ids_b = ([] if b is None else b.ids.tolist() for b in (first, batch))
        differing = next((i for i, pair in enumerate(zip_longest(ids_a, ids_b)) if pair[0] != pair[1]), None)
        if differing is not None:
            found = [f"id {ids[differing]}" if differing < len(ids) else "nothing" for ids in (ids_a, ids_b)]
            raise MismatchError(
                f"Cannot feed {first_net!r} and {net!r} in lockstep. In batch {number}, at place {differing}, "
                f"{first_net!r} gets {found[0]} and {net!r} gets {found[1]}. "
                "Let both loaders yield the same inputs in the same order."
            )
