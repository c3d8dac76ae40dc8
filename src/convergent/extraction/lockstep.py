"""Many nets run on the same inputs, batch by batch: the source every pass reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias

import torch
from torch import nn

from .._typing import Array, Int64, Shaped, Tensor
from ..batch import ActivationBatch, Activations, Batch, Inputs, Reduction
from ..errors import DataError, InvalidArgumentError, NetError, NonFiniteError, UnknownNameError, nearest
from ..nets.loading import hash_weights
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .feeds import Loader, feed_nets
from .layers import choose_layers, list_layers
from .taps import detached, explaining, tapping
from .views import View

_RUN_TWICE = 4  # inputs: what is random in a net is random on a few

Call: TypeAlias = Callable[[nn.Module, Batch], object]


def call_on_tensor(net: nn.Module, batch: Batch) -> object:
    """Run a net the plain way: `net(batch.tensor)`."""
    return net(batch.tensor)


@dataclass(frozen=True)
class _Lane:
    """One net, and what is read from it."""

    name: str
    net: nn.Module
    units: Mapping[str, LayerUnits]


class Lockstep:
    """A source of activations: every batch of inputs is fed to every net, and the chosen layers are viewed.

    Nets run in eval mode without gradients, each on its own device and in its own dtype, and are left as they
    were between batches. Layers come in the order of the nets, and within a net in the order of computation.

    Args:
        nets: the nets by name.
        inputs: `Inputs`; or a loader that does not shuffle and yields tensors, (tensor, labels) or `Batch`; or one
            of these for each net, whose ids are then checked against each other. Without ids, an input's id is
            its position.
        layers: names or globs for all nets, or for each net.
        view: which values of an output are units, and where they are sampled.
        batch_size: inputs per batch, where `inputs` does not batch itself.
        device: where activations go; by default where the first net is.
        call: how a net eats a batch; for nets that want more than one tensor.
        weights: hash of each net's weights where it is known; it is computed otherwise.

    Raises:
        InvalidArgumentError: if there are no nets or layers, or a layer has too few locations for the view.
        DataError: if there are no inputs, or they cannot be read twice in the same order.
        MismatchError: if nets with loaders of their own get different inputs.
        UnknownNameError: if a name or glob fits no layer of a net.
        NetError: if a net cannot eat the inputs.

    Example:
        >>> nets = {"a": nn.Linear(4, 3), "b": nn.Linear(4, 5)}
        >>> source = Lockstep(nets, [torch.randn(8, 4), torch.randn(2, 4)], layers=["output"])
        >>> [units.n_units for units in source.layers], [len(batch.ids) for batch in source.batches()]
        ([3, 5], [8, 2])
    """

    def __init__(
        self,
        nets: Mapping[str, nn.Module],
        inputs: Inputs | Loader | Mapping[str, Inputs | Loader],
        *,
        layers: Sequence[str] | Mapping[str, Sequence[str]],
        view: View | None = None,
        batch_size: int = 64,
        device: torch.device | str | None = None,
        call: Call = call_on_tensor,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        if not nets or batch_size < 1:
            raise InvalidArgumentError(
                f"Cannot run nets in lockstep. Found {len(nets)} nets and batch_size={batch_size}. "
                "Give at least one of each."
            )
        for name in set(layers) - set(nets) if isinstance(layers, Mapping) else ():
            raise UnknownNameError(
                f"Cannot choose layers of net {name!r}. There are {len(nets)} nets, none of that name. "
                f"{nearest(name, nets)}"
            )
        self._view = View() if view is None else view
        self._call = call
        self._feed = feed_nets(nets, inputs, batch_size=batch_size)
        first = self._first_batches()
        self._lanes = tuple(self._lane(name, net, first[name], layers) for name, net in nets.items())
        self._device = torch.device(device) if device is not None else _home(next(iter(nets.values()))).device
        known = weights or {}
        self._weights = {name: known.get(name) or hash_weights(net) for name, net in nets.items()}

    @property
    def layers(self) -> tuple[LayerUnits, ...]:
        """Every layer that is read, in the order of `ActivationBatch.layers`."""
        return tuple(units for lane in self._lanes for units in lane.units.values())

    @property
    def n_inputs(self) -> int | None:
        """How many inputs there are, or None where a loader does not tell."""
        return self._feed.n_inputs

    @property
    def fingerprint(self) -> Fingerprint:
        """Which nets, data, view and inputs activations come from. A loader is known by its first batch only."""
        view = f"units={self._view.units} locations={self._view.locations}"
        return Fingerprint(self._weights, self._feed.fingerprint(), view, (self._feed.digest(),))

    def calibration(self, reduction: Reduction | None = None) -> ActivationBatch:
        """Batch number 0, and a check that the nets answer its first inputs the same way twice.

        Args:
            reduction: see `batches`.

        Raises:
            NetError: if a layer differs between two runs by more than the square root of its dtype's rounding
                error, relative to its largest value: far above the noise of parallel sums, far below dropout.
        """
        batches = self._first_batches()
        few = {name: _first_of(batch, _RUN_TWICE) for name, batch in batches.items()}
        once, again = self._run(few), self._run(few)
        for ref, activations in once.layers.items():
            _require_same(ref, activations.values, again.layers[ref].values)
        return self._run(batches, reduction)

    def batches(self, start: int = 0, reduction: Reduction | None = None) -> Iterator[ActivationBatch]:
        """Activations batch by batch, from batch number `start` on (to go on with an interrupted pass).

        Args:
            start: number of the first batch.
            reduction: what to make of a layer's activations as soon as the net gives them, in place of a copy.
                They are then still in the cache, and never all in memory at once. It must neither keep them nor
                write into them, and make something that is not finite of what is not: that is how it is found.

        Raises:
            NonFiniteError: if an activation is infinite or not a number.
            MismatchError: if nets with loaders of their own get different inputs.
            DataError: if a later batch makes larger or smaller maps than the first.
            NetError: if a net fails on a batch.

        Cost: one forward of each net per batch; inputs before `start` are skipped without a forward, and are not
        even read where `inputs` can be indexed.
        """
        for batch in self._feed.batches(start):
            yield self._run(batch, reduction)

    def _first_batches(self) -> Mapping[str, Batch]:
        first = next(self._feed.batches(0), None)
        if first is not None and all(len(batch.ids) for batch in first.values()):
            return first
        raise DataError(
            "Cannot run nets without inputs. Found 0 of them in the first batch. "
            "Check the folder, the split or the filter the inputs come from."
        )

    def _lane(
        self, name: str, net: nn.Module, batch: Batch, layers: Sequence[str] | Mapping[str, Sequence[str]]
    ) -> _Lane:
        # Two inputs show which axis counts them; one would look like any axis of length 1.
        few = fit_to(net, _first_of(batch, 2))
        there = list_layers(net, few.tensor, forward=lambda _: self._call(net, few), net_name=name)
        wanted = layers.get(name, ()) if isinstance(layers, Mapping) else layers
        chosen = set(choose_layers(there, wanted, net_name=name))
        shapes = {info.name: info.shape for info in there if info.name in chosen}
        return _Lane(name, net, {n: self._view.describe(LayerRef(name, n), s) for n, s in shapes.items()})

    def _run(self, batches: Mapping[str, Batch], reduction: Reduction | None = None) -> ActivationBatch:
        first = next(iter(batches.values()))
        layers: dict[LayerRef, Activations] = {}
        for lane in self._lanes:
            kept = self._tap(lane, batches[lane.name], reduction)
            layers |= {units.ref: kept[name] for name, units in lane.units.items()}
        return ActivationBatch(first.ids, layers, first.labels, reduction)

    def _tap(self, lane: _Lane, batch: Batch, reduction: Reduction | None) -> Mapping[str, Activations]:
        shapes: dict[str, tuple[int, ...]] = {}

        def keep(name: str, output: Tensor) -> Activations:
            output, ref = output.detach(), lane.units[name].ref  # a net may switch gradients on for itself
            seen = self._view.apply(output, ids=batch.ids, mask=batch.mask)
            shapes[name] = tuple(seen.values.shape)
            made = seen if reduction is None else reduction(ref, seen)
            if not _sums_up(made.values):
                _require_finite(ref, seen, batch.ids)
            return _moved(made, detached(made.values.to(self._device), output))

        fit = fit_to(lane.net, batch)
        with explaining(fit.tensor, net_name=lane.name), tapping(lane.net, list(lane.units), keep=keep) as kept:
            self._call(lane.net, fit)
        for name, units in lane.units.items():  # not before the net has had its say about such inputs
            _require_as_described(units, shapes[name], batch.ids)
        return kept


def _first_of(batch: Batch, n: int) -> Batch:
    """The first n inputs of a batch."""
    labels, mask = (None if part is None else part[:n] for part in (batch.labels, batch.mask))
    return Batch(batch.ids[:n], batch.tensor[:n], labels, mask)


def _home(net: nn.Module) -> Tensor:
    """Any parameter or buffer, real-valued where there is one: it tells the net's device and dtype."""
    state = chain(net.parameters(), net.buffers())
    first = next(state, torch.zeros(()))
    return first if first.is_floating_point() else next((t for t in state if t.is_floating_point()), first)


