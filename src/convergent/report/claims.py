"""The claims of Li et al. (2016), put to the test on a run, and its numbers beside theirs."""

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from ..measures import sparse_map
from . import published
from .reproduction import Claim, Row, Verdict
from .run_folder import Run
from .summaries import information_agreement, layer_summary
from .wording import NONE, percent, score

_NAMED = re.compile(r"(?:.*\W)?(?P<kind>conv|relu)_?(?P<number>[1-5])").fullmatch
_CONV1 = "conv1"
_SAME = 0.75  # of the variance: an angle of 30 degrees between two directions


def run_claims(run: Run) -> list[Claim]:
    """Every claim that the tables of a run can decide; those they cannot are "cannot tell".

    Layers are recognised by their names: `conv1` or `relu1` to `conv5` or `relu5`.
    """
    layers = paper_layers(run)
    return [claim(run, layers) for claim in _CLAIMS]


def run_rows(run: Run) -> Iterator[Row]:
    """The published numbers of each layer beside those of the run, in the first pair's direction."""
    summary = layer_summary(run.matches, run.units)
    for paper, layer in paper_layers(run).items():
        theirs, section = published.MATCHING[paper], f"{layer}, beside {paper} of the paper"
        ours = summary.loc[[layer]].to_dict("records")[0]
        note = "other nets, other images: compare the pattern over layers, not the level"
        yield Row(section, "mean r, semi-matching", theirs.best, ours["best"], note)
        yield Row(section, "mean r, semi-matching, held out", None, ours["best_held_out"])
        yield Row(section, "mean r, semi-matching, untrained nets", None, ours["best_untrained"])
        yield Row(section, "mean r, one-to-one matching", theirs.one_to_one, ours["one_to_one"])
        yield Row(section, "share with the same partner under both", theirs.overlap, ours["overlap"])
        yield Row(section, "share without a partner of r of at least .5", theirs.alone, ours["alone"])
        yield from _information_rows(run, paper, layer, section)
        yield from _map_rows(run, paper, layer, section)
        yield from _group_rows(run, paper, layer, section)


def paper_layers(run: Run) -> dict[str, str]:
    """The run's layer for each of conv1 to conv5 that it has, and has once: after the ReLU where it has both."""
    named = [(match["number"], match["kind"], layer) for layer in run.pair_layers if (match := _NAMED(layer))]
    found = {}
    for number in sorted({number for number, _, _ in named}):
        kinds = {kind for one, kind, _ in named if one == number}
        layers = [layer for one, kind, layer in named if (one, kind) == (number, max(kinds))]
        if len(layers) == 1:  # else it is another architecture, where each block has a conv1
            found[f"conv{number}"] = layers[0]
    return found


def _information_rows(run: Run, paper: str, layer: str, section: str) -> Iterator[Row]:
    if run.information is None:
        return
    rows = run.information[run.information["layer"] == layer]
    ranked = np.sort(rows["information"].dropna())
    theirs = published.INFORMATION.get(paper)
    if len(ranked):
        yield Row(
            section, "highest information with a partner, nats", theirs[0][0] if theirs else None, ranked[-1]
        )
        yield Row(section, "lowest, nats", theirs[1][-1] if theirs else None, ranked[0])
        same = float(information_agreement(rows)["same_partner"][layer])
        yield Row(section, "share with the same partner by information and by correlation", None, same)


def _map_rows(run: Run, paper: str, layer: str, section: str) -> Iterator[Row]:
    if run.targets is None:
        return
    exponents = (-4, -3, -2)
    penalties = [published.MATCHING[paper].n_units * 10.0**exponent for exponent in exponents]
    exact = sparse_map(run.pair_moments(layer), penalties=penalties)
    for exponent, penalty, loss in zip(exponents, penalties, exact.loss.tolist(), strict=True):
        theirs = published.SPARSE_LOSS[paper][published.LAMBDAS.index(10.0**exponent)]
        note = f"theirs at lambda 10^{exponent}; ours is the minimum at the same penalty, {penalty:.3g}"
        yield Row(section, "loss of the sparse map", theirs, loss, note)
    targets = _of_layer(run, run.targets, layer)
    dense = 1 - 2 * published.SPARSE_LOSS[paper][0]
    not_converged = "theirs: 1 - 2 x loss at lambda 0, not converged"
    yield Row(section, "R2 of the dense map, held out", dense, _mean(targets, "ridge_r2_held_out"), not_converged)
    yield Row(section, "R2 of the sparse map, held out", None, _mean(targets, "r2_held_out"))
    needed = targets.loc[targets["n_for_90"] > 0, "n_for_90"]
    yield Row(section, "units needed for 90 % of the dense R2, median", None, float(needed.median()))


