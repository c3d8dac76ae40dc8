"""Studies of families: what a file may say, and which nets it means."""

from pathlib import Path

import pytest

from convergent import DepthStudy, load_study
from convergent.errors import StudyError

GOOD = """\
kind: depth
name: mine
seed: 5
data: {kind: photo-digits, n: 50}
nets_folder: nets
families:
  small:
    factory: alexnet_small
    seeds: [1, 2]
    train: {n_steps: 3}
    layers: ["relu*"]
  given:
    factory: vgg_small
    checkpoints: [weights/a.safetensors, weights/b.safetensors]
    layers: [fc6]
untrained: 2
"""


def read(folder: Path, text: str = GOOD) -> DepthStudy:
    path = folder / "mine.yaml"
    path.write_text(text)
    study = load_study(path)
    assert isinstance(study, DepthStudy)
    return study


def test_a_net_has_the_name_of_its_family_and_seed(tmp_path: Path) -> None:
    study = read(tmp_path)
    assert list(study.members) == ["small1", "small2", "given1", "given2"]
    assert study.members["small2"][0].recipe().n_steps == 3
    assert study.members["small2"][0].recipe().seed == study.members["small2"][1] == 2
    assert study.members["given1"][0].checkpoint == tmp_path / "weights/a.safetensors"
    assert study.nets_folder == tmp_path / "nets"
    assert study.chosen_layers["given2"] == study.chosen_layers["given_untrained1"] == ["fc6"]
    assert study.family_of["small_untrained2"] == "small"


def test_untrained_nets_have_seeds_of_their_own(tmp_path: Path) -> None:
    study = read(tmp_path)
    seeds = {name: seed for name, (_, seed) in study.controls.items()}
    assert list(seeds) == [f"{family}_untrained{i}" for family in ("small", "given") for i in (1, 2)]
    assert len(set(seeds.values())) == 4
    assert all(net.train is None for net, _ in study.controls.values())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("    seeds: [1, 2]\n", "", r"families.small: give either seeds or checkpoints, one a net"),
        ("seeds: [1, 2]", "seeds: [1, 1]", r"line 7, families.small: a seed stands there twice"),
        ("seeds: [1, 2]", "seeds: [1]", r"line 7, families.small: .* give at least two"),
        (
            "    layers: [fc6]",
            "    layers: [fc6]\n    train: {n_steps: 3}",
            r"families.given: nets with checkpoints are trained already; leave out train",
        ),
        ("n_steps: 3", "n_stps: 3", r"line 10, families.small.train.n_stps: .*Nearest: 'n_steps'"),
        ("factory: vgg_small", "factry: vgg_small", r"families.given.factry: .*Nearest: 'factory'"),
        ("untrained: 2", "untrained: 1", r"line 16, untrained: untrained nets are compared with each other"),
        ("untrained: 2", "widht: 9", r"line 16, widht: there is no such key. Nearest: 'width'"),
        ("kind: depth", "kind: deptt", r"line 1, kind: there is no such kind of study; .* Nearest: 'depth'"),
        ("  given:", "  small:", r"line 12, families.small: this key is there twice"),
        ("  given:", "  small_untrained:", r"two nets would have one name"),
        (
            "{kind: photo-digits, n: 50}",
            "{kind: folder, root: x, size: 8}",
            r"line 10, families.small.train: training happens on photo-digits only",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(StudyError, match=told):
        read(tmp_path, GOOD.replace(old, new))
