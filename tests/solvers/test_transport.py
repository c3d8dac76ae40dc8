"""Transport plans against POT's own solvers, one-to-one assignment and hand-made answers."""

import numpy as np
import ot
import pytest

from convergent.errors import InvalidArgumentError
from convergent.solvers.transport import transport_plan

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(7, 7), (5, 9), (12, 4)])
def test_all_mass_is_carried_at_the_optimum_of_pot(shape: tuple[int, int]) -> None:
    gain = RNG.uniform(-1, 1, shape)
    plan = transport_plan(gain)
    rows, columns = np.full(shape[0], 1 / shape[0]), np.full(shape[1], 1 / shape[1])
    np.testing.assert_allclose(plan.sum(axis=1), rows)
    np.testing.assert_allclose(plan.sum(axis=0), columns)
    expected = 1 - ot.emd2(rows, columns, 1 - gain)
    assert (plan * gain).sum() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("shape", "mass"), [((7, 7), 0.5), ((5, 9), 0.3), ((12, 4), 0.9)])
def test_a_part_of_the_mass_is_carried_at_the_optimum_of_pot(shape: tuple[int, int], mass: float) -> None:
    gain = RNG.uniform(-1, 1, shape)
    plan = transport_plan(gain, mass=mass)
    rows, columns = np.full(shape[0], 1 / shape[0]), np.full(shape[1], 1 / shape[1])
    assert plan.sum() == pytest.approx(mass)
    assert (plan.sum(axis=1) <= rows + 1e-12).all()
    assert (plan.sum(axis=0) <= columns + 1e-12).all()
    theirs = ot.partial.partial_wasserstein(rows, columns, 1 - gain, m=mass)
    assert (plan * gain).sum() == pytest.approx((theirs * gain).sum(), abs=1e-9)


@pytest.mark.parametrize("mass", [0, -0.5, 1.5])
def test_mass_is_a_share(mass: float) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"carry a mass of {mass}\. All there is is 1\. Give a share"):
        transport_plan(np.eye(2), mass=mass)


def test_there_must_be_points() -> None:
    with pytest.raises(InvalidArgumentError, match=r"Found 0 and 2\. Give at least one on each side"):
        transport_plan(np.zeros((0, 2)))
