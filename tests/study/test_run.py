"""A study leaves a run folder; stopped and resumed, the same one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from convergent import PhotoDigits, load_net, load_study, match_best, run_study
from convergent.errors import ConvergentError, StudyError
from convergent.statistics import PairMoments, load
from convergent.study import Study
from convergent.study.pairs.crops import crop

TINY = """\
name: tiny
data: {kind: photo-digits, n: 60}
nets:
  one: {factory: alexnet_small, train: {seed: 1, n_steps: 3, batch_size: 8}}
  two: {factory: alexnet_small, train: {seed: 2, n_steps: 3, batch_size: 8}}
layers: [relu1, relu6]
blocks: 3
top_inputs: 4
batch_size: 16
rolls: 2
"""


def plain(folder: Path, **replaced: str) -> Study:
    """The tiny study with nets as their factory makes them, or with some keys replaced."""
    text = TINY.replace(", train: {seed: 1, n_steps: 3, batch_size: 8}", "")
    text = text.replace(", train: {seed: 2, n_steps: 3, batch_size: 8}", "")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(f"{old}: ", f"{old}: {new} #")
    path = folder / "tiny.yaml"
    path.write_text(text)
    return load_study(path)


def tables(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "tables").glob("*.parquet"))}


def sheet(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def first_layer(net: nn.Module) -> nn.Module:
    return nn.Sequential(net.get_submodule("conv1"), net.get_submodule("relu1"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(TINY)
    return run_study(load_study(folder / "tiny.yaml"), folder / "run")


def test_the_folder_holds_what_is_promised(run: Path) -> None:
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    tables = (
        *("units", "matches", "information", "targets", "paths", "clusters", "members", "groups"),
        *("ladder", "similarity", "layer_matrix", "universality", "universals", "verdicts"),
    )
    statistics = ("moments", "zeros", "top_inputs", "layers", "quantiles", "histograms", "densities")
    crops = {f"crops/{net}/{layer}" for net in ("one", "two") for layer in ("relu1", "relu6")}
    assert names == (
        {"study.yaml", "provenance.json", "nets/one.safetensors", "nets/two.safetensors"}
        | {f"statistics/{name}.safetensors" for name in statistics}
        | {f"tables/{name}.parquet" for name in tables}
        | {"crops/index.json", *(f"{crop}{kind}.png" for crop in crops for kind in ("", ".projection"))}
        | {"filters/index.json", "filters/one.png", "filters/two.png"}
    )


def test_the_units_are_as_a_plain_forward_finds_them(run: Path) -> None:
    units = pd.read_parquet(run / "tables/units.parquet")
    assert list(units.columns) == ["net", "layer", "index", "mean", "std", "zeros", "dead", "trained"]
    assert units.groupby("net", sort=False).size().to_dict() == dict.fromkeys(
        ["one", "two", "untrained1", "untrained2"], 32 + 256
    )
    net = load_net("alexnet_small", checkpoint=run / "nets/one.safetensors")
    with torch.no_grad():
        maps = first_layer(net)(PhotoDigits.probe(60).batch(np.arange(60)).tensor).double()
    own = units[(units["net"] == "one") & (units["layer"] == "relu1")]
    np.testing.assert_allclose(own["mean"], maps.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(own["std"], maps.std((0, 2, 3), correction=0), rtol=1e-5)
    np.testing.assert_allclose(own["zeros"], (maps == 0).double().mean((0, 2, 3)))
    assert own["trained"].all()
    assert not units.loc[units["net"] == "untrained1", "trained"].any()


def test_the_matches_are_those_of_the_plain_maps(run: Path) -> None:
    matches = pd.read_parquet(run / "tables/matches.parquet")
    directions = set(zip(matches["net_a"], matches["net_b"], matches["trained"], strict=True))
    assert directions == {
        ("one", "two", True),
        ("two", "one", True),
        ("untrained1", "untrained2", False),
        ("untrained2", "untrained1", False),
    }
    rows = matches[(matches["net_a"] == "two") & (matches["net_b"] == "one") & (matches["layer"] == "relu1")]
    tensor = PhotoDigits.probe(60).batch(np.arange(60)).tensor
    samples = []
    for name in ("two", "one"):
        net = load_net("alexnet_small", checkpoint=run / f"nets/{name}.safetensors")
        with torch.no_grad():
            samples.append(first_layer(net)(tensor).permute(0, 2, 3, 1).flatten(0, 2))
    best = match_best(PairMoments.from_samples(*samples))
    assert rows["best_partner"].tolist() == best.partner.tolist()
    np.testing.assert_allclose(rows["best_r"], best.score, atol=1e-6)
    assert rows["one_to_one_r"].mean() <= rows["best_r"].mean()
    assert rows["one_to_one_partner"].is_unique
    assert rows["best_r_held_out"].between(-1, 1).all()
    assert not np.allclose(rows["best_r_held_out"], rows["best_r"])


def test_provenance_names_nets_versions_and_data(run: Path) -> None:
    said = json.loads((run / "provenance.json").read_text())
    assert said["nets"]["one"]["accuracy"] is not None
    assert said["nets"]["one"]["weights"] != said["nets"]["two"]["weights"]
    assert said["nets"]["untrained1"]["trained"] is False
    assert said["torch"] == torch.__version__.partition("+")[0] or said["torch"] == torch.__version__
    assert said["data"] == PhotoDigits.probe(60).fingerprint


def test_crops_are_the_pictures_the_units_saw(run: Path) -> None:
    top = load(run / "statistics/top_inputs.safetensors")
    found = next(value for ref, value in top.strongest.items() if str(ref) == "one/relu1")
    tiles = sheet(run / "crops/one/relu1.png")
    assert tiles.shape == (32 * 7, 4 * 7, 3)
    probe = PhotoDigits.probe(60)
    for unit in range(0, 32, 5):
        picture = probe.picture(probe.ids.tolist().index(int(found.ids[unit, 0])))
        row, column = divmod(int(found.locations[unit, 0]), 16)
        box = (2 * row - 3, 2 * column - 3, 2 * row + 4, 2 * column + 4)
        np.testing.assert_array_equal(tiles[7 * unit : 7 * unit + 7, :7], crop(picture, box))
    assert sheet(run / "crops/one/relu6.png").shape == (256 * 32, 4 * 32, 3)


def test_a_crop_is_grey_outside_the_picture() -> None:
    picture = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    tile = crop(picture, (-1, 2, 3, 6))
    assert (tile[0] == 128).all()
    assert (tile[:, 2:] == 128).all()
    np.testing.assert_array_equal(tile[1:, :2], picture[:3, 2:])


def test_resuming_a_finished_run_changes_no_table_and_runs_no_net(run: Path) -> None:
    before, written = tables(run), (run / "statistics/moments.safetensors").stat().st_mtime_ns
    run_study(load_study(run / "study.yaml"), run, resume=True)
    assert tables(run) == before
    assert (run / "statistics/moments.safetensors").stat().st_mtime_ns == written


def test_folders_of_others_are_refused(run: Path, tmp_path: Path) -> None:
    study = load_study(run / "study.yaml")
    with pytest.raises(StudyError, match=r"a run of this study already. Add --resume"):
        run_study(study, run)
    other = study.model_copy(update={"blocks": 4, "seed": 9})
    with pytest.raises(StudyError, match=r"run of another study \(these keys differ: seed, blocks\)"):
        run_study(other, run, resume=True)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"not empty and not a run folder"):
        run_study(study, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_statistics_of_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save(load_net("alexnet_small").state_dict(), tmp_path / "a.pt")
    torch.save(load_net("alexnet_small").state_dict(), tmp_path / "b.pt")
    (tmp_path / "s.yaml").write_text(
        "name: s\ndata: {kind: photo-digits, n: 20}\nlayers: [relu1]\nblocks: 2\nuntrained: 0\n"
        "nets:\n  a: {factory: alexnet_small, checkpoint: a.pt}\n  b: {factory: alexnet_small, checkpoint: b.pt}\n"
    )
    study = load_study(tmp_path / "s.yaml")
    run_study(study, tmp_path / "run")
    torch.save(load_net("alexnet_small").state_dict(), tmp_path / "b.pt")
    with pytest.raises(StudyError, match=r"comes from other weights, inputs or layers"):
        run_study(study, tmp_path / "run", resume=True)


def test_one_input_gives_correlations_but_nothing_held_out(tmp_path: Path) -> None:
    run = run_study(plain(tmp_path, data="{kind: photo-digits, n: 1}"), tmp_path / "run")
    matches = pd.read_parquet(run / "tables/matches.parquet")
    conv = matches[matches["layer"] == "relu1"]
    assert conv["best_r"].notna().any()
    assert conv["best_r_held_out"].isna().all()
    assert matches.loc[matches["layer"] == "relu6", "best_partner"].eq(-1).all()


def test_one_measure_alone(tmp_path: Path) -> None:
    run = run_study(plain(tmp_path, blocks="2\nmeasures: [match_best]"), tmp_path / "run")
    matches = pd.read_parquet(run / "tables/matches.parquet")
    assert matches["best_r"].notna().any()
    assert matches["one_to_one_r"].isna().all()


def test_a_folder_of_images_and_nets_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(12):
        pixels = generator.integers(0, 255, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{i}.png")
    (tmp_path / "own_nets_of_test_run.py").write_text(
        "from torch import nn\n"
        "def make(width=4):\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(inplace=True))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "s.yaml").write_text(
        "name: own\ndata: {kind: folder, root: images, size: 16}\nlayers: ['1']\nblocks: 2\n"
        "nets:\n  a: {factory: 'own_nets_of_test_run:make', kwargs: {width: 5}}\n"
        "  b: {factory: 'own_nets_of_test_run:make', kwargs: {width: 3}}\n"
    )
    run = run_study(load_study(tmp_path / "s.yaml"), tmp_path / "run")
    matches = pd.read_parquet(run / "tables/matches.parquet")
    wide = matches[(matches["net_a"] == "a") & (matches["net_b"] == "b")]
    assert (wide["one_to_one_partner"] >= 0).sum() == 3
    assert sheet(run / "crops/a/1.png").shape == (5 * 3, 9 * 3, 3)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "convergent", *map(str, arguments)]


def environment() -> Mapping[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def start_and_stop(study: Path, run: Path, how: int, *, when: str, resume: bool) -> int:
    """Start a run, and stop it as soon as a file that matches `when` is there."""
    arguments = command("run", study, "--out", run, *(["--resume"] if resume else []))
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True)
    deadline = time.monotonic() + 120
    while not any(run.glob(when)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, how)
    return process.wait(timeout=60)


@pytest.mark.slow
def test_killed_at_three_moments_and_resumed_the_tables_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("n_steps: 3", "n_steps: 120").replace(", relu6", ""))
    undisturbed = run_study(load_study(tmp_path / "tiny.yaml"), tmp_path / "undisturbed")
    run = tmp_path / "run"
    for moment in ("nets/*.training.safetensors", "nets/two.safetensors", "tables/units.parquet"):
        resume = (run / "study.yaml").exists()
        assert start_and_stop(tmp_path / "tiny.yaml", run, signal.SIGKILL, when=moment, resume=resume) != 0
    finished = command("run", tmp_path / "tiny.yaml", "--out", run, "--resume")
    subprocess.run(finished, check=True, env=environment(), capture_output=True)
    assert tables(run) == tables(undisturbed)
    assert (run / "report.html").exists()


@pytest.mark.slow
def test_control_c_leaves_a_folder_that_resumes(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("n_steps: 3", "n_steps: 100000"))
    stopped = start_and_stop(
        tmp_path / "tiny.yaml", tmp_path / "run", signal.SIGINT, when="nets/*.training.safetensors", resume=False
    )
    assert stopped == 130
    assert not any((tmp_path / "run").rglob("*.part"))
    assert (tmp_path / "run/study.yaml").exists()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    study = plain(tmp_path).model_copy(update={"measures": ["match_best"]})
    with pytest.raises(ConvergentError, match=r"No space left on device. Nothing was left under that name"):
        run_study(study, tmp_path / "run")
    monkeypatch.undo()
    assert not any(path.is_file() for path in (tmp_path / "run").glob("tables/*"))
    run_study(study, tmp_path / "run", resume=True)
    assert (tmp_path / "run/tables/units.parquet").exists()
