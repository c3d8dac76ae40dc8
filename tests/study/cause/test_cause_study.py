"""A study of causes, on families whose answers are planted: useless and essential units, a permuted copy."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from convergent import CauseStudy, load_study, run_study
from convergent.errors import MismatchError, StudyError
from convergent.study.cause import check
from convergent.units import LayerRef, LayerUnits

SIDE, N_UNITS = 4, 8
CLASS_PIXEL, OWN_PIXELS = 0, (8, 9, 10)  # green of the first tells classes apart; each net reads another one
NETS = f"""\
from torch import nn
def net(n_classes=2):
    units = nn.Linear({3 * SIDE**2}, {N_UNITS})
    return nn.Sequential(nn.Flatten(), units, nn.ReLU(), nn.Linear({N_UNITS}, n_classes))
def ordered():
    return nn.Sequential(net()[:3], Sorted(), nn.Linear({N_UNITS}, 2))
class Sorted(nn.Module):
    def forward(self, x):
        return x.sort(dim=1).values
"""
STUDY = """\
kind: cause
name: planted
data: {{kind: folder, root: scored, size: {side}}}
fit: {{kind: folder, root: fitted, size: {side}}}
families:
  essential: {{factory: 'nets_of_cause:net', checkpoints: [{essential}], layers: ['2']}}
  useless: {{factory: 'nets_of_cause:net', checkpoints: [{useless}], layers: ['2']}}
  copies: {{factory: 'nets_of_cause:net', checkpoints: [{copies}], layers: ['2']}}
