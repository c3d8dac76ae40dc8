"""A file of texts, one a line, as tokens of a tokenizer of `transformers` (the extra `hub`)."""

import hashlib
import importlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._typing import Array, Int64
from ..errors import DataError
from ..files import why_unreadable
from .tokens import TokenInputs, tokenised


def text_file(
    path: str | Path, *, tokenizer: str | Path, length: int | None = None, n: int | None = None
) -> TokenInputs:
    """The texts of a file as inputs: one a line, blank lines left out.

    The id of a text is a hash of it, and of how many of the same stand before it: it stays where lines are added
    or moved, and another file has other ids.

    Args:
        path: the file, UTF-8.
        tokenizer: a name on the hub, or a folder that `save_pretrained` wrote.
        length: tokens from which on a text is cut off; None keeps all.
        n: only the first texts; None takes all.

    Raises:
        DataError: if the file cannot be read or holds no text, `transformers` is not installed, the tokenizer
            cannot be read, or it gives no token for some text.
    """
    texts = _lines(Path(path))[:n]
    return tokenised(texts, load_tokenizer(tokenizer), length=length, ids=_ids(texts))


def load_tokenizer(name: str | Path) -> Any:
    """A tokenizer of `transformers`; code that comes with one is never run.

    Args:
        name: on the hub, or a folder.

    Raises:
        DataError: if `transformers` is not installed, or it cannot be read.
    """
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        raise DataError(
            f"Cannot load the tokenizer '{name}'. That needs the library 'transformers', which is not installed. "
            "Install it: pip install 'convergent[hub]'."
        ) from error
    if isinstance(name, Path) and not name.is_dir():
        raise DataError(
            f"Cannot load a tokenizer from the folder '{name}'. There is no such folder. Check the path, "
            "or give a name on the hub, like 'openai-community/gpt2'."
        )
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(str(name), trust_remote_code=False)
    except Exception as error:  # whatever `transformers` and the hub raise; they share no base class
        raise DataError(
            f"Cannot load the tokenizer '{name}'. The library 'transformers' says {type(error).__name__}: "
            f"{error}. Check the name or folder, and the connection to the hub."
        ) from error
    # Where a folder lies says nothing of how texts become tokens, and statistics are known by it.
    tokenizer.name_or_path = name.name if isinstance(name, Path) else name
    return tokenizer


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"Cannot read the texts '{path}'. {why_unreadable(path, error)}. Give a file of text, one text a line."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"Cannot read the texts '{path}'. It is not UTF-8 ({error}). Save it as UTF-8.") from error
    return [line for line in lines if line.strip()]


def _ids(texts: Sequence[str]) -> Int64[Array, " inputs"]:
    seen: Counter[str] = Counter()
    ids = []
    for text in texts:
        content = hashlib.sha256(f"{seen[text]}:{text}".encode()).digest()
        ids.append(int.from_bytes(content[:8], "big") >> 1)
        seen[text] += 1
    return np.array(ids, dtype=np.int64)
