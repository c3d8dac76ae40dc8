"""A figure on its way to the page: where it belongs, and what is said about it."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import matplotlib as mpl
from matplotlib.figure import Figure

from ..files import replacing
from .style import DPI, STYLE


@dataclass(frozen=True)
class Drawing:
    """A figure, and what is said about it.

    Attributes:
        number: as in the paper, with a letter where it has several parts; "T1" is its Table 1.
        layer: the layer it shows, or "" where it shows all.
        figure: the figure.
        alt: what it shows, in words.
        note: what the reader must know of this one, or "".
    """

    number: str
    layer: str
    figure: Figure
    alt: str
    note: str = ""

    @property
    def file_name(self) -> str:
        """`figureNUMBER_LAYER`, without a suffix."""
        # A layer's name may hold any character; a file's name may not.
        return f"figure{self.number}" + (f"_{quote(self.layer, safe='')}" if self.layer else "")

    def write(self, folder: Path) -> Path:
        """Write the figure as PNG and PDF, each whole or not at all; gives the PNG.

        Args:
            folder: where they go, under `file_name`.

        Raises:
            StorageError: if a file cannot be written.
        """
        png, pdf = (folder / f"{self.file_name}{suffix}" for suffix in (".png", ".pdf"))
        with mpl.rc_context(STYLE):
            for path, metadata in ((png, {"Software": None}), (pdf, {"CreationDate": None})):
                with replacing(path) as temporary:
                    self.figure.savefig(temporary, format=path.suffix[1:], dpi=DPI, metadata=metadata)
        return png