n_sets: 5
weights: [0.5]
widths: [1, 2]
blocks: 3
batch_size: 50
""".format(
    side=SIDE,
    essential="essential1.safetensors, essential2.safetensors, essential3.safetensors",
    useless="useless1.safetensors, useless2.safetensors",
    copies="copies1.safetensors, copies2.safetensors",
)


def empty() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, N_UNITS), nn.ReLU(), nn.Linear(N_UNITS, 2))


def parts_of(net: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    below, above = net[1], net[3]
    assert isinstance(below, nn.Linear)
    assert isinstance(above, nn.Linear)
    return below, above


def write_images(root: Path, n: int, *, seed: int, classes: Sequence[str] = ("a", "b")) -> None:
    """Noise; green of the first pixel is bright in all classes but the first."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        pixels = rng.integers(0, 256, size=(SIDE, SIDE, 3), dtype=np.uint8)
        label = i % len(classes)
        pixels[0, 0, 1] = rng.integers(130, 250) if label else rng.integers(120)
        (root / classes[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / classes[label] / f"{i}.png")


def planted(own: int, *, weight: float) -> nn.Sequential:
    """Unit 0 reads a pixel of its own and is read with a weight; the others read shared ones and do little."""
    net = empty()
    below, above = parts_of(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for unit, pixel in enumerate((own, *range(1, N_UNITS))):
            below.weight[unit, SIDE**2 + pixel] = 1
        below.bias.fill_(3)  # so that no ReLU cuts anything off
        above.weight[1] = 0.03 * torch.tensor([1.0, -1] * (N_UNITS // 2))
        above.weight[1, 0] = weight
        above.bias[1] = -3 * float(above.weight[1].sum())
    return net


def permuted(net: nn.Sequential) -> nn.Sequential:
    """A copy that answers the same, its units in reverse."""
    copy, order = empty(), torch.arange(N_UNITS).flip(0)
    (below, above), (new_below, new_above) = parts_of(net), parts_of(copy)
    with torch.no_grad():
        new_below.weight.copy_(below.weight[order])
        new_below.bias.copy_(below.bias[order])
        new_above.weight.copy_(above.weight[:, order])
        new_above.bias.copy_(above.bias)
    return copy


def write_nets(folder: Path) -> None:
    torch.manual_seed(0)
    nets = {f"essential{i}": planted(own, weight=2.0) for i, own in enumerate((CLASS_PIXEL, *OWN_PIXELS[1:]), 1)}
    nets |= {f"useless{i}": planted(own, weight=0.0) for i, own in enumerate(OWN_PIXELS[:2], 1)}
    some = empty()
    below, above = parts_of(some)
    with torch.no_grad():
        below.weight[0, SIDE**2 + CLASS_PIXEL] += 1
        above.weight[1, 0] += 2
    nets |= {"copies1": some, "copies2": permuted(some)}
    for name, net in nets.items():
        state = {key: value.contiguous() for key, value in net.state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nets, images and the study, and a finished run."""
    folder = tmp_path_factory.mktemp("cause")
    (folder / "nets_of_cause.py").write_text(NETS)
    (folder / "planted.yaml").write_text(STUDY)
    write_images(folder / "scored", 200, seed=0)
    write_images(folder / "fitted", 201, seed=1)
    write_nets(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        run_study(load_study(folder / "planted.yaml"), folder / "run")
    return folder


@pytest.fixture
def beside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, where factories are found."""
    monkeypatch.syspath_prepend(folder)
    return folder


def table(folder: Path, name: str, **where: object) -> pd.DataFrame:
    found = pd.read_parquet(folder / "run" / "tables" / f"{name}.parquet")
    for column, wanted in where.items():
        found = found[found[column] == wanted]
    return found


def varied(folder: Path, name: str, **changes: object) -> CauseStudy:
    """The study with some keys replaced (None takes one away), and only one family where one is named."""
    content = (
        yaml.safe_load(STUDY) | {"name": name} | {key: one for key, one in changes.items() if one is not None}
    )
    if "only" in content:
        content["families"] = {content["only"]: content["families"][content.pop("only")]}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    study = load_study(folder / f"{name}.yaml")
    assert isinstance(study, CauseStudy)
    return study


def test_units_that_no_other_net_has_are_found(folder: Path) -> None:
    units = table(folder, "units")
    unique = units[(units["set"] == "unique") & (units["family"] != "copies")]
    assert unique["unit"].tolist() == [0] * 5
    assert (unique["uniqueness"] > 0.7).all()
    shared = units[(units["set"] == "shared") & (units["family"] != "copies")]
    assert (shared["unit"] > 0).all()
    assert (shared["mean_r"] > 0.99).all()


def test_an_essential_unit_helps_and_a_useless_one_does_not(folder: Path) -> None:
    rows = table(folder, "ablation", set="unique").set_index("net")
    essential, useless = rows.loc["essential1"], rows.loc["useless1"]
    assert essential["verdict"] == "help"
    assert essential["accuracy"] > 0.95
    assert essential["accuracy_change"] < -0.3
    assert essential["loss_difference_low"] > 0
    assert useless["verdict"] == "no effect seen"
    assert abs(useless["loss_change"]) < 1e-6
    assert rows["n_sets"].tolist() == [5] * 7
    # Units of the other nets of that family read noise, and are believed: they hurt.
    assert rows.loc[["essential2", "essential3"], "verdict"].tolist() == ["hurt", "hurt"]


def test_the_difference_of_two_nets_sits_where_it_was_planted(folder: Path) -> None:
    rows = table(folder, "carried", family="essential", of="loss", set="unique")
    with_first = rows[rows["net_b"] == "essential1"]  # the better one stands second
    assert len(with_first) == 2
    assert (with_first["difference"] > 0.5).all()
    np.testing.assert_allclose(with_first["carried"], with_first["difference"], atol=0.1)
    assert (with_first["carried_by_matched"].abs() < 0.1 * with_first["difference"]).all()


def test_curves_begin_with_all_units_and_end_with_none(folder: Path) -> None:
    rows = table(folder, "curves", family="essential", net="essential1")
    ends = rows[rows["share"] == 1]
    assert ends["loss"].nunique() == 1  # in whatever order
    unique = rows[rows["order"] == "unique"].set_index("n_units")["accuracy"]
    assert unique[0] > 0.95
    assert unique[1] < 0.7
    shared = rows[rows["order"] == "shared"].set_index("n_units")["accuracy"]
    assert shared[4] > 0.95


def test_each_class_has_its_row(folder: Path) -> None:
    rows = table(folder, "by_class", family="essential", net="essential1", set="unique")
    assert rows["label"].tolist() == [0, 1]
    whole = table(folder, "ablation", net="essential1", set="unique")["loss_change"].item()
    assert np.average(rows["loss_change"], weights=rows["n_inputs"]) == pytest.approx(whole)


def test_what_replaces_units_is_compared_in_the_last_layer(folder: Path) -> None:
    rows = table(folder, "replaced", net="essential1", set="unique").set_index("replace_by")
    assert list(rows.index) == ["mean", "zero", "resample"]
    assert (rows["loss_change"] > 0.3).all()  # also by values of others, though the folder is sorted by class


def test_a_permuted_copy_has_no_barrier_once_matched(folder: Path) -> None:
    rows = table(folder, "merging", family="copies").drop_duplicates(["matched", "mended"])
    barrier = rows.set_index(["matched", "mended"])["barrier"]
    assert barrier[True, False] < 1e-6
    assert barrier[False, False] > 1e-4
    assert (rows["max_change"] < 1e-5).all()
    zipped = table(folder, "zipped", family="copies").set_index("width")
    assert zipped["accuracy_gain"].tolist() == [0, 0]
    assert zipped["n_multiply_adds"].tolist() == [8 * 48 + 16, 2 * (8 * 48 + 16)]


def test_a_permuted_copy_has_no_unique_units_and_recovers_all(folder: Path) -> None:
    assert table(folder, "ablation", family="copies")["n_unique"].tolist() == [0] * 4
    rows = table(folder, "transplant", family="copies", units_are="one-to-one")
    np.testing.assert_allclose(rows["loss_recovered"], 1, atol=1e-4)
    apart = table(folder, "disagreement", family="copies")
    assert (apart["n_disagree"] == 0).all()


def test_a_unit_that_a_net_lacks_is_worth_more_where_it_knows_the_class(folder: Path) -> None:
    found = table(folder, "combining", family="essential", net_a="essential3", net_b="essential1")
    rows = {row["way"]: row for row in found.to_dict("records")}
    assert rows["with unique"]["over_random_loss_saved_low"] > 0
    assert rows["with unique"]["accuracy"] > 0.95
    assert rows["with copies"]["accuracy"] < 0.7
    assert rows["ensemble"]["times_multiply_adds"] == 2


def test_claims_say_over_what_their_intervals_are(folder: Path) -> None:
    found = table(folder, "claims_by_family")
    rows = {(row["key"], row["family"]): row for row in found.to_dict("records")}
    assert rows["less", "essential"]["statistic"].endswith("over nets")
    assert rows["less", "copies"]["statistic"].endswith("over inputs")
    assert rows["help", "useless"]["estimate"] == pytest.approx(0, abs=1e-6)
    assert ("distilled", "useless") not in rows
    claims = table(folder, "claims")
    assert len(claims) == found["key"].nunique() == 12
    mean = found.loc[found["key"] == "help", "estimate"].mean()
    assert claims["estimate"][claims["claim"] == "Units that no other net has help."].item() == pytest.approx(mean)


def test_parts_are_made_once_and_made_again_where_they_are_gone(beside: Path) -> None:
    run = beside / "run"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (run / "parts").glob("*.parquet")}
    gone = next(path for path in before if ".ablation." in path.name)
    gone.unlink()
    tables = {path.name: path.read_bytes() for path in (run / "tables").glob("*.parquet")}
    run_study(load_study(beside / "planted.yaml"), run, resume=True)
    assert {path.name: path.read_bytes() for path in (run / "tables").glob("*.parquet")} == tables
    group = gone.name.partition(".")[0]
    for path, (content, written) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns == written) == (path.name.partition(".")[0] != group)


def test_experiments_can_be_left_out(beside: Path) -> None:
    study = varied(beside, "few", only="copies", experiments=["zipping"], pairs="first")
    run = run_study(study, beside / "few")
    names = {path.stem for path in (run / "tables").glob("*.parquet")}
    assert names == {"units", "nets", "zipped", "zipped_means", "claims", "claims_by_family"}
    assert pd.read_parquet(run / "tables/claims.parquet").empty


def test_one_net_is_taught_by_two_where_nets_are_trained_here(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "kind: cause\nname: tiny\ndata: {kind: photo-digits, n: 40}\n"
        "fit: {kind: photo-digits, n: 40, split: train}\nexperiments: [distilling]\nblocks: 2\nshare: 0.03\n"
        "families:\n  alexnet:\n    factory: alexnet_small\n    seeds: [1, 2]\n    layers: [relu7]\n"
        "    train: {n_steps: 2, batch_size: 8}\n"
    )
    run = run_study(load_study(tmp_path / "tiny.yaml"), tmp_path / "run")
    assert (run / "nets" / "alexnet1+alexnet2.safetensors").exists()
    found = pd.read_parquet(run / "tables/combining.parquet")
    assert found["way"].tolist() == ["distilled"]
    claims = pd.read_parquet(run / "tables/claims.parquet")
    assert claims["claim"].tolist() == ["One net taught by two is better than the better of them."]


def test_nets_that_cannot_be_moved_are_told_and_the_rest_is_done(
    beside: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = {"factory": "nets_of_cause:ordered", "seeds": [1, 2], "layers": ["0"]}
    study = varied(beside, "sorted", families={"odd": content}, experiments=["merging", "zipping", "distilling"])
    run = run_study(study, beside / "sorted")
    assert "Nets of odd are not merged: none of their units can be permuted." in caplog.text
    assert "Nets of odd are not distilled: they were not trained here" in caplog.text
    assert pd.read_parquet(run / "tables/merging.parquet").empty


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"families": {"one": {"factory": "alexnet_small", "layers": ["fc8"], "seeds": [1]}}}, "two seeds or ch"),
        (
            {"fit": yaml.safe_load(STUDY)["data"]},
            "fit: these are the inputs of `data`, which must not be fitted on",
        ),
        ({"fractions": [0.5, 0.25]}, "fractions: expected numbers that ascend, each once"),
        ({"weights": [0.5, 0.5]}, "weights: expected numbers that ascend, each once"),
        ({"untrained": 2}, "untrained: expected 0; found 2"),
        ({"experiments": ["ablating"]}, "found 'ablating'"),
        ({"share": 0.7}, "share: expected a number less than or equal to 0.5|share: .*0.5; found 0.7"),
    ],
)
def test_faults_of_a_study_are_told_with_their_key(folder: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(StudyError, match=told):
        varied(folder, "faulty", **changes)


def test_inputs_are_not_fitted_on_and_scored(beside: Path) -> None:
    data, fit = ({"kind": "photo-digits", "n": n} for n in (20, 30))
    families = {"two": {"factory": "alexnet_small", "layers": ["fc8"], "seeds": [1, 2]}}
    study = varied(beside, "overlapping", data=data, fit=fit, families=families)
    with pytest.raises(StudyError, match="20 inputs are in `data` and in `fit`, first number"):
        run_study(study, beside / "overlapping")


def test_inputs_without_labels_are_refused(beside: Path) -> None:
    for i in range(3):
        Image.fromarray(np.full((SIDE, SIDE, 3), 40 * i, dtype=np.uint8)).save(beside / f"{i}.png")
        (beside / "unlabelled").mkdir(exist_ok=True)
        (beside / f"{i}.png").rename(beside / "unlabelled" / f"{i}.png")
    study = varied(beside, "unlabelled_fit", fit={"kind": "folder", "root": "unlabelled", "size": SIDE})
    with pytest.raises(StudyError, match="3 of 3 inputs of `fit` have no label"):
        run_study(study, beside / "unlabelled_run")


def test_dead_layers_are_refused(beside: Path) -> None:
    torch.manual_seed(1)
    for name in ("dead1", "dead2"):
        net = empty()
        below, _ = parts_of(net)
        with torch.no_grad():
            below.weight[3:].zero_()
            below.bias[:3].fill_(5)
        save_file(dict(net.state_dict()), beside / f"{name}.safetensors")
    dead = {"factory": "nets_of_cause:net", "layers": ["2"]}
    dead["checkpoints"] = ["dead1.safetensors", "dead2.safetensors"]
    study = varied(beside, "dead", families={"dead": dead})
    with pytest.raises(StudyError, match=r"unique units of 'dead1/2' apart.* 3 of its 8 units are alive"):
        run_study(study, beside / "dead")


def test_classes_that_were_not_fitted_are_refused(beside: Path) -> None:
    write_images(beside / "three", 60, seed=3, classes=("a", "b", "c"))
    wider = {"factory": "nets_of_cause:net", "kwargs": {"n_classes": 3}, "layers": ["2"], "seeds": [1, 2]}
    data = {"kind": "folder", "root": "three", "size": SIDE}
    study = varied(beside, "classes", data=data, families={"wider": wider}, experiments=["combining"])
    with pytest.raises(MismatchError, match=r"trained on the classes \[0, 1\]. Found inputs of \[2\]"):
        run_study(study, beside / "classes")


def test_nets_of_a_family_have_the_same_layers(folder: Path) -> None:
    study = load_study(folder / "planted.yaml")
    assert isinstance(study, CauseStudy)
    layers = [LayerUnits(LayerRef(net, "2"), 8, (), 1, "all") for net in study.members]
    check(study, layers)
    wide = [replace(one, n_units=9 if one.ref.net == "copies2" else 8) for one in layers]
    with pytest.raises(StudyError, match="'copies1' and 'copies2' differ in the layers 2"):
        check(study, wide)
