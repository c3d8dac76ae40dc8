"""The command line says what it does, and how it failed."""

import sys
from pathlib import Path

import pytest
import torch

from convergent import __version__, cli
from convergent.nets import load_trained
from convergent.selftest import Check

Captured = pytest.CaptureFixture[str]


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int | str | None:
    """The exit code of `convergent ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["convergent", *map(str, arguments)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert called(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"convergent {__version__}\n"


@pytest.mark.parametrize("command", ["demo", "run", "layers", "train", "report", "reproduce", "selftest"])
def test_help_has_an_example(monkeypatch: pytest.MonkeyPatch, capsys: Captured, command: str) -> None:
    assert called(monkeypatch, command, "--help") == 0
    said = capsys.readouterr().out
    assert "Example" in said
    assert f"convergent {command}" in said


def test_what_is_not_understood_exits_with_2(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert called(monkeypatch, "dance") == 2
    assert called(monkeypatch, "run") == 2
    assert called(monkeypatch, "demo", "--fast") == 2
    assert "No such option" in capsys.readouterr().err


def test_a_failure_is_a_message_and_exits_with_1(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert called(monkeypatch, "run", "none.yaml") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: Cannot read the study 'none.yaml'. There is no such file.")
    assert "Traceback" not in said


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert called(monkeypatch, "--debug", "run", "none.yaml") == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "load_study" in said


def test_layers_of_the_zoo(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert called(monkeypatch, "layers", "alexnet_small") == 0
    rows = [line.split() for line in capsys.readouterr().out.replace("\u2502", " ").splitlines()]
    assert ["relu1", "ReLU", "32", "x", "16", "x", "16", "32", "16", "x", "16"] in rows
    assert ["fc8", "Linear", "10", "10", "-"] in rows


def test_layers_of_a_net_in_this_folder(monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "nets_of_test_cli.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Linear(7, 3)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, "layers", "nets_of_test_cli:make", "--input-shape", "7") == 0
    assert "output" in capsys.readouterr().out


def test_nets_beside_the_study_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/beside_of_test_cli.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())\n"
    )
    (tmp_path / "studies/s.yaml").write_text(
        "name: s\ndata: {kind: photo-digits, n: 30}\nlayers: ['1']\nblocks: 2\nuntrained: 0\n"
        "nets: {a: {factory: 'beside_of_test_cli:make'}, b: {factory: 'beside_of_test_cli:make'}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, "run", "studies/s.yaml") == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["alexnet_smal"], "Nearest: 'alexnet_small'"),
        (["torch.nn:ReLU"], "without the shape of one input. None was given. Give it as"),
        (["alexnet_small", "--input-shape", "3,0,32"], "--input-shape 3,0,32"),
        (["alexnet_small", "--input-shape", "3,[1],32"], "--input-shape 3,[1],32"),
        (["alexnet_small", "--input-shape", "1,32,32"], "alexnet_small"),
    ],
)
def test_layers_that_cannot_be_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, arguments: list[str], told: str
) -> None:
    assert called(monkeypatch, "layers", *arguments) == 1
    assert told in capsys.readouterr().err


def test_train_writes_a_net_once(monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    for _ in range(2):
        assert called(monkeypatch, "train", "alexnet_small", path, "--seed", "5", "--steps", "2") == 0
        assert "correct on held-out digits" in capsys.readouterr().out
    assert load_trained(path).recipe.seed == 5
    assert called(monkeypatch, "train", "alexnet_small", path, "--seed", "6", "--steps", "2") == 1


def test_a_run_is_made_and_drawn_again(monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "s.yaml").write_text(
        "name: s\ndata: {kind: photo-digits, n: 30}\nlayers: [relu1]\nblocks: 2\nuntrained: 0\n"
        "nets: {a: {factory: alexnet_small}, b: {factory: alexnet_small}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, "run", "s.yaml") == 0
    said = capsys.readouterr()
    assert said.out == "The report is runs/s/report.html\n"
    assert "statistics need" in said.err
    (tmp_path / "runs/s/report.html").unlink()
    assert called(monkeypatch, "report", "runs/s") == 0
    assert (tmp_path / "runs/s/report.html").exists()
    assert called(monkeypatch, "run", "s.yaml") == 1
    assert "Add --resume" in capsys.readouterr().err
    assert called(monkeypatch, "report", "runs/none") == 1
    capsys.readouterr()
    assert called(monkeypatch, "reproduce", "li2016", "--run", "runs/s") == 0
    assert capsys.readouterr().out == "The numbers are in runs/s/reproduce.md\n"
    assert "| **cannot tell** |" in (tmp_path / "runs/s/reproduce.md").read_text()
    assert called(monkeypatch, "reproduce", "li2016", "--run", "runs/none") == 1
    assert called(monkeypatch, "reproduce", "li2016", "--matrices", "none.npz") == 1
    assert "Cannot read the correlation matrices of 'none.npz'" in capsys.readouterr().err
    assert called(monkeypatch, "reproduce", "li2017") == 2


def test_control_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_study", stopped)
    assert called(monkeypatch, "demo") == 130
    assert "--resume to go on" in capsys.readouterr().err


def test_selftest_ends_with_how_many_of_how_many(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert called(monkeypatch, "selftest") == 0
    said = capsys.readouterr().out
    n = said.count(" pass ")
    assert n > 25
    assert said.strip().splitlines()[-1] == f"{n} of {n} passed"


def test_selftest_fails_where_a_check_does(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    wrong = Check("case", "asked", "1", "2", passed=False)
    monkeypatch.setattr(cli, "run_selftest", lambda: iter([wrong]))
    assert called(monkeypatch, "selftest") == 1
    assert capsys.readouterr().out.strip().splitlines()[-1] == "0 of 1 passed"
