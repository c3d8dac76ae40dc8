"""The small VGG: its layers and their shapes."""

import torch

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
    stacks = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3"]
    assert [name for name in found if "_" in name] == [
        f"{step}{at}" for at in stacks for step in ("conv", "bn", "relu")
    ]
    full = [f"{step}{at}" for at in (4, 5) for step in ("fc", "bn", "relu", "drop")]
    assert list(found)[-12:] == ["pool3", "flatten", *full, "fc6", "output"]
