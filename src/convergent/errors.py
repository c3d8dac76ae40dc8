"""Every error this library raises on purpose.

One base class to catch them all; each child is also the built-in error one would expect.
A message has three sentences: what was asked, what was found, what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ConvergentError(Exception):
    """Base of all errors raised on purpose by this library."""


class InvalidArgumentError(ConvergentError, ValueError):
    """An argument has a value, shape or type that cannot be used."""


class UnknownNameError(ConvergentError, LookupError):
    """A net, layer, key or factory of that name does not exist."""


class MismatchError(ConvergentError, ValueError):
    """Two things that do not belong together were paired or merged."""


class NonFiniteError(ConvergentError, ArithmeticError):
    """An activation is infinite or not a number."""


class DataError(ConvergentError, ValueError):
    """Inputs are missing, broken or unfit for the nets."""


class NetError(ConvergentError, RuntimeError):
    """A net cannot be built, loaded, run or tapped."""


class FileFormatError(ConvergentError, ValueError):
    """A file exists but is not what it should be: truncated, foreign, or of another version."""


class StorageError(ConvergentError, OSError):
    """A file cannot be written, and nothing was left under its final name."""


class NotEnoughMemoryError(ConvergentError, MemoryError):
    """The statistics asked for do not fit into this machine's memory."""


class StudyError(ConvergentError, ValueError):
    """A study file or run folder cannot be used."""


def nearest(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """Say which of the known names are closest to `name`, as the last sentence of an error.

    Example:
        >>> nearest("conv11", ["conv1", "conv2", "fc8"])
        "Nearest: 'conv1', 'conv2'."
    """
    names = list(known)
    close = get_close_matches(name, names, n=n, cutoff=0.5)
    if close:
        return "Nearest: " + ", ".join(repr(c) for c in close) + "."
    if not names:
        return "There are none."
    shown = ", ".join(repr(c) for c in names[:12])
    return f"Known: {shown}{', ...' if len(names) > 12 else '.'}"
