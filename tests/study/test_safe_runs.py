"""A run refuses what would look right and is not, and a failure blocks nothing and costs nothing."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from convergent import Lockstep, Recipe, load_net, load_study, passes, run_study
from convergent.batch import ActivationBatch
from convergent.errors import ConvergentError, DataError, StorageError, StudyError
from convergent.nets import TrainedNet
from convergent.study import Study, subjects

TRAINED = """\
name: tiny
data: {kind: photo-digits, n: 20}
nets:
  one: {factory: alexnet_small, train: {seed: 1, n_steps: 1, batch_size: 8}}
  two: {factory: alexnet_small, train: {seed: 2, n_steps: 1, batch_size: 8}}
layers: [relu6]
blocks: 2
"""
NETS_OF_ONES_OWN = """\
import torch
from torch import nn
def drawn():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
def fixed():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return drawn()
"""


def own_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nets: str) -> Study:
    """A study of nets of one conv; the checkpoints `one.pt` and `same.pt` are alike, `two.pt` is not."""
    (tmp_path / "own_nets_of_study.py").write_text(NETS_OF_ONES_OWN)
    monkeypatch.syspath_prepend(tmp_path)
    for seed, names in ((11, ("one", "same")), (12, ("two",))):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        for name in names:
            torch.save(net.state_dict(), tmp_path / f"{name}.pt")
    path = tmp_path / "own.yaml"
    text = "name: own\ndata: {kind: photo-digits, n: 20}\nlayers: ['1']\nblocks: 2\nmeasures: [match_best]\n"
    text += f"nets: {nets}\n"
    path.write_text(text.replace("FACTORY", "factory: 'own_nets_of_study"))
    return load_study(path)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Two nets with checkpoints of their own."""
    return own_nets(tmp_path, monkeypatch, "{a: {FACTORY:drawn', checkpoint: one.pt}, b: {FACTORY:drawn'}}")


def tables(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "tables").iterdir())}


def test_untrained_copies_of_a_net_that_brings_its_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = own_nets(tmp_path, monkeypatch, "{a: {FACTORY:fixed'}, b: {FACTORY:drawn', checkpoint: two.pt}}")
    told = r"Cannot compare 'a' with 'untrained1'\. Their weights are the same .* untrained: 0 leaves out"
    with pytest.raises(StudyError, match=told):
        run_study(study, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_same_weights_are_refused_unless_two_checkpoints_give_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = own_nets(tmp_path, monkeypatch, "{a: {FACTORY:fixed'}, b: {FACTORY:fixed'}}\nuntrained: 0")
    with pytest.raises(StudyError, match=r"Cannot compare 'a' with 'b'\. .*Give each a checkpoint, or train"):
        run_study(twice, tmp_path / "run")
    meant = "{a: {FACTORY:drawn', checkpoint: one.pt}, b: {FACTORY:drawn', checkpoint: same.pt}}"
    run = run_study(own_nets(tmp_path, monkeypatch, meant), tmp_path / "run")
    matches = pd.read_parquet(run / "tables/matches.parquet")
    living = matches[matches["trained"] & matches["best_r"].notna()]
    np.testing.assert_allclose(living["best_r"], 1.0, atol=1e-6)


def test_nets_trained_by_one_recipe_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def alike(recipes: Mapping[str, Recipe], folder: Path, **_: object) -> dict[str, TrainedNet]:
        net = load_net("alexnet_small")
        return {name: TrainedNet(net, recipe, 0.9, folder) for name, recipe in recipes.items()}

    monkeypatch.setattr(subjects, "train_many", alike)
    (tmp_path / "tiny.yaml").write_text(TRAINED.replace("seed: 2", "seed: 1"))
    with pytest.raises(StudyError, match=r"Cannot compare 'one' with 'two'\. .* a seed of its own"):
        run_study(load_study(tmp_path / "tiny.yaml"), tmp_path / "run")


def test_nets_without_weights_are_drawn_apart_and_not_called_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = own_nets(tmp_path, monkeypatch, "{a: {FACTORY:drawn'}, b: {FACTORY:drawn'}}")
    before = torch.random.get_rng_state()
    said = json.loads((run_study(study, tmp_path / "run") / "provenance.json").read_text())["nets"]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len({net["weights"] for net in said.values()}) == 4
    assert {name: (net["trained"], net["seed"]) for name, net in said.items()} == {
        "a": (None, 0),
        "b": (None, 1),
        "untrained1": (False, 1000),
        "untrained2": (False, 1001),
    }


@pytest.mark.parametrize("name", ["moments", "zeros", "top_inputs"])
def test_every_statistic_must_be_of_these_nets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = "{{a: {{FACTORY:drawn', checkpoint: {}.pt}}, b: {{FACTORY:drawn', checkpoint: two.pt}}}}"
    run_study(own_nets(tmp_path, monkeypatch, nets.format("one")), tmp_path / "run")
    (tmp_path / "other").mkdir()
    torch.manual_seed(3)
    study = own_nets(tmp_path / "other", monkeypatch, nets.format("one"))
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).state_dict(), tmp_path / "other/one.pt")
    run_study(study, tmp_path / "other/run")
    file = tmp_path / f"run/statistics/{name}.safetensors"
    file.write_bytes((tmp_path / f"other/run/statistics/{name}.safetensors").read_bytes())
    with pytest.raises(
        StudyError, match=rf"Cannot go on with '.*{name}.safetensors'\. It comes from other weights"
    ):
        run_study(load_study(tmp_path / "own.yaml"), tmp_path / "run", resume=True)


