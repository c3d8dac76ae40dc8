"""Which units are found again in every other net, in some, in none; and is that more than in a rotated basis?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from .._typing import Array, Bool, Float64, Int64, Shaped
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..results import frozen
from ..statistics.joint_moments import JointMoments
from .partners_everywhere import best_partners, cliques, rotated, tally, unit_numbers

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Universality:
    """Where each unit of several nets is found again.

    Attributes:
        names: the layers, one of each net.
        sizes: how many units each of them has.
        alive: (units,), over the concatenated units of all nets; False where dead.
        partner: (units, nets), the unit of that net which correlates most; -1 in its own net, for dead units, and
            where the other net has no living unit.
        r: (units, nets), its correlation, in [-1, 1]; NaN where there is none.
        mutual: (units, nets), whether the unit is in turn its partner's best in its own net.
        found: (units, nets), whether the partner counts: r reaches the threshold, and is significant if that was
            given.
        cliques: (cliques, nets), one unit of each net, all pairs of them mutual and counting.
        rotated: the same counts, where each net's units were rotated among themselves.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    alive: Bool[Array, " units"]
    partner: Int64[Array, "units nets"]
    r: Float64[Array, "units nets"]
    mutual: Bool[Array, "units nets"]
    found: Bool[Array, "units nets"]
    cliques: Int64[Array, "cliques nets"]
    rotated: "RotatedCounts"

    @property
    def n_nets(self) -> Int64[Array, " units"]:
        """In how many nets each unit is found, its own included; 0 for dead units."""
        return np.where(self.alive, 1 + self.found.sum(axis=1), 0)

    @property
    def in_clique(self) -> Bool[Array, " units"]:
        """Whether each unit is a member of a clique across all nets."""
        members = np.zeros(len(self.alive), dtype=bool)
        starts = np.cumsum((0, *self.sizes[:-1]))
        members[(self.cliques + starts).ravel()] = True
        return members

    @property
    def verdict(self) -> Shaped[Array, " units"]:
        """Per unit: "shared" (found in every other net), "partly" (in some), "unique" (in none) or "dead"."""
        n = self.n_nets
        return np.select(
            [n == 0, n == len(self.names), n > 1], ["dead", "shared", "partly"], default="unique"
        ).astype(object)

    def counts(self) -> pd.DataFrame:
        """One row a number of nets: how many units are found in so many, beside the rotated basis.

        Columns: n_nets (own net included), verdict, n_units, share (of the living), rotated (the mean count over
        the rotations), excess (the difference), p (of as many or more in a rotated basis, add-one corrected), and
        n_dead, of all nets. Without rotations, rotated, excess and p are NaN.
        """
        n_nets, drawn = len(self.names), self.rotated.n_units
        n_units = tally(self.n_nets, n_nets)
        mean = drawn.mean(axis=0) if len(drawn) else np.full(n_nets, np.nan)
        n_alive = int(self.alive.sum())
        return pd.DataFrame(
            {
                "n_nets": np.arange(1, n_nets + 1),
                "verdict": ["unique", *["partly"] * (n_nets - 2), "shared"],
                "n_units": n_units,
                "share": n_units / n_alive if n_alive else np.nan,
                "rotated": mean,
                "excess": n_units - mean,
                "p": (1 + (drawn >= n_units).sum(axis=0)) / (1 + len(drawn)) if len(drawn) else np.nan,
                "n_dead": len(self.alive) - n_alive,
            }
        )

    def table(self) -> pd.DataFrame:
        """One row a unit: layer, unit, n_partners, n_mutual, in_clique, mean_r, weakest_r, verdict.

        Partners and mutual ones are those that count; r is over all other nets.
        """
        some = ~np.isnan(self.r).all(axis=1)
        mean, weakest = (np.full(len(self.r), np.nan) for _ in range(2))
        mean[some], weakest[some] = np.nanmean(self.r[some], axis=1), np.nanmin(self.r[some], axis=1)
        return pd.DataFrame(
            {
                "layer": np.repeat(np.array(self.names, dtype=object), self.sizes),
                "unit": unit_numbers(self.sizes),
                "n_partners": self.found.sum(axis=1),
                "n_mutual": (self.found & self.mutual).sum(axis=1),
                "in_clique": self.in_clique,
                "mean_r": mean,
                "weakest_r": weakest,
                "verdict": self.verdict,
            }
        )

    def partner_table(self) -> pd.DataFrame:
        """One row a unit and other net: layer, unit, other, partner, r, mutual, found."""
        own = np.repeat(np.arange(len(self.names)), self.sizes)
        rows, nets = np.nonzero(own[:, None] != np.arange(len(self.names)))
        names = np.array(self.names, dtype=object)
        return pd.DataFrame(
            {
                "layer": names[own[rows]],
                "unit": unit_numbers(self.sizes)[rows],
                "other": names[nets],
                "partner": self.partner[rows, nets],
                "r": self.r[rows, nets],
                "mutual": self.mutual[rows, nets],
                "found": self.found[rows, nets],
            }
        )


@dataclass(frozen=True, eq=False)
class RotatedCounts:
    """Counts in rotated bases, one row a draw.

    Attributes:
        n_units: (draws, nets), how many directions are found in 1, 2, ... nets.
        n_cliques: (draws,), how many cliques there are.
    """

    n_units: Int64[Array, "draws nets"]
    n_cliques: Int64[Array, " draws"]


