"""Digits on photographs: what is on the picture, and that it never changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_sample_image

from convergent.batch import Inputs, Pictures, block_of
from convergent.data import PhotoDigits, PhotoDigitsTraining
from convergent.data.photo_digits import MEAN, N_SCANS, STD, Material, digits_of
from convergent.errors import InvalidArgumentError

MATERIAL = Material.load()
DATA = PhotoDigitsTraining(MATERIAL)


def test_the_split_shares_no_scan_and_leaves_none_out() -> None:
    train, held_out = digits_of("train"), digits_of("held-out")
    assert (len(train), len(held_out)) == (1397, 400)
    assert sorted([*train, *held_out]) == list(range(N_SCANS))
    images = load_digits().images
    assert not {images[i].tobytes() for i in train} & {images[i].tobytes() for i in held_out}
    assert np.bincount(MATERIAL.labels[held_out]).min() >= 25


def test_a_large_digit_is_the_scan_again_when_averaged() -> None:
    averaged = MATERIAL.ink.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)) * 16 / 255
    assert np.abs(averaged - load_digits().images).mean() < 0.8
    assert np.corrcoef(averaged.ravel(), load_digits().images.ravel())[0, 1] > 0.99


def test_a_photo_is_halved_by_averages() -> None:
    assert MATERIAL.photos.shape == (2, 3, 213, 320)
    china = load_sample_image("china.jpg").astype(int)
    assert abs(MATERIAL.photos[0, 1, 10, 20] - china[20:22, 40:42, 1].mean()) <= 0.5


@pytest.mark.parametrize("input_id", [3, 1797 * 4 + 1000])
def test_a_picture_is_the_absolute_difference_of_some_crop_and_the_digit(input_id: int) -> None:
    picture = MATERIAL.blend(np.array([input_id]))[0].astype(int)
    ink = MATERIAL.ink[input_id % N_SCANS].astype(int)
    fits = np.ones((2, 213 - 31, 320 - 31), dtype=bool)
    for y, x in np.random.default_rng(0).integers(32, size=(40, 2)):
        seen = MATERIAL.photos[:, :, y : y + 182, x : x + 289].astype(int)
        fits &= (np.abs(seen - ink[y, x]) == picture[:, y, x, None, None]).all(axis=1)
    photo, top, left = np.argwhere(fits)[0]
    crop = MATERIAL.photos[photo, :, top : top + 32, left : left + 32].astype(int)
    np.testing.assert_array_equal(picture, np.abs(crop - ink))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.integers(0, 1000))
def test_a_picture_depends_on_id_and_seed_alone(ids: list[int], seed: int) -> None:
    together = MATERIAL.blend(np.array(ids), seed=seed)
    for i, one in enumerate(ids):
        np.testing.assert_array_equal(MATERIAL.blend(np.array([one]), seed=seed)[0], together[i])


def test_draws_and_seeds_give_other_crops() -> None:
    ids = np.arange(200) * N_SCANS + 7
    pictures = MATERIAL.blend(ids)
    assert len(np.unique(pictures.reshape(200, -1), axis=0)) >= 195
    changed = (MATERIAL.blend(ids, seed=1) != pictures).any(axis=(1, 2, 3))
    assert changed.mean() > 0.95


def test_blocks_of_inputs_look_alike() -> None:
    # Block and crop are hashes of the same id: were they dependent, folds would see different photographs.
    probe = PhotoDigits.probe()
    brightness = MATERIAL.blend(probe.ids).mean(axis=(1, 2, 3))
    blocks = block_of(probe.ids, 10)
    means = np.array([brightness[blocks == block].mean() for block in range(10)])
    assert np.abs(means - brightness.mean()).max() < 4 * brightness.std() / np.sqrt(400)


def test_probe_ids_are_stable_and_from_held_out_digits() -> None:
    probe = PhotoDigits.probe()
    assert len(probe) == len(set(probe.ids.tolist())) == 4000
    assert set((probe.ids % N_SCANS).tolist()) == set(digits_of("held-out").tolist())
    assert probe.ids[[0, 1, 400, 3999]].tolist() == [0, 4, 1797, 17967]


def test_it_is_inputs_with_pictures() -> None:
    probe = PhotoDigits.probe(n=450)
    assert isinstance(probe, Inputs)
    assert isinstance(probe, Pictures)
    one = probe[423]
    assert one.id == probe.ids[423]
    assert one.label == load_digits().target[one.id % N_SCANS]
    shown = torch.from_numpy(probe.picture(423)).permute(2, 0, 1) / 255
    expected = (shown - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(one.tensor, expected)
    with pytest.raises(IndexError):
        probe[450]


def test_a_batch_is_its_inputs_stacked() -> None:
    probe = PhotoDigits.first("train", n=30, seed=4)
    batch = probe.batch(np.array([5, 2, 29]))
    assert batch.labels is not None
    for row, index in enumerate([5, 2, 29]):
        one = probe[index]
        assert (one.id, one.label) == (int(batch.ids[row]), int(batch.labels[row]))
        assert torch.equal(one.tensor, batch.tensor[row])


def test_the_fingerprint_tells_sets_apart() -> None:
    prints = [
        PhotoDigits.first("train", n=10).fingerprint,
        PhotoDigits.first("train", n=10, seed=1).fingerprint,
        DATA.fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    for split, n in (("train", 10), ("train", 11), ("held-out", 10)):  # which inputs is what ids say
        assert PhotoDigits.first(split, n=n).fingerprint == prints[0]  # type: ignore[arg-type]


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"n=0 inputs.*at least one.*n=1 or more"):
        PhotoDigits.probe(n=0)


def test_training_batches_are_repeatable_and_from_training_digits() -> None:
    first, again, other = (DATA.training_batch(step, size=64, seed=3) for step in (5, 5, 6))
    assert torch.equal(first.tensor, again.tensor)
    assert not set(first.ids.tolist()) & set(other.ids.tolist())
    assert not torch.equal(first.tensor, DATA.training_batch(5, size=64, seed=4).tensor)
    assert set((first.ids % N_SCANS).tolist()) <= set(digits_of("train").tolist())
    assert first.labels is not None
    assert first.labels.tolist() == load_digits().target[first.ids % N_SCANS].tolist()


def test_training_draws_all_digits_about_equally() -> None:
    ids = np.concatenate([DATA.training_batch(step, size=1000, seed=0).ids for step in range(14)])
    counts = np.bincount(ids % N_SCANS, minlength=N_SCANS)[digits_of("train")]
    assert abs(counts.mean() - counts.var()) < 1.5  # Poisson, mean 10
    assert counts.min() > 0


def test_pixels_are_normalised() -> None:
    pixels = DATA.training_batch(0, size=4000, seed=0).tensor.transpose(0, 1).reshape(3, -1)
    assert pixels.mean(1).abs().max() < 0.05
    assert (pixels.std(1) - 1).abs().max() < 0.05


def test_the_held_out_batch_is_the_probe() -> None:
    assert DATA.held_out_batch().ids.tolist() == PhotoDigits.probe().ids.tolist()
