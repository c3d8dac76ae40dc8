"""What follows from correlation matrices of conv1: planted ones, and the published ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from convergent.errors import DataError
from convergent.measures import correlation
from convergent.report import reproduce_matrices
from convergent.report.li2016 import load_matrices


def planted(path: Path, n: int = 24) -> np.ndarray:
    """Matrices of nets whose units are the same in another order, as grey values; returns the order."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(400, n)) @ (np.eye(n) + 0.2 * rng.normal(size=(n, n)))
    order = rng.permutation(n)
    r = np.asarray(np.corrcoef(samples, rowvar=False))
    grey = (r + 0.55) / 1.55
    np.savez(path, between_01=r[:, order], within0_gray01=grey, within1_gray01=grey[np.ix_(order, order)])
    return order


def test_grey_values_become_correlations_again(tmp_path: Path) -> None:
    order = planted(tmp_path / "m.npz")
    pair, change = load_matrices(tmp_path / "m.npz")
    found = correlation(pair)
    assert change < 1e-6
    np.testing.assert_allclose(found.within_b, found.within_a[np.ix_(order, order)], atol=1e-9)
    np.testing.assert_allclose(found.between[order, np.arange(24)], 1, atol=1e-6)


def test_planted_twins_are_found_and_set_beside_the_paper(tmp_path: Path) -> None:
    planted(tmp_path / "m.npz")
    page = reproduce_matrices(tmp_path / "m.npz", tmp_path / "out")
    content = json.loads(page.with_suffix(".json").read_text())
    rows = {row["what"]: row for row in content["rows"] if "10^-3 (Figure 7)" not in row["section"]}
    assert rows["mean r, one-to-one matching"]["ours"] == pytest.approx(1, abs=1e-6)
    assert rows["different partners in Net2"]["ours"] == 24
    assert rows["share without a partner of r of at least .5"]["ours"] == 0
    assert rows["of these, of one unit of each net"]["ours"] == rows["merges of two units"]["ours"] == 24
    assert (
        sum(rows[f"units with {n} contributors"]["ours"] for n in (0, *range(2, 10)))
        == 24 - rows["units with 1 contributor"]["ours"]
    )
    exact, paper = rows["lambda 10^-2.6: loss, exact"], rows["lambda 10^-2.6: loss, the paper's optimiser"]
    assert exact["ours"] <= paper["ours"]
    assert {path.name for path in (tmp_path / "out/figures").glob("*.png")} == {
        "figure1_conv1.png",
        "figure7_conv1.png",
        "figureT1_conv1.png",
    }


def test_files_that_are_missing_or_lack_a_matrix_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read the correlation matrices of '.*none.npz'.*Give an .npz"):
        load_matrices(tmp_path / "none.npz")
    np.savez(tmp_path / "few.npz", between_01=np.eye(2))
    with pytest.raises(DataError, match=r"within0_gray01 is not a file.*that holds between_01"):
        load_matrices(tmp_path / "few.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"Cannot read the correlation matrices"):
        load_matrices(tmp_path / "bad.npz")
    np.save(tmp_path / "one.npy", np.eye(2))
    with pytest.raises(DataError, match=r"Give an .npz file that holds between_01"):
        load_matrices(tmp_path / "one.npy")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"Give an .npz file that holds between_01"):
        load_matrices(tmp_path / "empty.npz")


@pytest.mark.parametrize(
    ("between", "within", "told"),
    [
        (np.eye(20), np.eye(19), r"Found \(20, 20\), \(19, 19\) and \(20, 20\)"),
        (np.eye(5), np.eye(5), r"Found \(5, 5\) correlations between the nets; both have 16 units or more"),
        (np.empty((0, 0)), np.empty((0, 0)), r"both have 16 units or more"),
        (np.full((20, 20), np.nan), np.eye(20), r"Found values in between_01 that are not finite"),
        (np.eye(20), np.triu(np.ones((20, 20))), r"Found within1_gray01 not symmetric"),
    ],
)
def test_matrices_that_no_nets_have_are_refused(
    tmp_path: Path, between: np.ndarray, within: np.ndarray, told: str
) -> None:
    first = np.eye(len(between))
    np.savez(tmp_path / "odd.npz", between_01=between, within0_gray01=first, within1_gray01=within)
    with pytest.raises(DataError, match=told):
        load_matrices(tmp_path / "odd.npz")
