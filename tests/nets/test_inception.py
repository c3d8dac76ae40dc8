"""The small Inception: its branches and what they give together."""

import pytest
import torch

from convergent.extraction import list_layers
from convergent.extraction.taps import tapping
from convergent.nets import inception_small

BRANCHES = ("branch1x1", "branch3x3", "branch5x5", "branch_pool")
SHAPES = {
    "conv1": (32, 16, 16),
    "relu2": (48, 16, 16),
    "pool1": (48, 8, 8),
    "mixed1.branch3x3.relu1": (32, 8, 8),
    "mixed1.branch3x3": (48, 8, 8),
    "mixed1.branch5x5": (16, 8, 8),
    "mixed1.branch_pool.pool": (48, 8, 8),
    "mixed1.concat": (112, 8, 8),
    "mixed2.concat": (160, 8, 8),
    "pool2": (160, 4, 4),
    "mixed3.concat": (240, 4, 4),
    "mixed4.branch1x1.conv1": (80, 4, 4),
    "mixed4.concat": (272, 4, 4),
    "pool": (272, 1, 1),
    "fc": (10,),
}


def test_layers_and_shapes() -> None:
    found = {info.name: info.shape for info in list_layers(inception_small(), torch.zeros(2, 3, 32, 32))}
    assert {name: found[name] for name in SHAPES} == SHAPES
    assert [name for name in found if "branch" in name and name.count(".") == 1] == [
        f"mixed{block}.{branch}" for block in range(1, 5) for branch in BRANCHES
    ]


@pytest.mark.parametrize("block", ["mixed1", "mixed4"])
def test_a_block_is_its_branches_side_by_side(block: str) -> None:
    net = inception_small().eval()
    names = [f"{block}.{name}" for name in (*BRANCHES, "concat")] + [block]
    with tapping(net, names, keep=lambda _, output: output.clone()) as kept:
        net(torch.randn(2, 3, 32, 32))
    assert torch.equal(torch.cat([kept[name] for name in names[:4]], dim=1), kept[f"{block}.concat"])
    assert torch.equal(kept[block], kept[f"{block}.concat"])
    assert all(kept[name].min() == 0 for name in names[:4])  # each ends in its ReLU
