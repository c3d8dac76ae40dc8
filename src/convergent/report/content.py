"""What the page says: the answer in words, and the rows of its tables."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from .._typing import Array, UInt8
from .content_layers import of_layers
from .crops import strip
from .run_folder import Run
from .summaries import (
    THRESHOLD,
    dead_units,
    extremes,
    information_agreement,
    layer_summary,
    living_matches,
    unit_counts,
)
from .wording import NONE, count, percent, plural, plus_minus, score

_MATCHINGS = ("best", "one_to_one")
_TRAINED = {True: "yes", False: "no", None: "factory's own"}


def page(run: Run) -> dict[str, Any]:
    """Everything the template asks for but the figures.

    Args:
        run: what the folder holds.
    """
    summary = layer_summary(run.matches, run.units)
    return {
        "name": run.name,
        "facts": _facts(run),
        "answer": list(_answer(run, summary)),
        "pair": run.first_pair,
        "n_pairs": n_pairs(run),
        "has_untrained": bool(summary[["best_untrained", "one_to_one_untrained"]].notna().any(axis=None)),
        "has_chance": _has(summary, "chance"),
        "has_margin": _has(summary, "margin"),
        "has_significant": _has(summary, "significant"),
        "nets": [
            row | {"dead": dead_units(run.units)[row["name"]]}
            for row in net_rows(run.provenance, run.units["net"].unique())
        ],
        "layers": list(_layer_rows(summary, unit_counts(run.units))),
        "extremes": [_extreme_rows(run, layer) for layer in run.layers] if run.has_best else [],
        "has_best": run.has_best,
        "information": [] if run.information is None else list(_information_rows(run.information)),
        "groups": [] if run.groups is None else list(_group_rows(run.groups)),
        "has_pictures": run.crops is not None,
        "projection": run.projection.replace("_x_", " x "),
        "provenance": provenance_rows(run.provenance),
        "hashes": {net: about.get("weights") or NONE for net, about in run.provenance.get("nets", {}).items()},
        "study": run.study,
        **of_layers(run),
    }


def _has(summary: pd.DataFrame, kind: str) -> bool:
    return bool(summary[[f"{matching}_{kind}" for matching in _MATCHINGS]].notna().any(axis=None))


def n_pairs(run: Run) -> int:
    """How many pairs of compared nets were matched."""
    pairs = run.compared[["net_a", "net_b"]].drop_duplicates().itertuples(index=False)
    return len({frozenset(pair) for pair in pairs})


def _facts(run: Run) -> list[str]:
    about = run.provenance
    facts = [plural(len(run.nets), "net"), plural(len(run.layers), "layer")]
    if "n_inputs" in about:
        facts.append(plural(about["n_inputs"], "input"))
    if "created" in about:
        facts.append(str(about["created"])[:10])
    return facts


def _answer(run: Run, summary: pd.DataFrame) -> Iterator[str]:
    """Sentences: the first pair in its first layer, then all pairs over all layers."""
    (a, b), layer = run.first_pair, run.pair_layers[0]
    matches = run.pair_matches()
    living = living_matches(matches[matches["layer"] == layer], run.units)
    kind, noun = ("best", "best partners") if run.has_best else ("one_to_one", "one-to-one partners")
    r, held_out = living[f"{kind}_r"], living[f"{kind}_r_held_out"]
    levels = {
        "by chance": summary[f"{kind}_chance"].to_dict()[layer],
        "between untrained nets": summary[f"{kind}_untrained"].to_dict()[layer],
    }
    n_alike = int((r >= THRESHOLD).sum())
    yield (
        f"Of the {plural(len(living), 'living unit')} of {layer} in {a}, {count(n_alike)} "
        f"{'has' if n_alike == 1 else 'have'} a partner in {b} with a correlation of at least .5."
    )
    known = [f"{score(level)} {said}" for said, level in levels.items() if not math.isnan(level)]
    against = f", against {' and '.join(known)}" if known else ""
    yield (
        f"The {noun} correlate at {score(r.mean())} on average "
        f"({score(held_out.mean())} on inputs that had no say in choosing them){against}."
    )
    means = {str(layer): float(mean) for layer, mean in summary[kind].dropna().items()}
    if len(means) > 1:
        over = f"Over all {n_pairs(run)} pairs of nets" if n_pairs(run) > 1 else "Over all layers"
        high, low = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
        ends = (f"{layer} ({score(means[layer])})" for layer in (high, low))
        yield f"{over}, this mean is highest in {' and lowest in '.join(ends)}."


def net_rows(provenance: Mapping[str, Any], names: Iterable[str] | None = None) -> list[dict[str, str]]:
    """What is known of each net, as the page lists it.

    Args:
        provenance: of the run.
        names: of the nets; all that the provenance tells of where not given.
    """
    nets = provenance.get("nets", {})
    return [_net_row(name, nets.get(name, {})) for name in (nets if names is None else names)]


def _net_row(name: str, about: Mapping[str, Any]) -> dict[str, str]:
    accuracy, parameters, seed = (about.get(key) for key in ("accuracy", "n_parameters", "seed"))
    return {
        "name": name,
        "factory": str(about.get("factory") or NONE),
        "trained": _TRAINED[about["trained"]] if "trained" in about else NONE,
        "seed": NONE if seed is None else str(seed),
        "accuracy": NONE if accuracy is None else f"{100 * accuracy:.1f} %",
        "parameters": NONE if parameters is None else count(parameters),
    }


def _layer_rows(summary: pd.DataFrame, counts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for layer, row in summary.iterrows():
        yield {
            "name": str(layer),
            "units": counts[str(layer)],
            "overlap": percent(row["overlap"]),
            "alone": percent(row["alone"]),
            "alone_untrained": percent(row["alone_untrained"]),
        } | {name: told for matching in _MATCHINGS for name, told in _scores_of(row, matching).items()}


def _scores_of(row: pd.Series, matching: str) -> dict[str, str]:
    names = (matching, *(f"{matching}_{kind}" for kind in ("held_out", "chance", "untrained")))
    return {name: score(row[name]) for name in names} | {
        f"{matching}_margin": plus_minus(row[f"{matching}_margin"]),
        f"{matching}_significant": percent(row[f"{matching}_significant"]),
    }


def _information_rows(information: pd.DataFrame) -> Iterator[dict[str, str]]:
    for layer, row in information_agreement(information).iterrows():
        yield {
            "layer": str(layer),
            "units": count(int(row["n_units"])),
            "nats": score(row["information"]),
            "same": percent(row["same_partner"]),
            "ranks": score(row["rank_correlation"]),
        }


def _group_rows(groups: pd.DataFrame) -> Iterator[dict[str, str]]:
    for row in groups.to_dict("records"):
        yield {
            "layer": str(row["layer"]),
            "clusters": count(row["n_clusters"]),
            "several": count(row["n_several"]),
            "isolated": count(row["n_isolated"]),
            "stability": score(row["stability"]),
            "angle": _degrees(row["angle"]),
            "angle_random": _degrees(row["angle_random"]),
            "shared": percent(row["shared"]),
            "shared_random": percent(row["shared_random"]),
            "across": _of(row["r_leaf_merges_across"], row["r_leaf_merges"]),
        }


def _of(some: float | int, of: float | int) -> str:
    return NONE if math.isnan(of) else f"{some:.0f} of {of:.0f}"


def _degrees(angle: float) -> str:
    return NONE if math.isnan(angle) else f"{angle:.0f}°"


def _extreme_rows(run: Run, layer: str) -> dict[str, Any]:
    compared = run.compared
    alike, unique = extremes(compared[compared["layer"] == layer], run.units)
    shown = pd.concat([alike, unique]).to_dict("records")
    tiles = {net: run.tiles(net, layer) for net in {row["net"] for row in shown}}
    rows = [_extreme_row(row, tiles[row["net"]]) for row in shown]
    return {"layer": layer, "alike": rows[: len(alike)], "unique": rows[len(alike) :]}


def _extreme_row(row: Mapping[Any, Any], tiles: UInt8[Array, "units k height width 3"] | None) -> dict[str, str]:
    return {
        "unit": f"{row['net']}[{row['unit']}]",
        "partner": f"{row['partner_net']}[{row['partner']}]",
        "r": score(row["r"]),
        "held_out": score(row["held_out"]),
        "picture": "" if tiles is None else strip(tiles[row["unit"]][:3]),
    }


def provenance_rows(about: Mapping[str, Any]) -> dict[str, str]:
    """Versions, data and view, as the page lists them."""
    names = {
        "convergent": "convergent",
        "python": "Python",
        "torch": "PyTorch",
        "numpy": "NumPy",
        "scipy": "SciPy",
        "platform": "Platform",
        "created": "Created",
        "command": "Command",
        "data": "Data",
        "view": "View",
        "n_inputs": "Inputs",
        "blocks": "Blocks held out in turn",
    }
    return {label: str(about[key]) for key, label in names.items() if key in about}
