"""What the figures of whole layers show, in words."""

from collections.abc import Sequence

import pandas as pd

from .ladder_chart import RUNG_NAMES, rungs_of
from .layer_matrices import LayerMatrix
from .universality_bars import found_by
from .wording import score


def ladder(rungs: pd.DataFrame) -> str:
    """Figure L: held-out R2 of every rung per layer."""
    named = ", ".join(RUNG_NAMES.get(rung, rung) for rung in rungs_of(rungs))
    described = (
        f"{layer} "
        + ", ".join(
            score(float(value)) for value in rows.set_index("rung")["r2_held_out"].reindex(rungs_of(rungs))
        )
        for layer, rows in rungs.groupby("layer", sort=False)
    )
    return f"R² on held-out inputs by {named}: {'; '.join(described)}."


def matrices(shown: Sequence[LayerMatrix]) -> str:
    """Figure C: of each matrix the partner layer of every row."""
    described = []
    for one in shown:
        partners = (
            f"{layer} {one.layers_b[j]} {score(float(one.values[i, j]))}"
            for i, (layer, j) in enumerate(zip(one.layers_a, one.partners, strict=True))
            if j is not None
        )
        nets = f"{one.a} with {'itself' if one.a == one.b else one.b}"
        described.append(nets if one.a == one.b else f"{nets}: {', '.join(partners)}")
    return f"Similarity (CKA) of every layer with every layer, and the most similar one. {'; '.join(described)}."


def universality(table: pd.DataFrame) -> str:
    """Figure U: counts per layer, and those of the rotated basis."""
    described = (
        f"{layer} {row['all']:.0f}, {row['some']:.0f}, {row['alone']:.0f}, {row['dead']:.0f} "
        f"(rotated {row['all_rotated']:.0f}, {row['some_rotated']:.0f}, {row['alone_rotated']:.0f})"
        for layer, row in found_by(table).iterrows()
    )
    return f"Units that all nets have, some have, one net has alone, and dead ones: {'; '.join(described)}."
