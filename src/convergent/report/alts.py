"""What each figure shows, in words: for those who cannot see it, and for those who look it up."""

import numpy as np
import pandas as pd

from ..measures import Correlation, Matching
from .wording import score


def correlations(layer: str, found: Correlation, matching: Matching) -> str:
    """Figure 1: how bright the diagonal is against the rest."""
    between = found.between[~np.isnan(found.between)]
    typical = float(between.mean()) if len(between) else float("nan")
    return (
        f"Four correlation matrices of {layer}. After one-to-one matching the diagonal has a mean of "
        f"{score(matching.mean)}; all correlations between the two nets have a mean of {score(typical)}."
    )


def ends(layer: str, pairs: pd.DataFrame) -> str:
    """Figure 2: scores of the best and the worst pair."""
    return (
        f"Best and worst pairs of units of {layer}: the best correlates at {score(pairs['best_r'].max())}, "
        f"the worst at {score(pairs['best_r'].min())}."
    )


def curves(pairs: pd.DataFrame) -> str:
    """Figure 3: range of the semi-matching scores per layer."""
    ranges = pairs.groupby("layer", sort=False)["best_r"].agg(["max", "median", "min"])
    described = (
        f"{layer} {score(high)}, {score(mid)}, {score(low)}" for layer, high, mid, low in ranges.itertuples()
    )
    return f"Sorted scores of every unit. Highest, median and lowest semi-matching score: {'; '.join(described)}."


def means(summary: pd.DataFrame) -> str:
    """Figure 4: mean scores per layer."""
    levels = {"best_chance": "chance", "best_untrained": "untrained"}
    described = []
    for layer, row in summary.iterrows():
        known = [f"{said} {score(row[name])}" for name, said in levels.items() if not np.isnan(row[name])]
        beside = f" ({', '.join(known)})" if known else ""
        described.append(f"{layer} {score(row['best'])}, {score(row['one_to_one'])}{beside}")
    return f"Mean correlation by semi-matching and by one-to-one matching: {'; '.join(described)}."


def activations(units: pd.DataFrame) -> str:
    """Figure S8: range of mean activations per layer."""
    living = units[~units["dead"].astype(bool)]
    ranges = living.groupby("layer", sort=False)["mean"].agg(["max", "min"])
    described = (f"{layer} {high:.3g} to {low:.3g}" for layer, high, low in ranges.itertuples())
    return f"Sorted mean activations, a curve per net. Range over all nets: {'; '.join(described)}."
