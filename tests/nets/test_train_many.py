"""Several nets at once are the nets one gets one by one."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from convergent.batch import Batch
from convergent.data import PhotoDigitsTraining
from convergent.data.photo_digits import Material
from convergent.errors import MismatchError, NetError
from convergent.nets import Recipe, train_many

DATA = PhotoDigitsTraining(Material.load(), n_held_out=20)
RECIPES = {name: Recipe(seed=seed, n_steps=3, batch_size=4) for seed, name in enumerate("abc")}


def test_processes_change_no_bit(tmp_path: Path) -> None:
    alone = train_many(RECIPES, tmp_path / "alone", data=DATA, n_processes=1)
    together = train_many(RECIPES, tmp_path / "together", data=DATA, n_processes=2)
    assert list(alone) == list(together) == list(RECIPES)
    for name in RECIPES:
        assert alone[name].path.read_bytes() == together[name].path.read_bytes()
    written = {net.path: net.path.stat().st_mtime_ns for net in together.values()}
    train_many(RECIPES, tmp_path / "together", data=DATA, n_processes=2)
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_net_of_another_recipe_stops_all_before_the_work(tmp_path: Path) -> None:
    train_many({"b": RECIPES["a"]}, tmp_path, data=DATA)
    with pytest.raises(MismatchError, match="seed is 0, not 1"):
        train_many(RECIPES, tmp_path, data=DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["b.safetensors"]


def test_an_error_in_a_process_is_told(tmp_path: Path) -> None:
    hot = {name: Recipe(seed=seed, n_steps=5, learning_rate=1e30) for seed, name in enumerate("ab")}
    with pytest.raises(NetError, match=r"Its loss is \S+ at step \d of 5. Lower"):
        train_many(hot, str(tmp_path), data=DATA, n_processes=2)
    few = {name: Recipe(seed=seed, kwargs={"n_classes": 3}) for seed, name in enumerate("ab")}
    with pytest.raises(NetError, match=r"'alexnet_small' on labels from \d to \d.*tells 3 classes apart"):
        train_many(few, tmp_path, data=DATA, n_processes=2)
    with pytest.raises(
        NetError, match=r"Cannot finish training '[ab]'. Its process met KeyError: .*Mend the data"
    ):
        train_many(RECIPES, tmp_path, data=Faulty(), n_processes=2)


@dataclass(frozen=True)
class Faulty:
    """Data that cannot be read, or whose reading ends the process."""

    fatal: bool = False
    name: str = "photo-digits"
    fingerprint: str = "faulty"

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        if self.fatal:
            os._exit(1)
        raise KeyError(step)

    def held_out_batch(self) -> Batch:
        raise AssertionError


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"2 of 2 processes died, with exit codes \[1, 1\].*n_processes=1"):
        train_many(RECIPES, tmp_path, data=Faulty(fatal=True), n_processes=2)


UNGUARDED = """
from convergent.data import PhotoDigitsTraining
from convergent.nets import Recipe, train_many

recipes = {name: Recipe(seed=seed, n_steps=1, batch_size=4) for seed, name in enumerate("ab")}
train_many(recipes, "nets", data=PhotoDigitsTraining.load(), n_processes=2)
"""


@pytest.mark.slow
def test_a_script_without_the_usual_guard_fails_and_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "In a script, call this under if __name__ == '__main__':" in done.stderr
