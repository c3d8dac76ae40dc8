"""Training: same recipe, same bits, whatever happens on the way."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from convergent.batch import Batch
from convergent.data import PhotoDigitsTraining
from convergent.data.photo_digits import Material
from convergent.errors import FileFormatError, InvalidArgumentError, MismatchError, NetError
from convergent.nets import Recipe, TrainedNet, hash_weights, load_net, load_trained, train, untrained

PHOTO_DIGITS = PhotoDigitsTraining(Material.load(), n_held_out=50)
RECIPE = Recipe(seed=3, n_steps=12, batch_size=8)


@dataclass(frozen=True)
class Few:
    """The real data with a short test."""

    labelled: bool = True
    name: str = "photo-digits"
    fingerprint: str = "few"

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        batch = PHOTO_DIGITS.training_batch(step, size=size, seed=seed)
        return batch if self.labelled else replace(batch, labels=None)

    def held_out_batch(self) -> Batch:
        return PHOTO_DIGITS.held_out_batch()


class StoppedError(Exception):
    """Stands for a Ctrl-C."""


@dataclass
class Stop:
    """Stops a training after some steps, and counts."""

    after: int = 10**9
    n: int = 0
    resumed: int = 0

    def __call__(self, n: int = 1, *, note: str = "") -> None:
        self.n += n
        self.resumed += n if note == "resumed" else 0
        if self.n == self.after:
            raise StoppedError


def run(recipe: Recipe, path: Path, *, stop: Stop | None = None, data: Few | None = None) -> TrainedNet:
    return train(recipe, path, data=data or Few(), checkpoint_every=5, advance=stop or Stop())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TrainedNet:
    return run(RECIPE, tmp_path_factory.mktemp("undisturbed") / "net.safetensors")


def test_the_file_holds_the_net_its_recipe_and_its_accuracy(undisturbed: TrainedNet) -> None:
    again = load_trained(undisturbed.path)
    assert again.recipe == undisturbed.recipe == RECIPE
    assert again.accuracy == undisturbed.accuracy
    assert hash_weights(again.net) == hash_weights(undisturbed.net)
    assert hash_weights(load_net("alexnet_small", checkpoint=undisturbed.path)) == hash_weights(again.net)
    assert not again.net.training
    assert not undisturbed.net.training
    assert [path.name for path in undisturbed.path.parent.iterdir()] == ["net.safetensors"]


def test_the_accuracy_is_that_of_the_net(undisturbed: TrainedNet) -> None:
    batch = Few().held_out_batch()
    assert batch.labels is not None
    with torch.no_grad():
        answers = undisturbed.net(batch.tensor).argmax(1)
    assert undisturbed.accuracy == sum((answers == batch.labels).tolist()) / 50


def test_threads_and_random_state_of_the_caller_do_not_matter_and_come_back(
    undisturbed: TrainedNet, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before % 2 + 1)
    torch.manual_seed(77)
    state = torch.get_rng_state()
    try:
        again = run(RECIPE, tmp_path / "net.safetensors")
        assert torch.get_num_threads() == before % 2 + 1
    finally:
        torch.set_num_threads(before)
    assert again.path.read_bytes() == undisturbed.path.read_bytes()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("after", [1, 5, 8, 12])
def test_a_stopped_training_goes_on_to_the_same_bits(undisturbed: TrainedNet, tmp_path: Path, after: int) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(StoppedError):
        run(RECIPE, path, stop=Stop(after))
    assert not path.exists()
    second = Stop()
    run(RECIPE, path, stop=second)
    assert second.resumed == (after - 1) // 5 * 5
    assert second.n == 12
    assert path.read_bytes() == undisturbed.path.read_bytes()


KILLED = """
import sys
from pathlib import Path
from convergent.data import PhotoDigitsTraining
from convergent.data.photo_digits import Material
from convergent.nets import Recipe, train

def advance(n=1, *, note=""):
    print(note, flush=True)

