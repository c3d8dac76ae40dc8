"""Shards of a data set: what is computed on them merges into what is computed on the whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convergent import Lockstep, MomentsPlan, TopInputsPlan, ZerosPlan, collect, load_net
from convergent.batch import Inputs, Pictures
from convergent.data import ImageFolder, PhotoDigits, Subset
from convergent.errors import InvalidArgumentError, MismatchError

PROBE = PhotoDigits.probe(24)


def folder(root: Path) -> ImageFolder:
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(root / f"{i}.png")
    return ImageFolder(root, size=32)


def statistics(inputs: Any) -> dict[str, Any]:
    nets = {name: load_net("alexnet_small", checkpoint=None) for name in "a"}
    source = Lockstep(nets, inputs, layers=["relu1"], weights={"a": "one net"}, batch_size=5)
    return collect(source, {"moments": MomentsPlan(), "top": TopInputsPlan(2), "zeros": ZerosPlan()})


@pytest.mark.parametrize("kind", ["digits", "folder"])
def test_statistics_of_shards_merge_into_those_of_the_whole(kind: str, tmp_path: Path) -> None:
    inputs = PROBE if kind == "digits" else folder(tmp_path)
    parts = []
    for chosen in (slice(3), slice(3, None), slice(None)):
        torch.manual_seed(0)
        parts.append(statistics(Subset(inputs, chosen)))
    first, second, whole = parts
    for name, statistic in whole.items():
        merged = first[name] + second[name]
        assert merged.n_inputs == len(inputs)
        for key, array in statistic.arrays().items():
            if not key.startswith(("origin", "sum", "product")):  # moments may have another origin
                np.testing.assert_array_equal(merged.arrays()[key], array)
    np.testing.assert_allclose(
        (first["moments"] + second["moments"]).mean("a/relu1"), whole["moments"].mean("a/relu1"), atol=1e-6
    )
    with pytest.raises(MismatchError, match=r"Cannot merge Moments of the same inputs.*count twice. Merge stat"):
        first["moments"].merge(first["moments"])
    with pytest.raises(MismatchError, match=r"Cannot merge TopInputs of the same inputs"):
        (first["top"] + second["top"]).merge(second["top"])


def test_other_folders_and_other_seeds_do_not_merge(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    images = folder(tmp_path / "one")
    before = Subset(images, slice(3)).fingerprint
    assert before == images.fingerprint
    (tmp_path / "one" / "new.png").write_bytes(b"another")
    assert ImageFolder(tmp_path / "one", size=32).fingerprint != before


@pytest.mark.parametrize(
    "chosen",
    [slice(2, 20, 3), [5, 1, 17], np.arange(24) % 2 == 0, [True, False] * 12, np.array([3, -1])],
)
def test_a_subset_is_the_inputs_chosen(chosen: Any) -> None:
    subset = Subset(PROBE, chosen)
    assert isinstance(subset, Inputs)
    assert isinstance(subset, Pictures)
    numbers = np.arange(24)[chosen]
    assert len(subset) == len(numbers)
    assert subset.ids.tolist() == PROBE.ids[numbers].tolist()
    batch = subset.batch(np.array([1, 0]))
    for row, place in enumerate((1, 0)):
        assert batch.ids[row] == subset[place].id == PROBE.ids[numbers[place]]
        assert torch.equal(batch.tensor[row], subset[place].tensor)
        np.testing.assert_array_equal(subset.picture(place), PROBE.picture(int(numbers[place])))


def test_inputs_that_are_not_there() -> None:
    with pytest.raises(InvalidArgumentError, match=r"inputs of a data set of 24. NumPy says: .* Give a slice"):
        Subset(PROBE, [3, 24])
    with pytest.raises(InvalidArgumentError, match=r"NumPy says: boolean index did not match"):
        Subset(PROBE, np.ones(5, dtype=bool))
