"""Threads: every row once, and no threads inside threads."""

import threading
from collections.abc import Iterator

import pytest
import torch

from convergent.threads import in_threads, map_in_threads


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _parts(n: int) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    in_threads(lambda first, last: found.append((first, last, threading.get_ident())), n)
    return sorted(found)


def test_every_row_is_in_one_part() -> None:
    parts = _parts(100)
    assert [row for first, last, _ in parts for row in range(first, last)] == list(range(100))
    assert len(parts) > 2
    assert threading.get_ident() not in {thread for *_, thread in parts}


def test_inside_an_item_rows_stay_in_its_thread() -> None:
    found = map_in_threads(lambda n: (threading.get_ident(), _parts(n)), [100, 7])
    assert [[part[:2] for part in parts] for _, parts in found] == [[(0, 100)], [(0, 7)]]
    assert all(parts[0][2] == thread for thread, parts in found)
    assert len(_parts(100)) > 2  # and afterwards several again


def test_items_keep_their_order() -> None:
    assert map_in_threads(lambda n: -n, range(20)) == [-n for n in range(20)]
