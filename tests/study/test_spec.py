"""A study file is checked key by key, and an error names the line."""

from pathlib import Path

import pytest
import yaml

from convergent import View
from convergent.errors import StudyError
from convergent.study import PairsStudy, demo_study, load_study

GOOD = """\
name: mine
seed: 3
data:
  kind: photo-digits
  n: 50
nets:
  a:
    factory: alexnet_small
    train: {seed: 1}
  b:
    factory: alexnet_small
    checkpoint: weights/b.safetensors
layers: ["relu*"]
view: {locations: grid=4}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_read_with_defaults_and_paths_relative_to_it(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, GOOD))
    assert isinstance(study, PairsStudy)
    assert (study.name, study.blocks, study.untrained) == ("mine", 10, 2)
    assert study.view.view() == View(locations="grid=4")
    assert study.nets["b"].checkpoint == tmp_path / "weights/b.safetensors"
    assert study.nets["a"].recipe().seed == 1
    assert {name: seed for name, (_, seed) in study.controls.items()} == {"untrained1": 1003, "untrained2": 1004}


def test_a_resolved_study_says_everything_and_reads_back_the_same() -> None:
    study = demo_study()
    said = yaml.safe_load(study.resolved())
    assert said["blocks"] == 10
    assert said["nets"]["net4"]["train"]["seed"] == 4
    assert PairsStudy.model_validate(said) == study


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seed: 3", "sed: 3", r"line 2, sed: there is no such key. Nearest: 'seed'"),
        (
            "    train: {seed: 1}",
            "    tain: {seed: 1}",
            r"line 9, nets.a.tain: there is no such key. Nearest: 'train'",
        ),
        ("{seed: 1}", "{seeds: 1}", r"nets.a.train.seeds: there is no such key. Nearest: 'seed'"),
        ("  n: 50", "  m: 50", r"line 5, data.m: there is no such key"),
        ("  n: 50", "  n: 0", r"line 5, data.n: .*greater than or equal to 1; found 0"),
        ("  n: 50", "  n: many", r"line 5, data.n: .*integer.*; found 'many'"),
        (
            "kind: photo-digits",
            "kind: photos",
            r"line 4, data.kind: there is no such kind of data; found 'photos'. Nearest: 'photo-digits'",
        ),
        ("name: mine\n", "", r"name: this key is missing"),
        ("name: mine", "name: a/b", r"line 1, name: .*found 'a/b'"),
        ("name: mine", "name: '..'", r"line 1, name: .* not of dots alone; found '..'"),
        ("  b:", "  ..:", r"line 10, nets\.\.\.: .* not of dots alone; found '..'"),
        ("  b:", "  1:", r"line 10, nets.1: expected text; put it in quotes; found 1\."),
        ("  b:", "  a:", r"line 10, nets.a: this key is there twice\."),
        (
            "data:\n  kind: photo-digits\n  n: 50",
            "data: folder",
            r"line 3, data: expected keys and values, kind: one of",
        ),
        (
            "  kind: photo-digits\n",
            "",
            r"line 3, data.kind: this key is missing; expected one of 'photo-digits', 'folder'",
        ),
        ("kind: photo-digits", "kind: foldr", r"line 4, data.kind: .*found 'foldr'. Nearest: 'folder'"),
        (
            "    factory: alexnet_small\n    checkpoint",
            "    checkpoint",
            r"line 10, nets.b.factory: this key is missing",
        ),
        ("train: {seed: 1}", "train: yes", r"line 9, nets.a.train: expected keys and values; found True\."),
        ('layers: ["relu*"]', "layers: []", r"line 13, layers: expected at least 1; found 0\."),
        (
            "grid=4",
            "everywhere",
            r"line 14, view.locations: .*locations='everywhere'.* of each; found 'everywhere'\.\n",
        ),
        (
            "    checkpoint: weights",
            "    train: {seed: 2}\n    checkpoint: weights",
            r"either a checkpoint or is trained",
        ),
        ("seed: 3", "seed: 3\nuntrained: 1", r"line 3, untrained: chance is measured between"),
        (
            "seed: 3",
            "measures: [match_bset]",
            r"line 2, measures.0: expected .*found 'match_bset'. Nearest: 'match_best'",
        ),
        ("  b:", "  b/c:", r"line 10, nets.b/c: expected a name of letters"),
        ("  b:", "  untrained1:", r"line 10, nets.untrained1: this is the name of an untrained net"),
        (
            "kind: photo-digits\n  n: 50",
            "kind: folder\n  root: x\n  size: 8",
            r"line 10, nets.a.train: training happens on photo-digits only",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(StudyError, match=told):
        load_study(written(tmp_path, GOOD.replace(old, new)))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"(?s)Found 2 faults:.*line 2, sed.*line 5, data.m"):
        load_study(written(tmp_path, GOOD.replace("seed: 3", "sed: 3").replace("n: 50", "m: 50")))


def test_one_net_is_not_a_comparison(tmp_path: Path) -> None:
    text = GOOD.replace("  b:\n    factory: alexnet_small\n    checkpoint: weights/b.safetensors\n", "")
    with pytest.raises(StudyError, match=r"nets: expected at least 2; found 1"):
        load_study(written(tmp_path, text))


def test_what_is_not_a_study_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"There is no such file. Check the path"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(StudyError, match=r"It is a folder, not a file. Check the path"):
        load_study(tmp_path)
    with pytest.raises(StudyError, match=r"It is not YAML: month must be in 1..12"):
        load_study(written(tmp_path, "name: 2001-99-09"))
    with pytest.raises(StudyError, match=r"there is no such key"):
        load_study(written(tmp_path, GOOD + "all: &all {a: 1, of: *all}"))
    with pytest.raises(StudyError, match=r"(?s)It is not YAML: .*line 1"):
        load_study(written(tmp_path, "name: [1,"))
    with pytest.raises(StudyError, match=r"It holds list, not keys and values"):
        load_study(written(tmp_path, "- a\n- b\n"))
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: caf\u00e9".encode("latin-1"))
    with pytest.raises(StudyError, match=r"It is not UTF-8 text"):
        load_study(path)
