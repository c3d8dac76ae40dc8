"""The best partner of each unit in every other net, in the native basis or a rotated one; mutual ones; cliques."""

from typing import NamedTuple

import numpy as np

from .._typing import Array, Bool, Float64, Int64
from ..solvers.haar import haar
from ..statistics.joint_moments import JointMoments


class BestPartners(NamedTuple):
    """Of each unit, over the concatenated units of all nets, in every net.

    Attributes:
        partner: number of the best unit there; -1 in the own net, for dead units, and where no unit lives.
        r: its correlation; NaN where there is none.
        mutual: whether the unit is the best in its own net for that partner.
    """

    partner: Int64[Array, "units nets"]
    r: Float64[Array, "units nets"]
    mutual: Bool[Array, "units nets"]


def best_partners(r: Float64[Array, "units units"], joint: JointMoments) -> BestPartners:
    """Find the best unit of every other net for each unit.

    Args:
        r: correlations of all units with all; those of dead units are not looked at.
        joint: whose units they are.

    Cost: one look at each correlation between nets.
    """
    alive, n_units, slices = joint.alive, len(r), list(joint.slices.values())
    partner = np.full((n_units, len(slices)), -1, dtype=np.int64)
    value = np.full((n_units, len(slices)), np.nan)
    units = np.arange(n_units)
    for net, own in enumerate(slices):
        asking = alive & (joint.layer_of != net)
        if not (alive[own].any() and asking.any()):
            continue
        block = np.where(alive[own], r[asking, own], -np.inf)
        partner[asking, net] = block.argmax(axis=1)
        value[asking, net] = block.max(axis=1)
    starts = np.array([own.start for own in slices])
    back = partner[np.where(partner >= 0, partner + starts, 0), joint.layer_of[:, None]]
    own_number = units - starts[joint.layer_of]
    return BestPartners(partner, value, (partner >= 0) & (back == own_number[:, None]))


def cliques(
    best: BestPartners, found: Bool[Array, "units nets"], joint: JointMoments
) -> Int64[Array, "cliques nets"]:
    """Sets of one unit of each net, all pairs of them mutual and counting.

    A mutual partner is the only one in its net, so that a unit of the first net is in one clique or none.

    Args:
        best: of these units.
        found: which partners count.
        joint: whose units they are.
    """
    counts = found & best.mutual
    slices = list(joint.slices.values())
    sets = best.partner[slices[0]].copy()
    sets[:, 0] = np.arange(len(sets))
    whole = counts[slices[0], 1:].all(axis=1)
    sets = sets[whole]
    rows = sets + np.array([own.start for own in slices])
    for net in range(1, len(slices)):
        others = np.arange(len(slices)) != net
        agree = (best.partner[rows[:, net]] == sets) & counts[rows[:, net]]
        whole = agree[:, others].all(axis=1)
        sets, rows = sets[whole], rows[whole]
    return sets


def rotated(
    r: Float64[Array, "units units"], joint: JointMoments, rng: np.random.Generator
) -> Float64[Array, "units units"]:
    """Correlations of the directions that each net's living units become when turned among themselves.

    Args:
        r: correlations of all units with all, which is to say that each has variance 1 before it is turned.
        joint: whose units they are.
        rng: of the rotations.

    Cost: O(units^2 units_a), in two products for each net.
    """
    alive = joint.alive
    turned = np.where(np.outer(alive, alive), r, 0)
    for own in joint.slices.values():
        units = own.start + np.flatnonzero(alive[own])
        if len(units):
            q = haar(len(units), rng)
            turned[units] = q @ turned[units]
            turned[:, units] = turned[:, units] @ q.T
    std = np.sqrt(np.maximum(np.diagonal(turned), 0))
    scale = np.divide(1, std, out=np.zeros(len(std)), where=std > 0)
    return np.clip(turned * scale * scale[:, None], -1, 1)


def unit_numbers(sizes: tuple[int, ...]) -> Int64[Array, " units"]:
    """Of each unit, its number in its layer.

    Args:
        sizes: how many units each layer has.
    """
    return np.concatenate([np.arange(size) for size in sizes])


def tally(n_nets_of: Int64[Array, " units"], n_nets: int) -> Int64[Array, " nets"]:
    """How many units are found in 1, 2, ... nets.

    Args:
        n_nets_of: in how many each unit is found; those with 0 are dead and not counted.
        n_nets: how many nets there are.
    """
    return np.bincount(n_nets_of, minlength=n_nets + 1)[1:]
