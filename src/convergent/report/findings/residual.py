"""What a study of the inside of nets found: what stays the same along a stream, and what changes where."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..drawing import Drawing
from ..wording import NONE, interval, percent, score
from .finding import Findings, Section, Table
from .folder import FamiliesRun
from .residual_figures import LayerPanel, against_lag, layers_with_layers, steps_along

_KIND = ("family", "trained")
_ALL = -1
Means = Mapping[tuple[str, bool], Mapping[Any, Any]]
_SIDES = ("a", "b", "kind_a", "kind_b", "n_units_a", "n_units_b")
_MATRIX = ("net", *_KIND, *_SIDES, "cka", "one_to_one_r")


def residual_findings(run: FamiliesRun) -> Findings:
    """The page of a study of the inside of nets.

    Args:
        run: its folder.
    """
    numbers = run.table("numbers", "net", *_KIND, "left_out", "share", "chance", "rotated_share", "cka_sums")
    means = _means(numbers[numbers["left_out"] == _ALL])
    lags = run.table("family_lags", *_KIND, "stage", "lag", "self_r", "share", "rotated_share", "chance")
    lives = run.table("family_half_lives", *_KIND, "stage", "half_life", "low", "high", "more_than", "rotated")
    steps = run.table("family_steps", *_KIND, "step", "a", "b", "across", "cka", "cka_low", "cka_high")
    widths = run.table("half_lives", "net", "family", "stage", "n_units", "n_layers")
    matrix = run.table("layer_matrix", *_MATRIX)
    first = run.families[0]
    return Findings(
        title="Inside one residual net",
        answer=[
            *_shares(means, run.families),
            *_lives_in_words(lives, widths, first),
            *_largest_step(steps, first),
        ],
        sections=[
            _units(lags, lives, widths, first),
            _steps(steps, first),
            _layers(matrix, means, run.families),
        ],
    )


def _means(numbers: pd.DataFrame) -> Means:
    """Of the nets of each kind, by family and whether they are trained."""
    grouped = numbers.groupby(list(_KIND), sort=False).mean(numeric_only=True)
    rows = grouped.reset_index().to_dict("records")
    return {(str(row["family"]), bool(row["trained"])): row for row in rows}


def _shares(means: Means, families: Sequence[str]) -> Iterator[str]:
    first, *controls = families
    own = means[first, True]
    untrained = ""
    if (first, False) in means:
        untrained = f", {percent(means[first, False]['share'])} before training"
    yield (
        f"In {first}, {percent(own['share'])} of the units are their own best partner one block later "
        f"(chance {percent(own['chance'])}{untrained}); of the directions of a rotated basis, "
        f"{percent(own['rotated_share'])}."
    )
    for control in controls:
        yield f"In {control} it is {percent(means[control, True]['share'])}."


def _lives_in_words(lives: pd.DataFrame, widths: pd.DataFrame, first: str) -> Iterator[str]:
    names = _stage_names(widths, first)
    said = []
    for trained in (True, False):
        own = _of(lives, first, trained=trained)
        if len(own):
            each = [f"{_life(row)} ({names[row['stage']]})" for row in own.to_dict("records")]
            said.append(f"{'' if trained else 'before training '}{', '.join(each)}")
    yield f"The half-life of a unit of {first}, in blocks and stage by stage, is {'; '.join(said)}."


def _life(row: Mapping[Any, Any]) -> str:
    """A half-life in blocks."""
    if not np.isnan(row["half_life"]):
        return f"{row['half_life']:.1f}"
    return NONE if np.isnan(row["more_than"]) else f"more than {row['more_than']:.0f}"


def _largest_step(steps: pd.DataFrame, first: str) -> Iterator[str]:
    own = _of(steps, first, trained=True).dropna(subset=["cka"])
    if len(own):
        least = own.sort_values("cka").iloc[0]
        where = "where the width changes" if least["across"] else "within a stage"
        yield f"Layers change most from {least['a']} to {least['b']}, {where} (CKA {score(least['cka'])})."


def _of(table: pd.DataFrame, family: str, *, trained: bool) -> pd.DataFrame:
    return table[(table["family"] == family) & (table["trained"] == trained)]


def _stage_names(widths: pd.DataFrame, family: str) -> dict[int, str]:
    """Stages that have more than one layer, by their units; with their number too, where units are not enough."""
    own = widths[widths["family"] == family].drop_duplicates("stage").sort_values("stage")
    units = own["n_units"].tolist()
    return {
        int(row["stage"]): f"{row['n_units']} units"
        if units.count(row["n_units"]) == 1
        else f"{row['n_units']} units ({int(row['stage']) + 1})"
        for row in own.to_dict("records")
    }


def _units(lags: pd.DataFrame, lives: pd.DataFrame, widths: pd.DataFrame, first: str) -> Section:
    names = _stage_names(widths, first)
    shown = sorted(_of(lags, first, trained=True)["stage"].unique())
    number = {stage: place for place, stage in enumerate(shown)}
    drawn = lags[lags["stage"].isin(shown)].assign(stage=lambda table: table["stage"].map(number))
    head = (
        "Family",
        "Trained",
        "Stage",
        "Half-life",
        "95 %",
        "rotated",
        "r, next",
        "Share, next",
        "rotated",
        "chance",
    )
    return Section(
        title="Units against lag",
        said=[
            "Layers of one width in a row are a stage and share a basis: unit i of a sum is unit i of the next. "
            "Above, its correlation with itself some blocks later; where that is .5 (dotted), half of it is left. "
            "Beneath, the share of units whose best partner there is themselves. A stream passes on directions, "
            "not only units: in a basis that is rotated, the same way in all layers, the same is asked of them."
        ],
        drawings=[Drawing("1", "", against_lag(drawn, [names[stage] for stage in shown]), _alt_lags(lags, names))],
        table=Table(head, [_life_row(row, lags, names) for row in lives.to_dict("records")], n_words=3),
        note=(
            "Half-lives in blocks, of the mean curve of the nets; layers without a common basis have .5, for r "
            "falls from 1 to 0 within the first block. Whiskers and intervals: 95 % over nets, of three or more. "
            "Chance of a share: 1 / living units."
        ),
    )


def _life_row(row: Mapping[Any, Any], lags: pd.DataFrame, names: Mapping[int, str]) -> list[str]:
    own = _of(lags, row["family"], trained=row["trained"])
    near = own[(own["stage"] == row["stage"]) & (own["lag"] == 1)].iloc[0]
    ends = NONE if np.isnan(row["low"]) else f"{row['low']:.2f} to {row['high']:.2f}"
    rotated = NONE if np.isnan(row["rotated"]) else f"{row['rotated']:.2f}"
    life = f"{row['half_life']:.2f}" if not np.isnan(row["half_life"]) else _life(row)
    return [
        str(row["family"]),
        "yes" if row["trained"] else "no",
        names.get(row["stage"], str(row["stage"] + 1)),
        *(life, ends, rotated),
        *(score(near["self_r"]), percent(near["share"]), percent(near["rotated_share"]), percent(near["chance"])),
    ]


def _alt_lags(lags: pd.DataFrame, names: Mapping[int, str]) -> str:
    said = []
    for _, own in lags.groupby([*_KIND, "stage"], sort=False):
        first = own.to_dict("records")[0]
        kind = "" if first["trained"] else " untrained"
        where = names.get(first["stage"], str(first["stage"] + 1))
        said.append(f"{first['family']}{kind}, {where}: r {', '.join(map(score, own['self_r']))}")
    return f"What is left of a unit after one block, two, and so on. {'; '.join(said)}."


def _steps(steps: pd.DataFrame, first: str) -> Section:
    kinds = list(dict.fromkeys(zip(steps["family"], steps["trained"], strict=True)))
    own = _of(steps, first, trained=True).sort_values("step")
    rows = []
    for row in own.to_dict("records"):
        cells = [str(row["a"]), str(row["b"]), "yes" if row["across"] else ""]
        for family, trained in kinds:
            there = _of(steps, family, trained=trained)
            there = there[there["step"] == row["step"]]
            cells.append(score(there["cka"].iloc[0]) if len(there) else NONE)
            if (family, trained) == (first, True):
                cells.append(interval(row["cka_low"], row["cka_high"]))
        rows.append(cells)
    named = [name for kind in kinds for name in _columns(kind, first)]
    return Section(
        title="Steps along depth",
        said=[
            "Linear CKA of each layer with the next, which needs no common basis, so that a boundary of stages "
            "(shaded), where width and size of the maps change, stands beside the steps around it."
        ],
        drawings=[Drawing("2", "", steps_along(steps), "CKA of each layer with the next; see the table beneath.")],
        table=Table(("Layer", "Next", "Boundary", *named), rows, n_words=3),
        note=(
            "Debiased: 0 by chance. At a boundary maps shrink: where the places that are compared do not lie "
            "above each other, part of the fall is that, and view: {locations: mean} is free of it."
        ),
    )


def _columns(kind: tuple[str, bool], first: str) -> list[str]:
    family, trained = kind
    return [family if trained else f"{family} untrained"] + (["95 %"] if kind == (first, True) else [])


def _layers(matrix: pd.DataFrame, means: Means, families: Sequence[str]) -> Section:
    first = families[0]
    branches = set(matrix.loc[(matrix["family"] == first) & (matrix["kind_a"] == "branch"), "a"])
    said = (
        "Every layer with every layer of the same net, from the input (top, left) to the output: above CKA, below "
        "the mean correlation of one-to-one partners, chosen on one half of the inputs and scored on the other. "
        "Lines are boundaries of stages, which are named by their units."
    )
    more = " Branches are what blocks add to the stream; where two kinds meet, sums are rows." if branches else ""
    head = ("Family", "Trained", "Neighbouring sums, CKA", "Neighbouring branches, CKA")
    rows = [
        [family, "yes" if trained else "no", score(row["cka_sums"]), score(row["cka_branches"])]
        for (family, trained), row in means.items()
    ]
    figure = layers_with_layers(_panels(matrix, families))
    return Section(
        title="Layers with layers",
        said=[said + more],
        drawings=[Drawing("3", "", figure, "Similarity of every layer with every layer of one net.")],
        table=Table(head, rows, n_words=2),
        note="Means over nets. Both measures are 0 by chance.",
    )


def _panels(matrix: pd.DataFrame, families: Sequence[str]) -> list[LayerPanel]:
    """The sums of the first family, its branches, both; its untrained nets; the controls."""
    first, *controls = families
    wanted = [
        (first, True, "sum", "sum", first),
        (first, True, "branch", "branch", "branches"),
        (first, True, "sum", "branch", "sums, branches"),
        (first, False, "sum", "sum", "untrained"),
        *((control, True, "sum", "sum", control) for control in controls[:2]),
    ]
    panels = []
    for family, trained, kind_a, kind_b, title in wanted:
        rows = _of(matrix, family, trained=trained)
        rows = rows[(rows["kind_a"] == kind_a) & (rows["kind_b"] == kind_b)]
        if len(rows):
            panels.append(_panel(title, rows))
    return panels


def _panel(title: str, rows: pd.DataFrame) -> LayerPanel:
    widths = [rows.drop_duplicates(side)[f"n_units_{side}"].to_numpy() for side in ("a", "b")]
    boundaries = [(np.flatnonzero(np.diff(own)) + 1).tolist() for own in widths]
    names = [[str(own[first]) for first in (0, *ends)] for own, ends in zip(widths, boundaries, strict=True)]
    return LayerPanel(title, rows, boundaries[0], boundaries[1], names[0], names[1])
