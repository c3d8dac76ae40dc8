"""Threads: rows of a compiled loop or whole items spread over them; one only where processes share the cores."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba
import torch
from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")

_here = threading.local()


def in_threads(work: Callable[[int, int], object], n: int) -> None:
    """Call `work(first, last)` for parts of the rows 0 .. n - 1, in as many threads as torch uses.

    Inside `map_in_threads` it is called once, in the thread that is there: other cores are busy with other items.

    Args:
        work: should release the interpreter's lock, as compiled loops and copies of arrays do.
        n: how many rows. Parts are small: some cores are busier, and some rows cost a hundred times others.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or getattr(_here, "one_of_several", False):
        work(0, n)
        return
    step = max(1, n // (8 * n_threads))
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(lambda first: work(first, min(first + step, n)), range(0, n, step)))


def map_in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Results in the order of the items, several items at once, each with one thread of its own.

    Args:
        function: mostly decompositions and products, which release the interpreter's lock; many small ones gain
            nothing from threads inside each.
        items: what it is called on.
    """
    n_threads = torch.get_num_threads()
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(n_threads, initializer=_be_one_of_several) as pool,
    ):
        return list(pool.map(function, items))


def _be_one_of_several() -> None:
    _here.one_of_several = True


def use_one_thread() -> None:
    """Leave the other cores to other processes, from here on."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    threadpool_limits(1)
