"""What a study of depth found: which family agrees most, where, and whether depths correspond."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ..drawing import Drawing
from ..wording import NONE, count, interval, score
from .depth_figures import COMPARED, LEVELS, against_depth, by_layer, families_compared, families_matrix
from .finding import Findings, Section, Table
from .folder import FamiliesRun

_UNITS = "one_to_one_at_width"
_CONVERGENCE = ("family", "layer", "depth", "measure", "value", "low", "high", "chance", "untrained")
_MATRIX = ("family_a", "layer_a", "family_b", "layer_b")


def depth_findings(run: FamiliesRun) -> Findings:
    """The page of a study of depth.

    Args:
        run: its folder.
    """
    convergence = run.table("convergence", *_CONVERGENCE)
    families = run.table("families", "family", "n_weight_layers", "n_parameters", "accuracy")
    means = run.table("means", "family", "measure", "trained", "value", "low", "high")
    across = run.table("across", *_MATRIX, "r", "chance") if len(run.families) > 1 else None
    return Findings(
        title="Do deeper nets agree less?",
        answer=[*_order_of_families(means), *_ends_of_layers(convergence)],
        sections=[
            _along(convergence, run.study),
            _compared(families, means),
            _by_layer(convergence),
            _matrices(run.table("layer_matrix", *_MATRIX, "cka"), across),
        ],
    )


def _order_of_families(means: pd.DataFrame) -> Iterator[str]:
    for measure, said in (
        ("one_to_one", "Unit by unit, nets of one family from other seeds agree"),
        (_UNITS, "With as many units drawn from each layer they agree"),
        ("cka", "As whole layers they agree"),
    ):
        own = means[(means["measure"] == measure) & means["trained"]].dropna(subset=["value"])
        ordered = own.sort_values("value", ascending=False).to_dict("records")
        told = [f"{score(row['value'])} in {row['family']}" for row in ordered]
        if told:
            yield f"{said} at {', '.join(told)}."


def _ends_of_layers(convergence: pd.DataFrame) -> Iterator[str]:
    rows = convergence[convergence["measure"] == _UNITS].dropna(subset=["value"])
    for family, own in rows.groupby("family", sort=False):
        first, last = own.iloc[0], own.iloc[-1]
        least = own.sort_values("value").iloc[0]
        yield (
            f"In {family}, units agree at {score(first['value'])} in {first['layer']}, least in {least['layer']} "
            f"({score(least['value'])}), and at {score(last['value'])} in {last['layer']}."
        )


def _along(convergence: pd.DataFrame, study: Mapping[str, Any]) -> Section:
    return Section(
        title="Agreement against depth",
        said=[
            "Nets of one family, trained from other seeds, layer by layer. "
            f"Left, {study['width']} units of each layer are drawn at random on both sides, so that a wide layer "
            "has no more candidates than a narrow one, and matched one to one; their correlation is on inputs "
            "that had no say in the matching. Right, whole layers, which need no units to correspond. Dashed is "
            "what nets of the same family have in common before training."
        ],
        drawings=[Drawing("1", "", against_depth(convergence), _alt_along(convergence))],
        note=(
            "Relative depth: 0 is the first of the chosen layers, 1 the last. Whiskers: 95 % interval over nets, "
            "leaving out one net at a time with all its pairs. Layers with fewer living units than are drawn are "
            "left out on the left."
        ),
    )


def _alt_along(convergence: pd.DataFrame) -> str:
    said = []
    for measure, title in LEVELS.items():
        rows = convergence[convergence["measure"] == measure].dropna(subset=["value"])
        lines = (f"{family} {', '.join(map(score, own['value']))}" for family, own in rows.groupby("family"))
        said.append(f"{title}: {'; '.join(lines)}")
    return f"Agreement from the first layer to the last. {'. '.join(said)}."


def _compared(families: pd.DataFrame, means: pd.DataFrame) -> Section:
    ordered = families.sort_values("n_weight_layers", kind="stable")
    figure = families_compared(means, list(ordered["family"]))
    head = ("Family", "Weight layers", "Parameters", "Accuracy")
    return Section(
        title="Families compared",
        said=[
            "The mean over layers of what is above chance, families ordered from the shallowest to the deepest. "
            "Open marks are untrained nets."
        ],
        drawings=[Drawing("2", "", figure, "Mean agreement of each family; see the table beneath.")],
        table=Table(
            (*head, *(name for title in COMPARED.values() for name in (title.capitalize(), "95 %", "untrained"))),
            [_family_row(row, means) for row in ordered.to_dict("records")],
        ),
        note=(
            "One-to-one r, held out, and CKA: 0 is chance, 1 is the same. Intervals over nets. All units favour "
            "wide layers, which offer more near partners. Equal width favours narrow ones: of few units drawn on "
            "both sides, a unit's partner is often not among them, the more often the wider the layer. What holds "
            "in both does not hang on width."
        ),
    )


def _family_row(row: Mapping[Any, Any], means: pd.DataFrame) -> list[str]:
    accuracy = NONE if pd.isna(row["accuracy"]) else f"{100 * row['accuracy']:.1f} %"
    cells = [str(row["family"]), str(row["n_weight_layers"]), count(row["n_parameters"]), accuracy]
    for measure in COMPARED:
        own = means[(means["family"] == row["family"]) & (means["measure"] == measure)].set_index("trained")
        known = {bool(trained): one for trained, one in own.to_dict("index").items()}
        trained = known.get(True, {"value": float("nan"), "low": float("nan"), "high": float("nan")})
        cells += [score(trained["value"]), interval(trained["low"], trained["high"])]
        cells.append(score(known[False]["value"]) if False in known else NONE)
    return cells


def _by_layer(convergence: pd.DataFrame) -> Section:
    keys = ["family", "layer"]
    wide = convergence.pivot_table(index=keys, columns="measure", values="value", sort=False)
    units = convergence[convergence["measure"] == "one_to_one"].set_index(keys)
    table = wide.reindex(columns=["best", "one_to_one", _UNITS, "cka"]).join(units[["untrained", "chance"]])
    rows = [[*map(str, key), *map(score, row)] for key, row in zip(table.index, table.to_numpy(), strict=True)]
    head = ("Family", "Layer", "Best", "One to one", "Equal width", "CKA", "One to one untrained", "by chance")
    return Section(
        title="Layer by layer",
        said=["Every score of every layer, the mean over pairs of nets of one family."],
        drawings=[Drawing("3", "", by_layer(convergence), "Scores layer by layer; see the table beneath.")],
        table=Table(head, rows, n_words=2),
        note=(
            "Best and one to one: held-out mean r of all units; a wide layer offers more near partners, hence "
            "equal width. By chance: one to one, with the inputs of one net rolled."
        ),
    )


def _matrices(matrix: pd.DataFrame, across: pd.DataFrame | None) -> Section:
    return Section(
        title="Layers of all families",
        said=[
            "Every layer with every layer, from the input (top, left) to the output. In blue CKA of flattened "
            "features, the mean over all pairs of nets; on the diagonal, nets of one family. In green, beneath "
            "the diagonal, how well units of one family have one-to-one partners in the other: the first net of "
            "each, the mean over locations of each unit, held out."
        ],
        drawings=[
            Drawing("4", "", families_matrix(matrix, across), "Similarity of every layer with every layer.")
        ],
    )
