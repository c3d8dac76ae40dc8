"""Every layer of a net with every other: sums and branches."""

from itertools import combinations_with_replacement

import pandas as pd

from ...measures import linear_cka, match_one_to_one
from ...statistics import Blocked, Moments
from .along import named
from .streams import Stream


def matrix_table(stream: Stream, moments: Blocked[Moments]) -> pd.DataFrame:
    """One row two layers of the net, in both orders.

    Columns: net, family, trained, a, b, kind_a, kind_b ("sum" or "branch"), cka (debiased, chance 0), and
    one_to_one_r: mean correlation with one-to-one partners that the first half of the blocks chose, in the second
    half, so that chance is 0. NaN where there is one block only.

    Args:
        stream: of one net.
        moments: of its layers, with norms.
    """
    blocks = [block for block in moments.blocks if block.n_inputs]
    whole = moments.total
    middle = len(blocks) // 2
    halves = [Blocked(tuple(part)).total for part in (blocks[:middle], blocks[middle:]) if part]
    rows = []
    for a, b in combinations_with_replacement(stream.layers, 2):
        r = _held_out(halves, a, b) if len(halves) == 2 else float("nan")
        cka = linear_cka(whole.pair(a, b), estimator="debiased")
        kinds = {"kind_a": _kind(stream, a), "kind_b": _kind(stream, b)}
        rows.append({"a": a, "b": b, **kinds, "cka": cka, "one_to_one_r": r})
        if a != b:
            swapped = {"kind_a": kinds["kind_b"], "kind_b": kinds["kind_a"]}
            rows.append({"a": b, "b": a, **swapped, "cka": cka, "one_to_one_r": r})
    return named(stream, pd.DataFrame(rows))


def _held_out(halves: list[Moments], a: str, b: str) -> float:
    chosen_on, scored_on = (half.pair(a, b) for half in halves)
    return match_one_to_one(chosen_on).scored_on(scored_on).mean


def _kind(stream: Stream, layer: str) -> str:
    return "sum" if layer in stream.sums else "branch"
