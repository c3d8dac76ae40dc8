"""What every experiment of a family needs: its nets, the inputs, and which units are whose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..._typing import Array, Int64
from ...batch import Batch, Inputs, hash_ids
from ...errors import StudyError
from ...experiments import Answers, Costs
from ...extraction.feeds import feed_nets
from ...statistics import Blocked, Moments, PairMoments

_SALT = 1 << 28  # the order must not depend on what else is hashed from the ids


@dataclass(frozen=True, eq=False)
class Family:
    """Nets of one architecture, and what is known of them before an experiment.

    Attributes:
        name: of the family.
        nets: by name.
        layers: whose units are taken out, in the order of computation.
        answers: of each net to the inputs that are scored.
        costs: of each net.
        moments: of the layers, on the inputs to fit on, in blocks.
        units: one row a unit; see `units_table`.
        data: inputs that are scored, in batches.
        fit: inputs to fit on.
    """

    name: str
    nets: Mapping[str, nn.Module]
    layers: tuple[str, ...]
    answers: Mapping[str, Answers]
    costs: Mapping[str, Costs]
    moments: Blocked[Moments]
    units: pd.DataFrame
    data: Sequence[Batch]
    fit: Sequence[Batch]

    def of(self, net: str, layer: str) -> pd.DataFrame:
        """The rows of a net's layer, in the order of its units."""
        return self.units[(self.units["net"] == net) & (self.units["layer"] == layer)]

    def chosen(self, net: str, layer: str, kind: str) -> Int64[Array, " k"]:
        """The units of a net's layer that are in the set "unique" or "shared"."""
        rows = self.of(net, layer)
        return rows.loc[rows["set"] == kind, "unit"].to_numpy(np.int64)

    def most_unique_first(self, net: str, layer: str) -> Int64[Array, " living"]:
        """The living units, the most unique first."""
        rows = self.of(net, layer)
        living = rows[rows["verdict"] != "dead"].sort_values("uniqueness", ascending=False, kind="stable")
        return living["unit"].to_numpy(np.int64)

    def pair(self, a: str, b: str, layer: str) -> PairMoments:
        """Moments of a layer of two nets, on all inputs to fit on."""
        return self.moments.total.pair(f"{a}/{layer}", f"{b}/{layer}")


def in_batches(inputs: Inputs, *, size: int) -> list[Batch]:
    """Inputs held in memory, for they are read many times; in an order that mixes classes.

    Args:
        inputs: all of them.
        size: of a batch, or a little more where one input would be left alone in the last.
    """
    n = len(inputs)
    fitting = next(some for some in range(size, size + n + 1) if n % some != 1 or n == 1)
    read = [batches["net"] for batches in feed_nets(("net",), inputs, batch_size=fitting).batches(0)]
    ids, tensor = np.concatenate([batch.ids for batch in read]), torch.cat([batch.tensor for batch in read])
    known = [batch.labels for batch in read if batch.labels is not None]
    labels = torch.cat(known) if len(known) == len(read) else None
    mixed = np.argsort(hash_ids(ids, salt=_SALT), kind="stable")
    return [
        Batch(ids[some], tensor[some], None if labels is None else labels[some])
        for some in np.split(mixed, range(fitting, n, fitting))
    ]


def require_labels(batches: Sequence[Batch], key: str) -> None:
    """Make sure that every input has a label.

    Args:
        batches: of the inputs.
        key: of the study that describes them.

    Raises:
        StudyError: if one has none.
    """
    labels = [batch.labels for batch in batches]
    missing = sum(
        len(batch.ids) if known is None else int((known < 0).sum())
        for batch, known in zip(batches, labels, strict=True)
    )
    if missing:
        raise StudyError(
            f"Cannot say how well nets answer. {missing} of {sum(len(batch.ids) for batch in batches)} inputs of "
            f"`{key}` have no label. Give data with one class each."
        )


def require_apart(scored: Inputs, fitted: Inputs) -> None:
    """Make sure that no input is both fitted on and scored.

    Raises:
        StudyError: if one is.
    """
    same = scored.fingerprint == fitted.fingerprint
    both = np.intersect1d(scored.ids, fitted.ids) if same else np.empty(0, dtype=np.int64)
    if len(both):
        raise StudyError(
            f"Cannot score on inputs that are fitted on. {len(both)} inputs are in `data` and in `fit`, first "
            f"number {both[0]}. Choose another split or other rows for one of them."
        )
