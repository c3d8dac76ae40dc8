"""A study of depth, on families whose answers are known: permuted copies of one net, and nets of their own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convergent import DepthStudy, load_study, run_study, write_report
from convergent.errors import StudyError

NETS = """\
import torch
from torch import nn
def own(widths=(12, 16)):
    a, b = widths
    return nn.Sequential(nn.Conv2d(3, a, 5, stride=4), nn.ReLU(), nn.Conv2d(a, b, 3, stride=2), nn.ReLU())
def permuted():
    orders = torch.randperm(12), torch.randperm(16)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = own()
    with torch.no_grad():
        net[0].weight.copy_(net[0].weight[orders[0]])
        net[0].bias.copy_(net[0].bias[orders[0]])
        net[2].weight.copy_(net[2].weight[orders[1]][:, orders[0]])
        net[2].bias.copy_(net[2].bias[orders[1]])
    return net
def deeper():
    return nn.Sequential(own(), nn.Conv2d(16, 8, 1), nn.ReLU())
"""
STUDY = """\
kind: depth
name: known
data: {kind: photo-digits, n: 120}
families:
  same: {factory: 'nets_of_depth:permuted', seeds: [1, 2, 3], layers: ['1', '3']}
  own: {factory: 'nets_of_depth:deeper', seeds: [1, 2, 3], layers: ['0.1', '0.3', '2']}
untrained: 0
width: 10
draws: 3
blocks: 4
batch_size: 40
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the nets' module and the study, and a finished run."""
    folder = tmp_path_factory.mktemp("depth")
    (folder / "nets_of_depth.py").write_text(NETS)
    (folder / "known.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        run_study(load_study(folder / "known.yaml"), folder / "run")
    return folder


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "run" / "tables" / f"{name}.parquet")


def values(rows: pd.DataFrame, column: str, **where: object) -> np.ndarray:
    """A column of the rows where others have these values."""
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows), where
    return rows[column].to_numpy()


def test_permuted_copies_agree_in_every_unit_and_layer(folder: Path) -> None:
    along = table(folder, "along")
    assert len(values(along, "value", measure="cka")) == 3 * 2 + 3 * 3
    for measure in ("best", "one_to_one", "cka"):
        assert values(along, "value", family="same", measure=measure).min() > 1 - 1e-5
    at_width = values(along, "value", family="same", measure="one_to_one_at_width")
    assert at_width.max() < 0.98  # partners that were not drawn are missed


def test_nets_of_their_own_agree_less_and_layers_too_narrow_are_left_out(folder: Path) -> None:
    along = table(folder, "along")
    own, same = (values(along, "value", family=name, measure="one_to_one").max() for name in ("own", "same"))
    assert own < same - 0.1
    narrow, wide = (
        values(along, "value", family="own", measure="one_to_one_at_width", layer=layer) for layer in ("2", "0.1")
    )
    assert np.isnan(narrow).all()
    assert np.isfinite(wide).all()


def test_scores_are_calibrated_by_their_own_chance(folder: Path) -> None:
    along = table(folder, "along")
    expected = (along["value"] - along["chance"]) / (1 - along["chance"])
    np.testing.assert_allclose(along["calibrated"], expected, rtol=1e-12)
    assert (values(along, "chance", measure="cka") == 0).all()


def test_means_over_pairs_have_intervals_over_nets(folder: Path) -> None:
    chosen = {"family": "own", "measure": "one_to_one", "layer": "0.3"}
    pairs = values(table(folder, "along"), "value", **chosen)
    mean, high = (values(table(folder, "convergence"), column, **chosen).item() for column in ("value", "high"))
    assert mean == pytest.approx(pairs.mean())
    # With three nets, leaving one out leaves one pair: the jackknife is over those three numbers.
    error = np.sqrt(2 / 3 * ((pairs - pairs.mean()) ** 2).sum())
    assert high - mean == pytest.approx(4.302653 * error, rel=1e-6)


def test_claims_follow_from_what_was_planted(folder: Path) -> None:
    claims = table(folder, "claims")
    planted = {"claim": "Two own nets (3 layers) are less alike than two same nets (2), unit by unit."}
    assert values(claims, "verdict", **planted).item() == "holds"
    low, estimate = (values(claims, column, **planted).item() for column in ("low", "estimate"))
    assert 0 < low < estimate < 1
    assert not claims["claim"].str.startswith("Training").any()  # there are no untrained nets
    depths = values(claims, "estimate", claim="Layers of same and own correspond by relative depth.")
    assert depths.item() > 0.5


def test_every_layer_of_every_two_nets_is_compared_once(folder: Path) -> None:
    matrix, across = table(folder, "layer_matrix"), table(folder, "across")
    nets = matrix[["net_a", "net_b"]].drop_duplicates()
    assert len(nets) == 15
    assert len(matrix) == 3 * 2 * 2 + 3 * 3 * 3 + 9 * 2 * 3
    assert len(across) == 2 * 3
    within = matrix[(matrix["family_a"] == "same") & (matrix["layer_a"] == matrix["layer_b"])]
    assert values(within, "cka", family_b="same").min() > 1 - 1e-5


def test_resumed_it_makes_only_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    tables = folder / "run" / "tables"
    before = {path.name: path.read_bytes() for path in tables.iterdir()}
    kept = (tables / "along.parquet").stat().st_mtime_ns
    for name in ("claims", "across"):
        (tables / f"{name}.parquet").unlink()
    run_study(load_study(folder / "known.yaml"), folder / "run", resume=True)
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == before
    assert (tables / "along.parquet").stat().st_mtime_ns == kept


def test_the_page_answers_and_shows_every_figure(folder: Path) -> None:
    page = write_report(folder / "run")
    html = page.read_text(encoding="utf-8")
    assert "Do deeper nets agree less?" in html
    assert "other seeds agree at 1.00 in same" in html
    assert html.count("<img") == 4
    assert {path.name for path in (folder / "run" / "figures").glob("*.png")} == {
        f"figure{i}.png" for i in range(1, 5)
    }
    markdown = (folder / "run" / "findings.md").read_text(encoding="utf-8")
    assert "| Two own nets (3 layers) are less alike than two same nets (2), unit by unit. |" in markdown
    assert "![" in markdown


def test_a_run_that_lacks_a_table_cannot_be_told_of(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "tables").mkdir(parents=True)
    for name in ("study.yaml", "provenance.json", "tables/claims.parquet"):
        (run / name).write_bytes((folder / "run" / name).read_bytes())
    with pytest.raises(StudyError, match=r"'tables/convergence.parquet' is missing. Make it with"):
        write_report(run)
    (run / "study.yaml").write_text("kind: depth\nname: x\n")
    with pytest.raises(StudyError, match=r"names no families"):
        write_report(run)


def test_the_study_that_is_shipped_is_read() -> None:
    study = load_study(Path(__file__).parents[3] / "studies" / "deep.yaml")
    assert isinstance(study, DepthStudy)
    assert {family: len(one.seeds) for family, one in study.families.items()} == dict.fromkeys(
        ("alexnet", "vgg", "inception", "resnet"), 4
    )
