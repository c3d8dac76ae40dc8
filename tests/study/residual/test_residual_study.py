"""A study of streams whose answers are known: sums in one basis, and the same sums with every layer turned."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from convergent import PhotoDigits, ResidualStudy, View, load_net, load_study, run_study, write_report
from convergent.errors import MismatchError, StudyError, UnknownNameError
from convergent.extraction.taps import tapping
from convergent.measures import linear_cka
from convergent.statistics import PairMoments

NETS = """\
import torch
from torch import nn
class Stream(nn.Module):
    def __init__(self, turned, n_blocks, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 5, stride=4)
        self.branches = nn.ModuleList(nn.Conv2d(3, width, 5, stride=4) for _ in range(n_blocks))
        self.sums = nn.ModuleList(nn.Identity() for _ in range(n_blocks))
        self.last = nn.Conv2d(width, 8, 1, stride=2)
        self.turns = nn.ParameterList(nn.init.orthogonal_(torch.empty(width, width)) for _ in range(n_blocks + 1))
        self.register_buffer('turned', torch.tensor(turned))
    def turn(self, x, k):
        return torch.einsum('nuhw,uv->nvhw', x, self.turns[k]) if self.turned else x
    def forward(self, x):
        total = self.stem(x)
        for k, (branch, out) in enumerate(zip(self.branches, self.sums)):
            total = total + branch(x)
            out(self.turn(total, k))
        return self.last(total)
def stream(turned=False, n_blocks=4, width=32):
    return Stream(turned, n_blocks, width)
"""
STUDY = """\
kind: residual
name: known
data: {kind: photo-digits, n: 120}
families:
  straight:
    factory: 'nets_of_streams:stream'
    layers: ['sums.?', last]
    branches: ['branches.?']
    seeds: [1, 2, 3, 4]
  turned:
    factory: 'nets_of_streams:stream'
    kwargs: {turned: true}
    layers: ['sums.?', last]
    seeds: [1, 2, 3, 4]
