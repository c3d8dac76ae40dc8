"""Samples that wait to be multiplied, behind those of the inputs before them."""

from collections.abc import Mapping

import torch

from .._typing import Float, Shaped, Tensor
from ..batch import Activations
from ..units import LayerRef
from .grouping import Group


class Buffer:
    """A row of samples; units run along rows or columns, whichever copies straight.

    Samples are multiplied when `capacity` of them wait. Where partners are rolled, the last inputs stay in front
    of those that wait, so that earlier partners are other columns of the same memory; and the first inputs are
    kept aside, with which the last ones close the cycle.
    """

    def __init__(self, group: Group, like: Mapping[LayerRef, Activations]) -> None:
        first = next(iter(like.values())).values
        doubles = any(activations.values.dtype == torch.float64 for activations in like.values())
        self._units_last = first.stride(1) == 1 or first.shape[2] == 1
        shape = (group.n_columns, group.n_rows) if self._units_last else (group.n_rows, group.n_columns)
        self._memory = first.new_empty(shape, dtype=torch.float64 if doubles else torch.float32)
        self._head = self._memory.new_empty(group.n_rows, group.history)
        self._capacity, self._history = group.capacity, group.history
        self._start, self._seen = group.history, 0
        self.used = 0

    @property
    def room(self) -> int:
        """How many more samples can wait."""
        return self._capacity - self.used

    def samples(self) -> Float[Tensor, "units samples"]:
        """What is waiting."""
        return self._columns(self._start, self._start + self.used)

    def rolled(self, back: int) -> tuple[Float[Tensor, "units samples"], Float[Tensor, "units samples"]]:
        """What is waiting and has a sample so many places before it, and these samples."""
        first = self._start + min(max(0, back - self._seen), self.used)
        last = self._start + self.used
        return self._columns(first, last), self._columns(first - back, last - back)

    def ends(self, n: int) -> tuple[Float[Tensor, "units samples"], Float[Tensor, "units samples"]]:
        """The first n samples of all, and the last n that were multiplied."""
        return self._head[:, :n], self._columns(self._start - n, self._start)

    def put(self, values: Shaped[Tensor, "inputs units locations"], rows: slice, shift: Tensor | None) -> None:
        """Copy samples behind those that wait, shifted and converted on the way."""
        n_inputs, _, n_locations = values.shape
        begin = self._start + self.used
        place = slice(begin, begin + n_inputs * n_locations)
        if self._units_last:
            target = self._memory[place, rows].view(n_inputs, n_locations, -1).transpose(1, 2)
        else:
            target = self._memory[rows, place].view(-1, n_inputs, n_locations).transpose(0, 1)
        if shift is None:
            target.copy_(values)
        else:
            torch.sub(values, shift, out=target)

    def clear(self) -> None:
        """Those that wait have been multiplied: they are history."""
        new = self.samples()[:, : max(0, self._history - self._seen)]
        self._head[:, self._seen : self._seen + new.shape[1]] = new
        self._seen += self.used
        self._start += self.used
        self.used = 0
        if self._start + self._capacity > self._memory.shape[0 if self._units_last else 1]:
            self._columns(0, self._history).copy_(self._columns(self._start - self._history, self._start))
            self._start = self._history

    def state(self) -> dict[str, Tensor]:
        """All that later products need."""
        return {
            "counts": torch.tensor([self._start, self._seen, self.used]),
            "samples": self._kept().contiguous(),
            "head": self._head[:, : self._seen].contiguous(),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`; samples come to lie where they lay, as rounding may depend on it."""
        self._start, self._seen, self.used = state["counts"].tolist()
        self._kept().copy_(state["samples"])
        self._head[:, : self._seen] = state["head"]

    def _kept(self) -> Float[Tensor, "units samples"]:
        return self._columns(self._start - min(self._seen, self._history), self._start + self.used)

    def _columns(self, first: int, last: int) -> Float[Tensor, "units samples"]:
        return self._memory[first:last].T if self._units_last else self._memory[:, first:last]
