"""Each net along its stream, as tables: pairs of layers, lags, half-lives, steps."""

from collections.abc import Callable, Mapping

import pandas as pd

from ...measures import ResidualStream, stream_along
from ...statistics import Blocked, Moments
from .streams import Stream

STREAM_TABLES: Mapping[str, Callable[[ResidualStream], pd.DataFrame]] = {
    "stream": ResidualStream.table,
    "by_lag": ResidualStream.by_lag,
    "half_lives": ResidualStream.half_lives,
    "steps": ResidualStream.steps,
}


def stream_tables(stream: Stream, moments: Blocked[Moments], *, rotations: int) -> dict[str, pd.DataFrame]:
    """The tables of a `ResidualStream`, by name, with net, family and trained in front.

    Layers stand there without the name of the net. Intervals are over blocks of inputs, where there are two.

    Args:
        stream: of one net.
        moments: of its layers.
        rotations: of the basis.
    """
    blocks = [block for block in moments.blocks if block.n_inputs]
    found = stream_along(moments if len(blocks) > 1 else moments.total, stream.sums, n_draws=rotations)
    return {name: named(stream, table(found)) for name, table in STREAM_TABLES.items()}


def named(stream: Stream, table: pd.DataFrame) -> pd.DataFrame:
    """A table of one net with its name, family and whether it is trained in front.

    Args:
        stream: of the net.
        table: columns a and b, if it has them, are layers of the net, `net/layer`.
    """
    layers = {side: table[side].str.removeprefix(f"{stream.net}/") for side in ("a", "b") if side in table}
    front = pd.DataFrame(
        {"net": stream.net, "family": stream.family, "trained": stream.trained}, index=table.index
    )
    return front.join(table.assign(**layers))
