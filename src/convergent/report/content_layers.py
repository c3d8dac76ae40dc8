"""What the page says of whole layers: the ladder, their similarity, and units that all nets have."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .ladder_chart import SHARED
from .layer_matrices import LayerMatrix
from .run_folder import Run
from .universality_bars import found_by
from .wording import NONE, count, percent, plural, plus_minus, score

_MEASURES = {"cka_debiased": "CKA, debiased", "cka_biased": "CKA, biased"}
_DIMENSION = "effective_dimension"
_SHORT = ("cca", "svcca", "pwcca", "cka")
_MOST_NAMED = 3


def of_layers(run: Run) -> dict[str, Any]:
    """What the template asks for about the figures L, C and U: sentences and rows; empty where a table is missing.

    Args:
        run: what the folder holds.
    """
    ladder = first_ladder(run)
    universality = None if run.universality is None or run.universality.empty else found_by(run.universality)
    matrices = first_matrices(run)
    return {
        "ladder_said": [] if ladder is None else list(ladder_said(ladder)),
        "ladder": [] if ladder is None else list(_ladder_rows(ladder)),
        "matrices_said": list(matrices_said(matrices)),
        **_similarity(run),
        "universality_said": [] if universality is None else list(universality_said(universality)),
        "universality": [] if universality is None else list(_universality_rows(universality)),
    }


def first_ladder(run: Run) -> pd.DataFrame | None:
    """The ladder of the first pair of nets, or None where there is none."""
    found = None if run.ladder is None else run.of_first_pair(run.ladder)
    return None if found is None or found.empty else found


def first_matrices(run: Run) -> list[LayerMatrix]:
    """Layers of the first net with themselves and with those of the second; and of two untrained nets."""
    if run.layer_matrix is None:
        return []
    a, b = run.first_pair
    wanted = [(a, a, ""), (a, b, "")]
    if len(run.untrained) > 1:
        wanted.append((run.untrained[0], run.untrained[1], "untrained nets"))
    found = [LayerMatrix.of(run.layer_matrix, one, other, title=title) for one, other, title in wanted]
    return [matrix for matrix in found if matrix is not None]


def ladder_said(ladder: pd.DataFrame) -> Iterator[str]:
    """What the ladder comes to: shares of the linear map, and where the numbers must be doubted.

    Args:
        ladder: one row a layer and rung, of one pair of nets.
    """
    held_out, share, low, chance = (
        _by_rung(ladder, column) for column in ("r2_held_out", "share_of_linear", "r2_low", "chance_r2")
    )
    linear = _span(held_out["ridge"], score)
    permutation, rotation = (_span(share[rung], _unbroken) for rung in SHARED)
    yield (
        f"On held-out inputs, any linear map explains {linear} of the variance; of that, a permutation of units "
        f"explains {permutation}, and a rotation {rotation}."
    )
    if doubted := _named(low["permutation"] <= chance["permutation"]):
        yield f"The permutation is not clear of chance in {doubted}."
    if overtaken := _named(held_out["ridge"] < held_out["orthogonal"]):
        yield f"In {overtaken}, a rotation does better than any linear map, which these inputs do not pin down."


def _by_rung(ladder: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows are layers, columns rungs; those of the page are there even where the table lacks them."""
    known = ladder.drop_duplicates(["layer", "rung"]).pivot(index="layer", columns="rung", values=column)
    rungs = [*SHARED, "ridge"]
    return known.reindex(index=ladder["layer"].unique(), columns=rungs).astype(float)


def _span(values: pd.Series, told: Callable[[float], str]) -> str:
    """From the smallest to the largest with their layers; one number where they read alike."""
    known = values.dropna()
    if known.empty:
        return "an unknown part"
    low, high = told(float(known.min())), told(float(known.max()))
    return low if low == high else f"{low} ({known.idxmin()}) to {high} ({known.idxmax()})"


def _unbroken(share: float) -> str:
    """A share that no line ends within."""
    return percent(share).replace(" ", "\N{NO-BREAK SPACE}")


def _named(chosen: pd.Series) -> str:
    """The layers that are chosen: the first few by name."""
    names = [str(layer) for layer in chosen.index[chosen.to_numpy(dtype=bool)]]
    if len(names) == len(chosen) > 1:
        return "every layer"
    rest = len(names) - _MOST_NAMED
    if rest > 1:
        return f"{', '.join(names[:_MOST_NAMED])} and {rest} more layers"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _ladder_rows(ladder: pd.DataFrame) -> Iterator[dict[str, Any]]:
    columns = ("r2_held_out", "r2_low", "r2_high", "chance_r2", "share_of_linear")
    tables = {column: _by_rung(ladder, column) for column in columns}
    for layer in ladder["layer"].unique():
        rungs = []
        for rung in (*SHARED, "ridge"):
            r2, low, high, chance, share = (float(tables[column].loc[layer, rung]) for column in columns)
            told = {"r2": score(r2), "margin": plus_minus((high - low) / 2), "chance": score(chance)}
            rungs.append(told | {"share": percent(share)})
        yield {"layer": str(layer), "rungs": rungs}


