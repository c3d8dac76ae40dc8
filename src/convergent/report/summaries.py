"""Tables in few numbers: layers, nets, and the units that are most alike or most unique."""

import numpy as np
import pandas as pd

THRESHOLD = 0.5
_SIGNIFICANT = 0.05
_MATCHINGS = ("best", "one_to_one")
_SCORES = [
    *(
        f"{matching}{kind}"
        for matching in _MATCHINGS
        for kind in ("", "_held_out", "_chance", "_margin", "_significant")
    ),
    *("overlap", "alone"),
]
_PAIR = ["layer", "trained", "pair"]


def pair_scores(matches: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Means over the living units of each layer, for each pair of nets in each direction.

    Args:
        matches: one row a unit and other net, as in `tables/matches.parquet`.
        units: one row a unit, as in `tables/units.parquet`.

    Returns:
        Columns layer, trained, pair, net_a, net_b; best, best_held_out, one_to_one, one_to_one_held_out (mean r);
        best_chance (mean r of the best partner by chance), best_margin (mean half-width of a unit's interval),
        best_significant (share of the tested units with q < .05), and the same of one_to_one; overlap (share with
        the same partner under both matchings); alone (share with no partner of r >= .5). NaN where the matching
        was not made, or the table does not say.
    """
    living = living_matches(matches, units)
    made = bool((matches["best_partner"] >= 0).any())  # A matching that was not asked for says nothing.
    both = made and bool((matches["one_to_one_partner"] >= 0).any())
    scores = living.assign(
        **{name: values for matching in _MATCHINGS for name, values in _scores_of(living, matching).items()},
        pair=living[["net_a", "net_b"]].min(axis=1) + "/" + living[["net_a", "net_b"]].max(axis=1),
        overlap=(living["best_partner"] == living["one_to_one_partner"]) & (living["best_partner"] >= 0)
        if both
        else np.nan,
        alone=~(living["best_r"] >= THRESHOLD) if made else np.nan,
    )
    return scores.groupby([*_PAIR, "net_a", "net_b"], sort=False)[_SCORES].mean().reset_index()


def _scores_of(living: pd.DataFrame, matching: str) -> dict[str, pd.Series]:
    """What is averaged of a matching; NaN where its columns are missing."""
    columns = [f"{matching}_{kind}" for kind in ("r", "r_held_out", "chance", "r_low", "r_high", "q")]
    r, held_out, chance, low, high, q = (
        living[column].astype(float) if column in living else pd.Series(np.nan, living.index) for column in columns
    )
    return {
        matching: r,
        f"{matching}_held_out": held_out,
        f"{matching}_chance": chance,
        f"{matching}_margin": (high - low) / 2,
        f"{matching}_significant": (q < _SIGNIFICANT).astype(float).where(q.notna()),
    }


def living_matches(matches: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """The matches of units that are not dead."""
    dead = units[["net", "layer", "index", "dead"]]
    joined = matches.merge(dead, left_on=["net_a", "layer", "unit_a"], right_on=["net", "layer", "index"])
    return joined[~joined["dead"].astype(bool)].drop(columns=["net", "index", "dead"])


def layer_summary(matches: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """One row a layer: every score's mean over the pairs of nets, and how far the pairs spread.

    Args:
        matches: as for `pair_scores`.
        units: likewise.

    Returns:
        Index layer, in the order of `units`; per score of `pair_scores` the columns SCORE (mean over pairs, the
        two directions of a pair averaged first), SCORE_low and SCORE_high (smallest and largest pair), and
        SCORE_untrained (mean over pairs of untrained nets). NaN where a layer has no such pair.
    """
    pairs = pair_scores(matches, units).groupby(_PAIR, sort=False)[_SCORES].mean().reset_index()
    # Without a trained net there is nothing to set apart: the nets are what is compared.
    main = pairs["trained"] if pairs["trained"].any() else ~pairs["trained"]
    compared, control = pairs[main].groupby("layer"), pairs[~main].groupby("layer")
    matched = set(matches["layer"])
    layers = [layer for layer in units["layer"].unique() if layer in matched]
    return pd.concat(
        [
            compared[_SCORES].mean(),
            compared[_SCORES].min().add_suffix("_low"),
            compared[_SCORES].max().add_suffix("_high"),
            control[_SCORES].mean().add_suffix("_untrained"),
        ],
        axis=1,
    ).reindex(pd.Index(layers, name="layer"))


def unit_counts(units: pd.DataFrame) -> dict[str, str]:
    """How many units each layer has, as text: "32", or "32 to 48" where nets differ."""
    counts = units.groupby(["layer", "net"], sort=False).size().groupby("layer", sort=False).agg(["min", "max"])
    return {
        str(layer): str(low) if low == high else f"{low} to {high}" for layer, low, high in counts.itertuples()
    }


def dead_units(units: pd.DataFrame) -> dict[str, str]:
    """Per net, its dead units as text: "none", or how many in which layers."""
    counts = units.astype({"dead": int}).groupby(["net", "layer"], sort=False)["dead"].sum()
    found: dict[str, list[str]] = {str(net): [] for net in units["net"].unique()}
    for net, layer, n in counts[counts > 0].reset_index().itertuples(index=False):
        found[net].append(f"{n} in {layer}")
    return {net: ", ".join(layers) or "none" for net, layers in found.items()}


def extremes(matches: pd.DataFrame, units: pd.DataFrame, *, n: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Units that every other net has, and units that no other net has.

    Args:
        matches: the matches of one layer.
        units: as for `pair_scores`.
        n: how many of each; at most half of the first net's living units.

    Returns:
        Most alike: units of the first net with the largest r in the net where it is smallest; their partners in
        the other nets would only repeat them. Most unique: units of any net with the smallest r in the net where
        it is largest. Columns net, unit, partner_net, partner, r, held_out: the partner in that net.
    """
    living = living_matches(matches, units).dropna(subset="best_r").reset_index(drop=True)
    by_unit = living.groupby(["net_a", "unit_a"], sort=False)["best_r"]
    weakest, strongest = living.loc[by_unit.idxmin()], living.loc[by_unit.idxmax()]
    of_first = weakest[weakest["net_a"] == matches["net_a"].iloc[0]]
    n = min(n, len(of_first) // 2)
    alike = of_first.sort_values("best_r", ascending=False, kind="stable").head(n)
    unique = strongest.sort_values("best_r", kind="stable").head(n)
    return _shown(alike), _shown(unique)


def _shown(matches: pd.DataFrame) -> pd.DataFrame:
    names = {
        "net_a": "net",
        "unit_a": "unit",
        "net_b": "partner_net",
        "best_partner": "partner",
        "best_r": "r",
        "best_r_held_out": "held_out",
    }
    return matches[list(names)].rename(columns=names)


def information_agreement(information: pd.DataFrame) -> pd.DataFrame:
    """Whether information and correlation find the same partners, layer by layer.

    Args:
        information: one row a unit, as in `tables/information.parquet`.

    Returns:
        Indexed by layer: n_units that have a partner by both; same_partner, the share of these whose partner is
        the same; rank_correlation (Spearman) of their best scores; information, its mean in nats; else NaN.
    """
    known = information[(information["information_partner"] >= 0) & (information["best_partner"] >= 0)]
    rows = {
        layer: {
            "n_units": len(units),
            "same_partner": (units["information_partner"] == units["best_partner"]).mean(),
            "rank_correlation": units["information"].rank().corr(units["best_r"].rank()),
            "information": units["information"].mean(),
        }
        for layer in information["layer"].unique()
        for units in [known[known["layer"] == layer]]
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")
