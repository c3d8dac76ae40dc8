"""Running nets again: with units taken out, put in, merged; what it does to their answers."""

from .barrier import LossBarrier, loss_barrier
from .combining import Combination, combination_table, ensemble
from .costs import Costs, costs
from .distilling import Distillation, distil
from .evaluation import Answers, answer, over_inputs
from .grafting import Grafts, grafted
from .merging import align_net, interpolated, merge_nets
from .permutation_groups import PermutationGroup, PermutationGroups, permutation_groups
from .readout import Features, Readout, features, fit_readout
from .repairing import reestimate_norms, repair
from .zipping import zip_nets

__all__ = [
    "Answers",
    "Combination",
    "Costs",
    "Distillation",
    "Features",
    "Grafts",
    "LossBarrier",
    "PermutationGroup",
    "PermutationGroups",
    "Readout",
    "align_net",
    "answer",
    "combination_table",
    "costs",
    "distil",
    "ensemble",
    "features",
    "fit_readout",
    "grafted",
    "interpolated",
    "loss_barrier",
    "merge_nets",
    "over_inputs",
    "permutation_groups",
    "reestimate_norms",
    "repair",
    "zip_nets",
]
