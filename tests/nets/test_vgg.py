"""The small VGG: its layers and their shapes."""

import torch
from torch import nn

from convergent.extraction import list_layers
from convergent.nets import vgg_small

SHAPES = {
    "conv1_1": (32, 16, 16),
    "relu1_2": (32, 16, 16),
    "pool1": (32, 8, 8),
    "conv2_1": (64, 8, 8),
    "relu2_2": (64, 8, 8),
    "pool2": (64, 4, 4),
    "bn3_1": (96, 4, 4),
    "conv3_3": (96, 4, 4),
    "pool3": (96, 2, 2),
    "fc4": (128,),
    "relu5": (128,),
    "fc6": (10,),
}


def test_layers_and_shapes() -> None:
    net = vgg_small()
    found = {info.name: info.shape for info in list_layers(net, torch.zeros(2, 3, 32, 32))}
    assert {name: found[name] for name in SHAPES} == SHAPES
    stacks = [f"{stack}_{place}" for stack, n in [(1, 2), (2, 2), (3, 3)] for place in range(1, n + 1)]
    convolutions = [f"{step}{at}" for at in stacks for step in ("conv", "bn", "relu")]
    assert [name for name in found if "_" in name] == convolutions
    assert list(found)[-9:-1] == ["flatten", "fc4", "relu4", "drop4", "fc5", "relu5", "drop5", "fc6"]


def test_it_starts_with_its_fully_connected_units_open() -> None:
    ones = {
        name for name, layer in vgg_small().named_children() if isinstance(layer, nn.Linear) and layer.bias.all()
    }
    assert ones == {"fc4", "fc5"}
