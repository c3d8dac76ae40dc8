"""Do different neural networks learn the same representations, and does the difference matter?

The way of a comparison: nets and inputs -> `Lockstep` -> `collect` -> statistics -> measures -> results.
Statistics merge; measures are pure functions of statistics.
"""

from .batch import ActivationBatch, Activations, Batch, Input, Inputs
from .data import ImageFolder, PhotoDigits
from .errors import ConvergentError
from .extraction import LayerInfo, Lockstep, View, list_layers, receptive_fields, view
from .measures import (
    Correlation,
    Matching,
    correlation,
    held_out_scores,
    match_best,
    match_one_to_one,
    overlap,
)
from .nets import Recipe, alexnet_small, caffenet, load_net, train, train_many, untrained
from .passes import collect
from .report import write_report
from .statistics import (
    Blocked,
    BlockedPlan,
    Moments,
    MomentsPlan,
    PairMoments,
    TopInputs,
    TopInputsPlan,
    ZerosPlan,
    load,
    save,
)
from .study import Study, demo_study, load_study, run_study
from .units import LayerRef, LayerUnits

__version__ = "0.1.0"

__all__ = [
    "ActivationBatch",
    "Activations",
    "Batch",
    "Blocked",
    "BlockedPlan",
    "ConvergentError",
    "Correlation",
    "ImageFolder",
    "Input",
    "Inputs",
    "LayerInfo",
    "LayerRef",
    "LayerUnits",
    "Lockstep",
    "Matching",
    "Moments",
    "MomentsPlan",
    "PairMoments",
    "PhotoDigits",
    "Recipe",
    "Study",
    "TopInputs",
    "TopInputsPlan",
    "View",
    "ZerosPlan",
    "alexnet_small",
    "caffenet",
    "collect",
    "correlation",
    "demo_study",
    "held_out_scores",
    "list_layers",
    "load",
    "load_net",
    "load_study",
    "match_best",
    "match_one_to_one",
    "overlap",
    "receptive_fields",
    "run_study",
    "save",
    "train",
    "train_many",
    "untrained",
    "view",
    "write_report",
]
