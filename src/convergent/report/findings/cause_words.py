"""How the numbers of a study of causes read, and its answer in sentences."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ..wording import NONE


def signed(value: float | int, *, digits: int = 3, plus: bool = True) -> str:
    """A number with its sign, without its leading zero; of large ones two digits.

    Args:
        value: NaN is a dash.
        digits: after the point.
        plus: whether positive numbers show it.

    Example:
        >>> signed(0.0123), signed(-1.5), signed(float("nan"))
        ('+.012', '−1.50', '–')
    """
    if math.isnan(value):
        return NONE
    text = f"{abs(value):.{min(digits, 2) if abs(value) >= 1 else digits}f}"
    sign = ("\N{MINUS SIGN}" if value < 0 else "+" if plus else "") if float(text) else ""
    return sign + (text.removeprefix("0") if digits > 1 else text)


def cells(row: Mapping[Any, Any], name: str) -> tuple[str, str]:
    """A number and its interval, as two cells."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    ends = NONE if pd.isna(low) else f"{signed(low)} to {signed(high)}"
    return signed(row[name]), ends


def in_words(claims: pd.DataFrame, by_family: pd.DataFrame) -> Iterator[str]:
    """The answer: a sentence a claim that was tested, in the order of the claims.

    Args:
        claims: over all families.
        by_family: of each family, with the key of each claim.
    """
    keys = by_family.drop_duplicates("claim").set_index("claim")["key"]
    found = {str(keys[row["claim"]]): row for row in claims.to_dict("records")}
    yield from _units(found)
    yield from _nets(found)


def _units(found: Mapping[str, Mapping[Any, Any]]) -> Iterator[str]:
    if {"help", "less"} <= set(found):
        helps, less = found["help"], found["less"]
        yield (
            f"The units that the other nets have least of {_HELPS[helps['verdict']]}: without them the loss "
            f"changes by {_nats(helps)}. They matter {_LESS[less['verdict']]} random units like them (by "
            f"{_nats(less, sign=-1)})."
        )
    if "shared_more" in found:
        row = found["shared_more"]
        yield f"The most shared units matter {_MORE[row['verdict']]} these (by {_nats(row)})."
    if "carried" in found:
        carry = _CARRY[found["carried"]["verdict"]]
        yield f"Unique units {carry} of the difference between two nets than random units like them."
    if "one_to_one" in found:
        part = _PART[found["one_to_one"]["verdict"]]
        yield f"One partner carries {part} of what all units of another net together carry."


_NOT_TOLD = "no more and no less, as far as can be told, than"
_HELPS = {"holds": "help", "fails": "hurt", "cannot tell": "cannot be told to help or to hurt"}
_LESS = {"holds": "less than", "fails": "more than", "cannot tell": _NOT_TOLD}
_MORE = {"holds": "more than", "fails": "less than", "cannot tell": _NOT_TOLD}
_CARRY = {"holds": "carry more", "fails": "carry less", "cannot tell": "cannot be told to carry more"}
_PART = {"holds": "more than half", "fails": "less than half", "cannot tell": "about half"}
_LOWERS = {"holds": "lowers", "fails": "raises", "cannot tell": "cannot be told to lower"}
_BETTER = {"holds": "better", "fails": "worse", "cannot tell": "no better, as far as can be told,"}
_WORTH = {"holds": "worth more", "fails": "worth less", "cannot tell": "worth no more, as far as can be told,"}


def _nets(found: Mapping[str, Mapping[Any, Any]]) -> Iterator[str]:
    if "mending" in found:
        matching, mending = found["matching"], found["mending"]
        yield (
            f"Matching alone {_LOWERS[matching['verdict']]} the barrier between two nets (it changes by "
            f"{_nats(matching, sign=-1)}); mending the means and variances of matched nets "
            f"{_LOWERS[mending['verdict']]} it (by {_nats(mending, sign=-1)})."
        )
    if "ensemble" in found:
        row = found["ensemble"]
        yield f"Two nets together answer {_BETTER[row['verdict']]} than the better one ({_points(row)})."
    if "unique_worth" in found:
        row = found["unique_worth"]
        yield (
            f"To a readout, the units that a net lacks are {_WORTH[row['verdict']]} than random ones of the other "
            f"net ({_nats(row)} of loss saved)."
        )
    if "distilled" in found:
        row = found["distilled"]
        yield f"One net taught by two answers {_BETTER[row['verdict']]} than the better of them ({_points(row)})."


def _nats(row: Mapping[Any, Any], *, sign: int = 1) -> str:
    return f"{signed(sign * row['estimate'])} nats"


def _points(row: Mapping[Any, Any]) -> str:
    return f"{signed(100 * row['estimate'], digits=1)} points"
