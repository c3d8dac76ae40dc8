"""Every layer of a net with every other: sums and branches."""

from itertools import combinations_with_replacement

import pandas as pd

from ...measures import linear_cka, match_one_to_one
from ...statistics import Blocked, Moments
from .along import named
from .streams import Stream


def matrix_table(stream: Stream, moments: Blocked[Moments]) -> pd.DataFrame:
    """One row two layers of the net, in both orders.

    Columns: net, family, trained, a, b, cka (debiased, chance 0), one_to_one_r (mean correlation with one-to-one
    partners that the first half of the blocks chose, in the second half, so that chance is 0; NaN of one block),
    kind_a and kind_b ("sum" or "branch"), n_units_a and n_units_b.

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
        found = {"cka": linear_cka(whole.pair(a, b), estimator="debiased"), "one_to_one_r": r}
        rows += [{"a": x, "b": y, **found} for x, y in dict.fromkeys([(a, b), (b, a)])]
    table = pd.DataFrame(rows)
    for side in "ab":
        table[f"kind_{side}"] = ["sum" if layer in stream.sums else "branch" for layer in table[side]]
        table[f"n_units_{side}"] = table[side].map(stream.n_units)
    return named(stream, table)


def _held_out(halves: list[Moments], a: str, b: str) -> float:
    chosen_on, scored_on = (half.pair(a, b) for half in halves)
    return match_one_to_one(chosen_on).scored_on(scored_on).mean
