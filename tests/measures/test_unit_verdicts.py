"""Verdicts on units: planted nets through real matchings, and tables with and without each part."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from convergent.errors import InvalidArgumentError
from convergent.measures import (
    cluster_units,
    held_out_scores,
    match_best,
    match_one_to_one,
    match_universe,
    unit_verdicts,
    universality,
)
from convergent.statistics import JointMoments

NETS = ("a", "b", "c", "d")


def planted() -> list[JointMoments]:
    """Three halves of samples. Units 0 and 1 are in all nets, 2 in a, b and c, 3 alone; 4 is dead."""
    rng = np.random.default_rng(0)
    common, three = rng.normal(size=(900, 2)), rng.normal(size=(900, 1))
    nets = {}
    for net in NETS:
        third = three if net != "d" else rng.normal(size=(900, 1))
        x = np.concatenate([common, third], axis=1) + 0.4 * rng.normal(size=(900, 3))
        nets[f"{net}/conv"] = np.concatenate([x, rng.normal(size=(900, 1)), np.ones((900, 1))], axis=1)
    rows = [slice(None), slice(450), slice(450, 900)]
    return [JointMoments.from_samples({name: x[part] for name, x in nets.items()}) for part in rows]


WHOLE, FIRST, SECOND = planted()


def keys(a: str, b: str) -> pd.DataFrame:
    return pd.DataFrame({"layer": "conv", "net_a": a, "unit_a": range(5), "net_b": b})


def matches() -> pd.DataFrame:
    parts = []
    for a, b in permutations(NETS, 2):
        pair, first, second = (joint.pair(f"{a}/conv", f"{b}/conv") for joint in (WHOLE, FIRST, SECOND))
        table = keys(a, b)
        for name, match in (("best", match_best), ("one_to_one", match_one_to_one)):
            found = match(pair)
            table[f"{name}_partner"], table[f"{name}_r"] = found.partner, found.score
            table[f"{name}_r_held_out"] = held_out_scores([(first, second), (second, first)], match)
        parts.append(table.assign(trained=True))
    return pd.concat(parts, ignore_index=True)


MATCHES = matches()


def verdict_of(table: pd.DataFrame) -> pd.Series:
    by_unit = table.groupby(["net_a", "unit_a"])["verdict"]
    assert (by_unit.nunique() == 1).all()
    return by_unit.first()


@pytest.mark.parametrize("method", ["best", "one_to_one"])
def test_planted_units_get_their_verdicts(method: str) -> None:
    found = unit_verdicts(MATCHES, method=method)
    verdicts = verdict_of(found)
    for net in NETS:
        third = "partly" if net != "d" else "unique"
        assert verdicts[net].tolist() == ["shared", "shared", third, "unique", "dead"]
    assert len(found) == len(MATCHES) == 60
    assert list(found)[:7] == ["layer", "net_a", "unit_a", "net_b", "partner", "r", "r_held_out"]
    np.testing.assert_array_equal(found["r_held_out"], MATCHES[f"{method}_r_held_out"])
    np.testing.assert_array_equal(found["found"], MATCHES[f"{method}_r_held_out"] >= 0.5)
    assert (found["n_nets"] == 3).all()
    found_twice = found[(found["net_a"] == "a") & (found["unit_a"] == 2)]
    assert found_twice["n_found"].tolist() == [2] * 3
    assert found_twice["weakest_r"].iloc[0] == found_twice["r_held_out"].min() < found_twice["mean_r"].iloc[0]


def test_without_held_out_scores_the_others_decide() -> None:
    rows = MATCHES[["layer", "net_a", "unit_a", "net_b", "best_r"]].assign(best_r=0.0)
    rows.loc[rows["unit_a"] == 1, "best_r"] = 0.7
    found = unit_verdicts(rows, threshold=0.7)
    assert verdict_of(found)["c"].tolist() == ["unique", "shared", "unique", "unique", "unique"]
    assert "r_held_out" not in found
    assert "dead" not in found


def test_a_partner_must_be_significant_where_there_is_a_q() -> None:
    chance = MATCHES[["layer", "net_a", "unit_a", "net_b"]].assign(q=0.01, p=0.001, chance=0.1)
    chance.loc[(chance["unit_a"] == 0) & (chance["net_b"] == "b"), "q"] = 0.2
    chance.loc[(chance["unit_a"] == 1), "q"] = np.nan
    found = unit_verdicts(MATCHES, chance=chance)
    assert verdict_of(found)["a"].tolist() == ["partly", "unique", "partly", "unique", "dead"]
    assert verdict_of(found)["b"].tolist()[0] == "shared"
    assert verdict_of(unit_verdicts(MATCHES, chance=chance, level=0.2))["a"].iloc[0] == "shared"
    assert {"q", "p", "r_chance"} <= set(found)


def test_all_tables_are_joined_by_unit_and_net() -> None:
    maps = keys("b", "a").rename(columns={"unit_a": "unit_b"})
    maps = maps.assign(verdict=["local", "few", "few", "unpredictable", "dead"], n_contributors=[1, 2, 3, 4, 0])
    maps = maps.assign(n_for_90=[1, 2, 3, 4, -1], top_contributor=0, r2_held_out=0.7)
    information = keys("a", "b").assign(information_partner=range(5), information=0.5, excess=0.1)
    everywhere = universality(WHOLE, n_rotations=0)
    universe = match_universe(WHOLE)
    found = unit_verdicts(
        MATCHES,
        chance=MATCHES[["layer", "net_a", "unit_a", "net_b"]].assign(q=0.0),
        intervals=keys("a", "b").assign(low=0.1, high=0.9),
        information=information,
        transport=keys("c", "d").assign(partner=[4, 3, 2, 1, 0], mass=0.2),
        maps=maps,
        units=pd.DataFrame({"net": "a", "layer": "conv", "index": range(5), "dead": [False] * 4 + [True]}),
        clusters=cluster_units(WHOLE, k=3).unit_table(),
        universality=everywhere.table(),
        universe=universe.table(),
    )
    assert len(found) == 60
    here = found[(found["net_a"] == "a") & (found["net_b"] == "b")]
    assert here["information_partner"].tolist() == [0, 1, 2, 3, 4]
    assert here["map_verdict"].tolist() == maps["verdict"].tolist()
    assert here["map_support"].tolist() == maps["n_contributors"].tolist()
    assert here["information_excess"].tolist() == [0.1] * 5
    assert here["in_clique"].tolist() == [True, True, False, False, False]
    assert here["element"].tolist() == universe.element[:5].tolist()
    assert here["verdict"].tolist() == ["shared", "shared", "partly", "unique", "dead"]
    assert found["element"].dtype == np.int64
    assert found["in_clique"].dtype == bool
    other = found[(found["net_a"] == "c") & (found["net_b"] == "d")]
    assert other["transport_partner"].tolist() == [4, 3, 2, 1, 0]
    assert other[["information_partner", "map_verdict", "r_low", "dead"]].isna().all(axis=None)
    assert str(found["transport_partner"].dtype) == "Int64"
    assert {
        "r_high",
        "transported_mass",
        "map_r2_held_out",
        "cluster",
        "n_mutual",
        "returns",
        "information",
    } <= set(found)


def test_order_of_rows_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(MATCHES))
    everywhere = universality(WHOLE, n_rotations=0).table().iloc[::-1]
    moved = unit_verdicts(MATCHES.iloc[order], universality=everywhere)
    expected = unit_verdicts(MATCHES, universality=everywhere).iloc[order].reset_index(drop=True)
    pd.testing.assert_frame_equal(moved, expected)


def test_dead_by_the_table_of_units() -> None:
    units = pd.DataFrame({"net": "a", "layer": "conv", "index": [0], "dead": True})
    verdicts = verdict_of(unit_verdicts(MATCHES, units=units))
    assert verdicts["a"].tolist()[0] == "dead"
    assert verdicts["b"].tolist()[0] == "shared"


def test_tables_that_cannot_be_joined() -> None:
    with pytest.raises(InvalidArgumentError, match=r"table 'chance' by unit\. Found the columns \['layer', 'q'\]"):
        unit_verdicts(MATCHES, chance=pd.DataFrame({"layer": ["a/conv"], "q": [0.1]}))
    with pytest.raises(InvalidArgumentError, match=r"table 'intervals' by unit.*any of \['high', 'low'\]"):
        unit_verdicts(MATCHES, intervals=keys("a", "b").assign(lower=1))
    with pytest.raises(
        InvalidArgumentError, match=r"'matches' has one row for each layer, net_a, unit_a, net_b\. Found"
    ):
        unit_verdicts(pd.concat([MATCHES, MATCHES]))
    with pytest.raises(InvalidArgumentError, match=r"table 'matches' by unit"):
        unit_verdicts(MATCHES.drop(columns="net_b"))
    with pytest.raises(InvalidArgumentError, match=r"Verdicts by 'one_to_one' need the column 'one_to_one_r'"):
        unit_verdicts(keys("a", "b").assign(best_r=0.4), method="one_to_one")
    with pytest.raises(InvalidArgumentError, match=r"'best' partner or the 'one_to_one' one\. Found 'soft'"):
        unit_verdicts(MATCHES, method="soft")
    for options in ({"threshold": 1.2}, {"level": 0.0}):
        with pytest.raises(InvalidArgumentError, match=r"from a correlation, up to a q\. Found threshold="):
            unit_verdicts(MATCHES, **options)  # type: ignore[arg-type]
