"""The streams of a study: which layers of each net lead from its input up, and which are added to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise

from ...errors import StudyError
from ...extraction import choose_layers
from ...statistics import BlockedPlan, MomentsPlan
from ...statistics.base import Plan
from ...statistics.pairing import resolve_pairs
from ...units import LayerUnits
from .spec import ResidualStudy


@dataclass(frozen=True)
class Stream:
    """One net along its depth.

    Attributes:
        net: its name.
        family: that of the study.
        trained: False for untrained nets.
        sums: the layers of the stream, `net/layer`, in the order of computation.
        branches: what is added to them, likewise.
        n_units: of each of these layers.
    """

    net: str
    family: str
    trained: bool
    sums: tuple[str, ...]
    branches: tuple[str, ...]
    n_units: Mapping[str, int]

    @property
    def layers(self) -> tuple[str, ...]:
        """The sums, then the branches."""
        return self.sums + self.branches

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every two layers, each with itself too."""
        return list(combinations_with_replacement(self.layers, 2))

    @property
    def statistic(self) -> str:
        """The name of its moments."""
        return f"moments_{self.net}"


def streams(study: ResidualStudy, layers: Sequence[LayerUnits]) -> list[Stream]:
    """The stream of each net, in the order of the layers.

    Args:
        study: says which layers are which.
        layers: of all nets, in the order of computation.
    """
    found: dict[str, list[LayerUnits]] = {}
    for layer in layers:
        found.setdefault(layer.ref.net, []).append(layer)
    return [_stream(study, net, own) for net, own in found.items()]


def plans(found: Sequence[Stream], *, n_blocks: int) -> dict[str, Plan]:
    """Moments of every two layers of each net, in blocks of inputs.

    Args:
        found: the streams.
        n_blocks: blocks of inputs.
    """
    return {one.statistic: BlockedPlan(MomentsPlan(one.pairs, norms=True), n_blocks) for one in found}


def check_streams(study: ResidualStudy, layers: Sequence[LayerUnits]) -> None:
    """Make sure that every net has something to follow.

    Raises:
        StudyError: if a layer is both in the stream and a branch, or no two neighbours of a stream are as wide.
        MismatchError: if layers of a net are not seen at the same places.
    """
    for one in streams(study, layers):
        both = sorted(set(one.sums) & set(one.branches))
        if both:
            raise StudyError(
                f"Cannot follow the stream of '{one.net}'. {len(both)} of its layers are branches too, "
                f"'{both[0]}' first. Change the globs of '{one.family}' so that each layer is one of the two."
            )
        widths = [one.n_units[name] for name in one.sums]
        if not any(a == b for a, b in pairwise(widths)):
            raise StudyError(
                f"Cannot follow the stream of '{one.net}'. No two neighbours of its {len(widths)} layers have as "
                f"many units (found {', '.join(map(str, widths))}). Choose layers that share a basis: the sums "
                "after each block."
            )
        resolve_pairs(one.pairs, [layer for layer in layers if layer.ref.net == one.net])


def _stream(study: ResidualStudy, net: str, layers: Sequence[LayerUnits]) -> Stream:
    family = study.family_of[net]
    globs = study.families[family]
    names = [layer.ref.layer for layer in layers]
    sums, branches = (
        tuple(f"{net}/{name}" for name in choose_layers(names, chosen, net_name=net)) if chosen else ()
        for chosen in (globs.layers, globs.branches)
    )
    n_units = {str(layer.ref): layer.n_units for layer in layers}
    return Stream(net, family, net in study.members, sums, branches, n_units)
