"""A pair of nets looked at closely, where one is the other with its units in another order."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convergent import load_study, run_study
from convergent.errors import StudyError
from convergent.measures import cluster_units, match_best, mutual_information
from convergent.report import load_run, reproduce_run, write_report
from convergent.report.montages import load_filters
from convergent.report.pair_figures import _partners
from convergent.statistics import Blocked, Moments, Quantiles, load
from convergent.study.pairs.histogram_plans import best_and_worst_units, histogram_plans
from convergent.study.spec import PhotoDigitsSpec, ViewSpec
from convergent.units import LayerRef

ORDERS = {"relu1": [3, 0, 5, 1, 4, 2], "relu2": [4, 2, 0, 3, 1]}

NETS = """\
import torch
from torch import nn

def make(order1=range(6), order2=range(5)):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential()
        for i, (n_in, n_out) in enumerate([(3, 6), (6, 5)], start=1):
            net.add_module(f"conv{i}", nn.Conv2d(n_in, n_out, 3, stride=2))
            net.add_module(f"relu{i}", nn.ReLU())
    with torch.no_grad():
        for conv, order in ((net.conv1, list(order1)), (net.conv2, list(order2))):
            conv.weight.copy_(conv.weight[order].clone())
            conv.bias.copy_(conv.bias[order].clone())
        net.conv2.weight.copy_(net.conv2.weight[:, list(order1)].clone())
    return net
"""
STUDY = f"""\
name: permuted
data: {{kind: photo-digits, n: 80}}
nets:
  a: {{factory: 'permuted_nets:make'}}
  b: {{factory: 'permuted_nets:make', kwargs: {{order1: {ORDERS["relu1"]}, order2: {ORDERS["relu2"]}}}}}
