"""Are inputs sorted by class? Then a rolled partner is of the same class, and chance looks larger than it is."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.stats import binom

from .._typing import Array, Int64, Tensor
from ..batch import ActivationBatch

# Warn where at least this part of the partners is of the same class beyond what the classes' sizes make of it,
# and a shuffled stream would do that once in so many passes.
_EXCESS = 0.1
_RARE = 1e-4
_log = logging.getLogger("convergent")


class LabelOrder:
    """Counts of inputs whose class is that of the input rolled onto them; unknown classes are left out."""

    def __init__(self, n_rolls: int) -> None:
        self._counts = np.zeros((2, n_rolls), dtype=np.int64)  # of the same class; of known classes
        self._classes: Counter[int] = Counter()
        self._head, self._last = (np.zeros(0, dtype=np.int64) for _ in range(2))
        self._n = 0

    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None) -> None:
        """Take in the classes of a batch, or of the inputs at these positions of it."""
        n = len(batch.ids)
        labels = np.full(n, -1)
        if batch.labels is not None and batch.labels.ndim == 1:  # several labels an input are no class
            labels = batch.labels.cpu().numpy().astype(np.int64)
        new = labels if inputs is None else labels[list(inputs)]
        n_rolls = self._counts.shape[1]
        self._n += len(new)
        self._classes.update(new[new >= 0].tolist())
        labels = np.concatenate([self._last, new])
        for k in range(1, n_rolls + 1):
            first = max(len(self._last), k)
            self._count(k, labels[first:], labels[first - k : max(len(labels) - k, 0)])
        self._head, self._last = np.concatenate([self._head, new])[:n_rolls], labels[-n_rolls:]

    def absorb(self, others: Sequence["LabelOrder"]) -> None:
        """Close all cycles, and speak for streams beside this one, which fall silent."""
        for order in (self, *others):
            for k in range(1, min(order._counts.shape[1], order._n - 1) + 1):
                order._count(k, order._head[:k], order._last[len(order._last) - k :])
            order._n = 0
        for order in others:
            self._counts += order._counts
            self._classes += order._classes
            order._counts[:] = 0

    def warn(self) -> None:
        """Say so where the stream is sorted."""
        self.absorb([])
        same, known = self._counts
        sizes = np.array([*self._classes.values()], dtype=float)
        n = sizes.sum()
        if n < 2 or not known.any():
            return
        expected = float((sizes * (sizes - 1)).sum() / (n * (n - 1)))
        shares = same / np.maximum(known, 1)
        k, share = int(shares.argmax()), shares.max()
        rare = len(same) * binom.sf(same[k] - 1, known[k], expected) < _RARE
        if rare and share - expected > _EXCESS * (1 - expected):
            _log.warning(
                "Inputs are sorted by class: %.0f%% have the class of the input rolled onto them (%d of %d, by "
                "%d), shuffled ones would at %.0f%%, and so chance levels from rolls come out too high; shuffle "
                "once, with a fixed seed: Subset(inputs, numpy.random.default_rng(0).permutation(len(inputs))).",
                *(100 * share, same[k], known[k], k + 1, 100 * expected),
            )

    def state(self) -> dict[str, Tensor]:
        """All that later counts need."""
        arrays: dict[str, Array] = {
            "counts": self._counts,
            "classes": np.array([*self._classes.items()], dtype=np.int64).reshape(-1, 2),
            "head": self._head,
            "last": self._last,
            "n": np.array(self._n),
        }
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self._counts, self._head, self._last = (state[key].numpy().copy() for key in ("counts", "head", "last"))
        self._classes, self._n = Counter(dict(state["classes"].tolist())), int(state["n"])

    def _count(self, k: int, mine: Int64[Array, " inputs"], rolled: Int64[Array, " inputs"]) -> None:
        known = (mine >= 0) & (rolled >= 0)
        self._counts[:, k - 1] += ((known & (mine == rolled)).sum(), known.sum())
