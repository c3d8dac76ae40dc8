"""Nets: the zoo, loading by name, training from a seed."""

from .alexnet import alexnet_small, caffenet
from .hub import call_with_mask, load_transformer
from .inception import inception_small
from .loading import ZOO, ZooNet, hash_weights, load_net, load_weights, read_weights
from .recipe import Recipe
from .resnet import plain_small, resnet_small
from .train_many import train_many
from .training import TrainedNet, TrainingData, load_trained, train, untrained
from .vgg import vgg_small

__all__ = [
    "ZOO",
    "Recipe",
    "TrainedNet",
    "TrainingData",
    "ZooNet",
    "alexnet_small",
    "caffenet",
    "call_with_mask",
    "hash_weights",
    "inception_small",
    "load_net",
    "load_trained",
    "load_transformer",
    "load_weights",
    "plain_small",
    "read_weights",
    "resnet_small",
    "train",
    "train_many",
    "untrained",
    "vgg_small",
]
