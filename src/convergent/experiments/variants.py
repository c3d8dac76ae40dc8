"""Answers of a net whose layer takes other values: many variants, only what lies above the layer computed anew."""

from collections.abc import Iterator, Sequence
from typing import final

import numpy as np
import torch
from torch import nn

from .._typing import Shaped, Tensor
from ..batch import Batch
from ..errors import ConvergentError
from ..extraction.lockstep import Call
from ..extraction.replaying import Recording, record, replay
from ..extraction.rewriting import Change, rewriting

_INPUTS_AT_ONCE = 256  # inputs times variants in one forward: measured, more fall out of the cache


@final
class Variants:
    """A net and one of its layers, to be run with changed outputs of that layer.

    Where replaying only what lies above the layer does not give the net's own scores (a net that mixes inputs, or
    hides what it runs), every variant is a forward of the whole net.

    Args:
        net: any module, in evaluation mode.
        layer: its name, as `tapping` understands it.
        call: how the net eats a batch.
    """

    def __init__(self, net: nn.Module, layer: str, *, call: Call) -> None:
        self.net, self.layer, self.call = net, layer, call
        self.replayed: dict[int, bool] = {}  # by number of inputs

    def record(self, batch: Batch) -> Recording:
        """Run the net as it is; the result and the layer's output are in the recording."""
        return record(self.net, self.layer, lambda: self.call(self.net, batch), n_inputs=len(batch.ids))

    def scores(self, batch: Batch, recording: Recording, changes: Sequence[Change]) -> Iterator[Tensor]:
        """The net's scores under each change of the layer.

        Args:
            batch: the inputs that were recorded.
            recording: of the net on them.
            changes: each is told the layer's output, and gives another.
        """
        n = len(batch.ids)
        at_once = max(1, min(_INPUTS_AT_ONCE // n, len(changes)))
        if n not in self.replayed:
            self.replayed[n] = self._can_replay(batch, recording, min(at_once, 2))
        if not self.replayed[n]:
            yield from (self._whole(batch, change) for change in changes)
            return
        activations = recording.activations
        for first in range(0, len(changes), at_once):
            changed = torch.cat([change(activations) for change in changes[first : first + at_once]])
            yield from torch.split(self._above(batch, recording, changed), n)

    def _above(self, batch: Batch, recording: Recording, changed: Shaped[Tensor, "several ..."]) -> Tensor:
        several = repeated(batch, len(changed) // len(batch.ids))
        found = replay(self.net, recording, changed, lambda: self.call(self.net, several))
        assert isinstance(found, Tensor)
        return found

    def _whole(self, batch: Batch, change: Change) -> Tensor:
        with rewriting(self.net, {self.layer: change}):
            found = self.call(self.net, batch)
        assert isinstance(found, Tensor)
        return found

    def _can_replay(self, batch: Batch, recording: Recording, times: int) -> bool:
        """Whether unchanged activations give the scores of the net as it is."""
        intact = recording.result
        assert isinstance(intact, Tensor)
        same = torch.cat([recording.activations] * times)
        try:
            again = self._above(batch, recording, same)
        except ConvergentError:
            raise
        except Exception:  # whatever a net does with a batch that is repeated, it can be run without
            return False
        if again.shape != (times * len(intact), *intact.shape[1:]):
            return False
        off = (again.view(times, *intact.shape) - intact).abs().max()
        return bool(off <= torch.finfo(intact.dtype).eps ** 0.5 * intact.abs().max())


def repeated(batch: Batch, times: int) -> Batch:
    """The same inputs several times, one round after the other; an id then comes more than once.

    Args:
        batch: inputs.
        times: how often.
    """
    if times == 1:
        return batch

    def again(part: Shaped[Tensor, "inputs ..."]) -> Tensor:
        return part.repeat(times, *[1] * (part.ndim - 1))

    labels, mask = (None if part is None else again(part) for part in (batch.labels, batch.mask))
    return Batch(np.tile(batch.ids, times), again(batch.tensor), labels, mask)
