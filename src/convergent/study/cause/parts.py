"""Work cut into parts: what is done is read from its files, and the rest is done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from ...files import replacing

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Part:
    """A part of an experiment.

    Attributes:
        experiment: whose part.
        names: what tells it from other parts: of a family, a layer, nets.
        tables: names of the tables it adds rows to.
        make: makes these.
    """

    experiment: str
    names: tuple[str, ...]
    tables: Sequence[str]
    make: Callable[[], Tables]

    def done(self, folder: Path) -> dict[str, pd.DataFrame]:
        """Its rows by table, read where they are all there, else made and written.

        Args:
            folder: of all parts.

        Raises:
            StorageError: if a file cannot be written.
        """
        stem = "_".join(quote(name, safe="") for name in (self.experiment, *self.names))
        files = {table: folder / f"{stem}.{table}.parquet" for table in self.tables}
        if not all(file.exists() for file in files.values()):
            made = self.make()
            for table, file in files.items():
                with replacing(file) as temporary:
                    made[table].to_parquet(temporary, index=False)
        return {table: pd.read_parquet(file) for table, file in files.items()}


def joined(found: Sequence[Tables]) -> dict[str, pd.DataFrame]:
    """All rows of each table, in the order of the parts."""
    names = list(dict.fromkeys(name for tables in found for name in tables))
    filled = {name: [tables[name] for tables in found if name in tables and len(tables[name])] for name in names}
    return {name: pd.concat(rows, ignore_index=True) if rows else pd.DataFrame() for name, rows in filled.items()}
