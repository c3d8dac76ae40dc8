"""Layers of one net in one basis: each unit with itself, and all of them turned by the same rotation."""

from dataclasses import replace

import numpy as np

from .._typing import Array, Float64, Int64
from ..errors import MismatchError
from ..statistics.pairs import PairMoments
from .chance import plain
from .intervals import Estimate
from .matching import Matching


def check_shared_basis(pair: PairMoments) -> None:
    """Refuse layers that cannot share a basis.

    Args:
        pair: of two layers of one net.

    Raises:
        MismatchError: if they differ in width.
    """
    n_a, n_b = pair.cov_ab.shape
    if n_a != n_b:
        raise MismatchError(
            f"Asked for the units of '{pair.a}' with themselves in '{pair.b}'. Found {n_a} units and {n_b}: "
            "layers of different width share no basis. Compare layers of one stage, or use linear_cka."
        )


def mean_self_r(self_r: Float64[Array, " units"]) -> float:
    """Mean over the living units; NaN of none.

    Args:
        self_r: each unit's correlation with itself, NaN where it is dead in either layer.
    """
    known = self_r[~np.isnan(self_r)]
    return float(known.mean()) if len(known) else float("nan")


def share_of_themselves(matching: Matching, self_r: Float64[Array, " units"]) -> float:
    """Share of the units whose partner is themselves, of those that are alive in both layers; NaN of none.

    Args:
        matching: of two layers in one basis.
        self_r: each unit's correlation with itself, NaN where it is dead in either layer.
    """
    known = ~np.isnan(self_r)
    themselves = matching.partner == np.arange(len(self_r))
    return float(themselves[known].mean()) if known.any() else float("nan")


def one_step_out(found: Estimate, n_alive: int | Int64[Array, " pairs"]) -> Estimate:
    """The interval of a share, which goes in steps of 1 / units: ends one step further out, within 0 and 1.

    Where no block changes the partner of a unit, the jackknife alone sees no error at all.

    Args:
        found: a share, or several.
        n_alive: how many units it is of, or each is.
    """
    step = 1 / np.maximum(n_alive, 1)
    low, high = (np.clip(end, 0, 1) for end in (found.low - step, found.high + step))
    return replace(found, low=plain(low), high=plain(high))


def turned(
    cov_aa: Float64[Array, "units units"],
    cov_bb: Float64[Array, "units units"],
    cov_ab: Float64[Array, "units units"],
    rotation: Float64[Array, "units directions"],
) -> Float64[Array, "directions directions"]:
    """Correlations of a with b after the same rotation R of both: R'C_ab R over the standard deviations there.

    Args:
        cov_aa: within a.
        cov_bb: within b.
        cov_ab: between them.
        rotation: its columns are the new units.

    Example:
        >>> c = np.diag([1.0, 4.0])
        >>> turned(c, c, c, np.eye(2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    std_a, std_b = (np.sqrt(((within @ rotation) * rotation).sum(axis=0)) for within in (cov_aa, cov_bb))
    return rotation.T @ cov_ab @ rotation / np.outer(std_a, std_b)
