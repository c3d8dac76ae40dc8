"""Distilling: the loss by hand, the same bits after a stop, files that know their teachers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convergent import Distillation, distil
from convergent.batch import Batch
from convergent.errors import InvalidArgumentError, MismatchError
from convergent.nets import Recipe, TrainedNet, hash_weights, load_trained, train

RECIPE = Recipe(
    seed=1,
    net="torch.nn:Linear",
    kwargs={"in_features": 4, "out_features": 3},
    data="sums",
    n_steps=60,
    batch_size=32,
    learning_rate=2e-2,
    weight_decay=0.01,
)


class Sums:
    """Which of three sums is largest; nearly half of the training labels are wrong."""

    name = "sums"
    fingerprint = "sums"

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        batch, labels = self._clean(step, size)
        wrong = torch.rand(size, generator=torch.Generator().manual_seed(step)) < 0.45
        return replace(batch, labels=torch.where(wrong, (labels + 1) % 3, labels))

    def held_out_batch(self) -> Batch:
        return self._clean(10**6, 400)[0]

    def _clean(self, step: int, size: int) -> tuple[Batch, Tensor]:
        x = torch.randn(size, 4, generator=torch.Generator().manual_seed(step))
        labels = (x @ TRUTH).argmax(1)
        return Batch(np.arange(size), x, labels), labels


TRUTH = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def knowing(scale: float = 3.0) -> nn.Module:
    """A teacher that knows the truth."""
    net = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        net.weight.copy_(TRUTH.T * scale)
    return net


class StoppedError(Exception):
    """Stands for a Ctrl-C."""


class Stop:
    """Stops a training after some steps."""

    def __init__(self, after: int = 10**9) -> None:
        self.after, self.n = after, 0

    def __call__(self, n: int = 1, *, note: str = "") -> None:
        self.n += n
        if self.n == self.after:
            raise StoppedError


def taught(path: Path, *, stop: int = 10**9, **options: Any) -> TrainedNet:
    asked: dict[str, Any] = {
        "share": 1.0,
        "checkpoint_every": 20,
        "advance": Stop(stop),
        "teachers": [knowing(), knowing(2.0)],
    }
    return distil(RECIPE, path=path, data=Sums(), **(asked | options))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TrainedNet:
    return taught(tmp_path_factory.mktemp("undisturbed") / "net.safetensors")


def test_the_loss_is_that_of_the_formula() -> None:
    teachers = [knowing().train(), knowing(2.0)]
    batch = Sums().held_out_batch()
    scores = torch.randn(400, 3, requires_grad=True)
    wanted = torch.softmax((teachers[0](batch.tensor) + teachers[1](batch.tensor)) / 2 / 4, 1)
    soft = (wanted * (wanted.log() - torch.log_softmax(scores / 4, 1))).sum(1).mean() * 16
    hard = F.cross_entropy(scores, (batch.tensor @ TRUTH).argmax(1))
    found = Distillation(teachers, 4, 0.75)(scores, batch, hard)
    assert found.item() == pytest.approx((0.75 * soft + 0.25 * hard).item(), rel=1e-5)
    torch.autograd.backward(found)
    assert scores.grad is not None
    assert teachers[0].weight.grad is None
    assert teachers[0].training


def test_it_learns_what_teachers_know_better_than_labels(undisturbed: TrainedNet, tmp_path: Path) -> None:
    by_labels = train(RECIPE, tmp_path / "labels.safetensors", data=Sums(), advance=Stop())
    assert undisturbed.accuracy > by_labels.accuracy + 0.1
    assert b"objective" in undisturbed.path.read_bytes()
    assert b"objective" not in by_labels.path.read_bytes()  # files are as they were before there were others
    same = taught(tmp_path / "share0.safetensors", share=0)
    assert hash_weights(same.net) == hash_weights(by_labels.net)


def test_a_stopped_run_goes_on_to_the_same_bits(undisturbed: TrainedNet, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(StoppedError):
        taught(path, stop=33)
    assert (tmp_path / "net.training.safetensors").exists()
    taught(path)
    assert path.read_bytes() == undisturbed.path.read_bytes()
    assert hash_weights(load_trained(path).net) == hash_weights(undisturbed.net)


@pytest.mark.parametrize("other", [{"temperature": 3.0}, {"share": 0.5}, {"teachers": [knowing(2.0), knowing()]}])
def test_a_file_of_other_teachers_is_refused(undisturbed: TrainedNet, other: dict[str, Any]) -> None:
    taught(undisturbed.path)
    with pytest.raises(MismatchError, match=r"net of another recipe: objective is '\w+', not '\w+'\. Choose"):
        taught(undisturbed.path, **other)
    with pytest.raises(MismatchError, match=r"objective is '\w+', not ''"):
        train(RECIPE, undisturbed.path, data=Sums())


def test_a_checkpoint_of_other_teachers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(StoppedError):
        taught(path, stop=33)
    with pytest.raises(MismatchError, match=r"objective is"):
        taught(path, temperature=1)


def test_what_cannot_be_distilled_says_why(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [{"teachers": []}, {"temperature": 0}, {"share": 1.1}]
    for wrong in options:
        with pytest.raises(InvalidArgumentError, match=r"Cannot distil \d nets with temperature=.*Correct these"):
            taught(tmp_path / "net.safetensors", **wrong)
    with pytest.raises(
        MismatchError, match=r"answers with shape \(32, 3\)\. A teacher answers with \(32, 2\)\. Take"
    ):
        taught(tmp_path / "net.safetensors", teachers=[nn.Linear(4, 2)])
