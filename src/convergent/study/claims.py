"""Claims put to the test: a number, its interval, and whether it says yes, no, or nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ..measures import Estimate

Verdict = Literal["holds", "fails", "cannot tell"]


@dataclass(frozen=True)
class Claim:
    """A claim, and what decides it.

    Attributes:
        claim: what is claimed, as a sentence.
        statistic: the number that decides, and the bound it must pass, in words.
        estimate: the number; NaN where it cannot be had.
        low: lower end of its interval, NaN where there is none.
        high: upper end.
        verdict: "holds" where the whole interval lies above the bound, "fails" where it lies below, else "cannot
            tell".
    """

    claim: str
    statistic: str
    estimate: float
    low: float
    high: float
    verdict: Verdict


def claim(text: str, statistic: str, found: Estimate | None, *, above: float = 0.0) -> Claim:
    """A claim that a number lies above a bound.

    Args:
        text: the claim.
        statistic: the number, in words.
        found: the number and its interval; None where it cannot be had.
        above: the bound.
    """
    value, low, high = (np.nan,) * 3 if found is None else (float(x) for x in (found.value, found.low, found.high))
    verdict: Verdict = "holds" if low > above else "fails" if high < above else "cannot tell"
    return Claim(text, statistic, value, low, high, verdict)


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a claim: claim, statistic, estimate, low, high, verdict."""
    return pd.DataFrame([asdict(one) for one in claims])