def _group_rows(run: Run, paper: str, layer: str, section: str) -> Iterator[Row]:
    if run.groups is None:
        return
    for _, groups in run.groups[run.groups["layer"] == layer].iterrows():
        n_clusters = int(groups["n_clusters"])
        yield Row(section, "clusters", published.CLUSTERS[paper], n_clusters, "of other numbers of units")
        shared = "variance within clusters that the other net's members explain"
        yield Row(section, shared, None, groups["shared"])
        yield Row(section, "the same in random groups", None, groups["shared_random"])
        yield Row(section, "principal angle between nets within clusters, degrees", None, groups["angle"])
        yield Row(section, "the same in random groups, degrees", None, groups["angle_random"])


def _of_layer(run: Run, table: pd.DataFrame, layer: str) -> pd.DataFrame:
    rows = run.of_first_pair(table)
    return rows[rows["layer"] == layer]


def _mean(table: pd.DataFrame, column: str) -> float:
    return float(table[column].mean())


Decide = Callable[[Run, Mapping[str, str]], Claim]


def _verdict(holds: bool | None) -> Verdict:
    return "cannot tell" if holds is None else "holds" if holds else "fails"


def _same_partner(run: Run, layers: Mapping[str, str]) -> Claim:
    overlap = layer_summary(run.matches, run.units)["overlap"].reindex(list(layers.values())).dropna()
    return Claim(
        "Most units have the same partner under semi-matching and one-to-one matching.",
        "smallest overlap over conv layers, above one half",
        percent(min(figures.overlap for figures in published.MATCHING.values())),
        percent(overlap.min()) if len(overlap) else NONE,
        _verdict(bool(overlap.min() > 0.5) if len(overlap) else None),
    )


def _far_worse(run: Run, layers: Mapping[str, str]) -> Claim:
    rows = run.pair_matches()
    rows = rows[rows["layer"].isin(list(layers.values()))]
    other = rows[(rows["best_partner"] >= 0) & (rows["best_partner"] != rows["one_to_one_partner"])]
    theirs = published.MATCHING[_CONV1]
    drop = float((other["best_r"] - other["one_to_one_r"]).mean()) if len(other) else float("nan")
    return Claim(
        "Where the two differ, the one-to-one partner is often far worse.",
        "mean fall of r where they differ, above .1",
        score((theirs.best - theirs.one_to_one) / (1 - theirs.overlap)) + " in conv1",
        score(drop),
        _verdict(None if np.isnan(drop) else drop > 0.1),
    )


def _some_and_others(run: Run, layers: Mapping[str, str]) -> Claim:
    rows = run.pair_matches()
    r = rows.loc[(rows["layer"] == layers.get(_CONV1)) & (rows["best_partner"] >= 0), "best_r"]
    ours = f"{score(r.max())} to {score(r.min())}" if len(r) else NONE
    return Claim(
        "Some units are learned by both nets, others by one only.",
        "highest and lowest best r in conv1, above .8 and below .5",
        "1.00 to .18",
        ours,
        _verdict(bool(r.max() > 0.8 and r.min() < 0.5) if len(r) else None),
    )


def _depth(run: Run, layers: Mapping[str, str]) -> Claim:
    best = layer_summary(run.matches, run.units)["best"]
    means = {paper: float(best[layer]) for paper, layer in layers.items() if layer in best.index}
    complete = len(means) == len(published.LAYERS)
    lowest = min(means, key=means.__getitem__) if means else ""
    holds = means[_CONV1] == max(means.values()) and lowest not in (_CONV1, "conv5") if complete else None
    return Claim(
        "Agreement is highest in conv1, falls with depth, and recovers in part in conv5.",
        "conv1 highest; lowest before conv5",
        " ".join(score(figures.best) for figures in published.MATCHING.values()),
        " ".join(score(mean) for mean in means.values()) or NONE,
        _verdict(holds),
    )


def _information(run: Run, layers: Mapping[str, str]) -> Claim:
    table = run.information
    rows = None if table is None else table[table["layer"] == layers.get(_CONV1)]
    shared = None
    if rows is not None and len(rows) >= 16:
        top = [set(rows.nlargest(8, column)["unit_a"]) for column in ("information", "best_r")]
        shared = len(top[0] & top[1])
    return Claim(
        "Mutual information aligns the units as correlation does.",
        "of the 8 best units of conv1, how many are the same; at least 5",
        "7",
        NONE if shared is None else str(shared),
        _verdict(None if shared is None else shared >= 5),
    )


