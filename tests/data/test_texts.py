"""A file of texts: which lines count, their ids, and tokenizers from a folder."""

import os
import sys
from pathlib import Path

import pytest

from convergent.data import text_file
from convergent.data.texts import load_tokenizer
from convergent.errors import DataError

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["<pad>", "a", "b", "c"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of three words, saved as the hub holds them."""
    folder = tmp_path_factory.mktemp("texts") / "tok"
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<pad>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(folder)
    return folder


def lines(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_are_texts_and_blank_ones_are_none(folder: Path, tmp_path: Path) -> None:
    inputs = text_file(lines(tmp_path / "t", "a b c\n\nb\n  \nc c\n"), tokenizer=folder)
    assert inputs.tokens.tolist() == [[1, 2, 3], [2, 0, 0], [3, 3, 0]]
    assert inputs.mask.sum(1).tolist() == [3, 1, 2]
    cut = text_file(tmp_path / "t", tokenizer=folder, length=2, n=2)
    assert cut.tokens.tolist() == [[1, 2], [2, 0]]


def test_an_id_stays_with_its_text(folder: Path, tmp_path: Path) -> None:
    before = text_file(lines(tmp_path / "t", "a\nb\n"), tokenizer=folder).ids
    after = text_file(lines(tmp_path / "t", "c\nb\na\na\n"), tokenizer=folder).ids
    assert after[1] == before[1]
    assert after[2] == before[0]
    assert len(set(after)) == 4
    assert (after >= 0).all()


def test_where_a_tokenizer_lies_changes_no_fingerprint(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / folder.name
    load_tokenizer(folder).save_pretrained(moved)
    texts = lines(tmp_path / "t", "a\n")
    prints = {text_file(texts, tokenizer=one).fingerprint for one in (folder, moved)}
    assert len(prints) == 1


def test_what_cannot_be_read_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"Cannot read the texts '.*gone'. .* one text a line"):
        text_file(tmp_path / "gone", tokenizer=folder)
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"It is not UTF-8 .*Save it as UTF-8"):
        text_file(tmp_path / "latin", tokenizer=folder)
    with pytest.raises(DataError, match=r"Asked to tokenise texts. Found none"):
        text_file(lines(tmp_path / "blank", "\n \n"), tokenizer=folder)
    with pytest.raises(DataError, match=r"from the folder '.*no'. There is no such folder"):
        load_tokenizer(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"(?s)'transformers' says \w+: .*Check the name or folder"):
        load_tokenizer(tmp_path / "empty")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DataError, match=r"needs the library 'transformers'.*pip install 'convergent\[hub\]'"):
        load_tokenizer(folder)
