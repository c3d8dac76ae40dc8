"""Running nets again: with units taken out, put in, merged; what it does to their answers."""

from .combining import Combination, combination_table, ensemble
from .costs import Costs, costs
from .distilling import Distillation, distil
from .evaluation import Answers, answer, over_inputs
from .grafting import Grafts, grafted
from .readout import Features, Readout, features, fit_readout

__all__ = [
    "Answers",
    "Combination",
    "Costs",
    "Distillation",
    "Features",
    "Grafts",
    "Readout",
    "answer",
    "combination_table",
    "costs",
    "distil",
    "ensemble",
    "features",
    "fit_readout",
    "grafted",
    "over_inputs",
]
