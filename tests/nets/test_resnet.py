"""The small residual net, and the same one without shortcuts."""

from itertools import pairwise

import torch
from torch import nn

from convergent.extraction import list_layers
from convergent.extraction.taps import tapping
from convergent.nets import plain_small, resnet_small

BLOCKS = [f"stage{stage}.block{block}" for stage in (1, 2, 3) for block in (1, 2, 3, 4)]
STARTS = ("stage2.block1", "stage3.block1")
SHAPES = {
    "stem": (32, 16, 16),
    "stage1.block1.add": (32, 16, 16),
    "stage1.block2.branch": (32, 16, 16),
    "stage2.block1.shortcut": (40, 8, 8),
    "stage2.block1.branch.bn1": (32, 16, 16),
    "stage2.block1.branch.conv1": (40, 8, 8),
    "stage2.block4.add": (40, 8, 8),
    "stage3.block1.add": (48, 4, 4),
    "stage3": (48, 4, 4),
    "relu": (48, 4, 4),
    "pool": (48, 1, 1),
    "fc": (10,),
}


def layers(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {info.name: info.shape for info in list_layers(net, torch.zeros(2, 3, 32, 32))}


def outputs(net: nn.Module) -> dict[str, torch.Tensor]:
    with tapping(net.eval(), list(layers(net)), keep=lambda _, output: output.clone()) as kept:
        net(torch.randn(2, 3, 32, 32))
        return dict(kept)


def test_layers_and_shapes() -> None:
    found = layers(resnet_small())
    assert {name: found[name] for name in SHAPES} == SHAPES
    assert [name for name in found if name.endswith(".add")] == [f"{block}.add" for block in BLOCKS]
    assert [name for name in found if name.endswith(".branch")] == [f"{block}.branch" for block in BLOCKS]


def test_within_a_stage_the_stream_is_the_sum_before_plus_the_branch() -> None:
    found = outputs(resnet_small())
    for before, block in pairwise(BLOCKS):
        if block not in STARTS:
            assert torch.equal(found[f"{block}.shortcut"], found[f"{before}.add"])
        torch.testing.assert_close(
            found[f"{block}.add"], found[f"{block}.shortcut"] + found[f"{block}.branch"], rtol=0, atol=0
        )
    assert torch.equal(found["stage1.block1.shortcut"], found["stem"])


def test_only_where_a_stage_begins_the_shortcut_has_weights() -> None:
    weighted = [name for name, _ in resnet_small().named_parameters() if "shortcut" in name]
    assert weighted == [f"{block}.shortcut.weight" for block in STARTS]


def test_the_plain_net_is_the_same_without_shortcuts() -> None:
    residual, plain = layers(resnet_small()), layers(plain_small())
    without = {name: shape for name, shape in residual.items() if not name.endswith((".add", ".shortcut"))}
    assert plain == without
    found = outputs(plain_small())
    assert all(torch.equal(found[block], found[f"{block}.branch"]) for block in BLOCKS)
