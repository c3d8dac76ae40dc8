"""What a page of findings is made of: an answer, claims, and sections of text, figures and tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..drawing import Drawing


@dataclass(frozen=True)
class Table:
    """Rows as people read them.

    Attributes:
        head: names of the columns; those after the first `n_words` hold numbers.
        rows: cells, written out.
        n_words: how many columns, from the left, hold words.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_words: int = 1


@dataclass(frozen=True)
class Section:
    """One question and what was found.

    Attributes:
        title: the question, short.
        said: paragraphs.
        drawings: figures, in order.
        table: numbers beneath them, or None.
        note: how the numbers were made.
    """

    title: str
    said: Sequence[str]
    drawings: Sequence[Drawing] = ()
    table: Table | None = None
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """All that a page says.

    Attributes:
        title: of the page.
        answer: what was found, in a few sentences.
        sections: the questions.
    """

    title: str
    answer: Sequence[str]
    sections: Sequence[Section] = field(default_factory=tuple)