def test_a_pass_whose_results_cannot_be_written_is_not_run_again(
    two: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, saved = two, []

    def full(*_: object) -> None:
        saved.append(1)
        raise StorageError("No space left on device")

    monkeypatch.setattr(passes, "save", full)
    with pytest.raises(StorageError, match="No space left"):
        run_study(study, tmp_path / "run")
    monkeypatch.undo()
    assert saved
    ran: list[ActivationBatch] = []
    batches = Lockstep.batches

    def watched(source: Lockstep, *given: Any) -> Iterator[ActivationBatch]:
        for batch in batches(source, *given):
            ran.append(batch)
            yield batch

    monkeypatch.setattr(Lockstep, "batches", watched)
    run = run_study(study, tmp_path / "run", resume=True)
    assert not ran
    assert not list(run.glob("statistics/*pass*"))


def test_layers_are_looked_up_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TRAINED.replace("relu6", "rellu6"))
    with pytest.raises(ConvergentError, match="rellu6"):
        run_study(load_study(tmp_path / "tiny.yaml"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_in_which_nothing_was_done_can_be_claimed_again(
    two: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise DataError("broken")

    with monkeypatch.context() as failing:
        failing.setattr(Lockstep, "batches", broken)
        with pytest.raises(DataError, match="broken"):
            run_study(two, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["study.yaml"]
    run = run_study(two.model_copy(update={"blocks": 3}), tmp_path / "run")
    assert "blocks: 3" in (run / "study.yaml").read_text()


def test_a_study_file_of_ones_own_is_not_overwritten(two: Study, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/study.yaml").write_text((tmp_path / "own.yaml").read_text())
    with pytest.raises(StudyError, match="run of another study"):
        run_study(two.model_copy(update={"blocks": 3}), tmp_path / "run")


def test_a_project_that_was_moved_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = "{a: {FACTORY:drawn', checkpoint: one.pt}, b: {FACTORY:drawn', checkpoint: two.pt}}"
    (tmp_path / "here").mkdir()
    study = own_nets(tmp_path / "here", monkeypatch, nets)
    before = tables(run_study(study, tmp_path / "here/run"))
    (tmp_path / "here").rename(tmp_path / "there")
    moved = load_study(tmp_path / "there/own.yaml")
    assert tables(run_study(moved, tmp_path / "there/run", resume=True)) == before
    assert str(tmp_path / "there/one.pt") in (tmp_path / "there/run/study.yaml").read_text()
    other = own_nets(tmp_path / "there", monkeypatch, nets.replace("one.pt", "same.pt"))
    with pytest.raises(StudyError, match=r"these keys differ: nets"):
        run_study(other, tmp_path / "there/run", resume=True)


@pytest.mark.parametrize("text", ["a: [b", "- a", "name: 3", "\x80"])
def test_a_damaged_study_in_the_folder_is_refused(text: str, two: Study, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/study.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(StudyError, match=r"Its 'study.yaml' is damaged, or of another version of convergent"):
        run_study(two, tmp_path / "run", resume=True)


def test_a_file_is_no_run_folder(two: Study, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(StudyError, match=r"It is a file, not a folder. Choose another one with --out"):
        run_study(two, tmp_path / "run")