def fit_to(net: nn.Module, batch: Batch) -> Batch:
    """The batch on the net's device and, where both are real-valued, in its dtype."""
    home = _home(net)
    both_real = home.is_floating_point() and batch.tensor.is_floating_point()
    tensor = batch.tensor.to(home.device, home.dtype if both_real else batch.tensor.dtype)
    return replace(batch, tensor=tensor, mask=None if batch.mask is None else batch.mask.to(home.device))


def _moved(seen: Activations, values: Shaped[Tensor, "inputs units locations"]) -> Activations:
    locations, mask = (None if t is None else t.to(values.device) for t in (seen.locations, seen.mask))
    return Activations(values, locations, mask)


def _require_as_described(units: LayerUnits, found: tuple[int, ...], ids: Int64[Array, " inputs"]) -> None:
    expected = (len(ids), units.n_units, units.n_samples_per_input)
    if found != expected:
        raise DataError(
            f"Cannot read layer '{units.ref}' in this batch. It gives {' x '.join(map(str, found))} values "
            f"(inputs x units x locations) where the first batch promises {' x '.join(map(str, expected))}. "
            'Bring all inputs to one size, or use view(locations="mean").'
        )


def _sums_up(values: Shaped[Tensor, "inputs units locations"]) -> bool:
    """Whether their sum is finite, as it is of finite values unless it is too large."""
    return bool(torch.isfinite(values.sum(dtype=torch.promote_types(values.dtype, torch.float32))))


def _require_finite(ref: LayerRef, activations: Activations, ids: Int64[Array, " inputs"]) -> None:
    values = activations.values
    bad = (~torch.isfinite(values)).nonzero()
    if len(bad) == 0:  # only their sum was too large
        return
    at, unit, location = bad[0].tolist()
    raise NonFiniteError(
        f"Cannot use the activations of '{ref.unit(unit)}'. Its value on input {ids[at]} is "
        f"{values[at, unit, location].item()}, and {len(bad)} of {values.numel()} values of this batch are not "
        "finite. Check the net's weights and how this input is prepared, or run the net in float32."
    )


def _require_same(
    ref: LayerRef,
    once: Shaped[Tensor, "inputs units locations"],
    again: Shaped[Tensor, "inputs units locations"],
) -> None:
    difference = (once - again).abs().max().item()
    if difference > torch.finfo(once.dtype).eps ** 0.5 * once.abs().max().item():
        raise NetError(
            f"Cannot measure net {ref.net!r}. Run twice on the same inputs in eval mode, its layer {ref.layer!r} "
            f"differs by up to {difference:.3g}. Remove what is random: does functional dropout lack "
            "training=self.training?"
        )