recipe = Recipe(seed=3, n_steps=12, batch_size=8)
data = PhotoDigitsTraining(Material.load(), n_held_out=50)
train(recipe, Path(sys.argv[1]), data=data, checkpoint_every=2, advance=advance)
"""


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    path, whole = tmp_path / "net.safetensors", tmp_path / "whole.safetensors"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdout is not None
        for _ in range(7):
            assert b"loss" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    second = Stop()
    train(RECIPE, path, data=PHOTO_DIGITS, advance=second)
    train(RECIPE, whole, data=PHOTO_DIGITS, advance=Stop())
    assert second.resumed >= 6
    assert path.read_bytes() == whole.read_bytes()


def test_a_net_that_is_there_is_not_trained_again(undisturbed: TrainedNet) -> None:
    before = undisturbed.path.stat().st_mtime_ns
    again = run(RECIPE, undisturbed.path, stop=Stop(after=1))
    assert undisturbed.path.stat().st_mtime_ns == before
    assert hash_weights(again.net) == hash_weights(undisturbed.net)


def test_untrained_is_where_training_starts() -> None:
    assert hash_weights(untrained(RECIPE)) == hash_weights(untrained(replace(RECIPE, n_steps=5)))
    assert hash_weights(untrained(RECIPE)) != hash_weights(untrained(replace(RECIPE, seed=4)))
    assert not untrained(RECIPE).training


def test_steps_change_the_net_and_seeds_give_other_nets(undisturbed: TrainedNet, tmp_path: Path) -> None:
    other = run(replace(RECIPE, seed=4), tmp_path / "other.safetensors")
    hashes = {hash_weights(net) for net in (undisturbed.net, other.net, untrained(RECIPE))}
    assert len(hashes) == 3


def test_a_file_of_another_recipe_is_kept(undisturbed: TrainedNet) -> None:
    content = undisturbed.path.read_bytes()
    with pytest.raises(MismatchError, match=r"another recipe: seed is 3, not 9; clip is 1.0, not 2.0. Choose"):
        run(replace(RECIPE, seed=9, clip=2.0), undisturbed.path)
    with pytest.raises(MismatchError, match=r"content of the data is 'few', not 'changed'. Choose"):
        run(RECIPE, undisturbed.path, data=Few(fingerprint="changed"))
    assert undisturbed.path.read_bytes() == content


def test_a_checkpoint_of_another_recipe_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(StoppedError):
        run(RECIPE, path, stop=Stop(after=6))
    with pytest.raises(MismatchError, match=r"into '.*net.training.safetensors'.*seed is 3, not 9"):
        run(replace(RECIPE, seed=9), path)
    with pytest.raises(FileFormatError, match=r"It is a checkpoint after 5 of 12 steps. Train again"):
        load_trained(tmp_path / "net.training.safetensors")


def test_data_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"'net' on the data 'photo-digits'. Its recipe names 'hub'. Give"):
        run(replace(RECIPE, data="hub"), tmp_path / "net.safetensors")


def test_data_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"a batch of 8 inputs. It has no labels. Give"):
        run(RECIPE, tmp_path / "net.safetensors", data=Few(labelled=False))


def test_data_that_does_not_fit_the_net_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_nets_of_test_training.py").write_text(
        "from torch import nn\n"
        "def flat(): return nn.Conv2d(3, 10, 3)\n"
        "class Two(nn.Conv2d):\n"
        "    def forward(self, x): return x, x\n"
        "def two(): return Two(3, 1, 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cases: list[tuple[dict[str, object], str]] = [
        ({"net": "caffenet"}, "'caffenet' on inputs of shape 3 x 32 x 32. It raised RuntimeError: .*Give data of"),
        ({"kwargs": {"n_classes": 2}}, "on labels from . to 9. On inputs of shape 3 x 32 x 32 it tells 2 classes"),
        (
            {"net": "own_nets_of_test_training:flat"},
            r"It answers with shape \(8, 10, 30, 30\), not with one score",
        ),
        ({"net": "own_nets_of_test_training:two"}, "It answers with tuple, not with"),
    ]
    for change, told in cases:
        with pytest.raises(NetError, match=told):
            run(replace(RECIPE, **change), tmp_path / "net.safetensors")  # type: ignore[arg-type]


def test_a_net_is_written_under_the_suffix_it_is_read_by(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"name ends in '.pt', and.*Call it 'net.safetensors'"):
        run(RECIPE, tmp_path / "net.pt")
    trained = train(replace(RECIPE, n_steps=1), str(tmp_path / "a.safetensors"), data=Few(), advance=Stop())
    assert load_trained(str(trained.path)).accuracy == trained.accuracy


def test_a_loss_that_explodes_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"'alexnet_small' from seed 3. Its loss is \S+ at step \d+ of 12. Lower"):
        run(replace(RECIPE, learning_rate=1e30), tmp_path / "net.safetensors")


@pytest.mark.parametrize("fault", ["missing", "cut short", "foreign", "no recipe", "unknown choice"])
def test_a_file_that_is_not_ours(undisturbed: TrainedNet, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "net.safetensors"
    if fault == "cut short":
        path.write_bytes(undisturbed.path.read_bytes()[:-100])
    elif fault == "foreign":
        path.write_text("a diary")
    elif fault == "no recipe":
        save_file({"x": torch.zeros(1)}, path)
    elif fault == "unknown choice":
        with safe_open(undisturbed.path, framework="pt") as file:
            header = {key: value.replace('"clip"', '"clap"') for key, value in file.metadata().items()}
        save_file({"x": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(FileFormatError, match=r"as a net trained here. It is missing, damaged.*train again"):
        load_trained(path)


class Brightness:
    """A task for beginners: is the picture light or dark?"""

    name = "brightness"
    fingerprint = "brightness"

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        labels = torch.arange(size) % 2
        noise = torch.randn(size, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        return Batch(np.arange(size), noise + labels[:, None, None, None], labels)

    def held_out_batch(self) -> Batch:
        return self.training_batch(10**6, size=100, seed=0)


def test_training_learns(tmp_path: Path) -> None:
    recipe = Recipe(data="brightness", kwargs={"n_classes": 2}, n_steps=40, batch_size=16, learning_rate=1e-3)
    assert train(recipe, tmp_path / "net.safetensors", data=Brightness(), advance=Stop()).accuracy > 0.9


@pytest.mark.slow
def test_the_demos_recipe_is_accurate_and_keeps_its_units_alive(tmp_path: Path) -> None:
    data = PhotoDigitsTraining.load()
    learned = train(Recipe(), tmp_path / "net.safetensors", data=data)
    assert learned.accuracy >= 0.85
    x = data.held_out_batch().tensor
    with torch.no_grad():
        for name, layer in learned.net.named_children():
            x = layer(x)
            if name.startswith("relu"):
                dead = x.transpose(0, 1).flatten(1).amax(1) == 0
                assert dead.double().mean() < 0.1, name
