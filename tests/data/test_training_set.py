"""Batches of labelled images: the same for the same step, mirrored and shifted, each image once an epoch."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convergent.batch import hash_ids
from convergent.data import ImageFolder, ImageTraining
from convergent.data.pictures import LabelledPictures, Triple
from convergent.data.training_set import LabelledPixels
from convergent.errors import DataError, InvalidArgumentError, MismatchError
from convergent.nets import Recipe, TrainingData, train, untrained

N, SIZE = 23, 8
PLAIN: Triple = (0.0, 0.0, 0.0)
UNIT: Triple = (1.0, 1.0, 1.0)


def pixels(n: int, *, seed: int, size: int = SIZE) -> LabelledPixels:
    rng = np.random.default_rng(seed)
    return LabelledPixels(rng.integers(256, size=(n, size, size, 3), dtype=np.uint8), rng.integers(3, size=n))


TRAINING, HELD_OUT = pixels(N, seed=0), pixels(7, seed=1)


def data(*, flip: bool = False, shift: int = 0) -> ImageTraining:
    """Normalised by nothing, so that a tensor is the image on the scale 0..1."""
    return ImageTraining("mine", TRAINING, HELD_OUT, mean=PLAIN, std=UNIT, flip=flip, shift=shift)


def shown(tensor: torch.Tensor) -> np.ndarray:
    return np.rint(tensor.numpy().transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def mirrored(image: np.ndarray) -> np.ndarray:
    return image[:, ::-1]


def shifts(image: np.ndarray, shift: int) -> dict[tuple[int, int], np.ndarray]:
    """Every shift of an image, cut from it after it was padded by reflection."""
    padded = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    sides = range(2 * shift + 1)
    return {(y - shift, x - shift): padded[y : y + SIZE, x : x + SIZE] for y in sides for x in sides}


def test_it_is_what_training_asks_for() -> None:
    assert isinstance(data(), TrainingData)


def test_without_changes_a_batch_is_the_images_and_their_labels() -> None:
    batch = data().training_batch(3, size=5, seed=1)
    np.testing.assert_array_equal(shown(batch.tensor), TRAINING.pixels[batch.ids])
    assert batch.labels is not None
    np.testing.assert_array_equal(batch.labels.numpy(), TRAINING.labels[batch.ids])
    assert batch.tensor.is_contiguous()


def test_the_test_is_never_mirrored_or_shifted() -> None:
    batch = data(flip=True, shift=3).held_out_batch()
    np.testing.assert_array_equal(shown(batch.tensor), HELD_OUT.pixels)
    assert batch.labels is not None
    np.testing.assert_array_equal(batch.labels.numpy(), HELD_OUT.labels)
    assert batch.ids.tolist() == list(range(7))


def test_images_are_normalised() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    training = ImageTraining("mine", TRAINING, HELD_OUT, mean=mean, std=std, flip=False)
    for batch, source in [
        (training.training_batch(0, size=4, seed=0), TRAINING),
        (training.held_out_batch(), HELD_OUT),
    ]:
        expected = (source.pixels[batch.ids] / 255 - mean) / std
        np.testing.assert_allclose(batch.tensor.numpy().transpose(0, 2, 3, 1), expected, atol=1e-5)


@given(seed=st.integers(0, 2**31 - 1), size=st.integers(1, 2 * N))
def test_every_epoch_shows_every_image_once(seed: int, size: int) -> None:
    steps = range(-(-3 * N // size))
    ids = np.concatenate([data().training_batch(step, size=size, seed=seed).ids for step in steps])
    epochs = [ids[i * N : (i + 1) * N].tolist() for i in range(3)]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_step_is_always_the_same_and_like_no_other() -> None:
    one, two = data(flip=True, shift=2), data(flip=True, shift=2)
    same = [one.training_batch(5, size=6, seed=1), two.training_batch(5, size=6, seed=1)]
    assert torch.equal(same[0].tensor, same[1].tensor)
    others = [one.training_batch(6, size=6, seed=1), one.training_batch(5, size=6, seed=2)]
    assert not any(torch.equal(same[0].tensor, other.tensor) for other in others)


def test_half_of_the_images_are_mirrored() -> None:
    batch = data(flip=True).training_batch(0, size=40 * N, seed=3)
    images = zip(shown(batch.tensor), TRAINING.pixels[batch.ids], strict=True)
    turned = [np.array_equal(seen, mirrored(image)) for seen, image in images]
    upright = [
        np.array_equal(seen, image)
        for seen, image in zip(shown(batch.tensor), TRAINING.pixels[batch.ids], strict=True)
    ]
    assert all(a != b for a, b in zip(turned, upright, strict=True))
    assert abs(np.mean(turned) - 0.5) < 4 * 0.5 / np.sqrt(40 * N)


def test_shifts_are_uniform_and_reflect_at_the_edge() -> None:
    shift, n = 2, 60 * N
    batch = data(shift=shift).training_batch(0, size=n, seed=4)
    seen = []
    for image, of in zip(shown(batch.tensor), batch.ids, strict=True):
        fitting = [by for by, moved in shifts(TRAINING.pixels[of], shift).items() if np.array_equal(moved, image)]
        assert len(fitting) == 1
        seen += fitting
    counts = np.array([seen.count(by) for by in shifts(TRAINING.pixels[0], shift)])
    expected = n / 25
    assert ((counts - expected) ** 2 / expected).sum() < 60  # chi square with 24 degrees: 1 in 10,000 is 59


def test_mirror_and_shifts_are_independent_of_each_other_and_of_the_order() -> None:
    n = 200 * N
    draws = np.arange(n)
    salts = [1 << 24, 1 << 25, 1 << 26]
    bits = np.array([hash_ids(draws, salt=salt) % np.uint64(2) for salt in salts], dtype=float)
    assert np.abs(np.corrcoef(bits) - np.eye(3)).max() < 4 / np.sqrt(n)


def test_the_fingerprint_is_of_everything_that_decides_a_batch() -> None:
    first = data()
    same = ImageTraining(
        "mine",
        replace(TRAINING, pixels=TRAINING.pixels.copy()),
        replace(HELD_OUT, labels=HELD_OUT.labels.astype(">i8").astype(np.int64)),
        mean=PLAIN,
        std=UNIT,
        flip=False,
    )
    assert same.fingerprint == first.fingerprint
    changed = TRAINING.pixels.copy()
    changed[4, 3, 2, 1] ^= 1
    others = [
        data(flip=True),
        data(shift=1),
        replace(first, name="other"),
        replace(first, mean=(0.0, 0.1, 0.0)),
        replace(first, std=(1.0, 0.1, 1.0)),
        replace(first, training=replace(TRAINING, pixels=changed)),
        replace(first, held_out=replace(HELD_OUT, labels=(HELD_OUT.labels + 1) % 3)),
        replace(first, training=HELD_OUT, held_out=TRAINING),
    ]
    assert len({one.fingerprint for one in [first, *others]}) == 9


def test_fingerprint_and_batch_are_pinned() -> None:
    # Nets on disk carry the first; the second must not change under it.
    grey = LabelledPixels(np.arange(4 * 6 * 6 * 3).astype(np.uint8).reshape(4, 6, 6, 3), np.array([0, 1, 0, 1]))
    training = ImageTraining("pinned", grey, grey, mean=PLAIN, std=UNIT, shift=2)
    batch = training.training_batch(7, size=5, seed=9)
    assert training.fingerprint[:16] == "ee14604ce16f88d8"
    assert (batch.ids.tolist(), shown(batch.tensor)[:, 0, 0, 0].tolist()) == (
        [1, 1, 3, 2, 0],
        [132, 132, 101, 246, 36],
    )


def folder(root: Path, *, n: int, seed: int, size: int = 16, **options: Triple) -> ImageFolder:
    rng = np.random.default_rng(seed)
    for i in range(n):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(path)
    return ImageFolder(root, size=size, **options)


def test_it_is_read_from_any_labelled_pictures(tmp_path: Path) -> None:
    both = [folder(tmp_path / name, n=n, seed=n) for name, n in [("train", 6), ("test", 4)]]
    assert all(isinstance(one, LabelledPictures) for one in both)
    training = ImageTraining.of(*both, name="folders", flip=False)
    batch = training.training_batch(0, size=6, seed=1)
    for image, label, number in zip(
        batch.tensor, batch.labels if batch.labels is not None else [], batch.ids, strict=True
    ):
        assert torch.equal(image, both[0][int(number)].tensor)
        assert label == both[0][int(number)].label
    assert torch.equal(training.held_out_batch().tensor, both[1].batch(np.arange(4)).tensor)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    train_images = folder(tmp_path / "train", n=4, seed=0)
    with pytest.raises(
        MismatchError, match=r"'x' on images of \(16, 16\) pixels. Those held out have \(8, 8\). Prep"
    ):
        ImageTraining.of(train_images, ImageFolder(tmp_path / "train", size=8), name="x")
    with pytest.raises(
        MismatchError, match=r"normalised by mean and std .*0.485.* Those held out are .*Prepare both"
    ):
        ImageTraining.of(train_images, folder(tmp_path / "test", n=2, seed=0, mean=PLAIN), name="x")
    for shift in (-1, 8):
        with pytest.raises(
            InvalidArgumentError, match=rf"\(8, 8\) pixels were to be shifted by shift={shift}.*Give"
        ):
            data(shift=shift)


def test_images_without_a_label_are_refused(tmp_path: Path) -> None:
    images = folder(tmp_path / "train", n=3, seed=0)
    Image.new("RGB", (16, 16)).save(tmp_path / "train" / "unknown.png")
    with pytest.raises(DataError, match=r"on 4 images. 1 of them have no label, first number 3. Give images that"):
        ImageTraining.of(ImageFolder(tmp_path / "train", size=16), images, name="x")


class Nothing:
    """No images at all."""

    mean, std = PLAIN, UNIT
    labels = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return 0

    def pictures(self, indices: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"Cannot train on 0 images. 0 of them have no label. Give images"):
        LabelledPixels.read(Nothing())


def test_a_net_learns_from_it_and_a_pickle_changes_no_bit(tmp_path: Path) -> None:
    """Two classes that differ in colour are told apart after a few steps."""
    rng = np.random.default_rng(5)
    labels = rng.integers(2, size=200)
    images = rng.integers(100, size=(200, 32, 32, 3))
    images[..., 0] += 150 * labels[:, None, None]
    whole = LabelledPixels(images.astype(np.uint8), labels)
    half = [LabelledPixels(whole.pixels[part], labels[part]) for part in (slice(150), slice(150, 200))]
    middle: Triple = (0.4, 0.2, 0.2)
    training = ImageTraining("colours", *half, mean=middle, std=middle, shift=2)
    recipe = Recipe(seed=1, data="colours", n_steps=12, batch_size=16)
    trained = train(recipe, tmp_path / "one.safetensors", data=training)
    assert trained.accuracy >= 0.9
    assert untrained_accuracy(recipe, training) < 0.8
    again = pickle.loads(pickle.dumps(training))  # as `train_many` hands it to its processes
    other = train(recipe, tmp_path / "two.safetensors", data=again)
    assert other.path.read_bytes() == trained.path.read_bytes()


def untrained_accuracy(recipe: Recipe, training: ImageTraining) -> float:
    batch = training.held_out_batch()
    assert batch.labels is not None
    with torch.no_grad():
        return (untrained(recipe)(batch.tensor).argmax(1) == batch.labels).double().mean().item()