def universality(
    joint: JointMoments,
    *,
    threshold: float | int | Mapping[tuple[str, str], float | int] = 0.5,
    significant: Mapping[tuple[str, str], Bool[Array, " units_a"]] | None = None,
    n_rotations: int = 20,
    seed: int = 0,
) -> Universality:
    """Find each unit of each net again in every other net: its best partner there, and whether that counts.

    partner(u, net) = argmax over v in net of r_uv. It counts where r reaches the threshold. Two units are mutual
    where each is the other's partner; a clique is one unit of each net, all pairs mutual and counting.

    The same is counted after a random rotation of each net's living units among themselves (each at variance 1,
    true Haar draws), from the same moments. Directions as many as units, in the same space: if units are no better
    than they, the native basis is not privileged.

    Args:
        joint: moments of the same layer in several nets.
        threshold: the r from which a partner counts: one number, or one for each ordered pair of layers (a, b),
            what chance reaches for the best partner in b of a unit of a. The paper takes 0.5.
        significant: by ordered pair (a, b), for each unit of a, whether its partner in b is more than chance
            (`q <= 0.05`, say). Rotated directions have no such test: only the threshold decides on them, and the
            excess over them is then a lower bound.
        n_rotations: draws of rotated bases; 0 leaves them out.
        seed: of the draws.

    Returns:
        Partners, cliques, and counts by number of nets with those of the rotated bases; r in [-1, 1].

    Raises:
        InvalidArgumentError: if there is one net only, or an option is out of its range.
        UnknownNameError: if a pair of layers has no threshold or no mask.
        MismatchError: if a mask does not have one value per unit.

    Invariant to: positive scaling and shifting of single units (yes); permutation of units and order of nets (yes;
        rotated counts in distribution); rotation of units (no, and that is the point).

    Cost: for each rotation two products of units x units matrices, block by block; 20 rotations of four nets with
        256 units each take 1.1 s, one core.

    Reference: Li et al. 2016, section 3 (semi-matching, mutual partners); Bau et al. 2017 compare with a
        rotated basis.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(200, 4))
        >>> nets = {"a/conv": x, "b/conv": x[:, [1, 0, 2, 3]], "c/conv": x[:, :3]}
        >>> found = universality(JointMoments.from_samples(nets))
        >>> found.counts()["n_units"].tolist(), found.cliques.tolist()
        ([0, 2, 9], [[0, 1, 0], [1, 0, 1], [2, 2, 2]])
    """
    _check(joint, n_rotations)
    r = joint.correlation()
    thresholds = _thresholds(joint.names, threshold)
    best = best_partners(r, joint)
    found = (best.r >= thresholds[joint.layer_of]) & _allowed(joint, significant)
    return Universality(
        names=joint.names,
        sizes=joint.sizes,
        alive=frozen(joint.alive),
        partner=frozen(best.partner),
        r=frozen(best.r),
        mutual=frozen(best.mutual),
        found=frozen(found),
        cliques=frozen(cliques(best, found, joint)),
        rotated=_rotated(r, joint, thresholds, n_rotations, seed),
    )


def _rotated(r: Array, joint: JointMoments, thresholds: Array, n_rotations: int, seed: int) -> RotatedCounts:
    n_nets = len(joint.names)
    n_units = np.zeros((n_rotations, n_nets), dtype=np.int64)
    n_cliques = np.zeros(n_rotations, dtype=np.int64)
    for draw, rng in enumerate(np.random.default_rng(seed).spawn(n_rotations)):
        best = best_partners(rotated(r, joint, rng), joint)
        found = best.r >= thresholds[joint.layer_of]
        n_units[draw] = tally(np.where(joint.alive, 1 + found.sum(axis=1), 0), n_nets)
        n_cliques[draw] = len(cliques(best, found, joint))
    return RotatedCounts(frozen(n_units), frozen(n_cliques))


def _thresholds(names: tuple[str, ...], threshold: float | Mapping[tuple[str, str], float]) -> Array:
    """Nets x nets; the diagonal is never asked."""
    n_nets = len(names)
    if not isinstance(threshold, Mapping):
        values = np.full((n_nets, n_nets), float(threshold))
    else:
        values = np.array(
            [[0 if a == b else _of(threshold, a, b, "threshold") for b in names] for a in names], float
        )
    if np.isnan(values).any():
        raise InvalidArgumentError(
            "A threshold is the correlation from which a partner counts. Found NaN. Give numbers between -1 and 1."
        )
    return values


def _allowed(joint: JointMoments, significant: Mapping[tuple[str, str], Array] | None) -> Array:
    allowed = np.ones((len(joint.mean), len(joint.names)), dtype=bool)
    if significant is None:
        return allowed
    for a, own in joint.slices.items():
        for net, b in enumerate(joint.names):
            if a == b:
                continue
            mask = _of(significant, a, b, "mask")
            n_units = own.stop - own.start
            if len(mask) != n_units:
                raise MismatchError(
                    f"A mask says of each unit of '{a}' whether its partner in '{b}' is significant. Found "
                    f"{len(mask)} values for {n_units} units. Give one value per unit, dead ones included."
                )
            allowed[own, net] = mask
    return allowed


def _of(values: Mapping[tuple[str, str], T], a: str, b: str, what: str) -> T:
    if (a, b) not in values:
        raise UnknownNameError(
            f"Asked whether units of '{a}' are found in '{b}', by a {what} for each ordered pair of layers. Found "
            f"none for this one among {len(values)}. {nearest(f'{a} in {b}', [f'{x} in {y}' for x, y in values])}"
        )
    return values[a, b]


def _check(joint: JointMoments, n_rotations: int) -> None:
    if len(joint.names) < 2:
        raise InvalidArgumentError(
            f"Universality is of units of several nets. Found one layer, '{joint.names[0]}'. "
            "Join the same layer of two nets or more."
        )
    if n_rotations < 0:
        raise InvalidArgumentError(
            f"Rotated bases are drawn a number of times. Found n_rotations={n_rotations}. Give 0 or more."
        )
