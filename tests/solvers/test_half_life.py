"""Half-lives of curves: where they cross, and where they do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.solvers.half_life import half_life


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([1.0, 0.5, 0.1], 1.0),
        ([1.0, 0.6, 0.4], 1.5),
        ([2.0, 1.5, 1.0], 2.0),
        ([1.0, -0.2], 0.5 / 1.2),
        ([1.0, 0.4, 0.9, 0.3], 0.5 / 0.6),  # the first crossing
        ([1.0, 0.9, 0.8], np.nan),
        ([1.0], np.nan),
        ([1.0, np.nan, 0.2], np.nan),
        ([1.0, 0.2, np.nan], 0.625),
    ],
)
def test_known_half_lives(curve: list[float], expected: float) -> None:
    assert half_life(np.array(curve)) == pytest.approx(expected, nan_ok=True)


@given(st.floats(1, 20))
def test_of_an_exponential_to_the_error_of_a_chord(true: float) -> None:
    assert abs(half_life(2.0 ** -(np.arange(41) / true)) - true) < 0.1
