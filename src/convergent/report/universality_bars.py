"""How many units are found by all nets, by some, by one alone: beside the same counts in a rotated basis."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .._typing import Array
from .style import BLUE, ORANGE, PAGE_INCHES, SKY, shorten, styled

_SHARES = ("all", "some", "alone", "dead")
_COLOURS = {"all": BLUE, "some": SKY, "alone": ORANGE, "dead": "#CCCCCC"}
_INK = {"all": "white", "some": "black", "alone": "black", "dead": "black"}
_ROW_INCHES, _BAR_INCHES, _DIGIT_INCHES = 0.36, 5.5, 0.075


def found_by(universality: pd.DataFrame) -> pd.DataFrame:
    """Counts of units per layer, and of directions of the rotated basis.

    Args:
        universality: one row a layer and number of nets, as in `tables/universality.parquet`.

    Returns:
        Index layer; columns n_nets (how many nets there are), all, some, alone, dead, and all_rotated,
        some_rotated, alone_rotated; NaN where the table has NaN.
    """
    rows = {}
    for layer, counts in universality.groupby("layer", sort=False):
        n_nets = counts["n_nets"].max()
        parts = {"all": counts["n_nets"] == n_nets, "alone": counts["n_nets"] == 1}
        parts["some"] = ~(parts["all"] | parts["alone"])
        rows[layer] = {"n_nets": int(n_nets), "dead": counts["n_dead"].max()} | {
            f"{name}{suffix}": counts.loc[part, column].sum(skipna=False)
            for name, part in parts.items()
            for suffix, column in (("", "n_units"), ("_rotated", "rotated"))
        }
    columns = ["n_nets", "dead", *(f"{name}{suffix}" for name in _SHARES[:3] for suffix in ("", "_rotated"))]
    return pd.DataFrame.from_dict(rows, orient="index", columns=None if rows else columns).rename_axis("layer")


@styled
def universality_bars(universality: pd.DataFrame) -> Figure:
    """Shares of the units of each layer that all nets have, some have, or one net has alone.

    Args:
        universality: as for `found_by`.

    Returns:
        A bar a layer with counts of units where they fit; the thin bar beneath is the rotated basis, in the same
        colours.
    """
    counts = found_by(universality)
    names = [shorten(str(layer), 20) for layer in counts.index]
    figure = Figure(figsize=(PAGE_INCHES, 0.85 + _ROW_INCHES * max(1, len(names))), layout="constrained")
    panel, y = figure.subplots(), np.arange(len(names))
    _stack(panel, counts, y - 0.12, height=0.5)
    _stack(panel, counts, y + 0.25, height=0.16, suffix="_rotated")
    panel.set_yticks(y, names)
    panel.set(xlim=(0, 1), ylim=(max(1, len(names)) - 0.45, -0.55), xlabel="share of the units of all nets")
    panel.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0)
    figure.legend(handles=_legend(counts), loc="outside upper left", ncols=5)
    return figure


def _stack(panel: Axes, counts: pd.DataFrame, y: Array, *, height: float, suffix: str = "") -> None:
    whole = counts[list(_SHARES)].sum(axis=1).to_numpy(dtype=float)
    left = np.zeros(len(counts))
    for name in _SHARES:
        if (column := f"{name}{suffix}") not in counts:
            continue
        n = np.nan_to_num(counts[column].to_numpy(dtype=float))
        share = np.divide(n, whole, out=np.zeros(len(n)), where=whole > 0)
        panel.barh(y, share, left=left, height=height, color=_COLOURS[name], linewidth=0)
        for place, start, part, units in zip(y, left, share, n, strict=True):
            if not suffix and part * _BAR_INCHES > _DIGIT_INCHES * (len(f"{units:.0f}") + 0.5):
                look: dict[str, Any] = {
                    "ha": "center",
                    "va": "center_baseline",
                    "fontsize": 7,
                    "color": _INK[name],
                }
                panel.text(start + part / 2, place, f"{units:.0f}", **look)
        left = left + share


def _legend(counts: pd.DataFrame) -> list[Patch]:
    numbers = counts["n_nets"].unique()
    said = {
        "all": f"all {numbers[0]} nets" if len(numbers) == 1 else "all nets",
        "some": "some",
        "alone": "one net alone",
        "dead": "dead",
    }
    handles = [Patch(color=_COLOURS[name], label=said[name]) for name in _SHARES if (counts[name] > 0).any()]
    return [*handles, Patch(facecolor="none", edgecolor="none", label="thin: rotated basis")]
