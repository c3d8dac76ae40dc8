"""The claims of Li et al. (2016) on runs whose answers are planted."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convergent.report import load_run, published, reproduce_run
from convergent.report.claims import paper_layers, run_claims, run_rows
from convergent.report.reproduction import Claim, Row, as_markdown, write_reproduction
from convergent.report.run_folder import Run
from convergent.report.wording import NONE

MakeRun = Callable[..., Path]
LAYERS = {f"relu{number}": 20 for number in range(1, 6)}


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Run:
    return load_run(make_run(layers=LAYERS, pictures=False, dead=0))


def verdict(run: Run, words: str) -> Claim:
    (found,) = [claim for claim in run_claims(run) if words in claim.claim]
    return found


def test_what_the_study_did_not_ask_for_cannot_be_told(run: Run) -> None:
    verdicts = {claim.claim: claim.verdict for claim in run_claims(run)}
    assert sum(verdict == "cannot tell" for verdict in verdicts.values()) == 5
    for words in ("Mutual information", "A sparse map", "local to slightly", "conv3 to conv5", "same subspaces"):
        assert verdict(run, words).verdict == "cannot tell"


def test_matchings_decide_their_claims_both_ways(run: Run) -> None:
    assert verdict(run, "Some units").verdict == "holds"
    pairs = run.matches.assign(one_to_one_partner=run.matches["best_partner"], best_r=0.4)
    alike = replace(run, matches=pairs)
    assert verdict(alike, "Most units").verdict == "holds"
    assert verdict(alike, "Some units").verdict == "fails"
    assert verdict(alike, "far worse").verdict == "cannot tell"
    other = pairs.assign(one_to_one_partner=(pairs["best_partner"] + 1) % 20, one_to_one_r=0.1)
    assert verdict(replace(run, matches=other), "Most units").verdict == "fails"
    assert verdict(replace(run, matches=other), "far worse").verdict == "holds"
    assert verdict(replace(run, matches=other.assign(one_to_one_r=0.35)), "far worse").verdict == "fails"


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ((0.7, 0.55, 0.48, 0.37, 0.42), "holds"),
        ((0.7, 0.55, 0.48, 0.42, 0.37), "fails"),
        ((0.5, 0.7, 0.48, 0.37, 0.42), "fails"),
    ],
)
def test_depth_is_judged_by_where_the_highest_and_the_lowest_are(
    run: Run, means: Sequence[float], told: str
) -> None:
    of_layer = dict(zip(LAYERS, means, strict=True))
    matches = run.matches.assign(best_r=run.matches["layer"].map(of_layer))
    assert verdict(replace(run, matches=matches), "falls with depth").verdict == told
    without = matches[matches["layer"] != "relu3"]
    assert verdict(replace(run, matches=without), "falls with depth").verdict == "cannot tell"


def test_information_is_judged_by_the_best_units(run: Run) -> None:
    pairs = run.pair_matches().query("layer == 'relu1'")
    table = pairs.assign(information=pairs["best_r"], information_partner=0, information_r=0.5)
    assert verdict(replace(run, information=table), "Mutual information").ours == "8"
    turned = table.assign(information=-pairs["best_r"])
    assert verdict(replace(run, information=turned), "Mutual information").verdict == "fails"


def targets(run: Run, *, sparse: float, ridge: float, verdicts: Sequence[str]) -> pd.DataFrame:
    a, b = run.first_pair
    parts = [
        pd.DataFrame(
            {
                "layer": layer,
                "net_a": a,
                "net_b": b,
                "unit_b": np.arange(len(verdicts)),
                "verdict": verdicts,
                "r2_held_out": sparse,
                "ridge_r2_held_out": ridge,
                "n_for_90": 2,
            }
        )
        for layer in LAYERS
    ]
    return pd.concat(parts, ignore_index=True)


def test_maps_decide_their_claims_both_ways(run: Run) -> None:
    good = replace(run, targets=targets(run, sparse=0.2, ridge=0.21, verdicts=["local", "few", "distributed"]))
    bad = replace(
        run, targets=targets(run, sparse=0.2, ridge=0.4, verdicts=["distributed", "few", "unpredictable"])
    )
    for words in ("A sparse map", "local to slightly", "conv3 to conv5"):
        assert verdict(good, words).verdict == "holds"
        assert verdict(bad, words).verdict == "fails"
    assert verdict(good, "local to slightly").ours == "67 %"


def test_subspaces_are_the_same_where_nearly_all_is_shared_and_not_where_it_beats_chance(run: Run) -> None:
    a, b = run.first_pair
    layers = ["relu1", "relu2"]
    groups = pd.DataFrame({"layer": layers, "net_a": a, "net_b": b, "n_clusters": 3, "shared_random": 0.1})
    same, far = groups.assign(shared=[0.9, 0.8]), groups.assign(shared=[0.9, 0.5])
    assert verdict(replace(run, groups=same), "same subspaces").verdict == "holds"
    assert verdict(replace(run, groups=far), "same subspaces").verdict == "fails"
    expected = "relu1 90 % against 10 %; relu2 50 % against 10 %"
    assert verdict(replace(run, groups=far), "same subspaces").ours == expected


def test_units_decide_about_means_and_the_dead(run: Run, make_run: MakeRun) -> None:
    assert verdict(run, "No unit is dead").verdict == "holds"
    assert verdict(run, "orders of magnitude").verdict == "holds"
    flat = replace(run, units=run.units.assign(mean=1.0))
    assert verdict(flat, "orders of magnitude").verdict == "fails"
    wide = replace(run, units=run.units.assign(mean=10.0 ** (run.units["index"] % 5)))
    assert verdict(wide, "orders of magnitude").ours == "10,000"
    assert verdict(wide, "orders of magnitude").verdict == "fails"
    some = load_run(make_run(layers={"relu1": 20}, pictures=False, dead=1))
    assert verdict(some, "No unit is dead").verdict == "fails"
    assert verdict(some, "No unit is dead").ours == "5.0 %"


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (("conv1", "relu1", "relu2"), {"conv1": "relu1", "conv2": "relu2"}),
        (("features.conv_3",), {"conv3": "features.conv_3"}),
        (("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv2"), {"conv2": "layer2.0.conv2"}),
        (("relu6", "conv10", "deconv1"), {}),
    ],
)
def test_layers_of_the_paper_are_told_by_name(
    make_run: MakeRun, layers: Sequence[str], found: dict[str, str]
) -> None:
    some = load_run(make_run(layers=dict.fromkeys(layers, 4), untrained=(), nets=("x", "y"), pictures=False))
    assert paper_layers(some) == found


def test_published_numbers_stand_beside_those_of_the_tables(run: Run) -> None:
    rows = {(row.section, row.what): row for row in run_rows(run)}
    first = rows["relu1, beside conv1 of the paper", "mean r, semi-matching"]
    best = run.compared.query("layer == 'relu1'").groupby(["net_a", "net_b"])["best_r"].mean().mean()
    assert first.published == published.MATCHING["conv1"].best
    assert first.ours == pytest.approx(best)
    assert first.difference == pytest.approx(best - 0.70299)


def test_both_files_are_written_beside_the_run(run: Run) -> None:
    path = reproduce_run(run.path)
    assert path.name == "reproduce.md"
    content = json.loads(path.with_suffix(".json").read_text())
    assert len(content["claims"]) == len(run_claims(run))
    assert path.read_text().count("## relu") == 5


def test_numbers_that_are_not_there_are_null_and_dashes(tmp_path: Path) -> None:
    rows = [
        Row("a|b", "x|y", None, float("nan")),
        Row("a|b", "n", 43, 49),
        Row("a|b", "one", 0, 1.0),
        Row("a|b", "r", 0.5, 0.25),
    ]
    path = write_reproduction(tmp_path, title="T", introduction="I", rows=rows)
    assert [row["ours"] for row in json.loads(path.with_suffix(".json").read_text())["rows"]] == [
        None,
        49,
        1.0,
        0.25,
    ]
    text = as_markdown("T", "I", rows, [Claim("c", "s", "p", "o", "fails")])
    assert f"| x\\|y | {NONE} | {NONE} | {NONE} |  |" in text
    assert "| n | 43 | 49 | +6 |  |" in text
    assert "| one | 0 | 1.000 | +1.000 |  |" in text
    assert "| r | 0.500 | 0.250 | -0.250 |  |" in text
    assert "| c | s | p | o | **fails** |" in text
