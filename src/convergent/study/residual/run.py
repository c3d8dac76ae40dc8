"""A study of the inside of nets: what stays the same along one stream."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ...batch import Inputs
from ...extraction import Lockstep
from ...progress import bar
from ...statistics import Blocked, Moments
from ...units import LayerUnits
from ..claims import claims_table
from ..kept import kept
from ..subjects import Subject
from ..written import written
from .along import STREAM_TABLES, stream_tables
from .by_family import family_half_lives, family_lags, family_steps
from .claims import claims
from .matrix import matrix_table
from .numbers import numbers_table
from .spec import ResidualStudy
from .streams import Stream, check_streams, plans, streams

_FEWEST = 3  # nets of a kind, for intervals over them
Tables = Mapping[str, pd.DataFrame]


def check(study: ResidualStudy, layers: Sequence[LayerUnits]) -> None:
    """Make sure that every net has a stream whose layers can be paired.

    Raises:
        StudyError: if a layer is both in the stream and a branch, or no two neighbours of a stream are as wide.
        MismatchError: if layers of a net are not seen at the same places.
    """
    check_streams(study, layers)


def carry_out(
    study: ResidualStudy, source: Lockstep, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
) -> None:
    """Statistics and tables, each left in the run folder and not made twice.

    Args:
        study: what to do.
        source: all nets on all inputs.
        subjects: the nets.
        inputs: the inputs.
        folder: the run folder.
    """
    nets, tables = streams(study, source.layers), folder / "tables"
    statistics = kept(plans(nets, n_blocks=study.blocks), source, folder / "statistics", name="first")
    by_block = _some_are_few(nets)

    def of_net(net: Stream) -> Tables:
        moments: Blocked[Moments] = statistics[net.statistic]
        return stream_tables(net, moments, rotations=study.rotations) | {
            "layer_matrix": matrix_table(net, moments),
            "numbers": numbers_table(net, moments, rotations=study.rotations, by_block=by_block),
        }

    found = _of_all_nets(nets, of_net, tables, names=[*STREAM_TABLES, "layer_matrix", "numbers"])
    written(tables / "family_lags.parquet", lambda: family_lags(found["by_lag"]))
    written(tables / "family_half_lives.parquet", lambda: family_half_lives(found["by_lag"]))
    written(tables / "family_steps.parquet", lambda: family_steps(found["steps"]))
    written(
        tables / "claims.parquet",
        lambda: claims_table(claims(found["numbers"], list(study.families))),
    )


def _some_are_few(nets: Sequence[Stream]) -> bool:
    """Whether there are families of one net or two: their intervals are over inputs."""
    kinds = [(net.family, net.trained) for net in nets]
    return any(kinds.count(kind) < _FEWEST for kind in kinds)


def _of_all_nets(
    nets: Sequence[Stream], of_net: Callable[[Stream], Tables], folder: Path, *, names: Sequence[str]
) -> Tables:
    """The tables of all nets, one below the other; read where all of them are there."""
    files = {name: folder / f"{name}.parquet" for name in names}
    parts: list[Tables] = []
    if not all(file.exists() for file in files.values()):
        with bar("Following streams", total=len(nets)) as progress:
            for net in nets:
                parts.append(of_net(net))
                progress.advance(note=net.net)

    def joined(name: str) -> pd.DataFrame:
        return pd.concat([tables[name] for tables in parts], ignore_index=True)

    return {name: written(file, lambda name=name: joined(name)) for name, file in files.items()}  # type: ignore[misc]