def _sparse_enough(run: Run, layers: Mapping[str, str]) -> Claim:
    targets = _targets(run, layers)
    share = _mean(targets, "r2_held_out") / _mean(targets, "ridge_r2_held_out") if len(targets) else float("nan")
    return Claim(
        "A sparse map of conv1 predicts as well as a dense one.",
        "held-out R2 of the sparse map over that of ridge, at least .9",
        "no dense map that converged",
        score(share),
        _verdict(None if np.isnan(share) else share >= 0.9),
    )


def _few(run: Run, layers: Mapping[str, str]) -> Claim:
    targets = _targets(run, layers)
    few = float(targets["verdict"].isin(["local", "few"]).mean()) if len(targets) else float("nan")
    return Claim(
        "The code is local to slightly distributed: few units of one net predict a unit of the other.",
        "share of conv1 that is predictable and needs at most 4 units for 90 % of the dense R2, above one half",
        "4.7 contributors on average",
        percent(few),
        _verdict(None if np.isnan(few) else few > 0.5),
    )


def _deep_unpredictable(run: Run, layers: Mapping[str, str]) -> Claim:
    deep = [layers[paper] for paper in ("conv3", "conv4", "conv5") if paper in layers]
    means = (
        [_mean(_of_layer(run, run.targets, layer), "ridge_r2_held_out") for layer in deep]
        if run.targets is not None
        else []
    )
    theirs = [1 - 2 * published.SPARSE_LOSS[paper][0] for paper in ("conv3", "conv4", "conv5")]
    return Claim(
        "conv3 to conv5 are predicted poorly, even without a penalty.",
        "held-out R2 of the dense map, all below .25",
        " ".join(score(r2) for r2 in theirs),
        " ".join(score(r2) for r2 in means) or NONE,
        _verdict(max(means) < 0.25 if len(means) == 3 else None),
    )


def _subspaces(run: Run, layers: Mapping[str, str]) -> Claim:
    groups = None if run.groups is None else run.groups[run.groups["layer"].isin(list(layers.values()))]
    known = pd.DataFrame() if groups is None else groups.dropna(subset=["shared", "shared_random"])
    ours = "; ".join(
        f"{row['layer']} {percent(row['shared'])} against {percent(row['shared_random'])}"
        for row in known.to_dict("records")
    )
    holds = bool((known["shared"] >= _SAME).all()) if len(known) else None
    return Claim(
        "Groups of units of two nets span the same subspaces.",
        "variance of a cluster's members that those of the other net explain, at least 75 % in every layer; "
        "beside it, that of random groups",
        "not measured",
        ours or NONE,
        _verdict(holds),
    )


def _means(run: Run, layers: Mapping[str, str]) -> Claim:
    living = run.units[run.units["net"].isin(run.nets) & ~run.units["dead"].astype(bool) & (run.units["mean"] > 0)]
    living = living[living["layer"].isin(list(layers.values()))]
    ratios = living.groupby(["layer", "net"])["mean"].agg(lambda means: means.max() / means.min())
    return Claim(
        "Within a layer, mean activations spread over one to two orders of magnitude.",
        "ratio of the largest to the smallest mean of a layer, median over layers and nets, 10 to 1000",
        "about 22 in conv1, 400 in conv2",
        f"{ratios.median():,.0f}" if len(ratios) else NONE,
        _verdict(bool(10 <= ratios.median() <= 1000) if len(ratios) else None),
    )


def _none_dead(run: Run, layers: Mapping[str, str]) -> Claim:
    own = run.units[run.units["net"].isin(run.nets) & run.units["layer"].isin(list(layers.values()))]
    share = float(own["dead"].astype(bool).mean()) if len(own) else float("nan")
    return Claim(
        "No unit is dead.",
        "share of dead units in conv layers, none",
        "0 %",
        f"{100 * share:.1f} %" if len(own) else NONE,
        _verdict(share == 0 if len(own) else None),
    )


def _targets(run: Run, layers: Mapping[str, str]) -> pd.DataFrame:
    if run.targets is None or _CONV1 not in layers:
        return pd.DataFrame()
    rows = _of_layer(run, run.targets, layers[_CONV1])
    return rows[rows["verdict"] != "dead"]


_CLAIMS: tuple[Decide, ...] = (
    _same_partner,
    _far_worse,
    _some_and_others,
    _depth,
    _information,
    _sparse_enough,
    _few,
    _deep_unpredictable,
    _subspaces,
    _means,
    _none_dead,
)
