"""How much of the difference between two nets sits in chosen units."""

import pandas as pd

from .._typing import Array, Float64
from .ablation import with_interval
from .matched_sets import ChosenEffect


def carried_difference(a: ChosenEffect, b: ChosenEffect, *, level: float = 0.95) -> pd.DataFrame:
    """How much of the difference between two nets goes away with chosen units of both.

    These may be the units that the other net lacks. It is the nets' difference (a minus b) minus the difference
    of the nets without these units, input by input. The same for the mean of the matched sets says what any units
    like them would have carried.

    Args:
        a: effect of taking units out of the first net.
        b: of the second, on the same inputs.
        level: of the intervals over inputs, between 0 and 1.

    Returns:
        Two rows, "loss" and "accuracy": of (which), layer_a, layer_b, n_units_a, n_units_b; difference,
        difference_without, carried (difference minus difference_without) and carried_by_matched (NaN where a net
        has no matched sets), each with its interval (_low, _high).

    Raises:
        MismatchError: if the effects are of other inputs.
    """
    a.ablations.intact.same_inputs(b.ablations.intact)
    rows = []
    for what in ("loss", "accuracy"):
        (intact_a, chosen_a, matched_a), (intact_b, chosen_b, matched_b) = (_parts(one, what) for one in (a, b))
        row: dict[str, object] = {"of": what, "layer_a": a.ablations.layer, "layer_b": b.ablations.layer}
        row |= {f"n_units_{side}": len(one.ablations.sets["chosen"]) for side, one in (("a", a), ("b", b))}
        row |= with_interval("difference", intact_a - intact_b, level=level)
        without = intact_a + chosen_a - intact_b - chosen_b
        row |= with_interval("difference_without", without, level=level)
        row |= with_interval("carried", chosen_b - chosen_a, level=level)
        rows.append(row | with_interval("carried_by_matched", matched_b - matched_a, level=level))
    return pd.DataFrame(rows)


def _parts(effect: ChosenEffect, what: str) -> tuple[Float64[Array, " inputs"], Array, Array]:
    """Of each input: the net as it is, and the changes by the chosen units and by matched ones on average."""
    found = effect.ablations
    intact = found.intact.losses if what == "loss" else found.intact.correct * 1.0
    changes = found.loss_changes if what == "loss" else found.accuracy_changes
    matched = changes[1:].mean(axis=0) if len(changes) > 1 else changes[0] * float("nan")
    return intact, changes[0], matched
