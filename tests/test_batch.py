import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.batch import block_of, hash_ids

ids = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50)


@given(ids, st.integers(2, 20))
def test_a_block_is_a_matter_of_the_id_alone(numbers: list[int], n_blocks: int) -> None:
    blocks = block_of(np.array(numbers, dtype=np.int64), n_blocks)
    assert blocks.tolist() == [int(block_of(np.array([i]), n_blocks)[0]) for i in numbers]
    assert all(0 <= block < n_blocks for block in blocks)


def test_hashes_do_not_change_between_releases() -> None:
    """Blocks and samples of old files depend on them."""
    assert hash_ids(np.array([0, 1, -1])).tolist() == [16294208416658607535, 7960286522194355700, 0]
    assert block_of(np.arange(12), 10).tolist() == [8, 5, 4, 6, 5, 3, 2, 3, 6, 6, 7, 8]


def test_hashes_are_the_same_in_another_process() -> None:
    code = "import numpy as np; from convergent.batch import hash_ids; print(hash_ids(np.arange(3)).tolist())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(hash_ids(np.arange(3)).tolist())


@pytest.mark.parametrize("start", [0, -(10**6), 2**40])
@pytest.mark.parametrize("step", [1, 10, 1024])
def test_consecutive_ids_spread_evenly(start: int, step: int) -> None:
    numbers = start + step * np.arange(20_000)
    counts = np.bincount(block_of(numbers, 10), minlength=10)
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000)
    assert len(np.unique(hash_ids(numbers))) == len(numbers)


def test_another_salt_is_independent() -> None:
    numbers = np.arange(20_000)
    bits = (hash_ids(numbers) ^ hash_ids(numbers, salt=1)) & np.uint64(1)
    assert abs(bits.mean() - 0.5) < 0.02
