"""Statistics to results: pure functions of a pair's statistics."""

from .agglomeration import Agglomeration, agglomerate_map
from .cluster_angles import SubspaceAngles, subspace_angles
from .cluster_similarities import Similarities
from .clustering import ClusterNode, UnitClusters, cluster_units, stability
from .correlation import Correlation, correlation
from .held_out import held_out_scores
from .information import Agreement, MutualInformation, agreement, excess_over_gaussian, mutual_information
from .matching import Matching, Scores, match_best, match_one_to_one, overlap

__all__ = [
    "Agglomeration",
    "Agreement",
    "ClusterNode",
    "Correlation",
    "Matching",
    "MutualInformation",
    "Scores",
    "Similarities",
    "SubspaceAngles",
    "UnitClusters",
    "agglomerate_map",
    "agreement",
    "cluster_units",
    "correlation",
    "excess_over_gaussian",
    "held_out_scores",
    "match_best",
    "match_one_to_one",
    "mutual_information",
    "overlap",
    "stability",
    "subspace_angles",
]
