"""What README and examples show works as shown."""

import ast
import re
import runpy
from pathlib import Path

import pytest

from convergent.data import PhotoDigitsTraining
from convergent.nets import Recipe, train

ROOT = Path(__file__).parents[1]


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = PhotoDigitsTraining.load()
    for seed, name in enumerate(("net1", "net2")):
        train(Recipe(seed=seed, n_steps=1), tmp_path / f"runs/demo/nets/{name}.safetensors", data=data)
    monkeypatch.chdir(tmp_path)
    first, second = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names: dict[str, object] = {}
    exec(compile(first, "README.md", "exec"), names)
    scores, *table = capsys.readouterr().out.splitlines()
    best, one_to_one, overlap, alone = map(float, scores.split())
    assert 0 < one_to_one <= best < 1
    assert 0 < overlap <= 1
    assert 0 <= alone < 1
    assert "partner" in table[0]
    assert len(table) == 6
    exec(compile(second, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert sum(ast.literal_eval(re.findall(r"{.*}", said)[0]).values()) == pytest.approx(1)
    for word in ("standard_error", "permutation", "share_of_linear", "cluster", "between"):
        assert word in said
    assert "nan" not in said


@pytest.mark.parametrize("name", ["match_two_nets", "nets_of_your_own"])
def test_examples_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = PhotoDigitsTraining.load()
    for seed, net in enumerate("ab"):  # as if trained already, for speed
        train(Recipe(seed=seed, n_steps=1), tmp_path / f"nets/{net}.safetensors", data=data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("convergent.Recipe", lambda seed, n_steps: Recipe(seed=seed, n_steps=1))
    runpy.run_path(str(ROOT / f"examples/{name}.py"), run_name="__main__")
    said = capsys.readouterr().out
    if name == "match_two_nets":
        assert [line.split()[0] for line in said.splitlines()] == ["layer", *(f"relu{i}" for i in range(1, 8))]
        assert "nan" not in said
    else:
        permuted, rotated = (float(line.split()[-1]) for line in said.splitlines())
        assert permuted == pytest.approx(1, abs=1e-6)
        assert rotated < 0.9


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
