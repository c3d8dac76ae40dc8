"""Statistics to results: pure functions of a pair's statistics."""

from .agglomeration import Agglomeration, agglomerate_map
from .canonical import CanonicalCorrelations, cca, pwcca, svcca
from .cka import linear_cka, rbf_cka
from .cluster_similarities import Similarities
from .clustering import PAPER_LEAF, ClusterNode, UnitClusters, cluster_units, stability
from .correlation import Correlation, correlation
from .dimension import EffectiveDimension, effective_dimension
from .held_out import held_out_scores
from .information import Agreement, MutualInformation, agreement, excess_over_gaussian, mutual_information
from .local_or_distributed import Locality, PenaltyChoice, choose_penalty, local_or_distributed
from .matching import Matching, Scores, match_best, match_one_to_one, overlap
from .mended import mended
from .neighbours import cknna, mutual_knn
from .predictivity import Prediction, Predictivity, linear_predictivity
from .procrustes import Procrustes, RotationScore, procrustes
from .rsa import RSA, rsa
from .shape_distances import permutation_distance, shape_distance
from .sparse_map import PAPER_PENALTY, SparseMap, ridge_map, sparse_map
from .subspace_angles import SubspaceAngles, subspace_angles

__all__ = [
    "PAPER_LEAF",
    "PAPER_PENALTY",
    "RSA",
    "Agglomeration",
    "Agreement",
    "CanonicalCorrelations",
    "ClusterNode",
    "Correlation",
    "EffectiveDimension",
    "Locality",
    "Matching",
    "MutualInformation",
    "PenaltyChoice",
    "Prediction",
    "Predictivity",
    "Procrustes",
    "RotationScore",
    "Scores",
    "Similarities",
    "SparseMap",
    "SubspaceAngles",
    "UnitClusters",
    "agglomerate_map",
    "agreement",
    "cca",
    "choose_penalty",
    "cknna",
    "cluster_units",
    "correlation",
    "effective_dimension",
    "excess_over_gaussian",
    "held_out_scores",
    "linear_cka",
    "linear_predictivity",
    "local_or_distributed",
    "match_best",
    "match_one_to_one",
    "mended",
    "mutual_information",
    "mutual_knn",
    "overlap",
    "permutation_distance",
    "procrustes",
    "pwcca",
    "rbf_cka",
    "ridge_map",
    "rsa",
    "shape_distance",
    "sparse_map",
    "stability",
    "subspace_angles",
    "svcca",
]
