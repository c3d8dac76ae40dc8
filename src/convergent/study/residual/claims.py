"""What a study of residual nets claims: of the stream, of its basis, of training, of the controls."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from ..claims import Claim, claim
from .estimates import Term, sum_of

FAR = 0.5  # above chance, for a share: most units
NEAR = 0.05  # above chance, for a share: hardly any
_ABOVE_CHANCE = {"share": 1.0, "chance": -1.0}


def claims(numbers: pd.DataFrame, families: Sequence[str]) -> list[Claim]:
    """Every claim that the numbers can decide; those about nets that are not there are left out.

    Args:
        numbers: of all nets, as `numbers_table` gives them.
        families: the residual one first, then the controls.
    """
    residual, *controls = families
    return [
        *_of_the_stream(numbers, residual),
        *_of_the_basis(numbers, residual),
        *_of_training(numbers, residual),
        *(made for control in controls for made in _against(numbers, residual, control)),
        *_of_boundaries(numbers, families),
        *_of_branches(numbers, residual),
    ]


def _of_the_stream(numbers: pd.DataFrame, residual: str) -> Iterator[Claim]:
    yield from _put(
        numbers,
        f"In {residual} nets most units are their own best partner one block later.",
        f"identity share above chance, more than {FAR}",
        [Term(residual, True, _ABOVE_CHANCE)],
        above=FAR,
    )
    yield from _put(
        numbers,
        f"It takes units of {residual} nets more than one block to lose half of themselves.",
        "mean correlation of a unit with itself one block later, in the stage where it is smallest, above .5",
        [Term(residual, True, {"least_self_r": 1.0})],
        above=0.5,
    )


def _of_the_basis(numbers: pd.DataFrame, residual: str) -> Iterator[Claim]:
    yield from _put(
        numbers,
        f"More units of {residual} nets are their own best partners than directions of a rotated basis are.",
        "identity share one block later, native minus rotated",
        [Term(residual, True, {"share": 1.0, "rotated_share": -1.0})],
    )
    yield from _put(
        numbers,
        f"Units of {residual} nets stay more like themselves than directions of a rotated basis.",
        "correlation of a unit with itself one block later, native minus rotated",
        [Term(residual, True, {"self_r": 1.0, "rotated_self_r": -1.0})],
    )


def _of_training(numbers: pd.DataFrame, residual: str) -> Iterator[Claim]:
    yield from _put(
        numbers,
        f"Units of {residual} nets are their own best partners before any training.",
        f"identity share above chance one block later, untrained, more than {FAR}",
        [Term(residual, False, _ABOVE_CHANCE)],
        above=FAR,
    )
    lasting = {"lasting_self_r": 1.0}
    yield from _put(
        numbers,
        f"Training lengthens the life of units of {residual} nets.",
        "correlation of a unit with itself, mean over all lags of each stage, trained minus untrained",
        [Term(residual, True, lasting), Term(residual, False, _minus(lasting))],
    )


def _against(numbers: pd.DataFrame, residual: str, control: str) -> Iterator[Claim]:
    yield from _put(
        numbers,
        f"In {control} nets units are their own best partners by chance only.",
        f"chance minus identity share one block later, more than -{NEAR}",
        [Term(control, True, _minus(_ABOVE_CHANCE))],
        above=-NEAR,
    )
    yield from _put(
        numbers,
        f"A block changes the whole layer less in {residual} nets than in {control} nets.",
        f"mean of 1 - CKA of neighbours of a stage, {control} minus {residual}",
        [Term(control, True, {"change_within": 1.0}), Term(residual, True, {"change_within": -1.0})],
    )


def _of_boundaries(numbers: pd.DataFrame, families: Sequence[str]) -> Iterator[Claim]:
    for family in families:
        yield from _put(
            numbers,
            f"In {family} nets layers change more at boundaries of stages than within them.",
            "mean of 1 - CKA of neighbours, across boundaries minus within stages",
            [Term(family, True, {"change_across": 1.0, "change_within": -1.0})],
        )


def _of_branches(numbers: pd.DataFrame, residual: str) -> Iterator[Claim]:
    yield from _put(
        numbers,
        f"What neighbouring blocks of {residual} nets add has less in common than the sums they add it to.",
        "mean CKA of neighbours of a stage, sums minus branches",
        [Term(residual, True, {"cka_sums": 1.0, "cka_branches": -1.0})],
    )


def _put(
    numbers: pd.DataFrame,
    text: str,
    statistic: str,
    terms: Sequence[Term],
    *,
    above: float = 0.0,
) -> Iterator[Claim]:
    """The claim, if there are nets to decide it."""
    found = sum_of(terms, numbers)
    if found is not None:
        yield claim(text, f"{statistic}; {found.over}", found.estimate, above=above)


def _minus(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: -weight for name, weight in weights.items()}
