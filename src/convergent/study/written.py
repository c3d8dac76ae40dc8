"""Tables of a run: read where they are there already, else made and written."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..files import replacing


def written(file: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table in a file, which is made where it is not there yet.

    Args:
        file: `NAME.parquet`; whole or not there.
        make: makes it.

    Raises:
        StorageError: if it cannot be written.
    """
    if not file.exists():
        with replacing(file) as temporary:
            make().to_parquet(temporary, index=False)
    return pd.read_parquet(file)
