"""A study on a data set that `datasets` reads."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from convergent import load_study, run_study
from convergent.data import HubImages
from convergent.errors import DataError, StudyError
from convergent.statistics import load
from convergent.study.inputs import inputs_of
from convergent.study.spec import HubSpec

os.environ["HF_HUB_OFFLINE"] = "1"
datasets = pytest.importorskip("datasets")

GOOD = """\
name: hub
data:
  kind: hub
  path: few.parquet
  size: 32
  mean: [0.5, 0.5, 0.5]
nets:
  one: {factory: alexnet_small}
  hub: {factory: alexnet_small}
untrained: 0
layers: [relu1]
blocks: 2
top_inputs: 2
"""


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    files = []
    for _ in range(12):
        file = io.BytesIO()
        Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(file, "png")
        files.append({"bytes": file.getvalue(), "path": None})
    form = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"img": pa.array(files, form), "label": pa.array(range(12))})
    pq.write_table(table, tmp_path / "few.parquet")
    (tmp_path / "hub.yaml").write_text(GOOD)
    return tmp_path / "hub.yaml"


def changed(study: Path, old: str, new: str) -> Path:
    assert old in GOOD
    study.write_text(GOOD.replace(old, new))
    return study


def test_it_runs_on_the_rows_of_the_file(study: Path) -> None:
    run = run_study(load_study(study), study.parent / "run")
    images = HubImages.read(study.parent / "few.parquet", size=32, mean=(0.5, 0.5, 0.5))
    assert json.loads((run / "provenance.json").read_text())["data"] == images.fingerprint
    top = load(run / "statistics" / "top_inputs.safetensors")
    assert top.fingerprint.data == images.fingerprint
    assert set(pd.read_parquet(run / "tables" / "matches.parquet")["net_a"]) == {"one", "hub"}
    assert (run / "crops" / "hub" / "relu1.png").exists()


def test_every_key_reaches_the_images(study: Path) -> None:
    keys = "split: test[:5]\n  image: img\n  label: label\n  std: [0.1, 0.2, 0.3]\n  size: 16"
    inputs = inputs_of(load_study(changed(study, "size: 32", keys)).data)
    assert isinstance(inputs, HubImages)
    assert (len(inputs), inputs.image, inputs.label, inputs.size) == (5, "img", "label", 16)
    assert (inputs.mean, inputs.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))


def test_a_name_is_looked_up_on_the_hub(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load_dataset(*args: object, **options: object) -> object:
        asked.append((args, options))
        raise ConnectionError("there is no network here")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    keys = "name: some/set\n  config: plain\n  split: test\n  revision: abc"
    with pytest.raises(DataError, match=r"'some/set'. .* ConnectionError: there is no network here"):
        inputs_of(load_study(changed(study, "path: few.parquet", keys)).data)
    assert asked == [(("some/set", "plain"), {"split": "test", "revision": "abc"})]


def test_a_resolved_study_reads_back_the_same(study: Path) -> None:
    first = load_study(study)
    assert isinstance(first.data, HubSpec)
    assert first.data.path == study.parent / "few.parquet"
    study.write_text(first.resolved())
    assert load_study(study) == first


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "  size: 32",
            "  siz: 32",
            r"(?s)line 2, data.size: this key is missing.*line 5, data.siz: .*Nearest: 'size'",
        ),
        ("  size: 32", "  size: 0", r"line 5, data.size: .*greater than or equal to 1; found 0"),
        ("  mean:", "  labels: x\n  mean:", r"line 6, data.labels: there is no such key. Nearest: 'label'"),
        ("  path: few.parquet\n", "", r"data: give either the name of a data set on the hub or the path of files"),
        (
            "  path: few",
            "  name: a/b\n  split: test\n  path: few",
            r"data: give either the name .* one of the two",
        ),
        ("  path: few.parquet", "  name: a/b", r"data: a data set of the hub has several splits; say which"),
        (
            "  size: 32",
            "  revision: x\n  size: 32",
            r"data: config and revision belong to a name on the hub; leave",
        ),
        ("  size: 32", "  config: x\n  size: 32", r"data: config and revision belong to a name on the hub; leave"),
        ("hub: {factory", "hub: {factry", r"nets.hub.factry: there is no such key. Nearest: 'factory'"),
        ("kind: hub", "kind: huub", r"line 3, data.kind: .*found 'huub'. Nearest: 'hub'"),
        (
            "one: {factory: alexnet_small}",
            "one: {factory: alexnet_small, train: {seed: 1}}",
            r"on photo-digits only",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(study: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(StudyError, match=told):
        load_study(changed(study, old, new))
