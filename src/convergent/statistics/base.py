"""The one law: `statistic(A + B) == merge(statistic(A), statistic(B))` for disjoint sets of inputs A and B.

A *plan* is frozen parameters. It starts an *accumulator* (private, in place), which ends as a *statistic*
(a frozen, labelled value).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from .._typing import Array, Tensor
from ..batch import ActivationBatch, Reduction
from ..errors import FileFormatError, MismatchError
from ..results import Fingerprint
from ..units import LayerUnits

Header = dict[str, Any]
S = TypeVar("S", bound="Statistic")
T = TypeVar("T")


@runtime_checkable
class Statistic(Protocol):
    """A frozen value that merges with its like and can be written to a file."""

    @property
    def layers(self) -> tuple[LayerUnits, ...]:
        """The layers it speaks of."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What it was computed from."""

    def merge(self: S, other: S, /) -> S:
        """The statistic of both sets of inputs together."""

    def identity(self: S) -> S:
        """The statistic of no inputs: merging it changes nothing."""

    def header(self) -> Header:
        """Everything but the arrays, as plain JSON values."""

    def arrays(self) -> dict[str, Array]:
        """The arrays, by name."""

    @classmethod
    def rebuild(
        cls: type[S],
        header: Header,
        arrays: Mapping[str, Array],
        layers: tuple[LayerUnits, ...],
        fingerprint: Fingerprint,
        /,
    ) -> S:
        """The inverse of `header` and `arrays`."""


@runtime_checkable
class Accumulator(Protocol):
    """Sums in place; single use."""

    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Take in a batch, or only the inputs at these positions of it."""

    def state(self) -> dict[str, Tensor]:
        """The exact state in the middle of a pass, so that a resumed pass ends in the same bits."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from such a state."""

    def finish(self, fingerprint: Fingerprint) -> Any:
        """The statistic of all that was taken in (`Blocked` where the plan is)."""


@runtime_checkable
class Plan(Protocol):
    """Frozen parameters of a statistic."""

    def n_bytes(self, layers: Sequence[LayerUnits], /) -> int:
        """Peak memory of its accumulator, batch not counted."""

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch, /) -> Accumulator:
        """An empty accumulator for these layers; `calibration` is a typical batch (not counted here)."""


@runtime_checkable
class Reducing(Protocol):
    """A plan that needs less than a layer's activations, which then need not be kept until the batch is done.

    Its accumulator takes both kinds of batches: reduced ones, and plain ones where another plan wants those.
    """

    @property
    def reduction(self) -> Reduction:
        """What it makes of a layer in a batch; the same function for equal plans.

        Of values that are not finite it makes such: that is how they are found.
        """


def under(prefix: str, named: Mapping[str, T]) -> dict[str, T]:
    """What has names that begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}


def stored(arrays: Mapping[str, Array], name: str, *shape: int) -> Array:
    """An array of a file, if it has the shape that the header promises.

    Raises:
        FileFormatError: if it is missing or has another shape.
    """
    found = arrays.get(name)
    if found is None or found.shape != shape:
        told = "missing" if found is None else f"of shape {found.shape}"
        raise FileFormatError(
            f"Cannot rebuild a statistic. Its array '{name}' is {told}, where its header promises {shape}. "
            "Write it as docs/format.md says."
        )
    return found


def check_mergeable(a: Statistic, b: object) -> Fingerprint:
    """Refuse to merge statistics of different kinds, layers, nets, data or views, or of the same inputs.

    Returns:
        The fingerprint of both together.

    Raises:
        MismatchError: naming what differs.
    """
    kind = type(a).__name__
    if not isinstance(b, type(a)):
        raise MismatchError(
            f"Cannot merge {kind} with {type(b).__name__}. Only statistics of one kind merge. "
            "Merge block by block, or take the .total of what is blocked."
        )
    if [unit.ref for unit in a.layers] != [unit.ref for unit in b.layers]:
        only = sorted({str(x.ref) for x in a.layers} ^ {str(x.ref) for x in b.layers})
        raise MismatchError(
            f"Cannot merge {kind} of different layers. Only one side has {', '.join(only) or 'this order'}. "
            "Accumulate both with the same nets and layers."
        )
    _check_weights(kind, a, b)
    for what, x, y in (
        ("the same data", a.fingerprint.data, b.fingerprint.data),
        ("the same view", a.fingerprint.view, b.fingerprint.view),
        ("layers of the same shape", a.layers, b.layers),
    ):
        if x != y:
            raise MismatchError(
                f"Cannot merge {kind} that are not of {what}. Found {x!r} against {y!r}. "
                "Accumulate them again with one setting."
            )
    _check_disjoint(kind, a, b)
    return a.fingerprint.joined(b.fingerprint)


def _check_disjoint(kind: str, a: Statistic, b: Statistic) -> None:
    twice = sorted({*a.fingerprint.inputs} & {*b.fingerprint.inputs})
    if twice:
        raise MismatchError(
            f"Cannot merge {kind} of the same inputs. Both hold the inputs {twice[0][:8]}.., which would count "
            "twice. Merge statistics of other inputs."
        )


def _check_weights(kind: str, a: Statistic, b: Statistic) -> None:
    other, mine = b.fingerprint.weights, a.fingerprint.weights
    differing = [layer for layer in a.layers if mine.get(layer.ref.net) != other.get(layer.ref.net)]
    if differing:
        first = differing[0].ref
        n_units, n_all = (sum(layer.n_units for layer in group) for group in (differing, a.layers))
        raise MismatchError(
            f"Cannot merge {kind}: {n_units} of {n_all} units differ, first '{first.unit(0)}' "
            f"(weights {mine.get(first.net, 'unknown')[:8]}.. against "
            f"{other.get(first.net, 'unknown')[:8]}..). These statistics come from different checkpoints; "
            "accumulate them again."
        )