untrained: 0
layers: [relu1, relu2]
blocks: 4
top_inputs: 2
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("closely")
    (folder / "permuted_nets.py").write_text(NETS)
    (folder / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield run_study(load_study(folder / "study.yaml"), folder / "run")


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(run / "tables" / f"{name}.parquet")


def alive(run: Path, net: str, layer: str) -> np.ndarray:
    units = table(run, "units").query("net == @net and layer == @layer")
    return np.asarray(units.loc[~units["dead"], "index"])


def places(layer: str) -> np.ndarray:
    """Where each unit of a is in b."""
    return np.argsort(ORDERS[layer])


def test_information_finds_each_unit_again(run: Path) -> None:
    found = table(run, "information")
    pair = load(run / "statistics/histograms.safetensors")
    for layer in ORDERS:
        rows = found[found["layer"] == layer].set_index("unit_a").loc[alive(run, "a", layer)]
        assert rows["information_partner"].tolist() == places(layer)[rows.index].tolist()
        assert rows["best_partner"].tolist() == rows["information_partner"].tolist()
        np.testing.assert_allclose(rows["information_r"], 1, atol=1e-6)
        np.testing.assert_array_equal(rows["information"], rows["best_information"])
        own = match_best(mutual_information(pair.pair(LayerRef("a", layer), LayerRef("b", layer))))
        np.testing.assert_array_equal(rows["information"], own.score[rows.index])


def test_each_unit_is_predicted_by_its_twin_alone(run: Path) -> None:
    targets = table(run, "targets")
    assert set(zip(targets["net_a"], targets["net_b"], strict=True)) == {("a", "b"), ("b", "a")}
    for layer, order in ORDERS.items():
        for net, twins in (("b", np.array(order)), ("a", places(layer))):
            rows = targets.query("layer == @layer and net_b == @net").set_index("unit_b")
            rows = rows.loc[alive(run, net, layer)]
            assert set(rows["verdict"]) == {"local"}
            assert rows["top_contributor"].tolist() == twins[rows.index].tolist()
            assert (rows["ridge_r2_held_out"] > 0.99).all()


def test_paths_of_both_directions_are_equal_and_the_paper_stops_early(run: Path) -> None:
    paths = table(run, "paths")
    exact = paths[paths["solver"] == "exact"]
    for layer in ORDERS:
        of_layer = exact[exact["layer"] == layer]
        there, back = (of_layer[of_layer["net_a"] == net] for net in "ab")
        np.testing.assert_allclose(there["loss"], back["loss"], atol=1e-6)
        assert there["loss"].is_monotonic_decreasing
        assert there.loc[there["penalty"] == 1, "n_contributors"].item() == 0
    paper = paths[paths["solver"] == "paper"]
    assert set(paper["net_a"]) == {"a"}
    assert paper["gap"].max() > 1e-6 >= exact["gap"].max()


def test_twins_are_in_one_cluster(run: Path) -> None:
    members, groups = table(run, "members"), table(run, "groups").set_index("layer")
    for layer in ORDERS:
        of_layer = members[members["layer"] == layer].set_index("unit")
        of = {net: of_layer.loc[of_layer["net"] == net, "cluster"] for net in "ab"}
        for unit in alive(run, "a", layer):
            assert of["a"][unit] == of["b"][places(layer)[unit]]
        moments = load(run / "statistics/moments.safetensors").total
        found = cluster_units(moments.pair(LayerRef("a", layer), LayerRef("b", layer)), max_leaf=5)
        assert groups.loc[layer, "n_clusters"] == found.n_clusters
        if found.n_several:
            angles = groups.loc[[layer], ["angle", "angle_random"]].to_numpy()[0]
            assert angles[0] < 0.1 < angles[1]
    clusters = table(run, "clusters")
    assert (clusters["n_units_a"] == clusters["n_units_b"]).all()


def test_densities_are_of_the_best_and_the_worst_match(run: Path) -> None:
    moments: Blocked[Moments] = load(run / "statistics/moments.safetensors")
    densities = load(run / "statistics/densities.safetensors")
    for a, b in densities.counts:
        wanted = best_and_worst_units(moments.total, a, b)
        assert 1 <= len(wanted) <= 2
        pair = densities.pair(a, b)
        assert set(wanted) <= {(i, j) for i in pair.units_a.tolist() for j in pair.units_b.tolist()}


def test_wide_layers_are_not_counted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergent.study.pairs.histogram_plans.MOST_UNITS", 5)
    quantiles: Quantiles = load(run / "statistics/quantiles.safetensors")
    moments: Blocked[Moments] = load(run / "statistics/moments.safetensors")
    pairs = [(LayerRef("a", layer), LayerRef("b", layer)) for layer in ORDERS]
    plans = histogram_plans(quantiles, moments.total, pairs, n_bins=4)
    assert {layer.layer for layer in plans["histograms"].edges} == {"relu2"}  # type: ignore[attr-defined]
    assert {layer.layer for layer in plans["densities"].edges} == {"relu2"}  # type: ignore[attr-defined]


def test_filters_are_aligned_by_the_relu_that_follows_them(run: Path) -> None:
    filters = load_filters(run / "filters")
    (order,) = _partners(load_run(run), filters).values()
    living = alive(run, "a", "relu1")
    np.testing.assert_array_equal(filters["b"].pictures[order][living], filters["a"].pictures[living])


def test_every_figure_of_the_pair_is_on_the_page(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    drawn = {path.stem.removeprefix("figure") for path in (run / "figures").glob("*.png")}
    once = {"3", "4", "L", "C", "U", "S8", "T1", "6c", "S1", "S4b", "S7", "F"}
    always = {
        f"{kind}_{layer}" for kind in ("1", "2", "6", "6b", "7", "S4", "S5", "S6", "S9", "V") for layer in ORDERS
    }
    assert drawn - {f"7b_{layer}" for layer in ORDERS} == once | always
    for section in ("figure6", "figure7", "figureS4", "figureS9"):
        assert f'id="{section}"' in page
    assert page.count("<img") >= len(drawn)


@pytest.mark.parametrize("dead", [("b",), ("a", "b")])
def test_a_layer_that_is_dead_in_one_net_or_in_both_has_rows_without_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: tuple[str, ...]
) -> None:
    (tmp_path / "dying_nets.py").write_text(
        NETS
        + "\ndef dead():\n    net = make()\n    net.conv2.weight.data.zero_()\n    net.conv2.bias.data.fill_(-1)\n"
        "    return net\n\ndef other():\n    net = dead()\n    net.conv1.weight.data.neg_()\n    return net\n"
        "\ndef alive():\n    return make()\n"
    )
    makers = {"b": "dead", "a": "other" if "a" in dead else "alive"}
    (tmp_path / "s.yaml").write_text(
        "name: s\ndata: {kind: photo-digits, n: 40}\nuntrained: 0\nlayers: [relu1, relu2]\nblocks: 4\nnets:\n"
        + "".join(f"  {net}: {{factory: 'dying_nets:{makers[net]}'}}\n" for net in "ab")
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = run_study(load_study(tmp_path / "s.yaml"), tmp_path / "run")
    paths = table(run, "paths").query("layer == 'relu2' and net_b == 'b'")
    assert paths["loss"].isna().all()
    groups = table(run, "groups").set_index("layer")
    assert groups["n_several"]["relu2"] == 0
    assert groups.isna()["first_merge"]["relu2"]
    assert write_report(run).is_file()
    assert reproduce_run(run).is_file()


def test_a_handful_of_inputs_leaves_angles_out_and_says_so(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = load_study(run.parent / "study.yaml").model_copy(
        update={"data": PhotoDigitsSpec(kind="photo-digits", n=5), "view": ViewSpec(locations="mean")}
    )
    few = run_study(study, tmp_path / "run")
    assert any("No angles and no shared variance in clusters of 'a/relu1'" in told for told in caplog.messages)
    assert table(few, "groups").set_index("layer").isna()["shared"]["relu1"]
    assert write_report(few).is_file()


@pytest.mark.parametrize(("name", "other"), [("moments", "zeros"), ("histograms", "zeros"), ("zeros", "moments")])
def test_a_statistic_of_another_kind_is_refused(run: Path, tmp_path: Path, name: str, other: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    folder = tmp_path / "run/statistics"
    shutil.copy(folder / f"{other}.safetensors", folder / f"{name}.safetensors")
    with pytest.raises(StudyError, match=r"It holds another statistic than \w+Plan makes"):
        run_study(load_study(run.parent / "study.yaml"), tmp_path / "run", resume=True)
    if name == "moments":
        with pytest.raises(StudyError, match=r"does not hold moments in blocks"):
            load_run(tmp_path / "run")


def test_densities_of_another_kind_are_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    folder = tmp_path / "run/statistics"
    shutil.copy(folder / "zeros.safetensors", folder / "densities.safetensors")
    with pytest.raises(StudyError, match=r"does not hold histograms but another statistic"):
        load_run(tmp_path / "run")


def test_layers_without_histograms_are_named(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    quantiles: Quantiles = load(run / "statistics/quantiles.safetensors")
    moments: Blocked[Moments] = load(run / "statistics/moments.safetensors")
    pairs = [(LayerRef("a", layer), LayerRef("b", layer)) for layer in ORDERS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convergent.study.pairs.histogram_plans.MOST_UNITS", 4)
        assert histogram_plans(quantiles, moments.total, pairs, n_bins=4) == {}
    assert caplog.messages == ["No mutual information in layers of more than 4 units: relu1, relu2."]


def test_a_study_says_how_units_are_projected(run: Path, tmp_path: Path) -> None:
    assert "excites them (deconvnet)" in write_report(run).read_text(encoding="utf-8")
    study = load_study(run.parent / "study.yaml")
    changed = {"projection": "gradient_x_input", "measures": ["match_best"]}
    other = run_study(study.model_copy(update=changed), tmp_path / "run")
    assert "excites them (gradient x input)" in write_report(other).read_text(encoding="utf-8")
    name = "crops/a/relu2.projection.png"
    assert (other / name).read_bytes() != (run / name).read_bytes()


def test_matches_stand_beside_interval_chance_and_q(run: Path) -> None:
    matches = table(run, "matches")
    living = matches[matches["best_r"].notna()]
    assert len(living) > 10
    assert (living["best_r_low"] <= living["best_r"]).all()
    assert (living["best_r"] <= living["best_r_high"] + 1e-12).all()
    np.testing.assert_allclose(living["best_r_held_out"], 1, atol=1e-5)
    assert (living["best_chance"] < 0.9).all()
    assert living["best_q"].between(0, 1).all()
    assert living["design_effect"].notna().all()
    assert set(matches["n_inputs"]) == {80}
    assert matches.groupby("layer")["n_samples"].first().to_dict() == {"relu1": 80 * 15 * 15, "relu2": 80 * 7 * 7}


def test_a_permutation_explains_all_that_a_linear_map_does(run: Path) -> None:
    rungs = table(run, "ladder").set_index(["layer", "rung"])["r2_held_out"].to_dict()
    for layer in ORDERS:
        assert rungs[layer, "permutation"] == pytest.approx(1, abs=1e-4)
        assert rungs[layer, "ridge"] == pytest.approx(1, abs=1e-3)
        assert rungs[layer, "identity"] < 0.9


def test_layers_are_as_alike_as_they_can_be(run: Path) -> None:
    rows = table(run, "similarity").set_index(["layer", "measure"])
    value, low, chance = (rows[column].to_dict() for column in ("value", "low", "chance"))
    for layer in ORDERS:
        for measure in ("cka_debiased", "cka_biased", "procrustes", "soft_matching", "cca"):
            assert value[layer, measure] == pytest.approx(1, abs=1e-3), measure
            assert chance[layer, measure] < 0.9
            assert low[layer, measure] <= value[layer, measure] + 1e-9
        assert value[layer, "permutation_angular_distance"] == pytest.approx(0, abs=1e-2)
    matrix = table(run, "layer_matrix").set_index(["net_a", "layer_a", "net_b", "layer_b"])["cka"].to_dict()
    assert len(matrix) == 16
    for layer in ORDERS:
        assert matrix["a", layer, "b", layer] == pytest.approx(1, abs=1e-5)


def test_every_living_unit_is_shared_with_its_twin(run: Path) -> None:
    counts = table(run, "universality").set_index(["layer", "n_nets"])["n_units"].to_dict()
    verdicts = table(run, "verdicts")
    for layer in ORDERS:
        n_alive = len(alive(run, "a", layer))
        assert (counts[layer, 1], counts[layer, 2]) == (0, 2 * n_alive)
        rows = verdicts.query("layer == @layer and net_a == 'a'").set_index("unit_a").loc[alive(run, "a", layer)]
        assert rows["partner"].tolist() == places(layer)[rows.index].tolist()
        assert rows["transport_partner"].tolist() == rows["partner"].tolist()
        assert rows["element"].is_unique
    wanted = {"r", "r_low", "r_high", "r_held_out", "r_chance", "q", "information", "information_excess"}
    wanted |= {"transported_mass", "map_support", "cluster", "in_clique", "element", "verdict"}
    assert wanted <= set(verdicts.columns)
    assert set(verdicts.loc[verdicts["dead"], "verdict"]) <= {"dead"}


def test_a_short_study_leaves_out_what_it_cannot_hold_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "short_nets.py").write_text(NETS)
    text = STUDY.replace("permuted_nets", "short_nets").replace("blocks: 4", "blocks: 2\nrolls: 0")
    asked = "measures: [match_one_to_one, ladder, universality]"
    (tmp_path / "study.yaml").write_text(f"{text}{asked}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        short = run_study(load_study(tmp_path / "study.yaml"), tmp_path / "run")
    assert "ladder is left out: it holds out blocks in turn, needs 3 of them, and 2 have inputs." in caplog.text
    names = {file.stem for file in (short / "tables").iterdir()}
    assert names == {"units", "matches", "universality", "universals", "verdicts"}
    matches, verdicts = table(short, "matches"), table(short, "verdicts")
    assert matches["best_r"].isna().all()
    assert matches["one_to_one_q"].isna().all()
    assert "q" not in verdicts
    assert set(verdicts["verdict"]) <= {"shared", "dead"}


def small(folder: Path, patch: pytest.MonkeyPatch, *changes: tuple[str, str]) -> Path:
    """The study with some of its text changed, run."""
    text = STUDY.replace("permuted_nets", f"nets_{folder.name}")
    for was, now in changes:
        assert was in text
        text = text.replace(was, now)
    (folder / f"nets_{folder.name}.py").write_text(NETS)
    (folder / "study.yaml").write_text(text)
    patch.syspath_prepend(folder)
    return run_study(load_study(folder / "study.yaml"), folder / "run")


def test_batches_too_small_for_cka_leave_its_matrix_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changes = ("n: 80", "n: 8"), ("blocks: 4", "blocks: 2\nbatch_size: 3\nmeasures: [match_best, similarity]")
    done = small(tmp_path, monkeypatch, *changes)
    assert "No layer_matrix: debiased CKA needs batches of 4 inputs." in caplog.text
    assert not (done / "tables/layer_matrix.parquet").exists()
    assert table(done, "similarity")["value"].notna().any()
    assert table(done, "matches")["best_q"].isna().all()  # rolls of so few inputs repeat each other


def test_nets_without_a_common_layer_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apart.py").write_text(
        "from torch import nn\n"
        "def named(name):\n    net = nn.Sequential()\n"
        "    net.add_module(name, nn.Conv2d(3, 4, 3))\n    return net\n"
    )
    (tmp_path / "study.yaml").write_text(
        "name: apart\ndata: {kind: photo-digits, n: 20}\nlayers: ['conv*']\nuntrained: 0\n"
        "nets:\n  a: {factory: 'apart:named', kwargs: {name: conv1}}\n"
        "  b: {factory: 'apart:named', kwargs: {name: conv2}}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        StudyError, match=r"Cannot compare the nets of 'apart'\. No two have a layer of the same name"
    ):
        run_study(load_study(tmp_path / "study.yaml"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