untrained: 0
blocks: 4
batch_size: 40
"""
TABLES = (
    *("stream", "by_lag", "half_lives", "steps", "layer_matrix", "numbers"),
    *("family_lags", "family_half_lives", "family_steps", "claims"),
)


def written(folder: Path, **replaced: str) -> ResidualStudy:
    text = STUDY
    for old, new in replaced.items():
        assert f"{old}: " in text
        text = text.replace(f"{old}: ", f"{old}: {new} #")
    (folder / "known.yaml").write_text(text)
    study = load_study(folder / "known.yaml")
    assert isinstance(study, ResidualStudy)
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the nets' module and the study, and a finished run."""
    folder = tmp_path_factory.mktemp("residual")
    (folder / "nets_of_streams.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        run_study(written(folder), folder / "run")
    return folder


def table(folder: Path, name: str) -> Any:
    return read(folder / "run" / "tables" / f"{name}.parquet")


def read(path: Path) -> Any:
    return pd.read_parquet(path)


def samples(folder: Path, layers: list[str], *, seed: int) -> dict[str, np.ndarray]:
    """Locations x units of some layers of a straight net, by a plain forward."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        torch.manual_seed(seed)
        net = load_net("nets_of_streams:stream")
    inputs = PhotoDigits.probe(120).batch(np.arange(120)).tensor
    view = View(locations="grid=2")
    with torch.no_grad(), tapping(net, layers, keep=lambda _, output: view.apply(output)) as kept:
        net(inputs)
    return {name: kept[name].values.movedim(1, 2).flatten(0, 1).double().numpy() for name in layers}


def test_the_tables_are_those_promised(folder: Path) -> None:
    assert {path.stem for path in (folder / "run" / "tables").iterdir()} == set(TABLES)
    assert {path.stem for path in (folder / "run" / "statistics").iterdir()} == {
        f"moments_{family}{seed}" for family in ("straight", "turned") for seed in (1, 2, 3, 4)
    }


def test_a_straight_stream_is_as_a_plain_forward_finds_it(folder: Path) -> None:
    names = [f"sums.{k}" for k in range(4)]
    maps = samples(folder, [*names, "branches.2"], seed=2)
    rows = table(folder, "stream")
    rows = rows[rows["net"] == "straight2"].set_index(["a", "b"])
    assert len(rows) == 6  # pairs of four sums; the last layer has another width
    for (a, b), row in rows.iterrows():
        between = np.corrcoef(maps[a], maps[b], rowvar=False)[:32, 32:]
        assert row["self_r"] == pytest.approx(np.diagonal(between).mean(), abs=1e-5)
        assert row["share"] == pytest.approx((between.argmax(axis=1) == np.arange(32)).mean())
        assert row["lag"] == names.index(b) - names.index(a)
    matrix = table(folder, "layer_matrix").set_index(["net", "a", "b"])["cka"]
    pair = PairMoments.from_samples(maps["sums.1"], maps["branches.2"])
    assert matrix["straight2", "sums.1", "branches.2"] == pytest.approx(linear_cka(pair), abs=1e-4)
    assert (rows["self_r"] > 0.5).sum() >= 3
    assert rows["chance"].eq(1 / 32).all()


def test_a_turned_stream_is_at_chance_and_its_layers_are_what_they_were(folder: Path) -> None:
    lags = table(folder, "family_lags").set_index("family")
    assert lags.loc["turned", "share"].mean() < 2 / 32
    assert lags.loc["turned", "self_r"].abs().max() < 0.2
    assert lags.loc["straight", "share"].iloc[0] > 0.6
    steps = table(folder, "family_steps").set_index("family")["cka"]
    np.testing.assert_allclose(steps["turned"], steps["straight"], atol=1e-4)
    lives = table(folder, "family_half_lives").dropna(subset=["half_life"]).set_index("family")["half_life"]
    assert lives["turned"] == pytest.approx(0.5, abs=0.05)
    numbers = table(folder, "numbers").groupby("family").mean(numeric_only=True)
    assert numbers.loc["straight", "rotated_share"] > 0.6  # one rotation for all layers leaves a stream a stream
    assert numbers.loc["turned", "rotated_share"] < 2 / 32


def test_the_claims_say_so(folder: Path) -> None:
    claims = table(folder, "claims").set_index("claim")
    most = claims.loc["In straight nets most units are their own best partner one block later."]
    assert (most["verdict"], most["statistic"].rpartition("; ")[2]) == ("holds", "over 4 nets")
    assert claims.loc["In turned nets units are their own best partners by chance only.", "verdict"] == "holds"
    less = claims.loc["A block changes the whole layer less in straight nets than in turned nets."]
    assert less["estimate"] == pytest.approx(0, abs=1e-4)
    assert less["statistic"].endswith("over 4 nets and 4 nets")
    assert not claims.index.str.contains("raining").any()  # there are no untrained nets


def test_a_turned_stream_in_question_fails(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    text = STUDY.replace("  turned:\n", "  other:\n").replace("    kwargs: {turned: true}\n", "")
    text = text.replace("  straight:\n", "  turned:\n    kwargs: {turned: true}\n").replace("[1, 2, 3, 4]", "[1]")
    (tmp_path / "turned.yaml").write_text(text.replace("    branches: ['branches.?']\n", ""))
    run = run_study(load_study(tmp_path / "turned.yaml"), tmp_path / "run")
    claims = read(run / "tables/claims.parquet").set_index("claim")
    for start in ("In turned nets most units are", "It takes units of turned nets more"):
        (row,) = (row for text, row in claims.iterrows() if str(text).startswith(start))
        assert row["verdict"] == "fails"
        assert row["statistic"].endswith("over inputs, of too few nets to tell of others")
        assert row["low"] < row["estimate"] < row["high"]
    assert claims.loc["In other nets units are their own best partners by chance only.", "verdict"] == "fails"
    assert not claims.index.str.contains("neighbouring blocks").any()  # there are no branches


def test_every_layer_with_every_other(folder: Path) -> None:
    matrix = table(folder, "layer_matrix")
    own = matrix[matrix["net"] == "straight1"]
    assert len(own) == 9**2
    wide = own.pivot(index="a", columns="b", values="cka")
    np.testing.assert_allclose(wide, wide.T)
    np.testing.assert_allclose(np.diagonal(wide), 1)
    same = own[own["a"] == own["b"]]
    np.testing.assert_allclose(same["one_to_one_r"], 1)
    assert own.groupby("kind_a").size().to_dict() == {"branch": 4 * 9, "sum": 5 * 9}
    assert set(own.loc[own["b"] == "last", "n_units_b"]) == {8}
    assert set(matrix.loc[matrix["family"] == "turned", "kind_a"]) == {"sum"}


def test_the_page_says_what_the_tables_say(folder: Path) -> None:
    page = write_report(folder / "run")
    text, said = page.read_text(encoding="utf-8"), (page.parent / "findings.md").read_text(encoding="utf-8")
    numbers = table(folder, "numbers").groupby("family").mean(numeric_only=True)
    share, turned = (f"{100 * numbers.loc[family, 'share']:.0f} %" for family in ("straight", "turned"))
    assert f"In straight, {share} of the units are their own best partner one block later (chance 3 %)" in text
    assert f"In turned it is {turned}." in text
    steps = table(folder, "family_steps")
    assert steps.loc[steps["cka"].idxmin(), "b"] == "last"
    assert "Layers change most from sums.3 to last, where the width changes (CKA " in text
    assert "before training" not in text
    lives = table(folder, "family_half_lives").set_index(["family", "stage"])
    assert f"{lives.loc[('turned', 0), 'half_life']:.2f}" in said
    assert said.count("](figures/figure") == 3
    for number in (1, 2, 3):
        assert (page.parent / "figures" / f"figure{number}.png").stat().st_size > 10_000


def test_a_run_that_lost_tables_makes_the_same_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    tables = sorted((folder / "run" / "tables").iterdir())
    before = {path: path.read_bytes() for path in tables}
    for name in ("claims", "numbers", "family_steps"):
        (folder / "run" / "tables" / f"{name}.parquet").unlink()
    run_study(written(folder), folder / "run", resume=True)
    assert {path: path.read_bytes() for path in tables} == before


@pytest.mark.parametrize(
    ("old", "new", "error", "told"),
    [
        (
            "branches",
            "['sums.0']",
            StudyError,
            r"'straight1'. 1 of its layers are branches too, 'straight1/sums.0'",
        ),
        (
            "layers",
            "['sums.0', last]",
            StudyError,
            r"No two neighbours .*found 32, 8\). Choose layers that share a",
        ),
        ("branches", "['branch.?']", UnknownNameError, r"Cannot choose layer 'branch.\?' of net 'straight1'"),
        ("blocks", "4\nview: {locations: all}", MismatchError, r"7 x 7 .*with 'straight1/last' \(4 x 4 .*differ"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anything_is_done(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    error: type[Exception],
    told: str,
) -> None:
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(error, match=told):
        run_study(written(tmp_path, **{old: new}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_places_are_chosen_so_that_stages_pair(tmp_path: Path) -> None:
    assert written(tmp_path).view.view() == View(locations="grid=2")
    assert written(tmp_path, blocks="4\nview: {locations: mean}").view.view() == View(locations="mean")


def test_untrained_residual_nets_have_their_known_lives(tmp_path: Path) -> None:
    text = STUDY[: STUDY.index("families:")] + (
        "families:\n  resnet: {factory: resnet_small, layers: [stem, 'stage*.block*.add'], seeds: [1]}\n"
        "  plain: {factory: plain_small, layers: [stem, 'stage?.block?'], seeds: [1]}\n"
        "untrained: 0\nblocks: 3\nrotations: 1\n"
    )
    (tmp_path / "untrained.yaml").write_text(text)
    run = run_study(load_study(tmp_path / "untrained.yaml"), tmp_path / "run")
    lives = read(run / "tables/family_half_lives.parquet").set_index(["family", "stage"])
    assert lives.loc["resnet", "half_life"].fillna(3).between(2, 3.5).all()
    assert lives.loc["plain", "half_life"].between(0.45, 0.55).all()
    claims = read(run / "tables/claims.parquet").set_index("claim")["verdict"]
    assert claims["In resnet nets most units are their own best partner one block later."] == "holds"
    assert claims["In plain nets units are their own best partners by chance only."] == "holds"
