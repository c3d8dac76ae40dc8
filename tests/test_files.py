import errno
import io
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

from convergent import progress
from convergent.errors import StorageError
from convergent.files import replacing, sha256, why_unreadable
from convergent.results import frozen


def write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "a.txt"
    with replacing(target) as temporary:
        temporary.write_text("one")
        assert not target.exists()
        assert temporary.parent == target.parent
    write(target, "two")
    assert {p.name: p.read_text() for p in target.parent.iterdir()} == {"a.txt": "two"}


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(error: BaseException, tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "old")
    with pytest.raises(type(error)):
        write_half(tmp_path / "a.txt", error)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old"}


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"Cannot write '.*a\.txt': No space left on device\. Nothing was left"):
        write(tmp_path / "a.txt", "x")
    assert not list(tmp_path.iterdir())


def test_a_limit_reached_in_the_middle_of_writing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(StorageError, match="Cannot write"):
            write(tmp_path / "a.txt", "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("not one")
    for path in (tmp_path / "folder/a.txt", tmp_path / "folder/deeper/a.txt"):
        with pytest.raises(StorageError, match=r"Cannot write '.*a\.txt': '.*/folder' is a file, not a folder\."):
            write(path, "x")


def test_files_may_be_read_as_the_umask_allows(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.safetensors") as temporary:
        save_file({"x": np.zeros(1)}, temporary)
    write(tmp_path / "a.txt", "x")
    (tmp_path / "plain.txt").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_why_a_file_could_not_be_read(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "x")
    assert why_unreadable(tmp_path / "b.txt", FileNotFoundError()) == "There is no such file"
    assert why_unreadable(tmp_path, IsADirectoryError()) == "It is a folder, not a file"
    assert why_unreadable(tmp_path / "a.txt", PermissionError("mine")) == "It cannot be read (mine)"


def test_an_error_that_says_it_already_is_not_wrapped_twice(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^inner$"):
        write_half(tmp_path / "a.txt", StorageError("inner"))


def test_hashes_are_of_the_content() -> None:
    assert sha256(b"abc").startswith("ba7816bf8f01cfea")


def test_results_do_not_change_under_ones_feet() -> None:
    result = frozen(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        result[0] = 1


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_on_terminals_only(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=120)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    with progress.bar("Counting", total=4, done=1) as bar:
        bar.advance(2, note="loss 0.5")
    assert ("3/4" in shown.getvalue() and "loss 0.5" in shown.getvalue()) if terminal else shown.getvalue() == ""