def matrices_said(matrices: Sequence[LayerMatrix]) -> Iterator[str]:
    """Whether layers are most like those of the same name in another net.

    Args:
        matrices: those that are drawn; the ones of two nets are told.
    """
    for matrix in matrices:
        shared = [
            (layer, i, j)
            for i, (layer, j) in enumerate(zip(matrix.layers_a, matrix.partners, strict=True))
            if j is not None and layer in matrix.layers_b
        ]
        if shared and matrix.a != matrix.b:
            yield _partners_said(matrix, shared)


def _partners_said(matrix: LayerMatrix, shared: Sequence[tuple[str, int, int]]) -> str:
    """Of layers (name, row, most similar column) that both nets have."""
    columns = {layer: j for j, layer in enumerate(matrix.layers_b)}
    same = pd.Series({layer: matrix.values[i, columns[layer]] for layer, i, _ in shared})
    others = [
        f"{layer} is most like {matrix.layers_b[j]} ({score(matrix.values[i, j])}, itself {score(same[layer])})"
        for layer, i, j in shared
        if columns[layer] != j
    ]
    n_same = len(shared) - len(others)
    counted = f"Of {plural(len(shared), 'layer')} of {matrix.a}, {n_same} {'is' if n_same == 1 else 'are'}"
    more = ", and so on" if len(others) > _MOST_NAMED else ""
    named = f"; {', '.join(others[:_MOST_NAMED])}{more}" if others else ""
    return (
        f"{counted} most like the layer of the same name in {matrix.b}, at a CKA of {_span(same, score)}{named}."
    )


def _similarity(run: Run) -> dict[str, Any]:
    """The measures of layers as wholes: their names, and rows of trained and of untrained nets."""
    if run.similarity is None:
        return {"measures": [], "similarity": [], "similarity_untrained": [], "has_dimension": False}
    measures = [str(measure) for measure in run.similarity["measure"].unique() if measure != _DIMENSION]
    return {
        "measures": [_measure_name(measure) for measure in measures],
        "similarity": _similarity_rows(run.similarity, measures, among=run.nets),
        "similarity_untrained": _similarity_rows(run.similarity, measures, among=run.untrained),
        "has_dimension": bool((run.similarity["measure"] == _DIMENSION).any()),
    }


def _measure_name(measure: str) -> str:
    first, *others = measure.split("_")
    return _MEASURES.get(measure, " ".join([first.upper() if first in _SHORT else first.capitalize(), *others]))


def _similarity_rows(
    similarity: pd.DataFrame, measures: Sequence[str], *, among: Sequence[str]
) -> list[dict[str, Any]]:
    """Per layer, of every measure the mean over the pairs of these nets and its chance level."""
    rows = similarity[similarity["net_a"].isin(among) & similarity["net_b"].isin(among)]
    layers = rows["layer"].unique()
    means = rows.groupby(["layer", "measure"], sort=False)[["value", "chance"]].mean().astype(float)
    means = means.reindex(pd.MultiIndex.from_product([layers, [*measures, _DIMENSION]]))
    found = []
    for layer in layers:
        *values, (dimension, _) = means.loc[layer].to_numpy().tolist()
        cells = [{"value": score(value), "chance": score(chance)} for value, chance in values]
        told = NONE if np.isnan(dimension) else f"{dimension:.1f}"
        found.append({"layer": str(layer), "values": cells, "dimension": told})
    return found


def universality_said(counts: pd.DataFrame) -> Iterator[str]:
    """How many units all nets have, and how many directions of a rotated basis.

    Args:
        counts: what `found_by` returns.
    """
    shares, rotated = _share(counts, ""), _share(counts, "_rotated")
    nets = f"all {counts['n_nets'].iloc[0]} nets" if counts["n_nets"].nunique() == 1 else "all nets"
    beside = f"; of as many rotated directions, {_span(rotated, _unbroken)}" if rotated.notna().any() else ""
    yield f"Of the living units, {_span(shares, _unbroken)} are found in {nets}{beside}."
    if plain := _named(shares <= rotated):
        yield f"In {plain}, rotated directions are found in all nets as often as units: no sign of special axes."


def _share(counts: pd.DataFrame, suffix: str) -> pd.Series:
    living = counts[["all", "some", "alone"]].sum(axis=1).astype(float)
    return counts[f"all{suffix}"] / living.where(living > 0, np.nan)


def _universality_rows(counts: pd.DataFrame) -> Iterator[dict[str, str]]:
    for layer, row in counts.iterrows():
        names = [name for name in counts.columns if name != "n_nets"]
        yield {"layer": str(layer)} | {
            name: NONE if np.isnan(row[name]) else count(round(row[name])) for name in names
        }
