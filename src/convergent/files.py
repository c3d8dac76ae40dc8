"""Writing a file so that it is either whole or not there, and telling files apart by content."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from .errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the final name, on failure it is removed.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # what the umask allows; safetensors allows its owner only
        yield temporary
        temporary.chmod(mode)
        _flush_to_disk(temporary)
        temporary.replace(path)
    except StorageError:
        raise
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(
            f"Cannot write '{path}': '{_file_above(path)}' is a file, not a folder. Choose another folder."
        ) from error
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk in its own words
        raise StorageError(
            f"Cannot write '{path}': {getattr(error, 'strerror', None) or error}. Nothing was left "
            "under that name. Free space or choose another folder, then run the same command again."
        ) from error
    finally:
        with suppress(OSError):  # no such folder, say, and so nothing to remove
            temporary.unlink()


def why_unreadable(path: Path, error: Exception) -> str:
    """Why a file could not be read, as the sentence of an error.

    Example:
        >>> why_unreadable(Path("none.txt"), FileNotFoundError())
        'There is no such file'
    """
    if path.is_dir():
        return "It is a folder, not a file"
    return f"It cannot be read ({error})" if path.exists() else "There is no such file"


def _file_above(path: Path) -> Path:
    """The part of a path that should be a folder and is not."""
    return next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), path.parent)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()
