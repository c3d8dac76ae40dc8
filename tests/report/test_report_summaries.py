"""The few numbers of the page, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from convergent.measures import agreement, correlation, match_best, mutual_information
from convergent.report import extremes, layer_summary, pair_scores
from convergent.report.summaries import dead_units, information_agreement, unit_counts
from convergent.report.wording import count, percent, plural, score
from convergent.statistics import PairHistograms, PairMoments


def units(*nets: str, dead: tuple[tuple[str, int], ...] = (), trained: bool = True) -> pd.DataFrame:
    rows = [
        {"net": net, "layer": "conv", "index": i, "dead": (net, i) in dead, "trained": trained}
        for net in nets
        for i in range(2)
    ]
    return pd.DataFrame(rows)


def matches(
    a: str, b: str, r: tuple[float, float], *, one: tuple[int, int] = (0, 1), trained: bool = True
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": "conv",
            "net_a": a,
            "unit_a": [0, 1],
            "net_b": b,
            "best_partner": [-1 if np.isnan(value) else i for i, value in enumerate(r)],
            "best_r": r,
            "best_r_held_out": np.array(r) - 0.1,
            "one_to_one_partner": one,
            "one_to_one_r": np.array(r) / 2,
            "one_to_one_r_held_out": np.array(r) / 4,
            "trained": trained,
        }
    )


def both_ways(a: str, b: str, there: tuple[float, float], back: tuple[float, float]) -> pd.DataFrame:
    return pd.concat([matches(a, b, there), matches(b, a, back)])


def test_scores_of_a_pair_are_means_over_its_living_units() -> None:
    table = matches("x", "y", (0.8, np.nan), one=(1, -1))
    found = pair_scores(table, units("x", "y", dead=(("x", 1),))).iloc[0]
    assert found["best"] == pytest.approx(0.8)
    assert found["best_held_out"] == pytest.approx(0.7)
    assert found["overlap"] == 0
    assert found["alone"] == 0


def test_a_living_unit_without_partner_is_alone() -> None:
    table = matches("x", "y", (0.8, np.nan), one=(0, -1))
    found = pair_scores(table, units("x", "y")).iloc[0]
    assert (found["alone"], found["overlap"]) == (0.5, 0.5)


def test_a_layer_is_the_mean_over_pairs_with_their_spread() -> None:
    table = pd.concat(
        [
            both_ways("x", "y", (0.9, 0.7), (0.5, 0.3)),
            both_ways("x", "z", (0.4, 0.4), (0.4, 0.4)),
            both_ways("y", "z", (0.2, 0.2), (0.2, 0.2)),
            matches("u", "v", (0.1, 0.3), trained=False),
        ]
    )
    people = pd.concat([units("x", "y", "z"), units("u", "v", trained=False)])
    found = layer_summary(table, people).loc["conv"]
    assert found["best"] == pytest.approx(0.4)
    assert (found["best_low"], found["best_high"]) == pytest.approx((0.2, 0.6))
    assert found["best_untrained"] == pytest.approx(0.2)
    assert found["alone"] == pytest.approx((0.25 + 1 + 1) / 3)


def test_nets_that_are_all_untrained_are_what_is_compared() -> None:
    found = layer_summary(matches("u", "v", (0.1, 0.3), trained=False), units("u", "v", trained=False)).loc["conv"]
    assert found["best"] == pytest.approx(0.2)
    assert np.isnan(found["best_untrained"])


def test_a_layer_of_dead_units_has_no_scores_but_keeps_its_row() -> None:
    table = matches("x", "y", (np.nan, np.nan), one=(-1, -1))
    found = layer_summary(table, units("x", "y", dead=(("x", 0), ("x", 1))))
    assert list(found.index) == ["conv"]
    assert found.isna().all(axis=None)


def test_a_matching_that_was_not_made_leaves_nan_not_zero() -> None:
    table = matches("x", "y", (0.8, 0.2)).assign(best_partner=-1, best_r=np.nan, best_r_held_out=np.nan)
    found = layer_summary(table, units("x", "y")).loc["conv"]
    assert found[["best", "overlap", "alone"]].isna().all()
    assert found["one_to_one"] == pytest.approx(0.25)


def test_units_most_alike_are_in_every_net_and_most_unique_in_none() -> None:
    table = pd.concat(
        [
            both_ways("x", "y", (0.9, 0.7), (0.9, 0.6)),
            both_ways("x", "z", (0.3, 0.6), (0.5, 0.5)),
            both_ways("y", "z", (0.8, 0.1), (0.8, 0.2)),
        ]
    )
    alike, unique = extremes(table, units("x", "y", "z"), n=1)
    assert alike[["net", "unit", "partner_net", "r"]].to_numpy().tolist() == [["x", 1, "z", 0.6]]
    assert unique[["net", "unit", "partner_net", "r"]].to_numpy().tolist() == [["z", 1, "x", 0.5]]


def test_a_layer_of_one_matched_unit_has_no_extremes() -> None:
    alike, unique = extremes(matches("x", "y", (0.9, np.nan)), units("x", "y"))
    assert alike.empty
    assert unique.empty


def test_counts_of_units_name_what_differs() -> None:
    people = pd.concat([units("x", "y"), units("z").head(1)])
    assert unit_counts(people) == {"conv": "1 to 2"}
    assert unit_counts(units("x", "y")) == {"conv": "2"}


def test_dead_units_are_counted_by_net_and_layer() -> None:
    assert dead_units(units("x", "y", dead=(("y", 0),))) == {"x": "none", "y": "1 in conv"}


def test_numbers_read_well() -> None:
    assert [score(value) for value in (0.706, -0.049, -0.001, 1.0, float("nan"))] == [
        ".71",
        "\N{MINUS SIGN}.05",
        ".00",
        "1.00",
        "\N{EN DASH}",
    ]
    assert (percent(0.166), percent(float("nan"))) == ("17 %", "\N{EN DASH}")
    assert (count(4000), count(62378344)) == ("4000", "62\u202f378\u202f344")
    assert (plural(1, "unit"), plural(0, "unit")) == ("1 unit", "0 units")


def test_agreement_of_information_is_that_of_the_measure() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    pair = PairMoments.from_samples(x, x + rng.normal(size=x.shape))
    information = mutual_information(PairHistograms.from_samples(x, x + rng.normal(size=x.shape), bins=5))
    by_information, best = match_best(information), match_best(correlation(pair))
    table = pd.DataFrame(
        {
            "layer": "fc",
            "information_partner": by_information.partner,
            "information": by_information.score,
            "best_partner": best.partner,
            "best_r": best.score,
        }
    )
    dead = pd.DataFrame({"layer": ["fc", "dead"], "information_partner": -1, "best_partner": -1})
    found = information_agreement(pd.concat([table, dead], ignore_index=True))
    expected = agreement(information, correlation(pair))
    assert found.loc["fc", "n_units"] == expected.n_units == 6
    assert found.loc["fc", "same_partner"] == expected.same_partner
    assert found.loc["fc", "rank_correlation"] == pytest.approx(expected.rank_correlation)
    assert found[["same_partner", "rank_correlation", "information"]].isna().to_numpy().tolist() == [
        [False] * 3,
        [True] * 3,
    ]
