"""The published conv1 correlations of Li et al. 2016: their matchings come out as they printed them."""

from pathlib import Path

import numpy as np
import pytest

from convergent.measures import match_best, match_one_to_one, overlap
from convergent.statistics import PairMoments

MATRICES = Path(__file__).parents[3] / "shared" / "li2016" / "conv1_correlations.npz"
DARKEST = -0.55  # the correlation that the published pictures of the within-net matrices draw in black


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


def test_layer_means(pair: PairMoments) -> None:
    assert match_best(pair).mean == pytest.approx(0.705, abs=0.001)
    assert match_one_to_one(pair).mean == pytest.approx(0.6645, abs=0.001)
    assert match_best(pair.swapped).mean == pytest.approx(0.723, abs=0.001)


def test_overlaps(pair: PairMoments) -> None:
    assert overlap(match_best(pair), match_one_to_one(pair)) == 70 / 96
    assert overlap(match_best(pair.swapped), match_one_to_one(pair.swapped)) == pytest.approx(0.677, abs=0.001)


def test_units_without_counterpart(pair: PairMoments) -> None:
    assert match_best(pair).share_below(0.5) == 16 / 96
    assert match_best(pair).n_used == 72
    assert match_best(pair.swapped).n_used == 72
