"""Results to figures and a page. Reads a run folder; runs no net."""

from .curves import layer_means, match_curves, sorted_means
from .li2016 import reproduce_matrices, reproduce_run
from .page import write_report
from .pictures import best_and_worst, correlation_panels
from .run_folder import Run, load_run
from .summaries import extremes, layer_summary, pair_scores

__all__ = [
    "Run",
    "best_and_worst",
    "correlation_panels",
    "extremes",
    "layer_means",
    "layer_summary",
    "load_run",
    "match_curves",
    "pair_scores",
    "reproduce_matrices",
    "reproduce_run",
    "sorted_means",
    "write_report",
]
