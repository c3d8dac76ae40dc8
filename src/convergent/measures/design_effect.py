"""How much the samples of one input repeat each other."""

from dataclasses import dataclass

import numpy as np

from .._typing import Array, Float64
from ..results import frozen
from ..solvers.pooling import mean_of_known
from ..statistics.blocked_pair import BlockedPair
from .correlation import correlation
from .intervals import jackknife


@dataclass(frozen=True, eq=False)
class DesignEffect:
    """How many times larger the variance of correlations is than if all samples were independent.

    Attributes:
        value: mean over all pairs of living units; 1 if samples are independent, at most about samples per input.
        per_unit_a: mean over each unit's pairs; NaN for dead units.
        per_unit_b: likewise for the units of b.
        n_inputs: how many inputs there are.
        n_samples: how many samples (inputs x locations).
    """

    value: float
    per_unit_a: Float64[Array, " units_a"]
    per_unit_b: Float64[Array, " units_b"]
    n_inputs: int | None
    n_samples: int | None

    @property
    def n_effective(self) -> float:
        """How many independent samples would be worth as much; NaN where samples were not counted."""
        return float("nan") if self.n_samples is None else self.n_samples / self.value


def design_effect(blocked: BlockedPair) -> DesignEffect:
    """The variance of r between blocks of whole inputs over (1 - r^2)^2 / (n - 1), its variance without blocks.

    Locations of one picture are alike, so thousands of samples may be worth no more than hundreds. The variance
    without blocks is that of normal numbers; sparse units that correlate strongly vary more than that even if all
    samples are independent. `design_effect(blocked.rolled[0])` has pairs without any correlation instead.

    Args:
        blocked: the pair in blocks of inputs; the block variance has n_blocks - 1 degrees of freedom a pair, which
            averages out over pairs.

    Returns:
        The design effect of all pairs and per unit, above 0, and the effective number of samples.

    Raises:
        InvalidArgumentError: if there are fewer than two blocks with inputs.

    Invariant to: scaling and shifting of single units (yes); permutation of units, up to the order of rows (yes);
        rotation of units (no).

    Cost: n_blocks + 1 tables of correlations.

    Reference: Kish 1965 (design effect).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = (rng.normal(size=(500, 8)).repeat(4, axis=0) for _ in "ab")
        >>> same_four_times = BlockedPair.from_samples(x, y, input_of=np.arange(500).repeat(4))
        >>> 3 < design_effect(same_four_times).value < 5
        True
    """
    found = jackknife(blocked, lambda pair: correlation(pair).between)
    n_samples = blocked.total.n_samples or 2
    r, error = np.asarray(found.value), np.asarray(found.standard_error)
    spread = (1 - r**2) / np.sqrt(n_samples - 1)
    effect = np.divide(error, spread, out=np.full(r.shape, np.nan), where=spread > 1e-9) ** 2
    return DesignEffect(
        value=float(mean_of_known(effect.ravel(), axis=0)),
        per_unit_a=frozen(mean_of_known(effect, axis=1)),
        per_unit_b=frozen(mean_of_known(effect, axis=0)),
        n_inputs=found.n_inputs,
        n_samples=found.n_samples,
    )
