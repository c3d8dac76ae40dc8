"""The published sparse maps of conv1 (Li et al. 2016, Table 1) from the digitised correlations."""

from pathlib import Path

import numpy as np
import pytest

from convergent.errors import InvalidArgumentError
from convergent.measures.mended import mended
from convergent.measures.sparse_map import SparseMap, sparse_map
from convergent.statistics import PairMoments

MATRICES = Path(__file__).parents[3] / "shared" / "li2016" / "conv1_correlations.npz"
DARKEST = -0.55  # the correlation that the published pictures of the within-net matrices draw in black
PENALTIES = 96 * np.array([0, 1e-3, 10**-2.6])  # the paper's lambda times the number of units


@pytest.fixture(scope="module")
def pair() -> PairMoments:
    if not MATRICES.exists():
        pytest.skip("the digitised matrices (../shared/li2016) are not beside this checkout")
    with np.load(MATRICES) as file:
        between = file["between_01"]
        within_a, within_b = (DARKEST + (1 - DARKEST) * file[f"within{i}_gray01"] for i in (0, 1))
    for matrix in (within_a, within_b):
        np.fill_diagonal(matrix, 1)
    return PairMoments.from_correlation(within_a, within_b, between)


@pytest.fixture(scope="module")
def paper(pair: PairMoments) -> SparseMap:
    return sparse_map(pair, penalties=PENALTIES, solver="paper")


def test_the_paper_s_optimiser_gives_its_losses_and_counts(paper: SparseMap) -> None:
    np.testing.assert_allclose(paper.paper_lambda, [0, 1e-3, 10**-2.6])
    assert paper.loss[0] == pytest.approx(0.165, abs=0.006)
    assert paper.loss[1] == pytest.approx(0.168, abs=0.004)
    assert paper.loss[2] == pytest.approx(0.233, abs=0.004)
    counts = paper.n_contributors().mean(axis=1)
    assert counts[2] == pytest.approx(4.7, abs=0.3)
    assert counts[1] == pytest.approx(19, abs=2)
    norms = np.linalg.norm(paper.weights, axis=(1, 2))
    np.testing.assert_allclose(norms, [7.72, 4.37, 3.39], rtol=0.05)


def test_the_exact_answer_is_sparser_and_fits_better(pair: PairMoments, paper: SparseMap) -> None:
    exact = sparse_map(pair, penalties=PENALTIES)
    assert exact.loss[2] == pytest.approx(0.207, abs=0.004)
    assert exact.n_contributors().mean(axis=1)[2] == pytest.approx(2.8, abs=0.3)
    assert exact.loss[0] == pytest.approx(0.09, abs=0.01)
    assert exact.gap.max() < 1e-6
    assert (paper.gap.mean(axis=1) > 0.01).all()  # the published maps are not converged
    assert (exact.loss < paper.loss).all()


def test_the_reverse_direction_is_mended_openly(pair: PairMoments) -> None:
    with pytest.raises(InvalidArgumentError, match=r"positive semi-definite\. Found the eigenvalue -0\.37"):
        sparse_map(pair.swapped, penalties=PENALTIES)
    repaired, change = mended(pair.swapped)
    assert 0.01 < change < 0.2
    reverse = sparse_map(repaired, penalties=PENALTIES)
    assert 0.15 < reverse.loss[2] < 0.25
    assert mended(repaired)[1] < 0.01  # bringing the diagonal back to 1 moves eigenvalues a little
