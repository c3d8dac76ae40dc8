"""What a study of causes found: whether unique units matter, what matches carry, what combining nets buys."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ..drawing import Drawing
from ..wording import NONE, interval, percent, score
from .cause_combined import combining_section, merging_section
from .cause_figures import MAPS, SETS, curves, forest, recovered
from .cause_words import cells, in_words, signed
from .finding import Findings, Section, Table
from .folder import FamiliesRun

_BY_FAMILY = ("claim", "estimate", "low", "high", "verdict", "family", "key")
_EFFECT = ("loss_change", "loss_difference", "accuracy_change", "accuracy_difference")


def cause_findings(run: FamiliesRun) -> Findings:
    """The page of a study of causes.

    Args:
        run: its folder.
    """
    asked = set(run.study["experiments"])
    by_family = run.table("claims_by_family", *_BY_FAMILY)
    sections = [_claims(by_family, run.families)]
    if "ablation" in asked:
        sections += [_taken_out(run), _curves(run), _carried(run)]
    if "transplant" in asked:
        sections.append(_put_in(run))
    if asked & {"merging", "zipping"}:
        sections += merging_section(run)
    if asked & {"combining", "distilling"}:
        sections += combining_section(run)
    return Findings(
        title="Does the difference matter?", answer=list(in_words(run.claims, by_family)), sections=sections
    )


def _claims(by_family: pd.DataFrame, families: list[str]) -> Section:
    """Every claim in every family."""
    rows = []
    for key, own in by_family.groupby("key", sort=False):
        found = {row["family"]: row for row in own.to_dict("records")}
        rows.append([_SHORT[str(key)], *(_verdict(found, family) for family in families)])
    return Section(
        title="Family by family",
        said=["The same claims, in short, for each family alone: the number that decides, and what it says."],
        table=Table(head=("Claim", *families), rows=rows),
        note="Numbers are those of the table above: nats, or shares. A dash: the family was not asked.",
    )


_SHORT = {
    "less": "unique units matter less than others",
    "help": "unique units help",
    "shared": "shared units matter more than others",
    "shared_more": "shared matter more than unique",
    "carried": "unique units carry differences",
    "one_to_one": "one partner carries most",
    "matching": "matching lowers the barrier",
    "mending": "mending lowers it further",
    "mended_only": "matching helps mended nets",
    "ensemble": "two nets are better than one",
    "unique_worth": "units it lacks are worth more",
    "other_worth": "units of others beat copies",
    "distilled": "one taught by two is better",
}


def _verdict(found: Mapping[Any, Mapping[Any, Any]], family: str) -> str:
    row = found.get(family)
    return NONE if row is None else f"{signed(row['estimate'])} {row['verdict']}"


def _taken_out(run: FamiliesRun) -> Section:
    means = run.table(
        "ablation_means", "family", "layer", "set", "over", "n_units", "mean_r", "n_unique", *_EFFECT
    )
    share = f"{100 * run.study['share']:g} %"
    head = (
        *("Family", "Layer", "Units", "Number", "r", "Loss added", "95 %", "beyond others", "95 %"),
        *("Accuracy, points", "beyond others"),
    )
    rows = [
        [
            str(row["family"]),
            str(row["layer"]),
            str(row["set"]),
            f"{row['n_units']:.0f}",
            score(row["mean_r"]),
            *cells(row, "loss_change"),
            *cells(row, "loss_difference"),
            signed(100 * row["accuracy_change"], digits=1),
            signed(100 * row["accuracy_difference"], digits=1),
        ]
        for row in means.to_dict("records")
    ]
    return Section(
        title="Units taken out",
        said=[
            f"The {share} of the living units of a layer that have the least like them in the other nets of the "
            f"family, and the {share} that have most, each set to its mean; beside them, random sets of as many "
            "units of like variance, outgoing weights and class selectivity. Right of zero, the net misses them.",
            *_replaced(run),
        ],
        drawings=[Drawing("1", "", forest(means), _alt_forest(means))],
        table=Table(head=head, rows=rows, n_words=3),
        note=(
            f"Means over nets, 95 % intervals {means['over'].iloc[0]}. r: mean correlation with the best partner "
            f"in each other net, held out. Beyond others: minus the mean of {run.study['n_sets']} matched sets. "
            "Units are found, matched and averaged on other inputs than those scored."
        ),
    )


def _replaced(run: FamiliesRun) -> Iterator[str]:
    """Whether it matters what is put in the place of units."""
    found = run.table("replaced_means", "family", "layer", "set", "replace_by", "loss_change")
    by = found[found["set"] == "unique"].groupby("replace_by", sort=False)["loss_change"].mean()
    if len(by):
        told = ", ".join(f"{signed(value)} by {_WAYS[str(way)]}" for way, value in by.items())
        yield (
            "Replacing the unique units of the last layer of each family adds to the loss (nats, mean over "
            f"families): {told}."
        )


_WAYS = {"mean": "their means", "zero": "zero", "resample": "their values on other inputs"}


def _alt_forest(means: pd.DataFrame) -> str:
    unique = means[means["set"] == "unique"]
    worst = unique.sort_values("loss_change").iloc[-1]
    return (
        f"Loss added without the most unique and the most shared units in {len(unique)} layers, and how much more "
        f"than without random units like them. Unique units matter most in {worst['family']}, {worst['layer']} "
        f"({signed(worst['loss_change'])} nats)."
    )


def _curves(run: FamiliesRun) -> Section:
    means = run.table("curves_means", "family", "layer", "order", "share", "accuracy", "loss")
    half = means[(means["share"] - 0.5).abs() < 0.1].groupby("order")["accuracy"].mean()
    told = {order: percent(float(half.get(order, float("nan")))) for order in ("unique", "shared", "random")}
    said = (
        f"With half of a layer's units gone, nets still answer {told['unique']} correctly if the most unique went "
        f"first, {told['shared']} if the most shared did, {told['random']} in random order (mean over layers)."
    )
    return Section(
        title="More and more units",
        said=[said],
        drawings=[
            Drawing("2", "", curves(means, "accuracy"), f"Accuracy against the share of units taken out. {said}"),
            Drawing("3", "", curves(means, "loss"), "Loss, on a logarithmic scale, against the same."),
        ],
        note="Means over nets, bands are 95 % intervals. Units are set to their means.",
    )


def _carried(run: FamiliesRun) -> Section:
    found = run.table(
        "carried_means", "family", "layer", "set", "of", "difference", "carried", "carried_by_matched"
    )
    head = ("Family", "Layer", "Units", "Difference", "carried", "95 %", "by others", "95 %")
    rows = [
        [
            str(row["family"]),
            str(row["layer"]),
            str(row["set"]),
            signed(row["difference"]),
            *cells(row, "carried"),
            *cells(row, "carried_by_matched"),
        ]
        for row in found[found["of"] == "loss"].to_dict("records")
    ]
    return Section(
        title="How much of the difference between two nets sits in these units",
        said=[
            "The loss of the worse net minus that of the better one, and how much of it goes away when both lose "
            "their most unique (or most shared) units; beside it, what goes away with random units like them.",
            *_by_class(run),
        ],
        table=Table(head=head, rows=rows, n_words=3),
        note="Nats, means over all pairs of nets of a family; below 0, the difference grows without them.",
    )


def _by_class(run: FamiliesRun) -> Iterator[str]:
    """How unevenly classes are hit."""
    found = run.table("by_class_means", "family", "layer", "set", "label", "loss_change", "matched_loss_change")
    changes = ["loss_change", "matched_loss_change"]
    spread = found.groupby(["family", "layer", "set"], sort=False)[changes].std().groupby("set").mean()
    by = {str(kind): row for kind, row in zip(spread.index, spread.to_dict("records"), strict=True)}
    if set(SETS) <= set(by):
        told = ", ".join(
            f"{signed(by[kind]['loss_change'], plus=False)} without {SETS[kind][0]} "
            f"({signed(by[kind]['matched_loss_change'], plus=False)} without others like them)"
            for kind in SETS
        )
        yield f"Classes are hit unevenly: the loss added scatters over classes by {told}."


def _put_in(run: FamiliesRun) -> Section:
    means = run.table(
        "transplant_means", "family", "layer", "units_are", "loss_recovered", "same_choice", "accuracy_change"
    )
    known = means[means["units_are"].isin(list(MAPS))]
    head = ("Family", "Layer", *(f"{name}{more}" for name, _ in MAPS.values() for more in ("", ", 95 %")))
    rows = []
    for (family, layer), own in known.groupby(["family", "layer"], sort=False):
        by = {row["units_are"]: row for row in own.to_dict("records")}
        rows.append([str(family), str(layer), *(text for kind in MAPS for text in _recovered(by[kind]))])
    average = known.groupby("units_are")["loss_recovered"].mean()
    told = ", ".join(f"{percent(float(average[kind]))} by {name}" for kind, (name, _) in MAPS.items())
    return Section(
        title="What a match carries",
        said=[
            "All units of a layer are replaced by images of the other net's units on the same input. Of the loss "
            f"that the layer's means would add, images give back {told} (mean over layers).",
            *_disagreement(run),
        ],
        drawings=[Drawing("4", "", recovered(means), f"Loss recovered by images of another net's units: {told}.")],
        table=Table(head=head, rows=rows, n_words=2),
        note=(
            "1: as good as the units themselves; 0: no better than their means; below 0: images mislead. "
            "Whiskers: 95 % intervals over nets (over inputs where a family has fewer than three)."
        ),
    )


def _recovered(row: Mapping[Any, Any]) -> tuple[str, str]:
    return score(row["loss_recovered"]), interval(row["loss_recovered_low"], row["loss_recovered_high"])


def _disagreement(run: FamiliesRun) -> Iterator[str]:
    found = run.table("disagreement_means", "family", "layer", "group", "to_b", "lost", "margin_change")
    groups = found.groupby("group", sort=False)[["to_b", "margin_change"]].mean()
    if {"unique", "shared", "random", "all"} <= set(groups.index):
        to_b = {str(group): percent(float(share)) for group, share in groups["to_b"].items()}
        yield (
            f"Where two nets disagree, images of all units turn the first net's choice into the second's in "
            f"{to_b['all']} of the cases, those of its most unique units alone in {to_b['unique']}, of its most "
            f"shared in {to_b['shared']}, of as many random ones in {to_b['random']}."
        )
