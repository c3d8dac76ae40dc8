"""Statistics to results: pure functions of a pair's statistics."""

from .correlation import Correlation, correlation
from .held_out import held_out_scores
from .information import Agreement, MutualInformation, agreement, excess_over_gaussian, mutual_information
from .matching import Matching, Scores, match_best, match_one_to_one, overlap

__all__ = [
    "Agreement",
    "Correlation",
    "Matching",
    "MutualInformation",
    "Scores",
    "agreement",
    "correlation",
    "excess_over_gaussian",
    "held_out_scores",
    "match_best",
    "match_one_to_one",
    "mutual_information",
    "overlap",
]
