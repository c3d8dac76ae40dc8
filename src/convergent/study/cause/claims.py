"""Claims about causes: do unique units matter, what does a match carry, and which combination pays?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...measures import Estimate, contrast
from ..claims import Claim, claim, claims_table
from .means import LEVEL, Numbers, Tables, half, numbers

_COLUMNS = ["claim", "statistic", "estimate", "low", "high", "verdict"]
Read = Callable[[pd.DataFrame], Numbers]


@dataclass(frozen=True)
class Question:
    """A claim that is put to every family.

    Attributes:
        key: a short name.
        claim: as a sentence.
        statistic: the number that decides, in words.
        table: whose rows it is read from.
        read: the numbers of one family, from its rows of the table.
    """

    key: str
    claim: str
    statistic: str
    table: str
    read: Read

    def of(self, tables: Tables, family: str) -> tuple[Estimate | None, str]:
        """Estimate and what its interval is over; None where the family has no such numbers."""
        table = tables.get(self.table, pd.DataFrame())
        rows = table[table["family"] == family] if "family" in table else table
        return (None, "") if rows.empty else self.read(rows).estimate()


def claims_tables(tables: Tables, families: Sequence[str]) -> dict[str, pd.DataFrame]:
    """`claims`, one row a question over all families, and `claims_by_family`, one a question and family.

    Args:
        tables: of the study, by name; questions to tables that are not there are left out.
        families: names.
    """
    overall, apart = [], []
    for question in QUESTIONS:
        found = {family: question.of(tables, family) for family in families}
        known = {family: one for family, one in found.items() if one[0] is not None}
        if not known:
            continue
        overall.append(_overall(question, known))
        for family, (estimate, over) in known.items():
            one = claim(question.claim, f"{question.statistic}, {over}", estimate)
            apart.append(claims_table([one]).assign(family=family, key=question.key))
    by_family = pd.concat(apart, ignore_index=True) if apart else pd.DataFrame()
    return {
        "claims": claims_table(overall).reindex(columns=_COLUMNS),
        "claims_by_family": by_family.reindex(columns=[*_COLUMNS, "family", "key"]),
    }


def _overall(question: Question, found: Mapping[str, tuple[Estimate | None, str]]) -> Claim:
    """The mean over families, whose nets are others."""
    estimates = [one for one, _ in found.values() if one is not None]
    overs = sorted({over for _, over in found.values()})
    if len(estimates) == 1:
        mean = estimates[0]
    elif overs == ["over nets"]:
        mean = contrast(estimates, [1 / len(estimates)] * len(estimates), level=LEVEL)
    else:
        value, reach = (float(np.mean([f(one) for one in estimates])) for f in (_value, _reach))
        mean = Estimate(value, np.nan, value - reach, value + reach, LEVEL, 1, None, None)
    of = "" if len(found) == 1 else f", mean of {len(found)} families"
    return claim(question.claim, f"{question.statistic}, {' or '.join(overs)}{of}", mean)


def _value(one: Estimate) -> float:
    return float(one.value)


def _reach(one: Estimate) -> float:
    return float(one.high - one.low) / 2


def _column(name: str, *, sign: int = 1, **where: object) -> Read:
    """Numbers that stand in one column of the rows that fulfil a condition."""

    def read(rows: pd.DataFrame) -> Numbers:
        rows = _where(rows, **where)
        if rows.empty:  # an experiment that fills this column was not made
            return numbers(rows, pd.Series(dtype=float), pd.Series(dtype=float))
        return numbers(rows, sign * rows[name], half(rows, name))

    return read


def _where(rows: pd.DataFrame, **where: object) -> pd.DataFrame:
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    return rows


def _less(
    name: str, keys: Sequence[str], one: Mapping[str, object], other: Mapping[str, object], *, share: float = 1.0
) -> Read:
    """Numbers of some rows minus a share of those of others that have the same keys."""

    def read(rows: pd.DataFrame) -> Numbers:
        first, second = (_where(rows, **where) for where in (one, other))
        both = first.merge(second, on=list(keys), suffixes=("", "_other"))
        low, high = both[f"{name}_low_other"], both[f"{name}_high_other"]
        return numbers(
            both, both[name] - share * both[f"{name}_other"], half(both, name) + share * (high - low) / 2
        )

    return read


def _carried(rows: pd.DataFrame) -> Numbers:
    """What unique units carry of a difference in loss, beyond units like them."""
    rows = _where(rows, of="loss", set="unique")
    reach = half(rows, "carried") + half(rows, "carried_by_matched")
    return numbers(rows, rows["carried"] - rows["carried_by_matched"], reach)


def _barrier(one: Mapping[str, object], other: Mapping[str, object]) -> Read:
    """By how much the barrier is lower on the second way than on the first."""
    less = _less("barrier", ["net_a", "net_b"], one, other)
    return lambda rows: less(rows[rows["weight"] == 0])


_NET = ("net", "layer")
_PAIR = ("net_a", "net_b", "layer")
QUESTIONS = (
    Question(
        "less",
        "Units that no other net has matter less than random units like them.",
        "loss added without matched sets minus loss added without the most unique units (nats), mean over layers",
        "ablation",
        _column("loss_difference", sign=-1, set="unique"),
    ),
    Question(
        "help",
        "Units that no other net has help.",
        "loss added without the most unique units (nats), mean over layers",
        "ablation",
        _column("loss_change", set="unique"),
    ),
    Question(
        "shared",
        "Units that all nets have matter more than random units like them.",
        "loss added without the most shared units minus loss added without matched sets (nats), mean over layers",
        "ablation",
        _column("loss_difference", set="shared"),
    ),
    Question(
        "shared_more",
        "Shared units matter more than unique ones.",
        "loss added without the most shared minus without the most unique units (nats), mean over layers",
        "ablation",
        _less("loss_change", _NET, {"set": "shared"}, {"set": "unique"}),
    ),
    Question(
        "carried",
        "Unique units carry more of the difference between two nets than random units like them.",
        "difference in loss that goes away without them, minus that without matched sets (nats), mean over layers",
        "carried",
        _carried,
    ),
    Question(
        "one_to_one",
        "One partner carries most of what all units of the other net together carry.",
        "loss recovered by one-to-one images minus half of that by ridge, mean over layers",
        "transplant",
        _less("loss_recovered", _PAIR, {"units_are": "one-to-one"}, {"units_are": "ridge"}, share=0.5),
    ),
    Question(
        "matching",
        "Matching units lowers the barrier between two nets.",
        "barrier unmatched minus matched (nats)",
        "merging",
        _barrier({"matched": False, "mended": False}, {"matched": True, "mended": False}),
    ),
    Question(
        "mending",
        "Mending means and variances lowers it further.",
        "barrier matched minus matched and mended (nats)",
        "merging",
        _barrier({"matched": True, "mended": False}, {"matched": True, "mended": True}),
    ),
    Question(
        "mended_only",
        "Matching helps also where means and variances are mended.",
        "barrier mended minus matched and mended (nats)",
        "merging",
        _barrier({"matched": False, "mended": True}, {"matched": True, "mended": True}),
    ),
    Question(
        "ensemble",
        "Two nets answer better together than the better one alone.",
        "accuracy gained by the mean of their scores",
        "combining",
        _column("accuracy_gain", way="ensemble"),
    ),
    Question(
        "unique_worth",
        "Units that a net lacks are worth more to it than random units of the other net.",
        "loss saved by a readout with them over one with random ones (nats)",
        "combining",
        _column("over_random_loss_saved", way="with unique"),
    ),
    Question(
        "other_worth",
        "Units of another net are worth more than copies of a net's own.",
        "loss saved by a readout with random units of the other net over one with copies (nats)",
        "combining",
        _column("over_random_loss_saved", sign=-1, way="with copies"),
    ),
    Question(
        "distilled",
        "One net taught by two is better than the better of them.",
        "accuracy gained by the distilled net",
        "combining",
        _column("accuracy_gain", way="distilled"),
    ),
)
