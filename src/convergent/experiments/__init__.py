"""Running nets again: with units taken out, put in, merged; what it does to their answers."""

from .ablation import Ablations, ablate, ablation_effect
from .ablation_curve import AblationCurve, ablation_curve
from .affine_map import AffineMap
from .barrier import LossBarrier, loss_barrier
from .carried_difference import carried_difference
from .combining import Combination, combination_table, ensemble
from .costs import Costs, costs
from .distilling import Distillation, distil
from .evaluation import Answers, answer, over_inputs
from .grafting import Grafts, grafted
from .matched_sets import ChosenEffect, MatchedSets, matched_sets, unique_units_effect
from .merging import align_net, interpolated, merge_nets
from .permutation_groups import PermutationGroup, PermutationGroups, permutation_groups
from .readout import Features, Readout, features, fit_readout
from .repairing import reestimate_norms, repair
from .transplant import Transplants, disagreement, transplant
from .unit_features import unit_features
from .zipping import zip_nets

__all__ = [
    "AblationCurve",
    "Ablations",
    "AffineMap",
    "Answers",
    "ChosenEffect",
    "Combination",
    "Costs",
    "Distillation",
    "Features",
    "Grafts",
    "LossBarrier",
    "MatchedSets",
    "PermutationGroup",
    "PermutationGroups",
    "Readout",
    "Transplants",
    "ablate",
    "ablation_curve",
    "ablation_effect",
    "align_net",
    "answer",
    "carried_difference",
    "combination_table",
    "costs",
    "disagreement",
    "distil",
    "ensemble",
    "features",
    "fit_readout",
    "grafted",
    "interpolated",
    "loss_barrier",
    "matched_sets",
    "merge_nets",
    "over_inputs",
    "permutation_groups",
    "reestimate_norms",
    "repair",
    "transplant",
    "unique_units_effect",
    "unit_features",
    "zip_nets",
]
