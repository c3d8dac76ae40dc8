"""Statistics to results: pure functions of a pair's statistics."""

from .correlation import Correlation, correlation
from .held_out import held_out_scores
from .matching import Matching, match_best, match_one_to_one, overlap

__all__ = [
    "Correlation",
    "Matching",
    "correlation",
    "held_out_scores",
    "match_best",
    "match_one_to_one",
    "overlap",
]
