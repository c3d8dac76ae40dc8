"""Statistics to results: pure functions of a pair's statistics."""

from .agglomeration import Agglomeration, agglomerate_map
from .cluster_similarities import Similarities
from .clustering import PAPER_LEAF, ClusterNode, UnitClusters, cluster_units, stability
from .correlation import Correlation, correlation
from .held_out import held_out_scores
from .information import Agreement, MutualInformation, agreement, excess_over_gaussian, mutual_information
from .local_or_distributed import Locality, PenaltyChoice, choose_penalty, local_or_distributed
from .matching import Matching, Scores, match_best, match_one_to_one, overlap
from .mended import mended
from .sparse_map import PAPER_PENALTY, SparseMap, ridge_map, sparse_map
from .subspace_angles import SubspaceAngles, subspace_angles

__all__ = [
    "PAPER_LEAF",
    "PAPER_PENALTY",
    "Agglomeration",
    "Agreement",
    "ClusterNode",
    "Correlation",
    "Locality",
    "Matching",
    "MutualInformation",
    "PenaltyChoice",
    "Scores",
    "Similarities",
    "SparseMap",
    "SubspaceAngles",
    "UnitClusters",
    "agglomerate_map",
    "agreement",
    "choose_penalty",
    "cluster_units",
    "correlation",
    "excess_over_gaussian",
    "held_out_scores",
    "local_or_distributed",
    "match_best",
    "match_one_to_one",
    "mended",
    "mutual_information",
    "overlap",
    "ridge_map",
    "sparse_map",
    "stability",
    "subspace_angles",
]
