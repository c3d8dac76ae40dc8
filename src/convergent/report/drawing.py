"""A figure on its way to the page: where it belongs, and what is said about it."""

from dataclasses import dataclass

from matplotlib.figure import Figure


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
