"""A difference between nets that sits in one unit is found there."""

import numpy as np
import pytest
import torch
from torch import nn

from convergent import carried_difference, unique_units_effect
from convergent.errors import MismatchError

X = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
DATA = [(X, (X[:, 0] > 0).long())]


def net(size: float) -> nn.Sequential:
    """Unit 0 tells the classes apart, unit 1 is believed to; the larger, the worse."""
    above = nn.Linear(8, 2)
    with torch.no_grad():
        above.bias.zero_()
        above.weight.zero_()
        above.weight[1] = torch.tensor([2, size, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    return nn.Sequential(nn.Identity(), above)


def test_the_unit_in_which_nets_differ_carries_the_difference() -> None:
    a, b = (unique_units_effect(net(size), DATA, "0", [1], n_sets=9, share=0.3) for size in (2.0, 0.0))
    table = carried_difference(a, b).set_index("of")
    for what, sign in (("loss", 1), ("accuracy", -1)):
        row = table.loc[what]
        assert row["difference"] * sign > 0
        assert row["carried"] == pytest.approx(row["difference"] - row["difference_without"], abs=1e-9)
        assert row["carried"] == pytest.approx(row["difference"], abs=0.05)
        assert abs(row["carried_by_matched"]) < 0.3 * abs(row["carried"])
    assert table["n_units_a"].tolist() == [1, 1]


def test_without_matched_sets_they_carry_nan_and_other_inputs_are_refused() -> None:
    every = unique_units_effect(net(1), DATA, "0", range(8))
    assert carried_difference(every, every)["carried_by_matched"].isna().all()
    other = unique_units_effect(net(1), [(X[:9], DATA[0][1][:9])], "0", [1], n_sets=2)
    with pytest.raises(MismatchError, match=r"compared input by input\. Found 300 against 9"):
        carried_difference(every, other)
    np.testing.assert_allclose(carried_difference(every, every)["carried"], 0)
