"""Numbers of nets as estimates: over nets where there are three of each kind, else over blocks of inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..._typing import Array, Float64
from ...measures import Estimate, contrast, leave_one_net_out
from ...solvers.pooling import delete_block_error, student_reach
from .numbers import ALL

_FEWEST = 3
_LEVEL = 0.95


@dataclass(frozen=True)
class Term:
    """A weighted sum of the numbers of nets, averaged over those of one kind.

    Attributes:
        family: which nets.
        trained: the trained ones, or the untrained ones.
        weights: of the numbers, by name.
    """

    family: str
    trained: bool
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Found:
    """A sum of terms.

    Attributes:
        estimate: the sum and its interval.
        over: what the interval is over, in words.
    """

    estimate: Estimate
    over: str


def sum_of(terms: Sequence[Term], numbers: pd.DataFrame) -> Found | None:
    """The sum of some terms and its interval; None where a term has no nets, or no number.

    Over nets, terms are independent of each other. Over inputs, all are made of the same inputs, and each block is
    left out of all of them at once; that interval says nothing of other seeds. Shares go in steps of 1 / units,
    and where no block changes a partner, no error is seen at all: their ends lie one step further out.

    Args:
        terms: what is added up.
        numbers: as `numbers_table` gives them, of all nets.
    """
    tables = [_values(term, numbers) for term in terms]
    if any(table.empty or table.loc[ALL].isna().any() for table in tables):
        return None
    counts = [table.shape[1] for table in tables]
    if min(counts) >= _FEWEST:
        each = [leave_one_net_out(t.loc[ALL].to_numpy(), [(net, net) for net in t.columns]) for t in tables]
        nets = f"{sum(counts)} nets" if len(counts) == 1 else " and ".join(f"{n} nets" for n in counts)
        return Found(contrast(each, [1.0] * len(each)), f"over {nets}")
    by_part = pd.concat([table.mean(axis=1) for table in tables], axis=1).sum(axis=1)
    estimate = _over_inputs(by_part, _sizes(numbers), step=sum(_step(term, numbers) for term in terms))
    return Found(estimate, "over inputs, of too few nets to tell of others")


def _of(term: Term, numbers: pd.DataFrame) -> pd.DataFrame:
    return numbers[(numbers["family"] == term.family) & (numbers["trained"] == term.trained)]


def _step(term: Term, numbers: pd.DataFrame) -> float:
    """What one partner changes of a term."""
    weight = abs(term.weights.get("share", 0.0))
    return weight * float(_of(term, numbers)["chance"].mean()) if weight else 0.0


def _values(term: Term, numbers: pd.DataFrame) -> pd.DataFrame:
    """A row for each block left out, a column a net."""
    own = _of(term, numbers)
    value = sum((weight * own[name] for name, weight in term.weights.items()), pd.Series(0.0, own.index))
    return own.assign(value=value).pivot(index="left_out", columns="net", values="value")


def _sizes(numbers: pd.DataFrame) -> pd.Series:
    """Samples of each block, by its number: all nets have the same."""
    return numbers.groupby("left_out")["n_samples"].first()


def _over_inputs(by_part: pd.Series, sizes: pd.Series, *, step: float) -> Estimate:
    value = float(by_part.loc[ALL])
    without = by_part.drop(ALL)
    blocks: Float64[Array, " blocks"] = sizes.loc[without.index].to_numpy(dtype=np.float64)
    error = reach = float("nan")
    if len(without) > 1:
        error = float(delete_block_error(np.array(value), without.to_numpy(dtype=np.float64), blocks))
        reach = student_reach(_LEVEL, len(without)) * error + step
    n_samples = int(sizes.loc[ALL])
    return Estimate(value, error, value - reach, value + reach, _LEVEL, len(without), None, n_samples)
