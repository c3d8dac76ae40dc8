"""Nets of a family merged and zipped: is there a net between them, and how wide must one be that keeps both?"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from torch import nn

from ...batch import Batch
from ...errors import NetError
from ...experiments import (
    Answers,
    LossBarrier,
    PermutationGroup,
    PermutationGroups,
    align_net,
    answer,
    costs,
    interpolated,
    over_inputs,
    permutation_groups,
    reestimate_norms,
    repair,
    zip_nets,
)
from ...measures import Matching, match_one_to_one
from ...statistics import Moments
from .parts import Part
from .spec import CauseStudy
from .subject import Family

_MENDED_ON = 512  # inputs: means and variances need no more
_EXAMPLE = 8
_log = logging.getLogger("convergent")
Matchings = Mapping[str, Matching]


@dataclass(frozen=True, eq=False)
class Movable:
    """The units of a family's nets that can be permuted.

    Attributes:
        groups: of any of its nets.
        layers: at which they are matched.
        has_norms: whether batch norms keep statistics, which merging spoils.
    """

    groups: PermutationGroups
    layers: tuple[str, ...]
    has_norms: bool

    def matchings(self, moments: Moments, a: str, b: str) -> Matchings:
        """The units of b matched with those of a, at every layer."""
        return {layer: match_one_to_one(moments.pair(f"{a}/{layer}", f"{b}/{layer}")) for layer in self.layers}


def movable(family: Family) -> Movable | None:
    """What can be permuted in the nets of a family; None, and a line in the log, where nothing can."""
    net = next(iter(family.nets.values()))
    try:
        groups = permutation_groups(net, family.fit[0].tensor[:_EXAMPLE])
    except NetError as error:
        _log.warning("Nets of %s are not merged. %s", family.name, error)
        return None
    modules = dict(net.named_modules())
    layers = [layer for group in groups.free for layer in _matched_at(group, modules)]
    if not layers:
        _log.warning("Nets of %s are not merged: none of their units can be permuted.", family.name)
        return None
    norms = (one for one in modules.values() if isinstance(one, nn.modules.batchnorm._BatchNorm))
    return Movable(groups, tuple(layers), any(norm.running_mean is not None for norm in norms))


def _matched_at(group: PermutationGroup, modules: Mapping[str, nn.Module]) -> list[str]:
    """The norms of a group; else its layers with weights: both lie before the ReLU, where fewer units are dead.

    Norms read a residual stream block by block, so that every sum has its vote.
    """
    ndim = {layer: getattr(getattr(modules.get(layer), "weight", None), "ndim", 0) for layer in group.layers}
    norms = [layer for layer, n in ndim.items() if n == 1]
    weighted = [layer for layer, n in ndim.items() if n > 1]
    return norms or weighted or list(group.layers[:1])


def merging_parts(study: CauseStudy, family: Family, found: Movable, moments: Moments) -> Iterator[Part]:
    """A part a pair of nets."""
    for a, b in study.unordered_pairs_of(family.name):
        yield Part(
            "merging",
            (family.name, a, b),
            ["merging"],
            partial(_merging, study, family, found, moments, a, b),
        )


def zipping_parts(study: CauseStudy, family: Family, found: Movable, moments: Moments) -> Iterator[Part]:
    """A part a pair of nets."""
    for a, b in study.unordered_pairs_of(family.name):
        yield Part(
            "zipping",
            (family.name, a, b),
            ["zipped"],
            partial(_zipping, study, family, found, moments, a, b),
        )


def _merging(
    study: CauseStudy, family: Family, found: Movable, moments: Moments, a: str, b: str
) -> dict[str, pd.DataFrame]:
    """The way from a to b, with its units moved to their partners or not, mended or not."""
    matchings, rows = found.matchings(moments, a, b), []
    few = _few(family.fit)
    for matched in (False, True):
        moved = align_net(family.nets[b], matchings if matched else {}, groups=found.groups)
        for mended in (False, True):
            way = _way(study, family, found, a, b, moved, few if mended else None)
            table = way.table().drop(columns="repaired")
            barrier = way.barrier_interval()
            front = {"family": family.name, "net_a": a, "net_b": b, "matched": matched, "mended": mended}
            back = {"barrier": barrier.value, "barrier_low": barrier.low, "barrier_high": barrier.high}
            rows.append(pd.concat([pd.DataFrame(front, index=table.index), table.assign(**back)], axis=1))
    return {"merging": pd.concat(rows, ignore_index=True).assign(max_change=found.groups.max_change)}


def _way(
    study: CauseStudy,
    family: Family,
    found: Movable,
    a: str,
    b: str,
    moved: nn.Module,
    few: Sequence[Batch] | None,
) -> LossBarrier:
    """Both ends are the nets themselves, for moving units changes no answer."""
    between = [
        answer(_between(found, family.nets[a], moved, weight, few), family.data) for weight in study.weights
    ]
    answers: list[Answers] = [family.answers[a], *between, family.answers[b]]
    losses, correct = (np.stack([getattr(one, name) for one in answers]) for name in ("losses", "correct"))
    return LossBarrier(np.array([0, *study.weights, 1.0]), losses, correct, few is not None)


def _between(found: Movable, a: nn.Module, b: nn.Module, weight: float, few: Sequence[Batch] | None) -> nn.Module:
    merged = interpolated(a, b, weight=weight)
    if few is None:
        return merged
    return reestimate_norms(merged, few) if found.has_norms else repair(merged, a, b, few, weight=weight)


def _zipping(
    study: CauseStudy, family: Family, found: Movable, moments: Moments, a: str, b: str
) -> dict[str, pd.DataFrame]:
    """One net of both, from as wide as one of them to as wide as both."""
    matchings, few = found.matchings(moments, a, b), _few(family.fit)
    rows = []
    for width in study.widths:
        try:
            zipped = zip_nets(family.nets[a], family.nets[b], matchings, width=width, groups=found.groups)
        except NetError as error:
            _log.warning("Nets of %s are not zipped. %s", family.name, error)
            return {"zipped": pd.DataFrame()}
        if found.has_norms:
            zipped = reestimate_norms(zipped, few)
        said, spent = answer(zipped, family.data), costs(zipped, family.data[0])
        better = max((family.answers[net] for net in (a, b)), key=lambda one: (one.accuracy, -one.loss))
        gain = over_inputs(said.correct * 1.0 - better.correct)
        rows.append(
            {
                "family": family.name,
                "net_a": a,
                "net_b": b,
                "width": width,
                "accuracy": said.accuracy,
                "loss": said.loss,
                "accuracy_gain": gain.value,
                "accuracy_gain_low": gain.low,
                "accuracy_gain_high": gain.high,
                "n_parameters": spent.n_parameters,
                "n_multiply_adds": spent.n_multiply_adds,
                "mended": found.has_norms,
            }
        )
    return {"zipped": pd.DataFrame(rows)}


def _few(batches: Sequence[Batch]) -> list[Batch]:
    """The first batches, as many as mending takes."""
    before = np.cumsum([0, *(len(batch.ids) for batch in batches)])[:-1]
    return [batch for batch, n in zip(batches, before, strict=True) if n < _MENDED_ON]
