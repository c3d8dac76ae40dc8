"""Nets: the zoo, loading by name, training from a seed."""

from .alexnet import alexnet_small, caffenet
from .loading import ZOO, ZooNet, hash_weights, load_net, load_weights, read_weights
from .recipe import Recipe
from .train_many import train_many
from .training import TrainedNet, TrainingData, load_trained, train, untrained

__all__ = [
    "ZOO",
    "Recipe",
    "TrainedNet",
    "TrainingData",
    "ZooNet",
    "alexnet_small",
    "caffenet",
    "hash_weights",
    "load_net",
    "load_trained",
    "load_weights",
    "read_weights",
    "train",
    "train_many",
    "untrained",
]
