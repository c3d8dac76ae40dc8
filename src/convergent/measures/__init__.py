"""Statistics to results: pure functions of a pair's statistics."""

from .agglomeration import Agglomeration, agglomerate_map
from .canonical import CanonicalCorrelations, cca, pwcca, svcca
from .chance import Chance, calibrated, chance
from .cka import linear_cka, rbf_cka
from .cluster_similarities import Similarities
from .clustering import PAPER_LEAF, ClusterNode, UnitClusters, cluster_units, stability
from .correlation import Correlation, correlation
from .design_effect import DesignEffect, design_effect
from .dimension import EffectiveDimension, effective_dimension
from .equal_width import EqualWidth, equal_width
from .held_out import HeldOutMatching, held_out_matching, held_out_scores
from .identity_share import IdentityIntervals, IdentityShare, identity_share
from .information import Agreement, MutualInformation, agreement, excess_over_gaussian, mutual_information
from .intervals import Estimate, contrast, cross_fitted, jackknife, leave_one_net_out
from .ladder import ChanceLevels, Ladder, ladder
from .layer_coupling import LayerCoupling, layer_coupling
from .layer_matrix import LayerSimilarities, layer_matrix
from .local_or_distributed import Locality, PenaltyChoice, choose_penalty, local_or_distributed
from .matched_interval import matched_interval
from .matching import Matching, Scores, match_best, match_one_to_one, overlap
from .mended import mended
from .neighbours import cknna, mutual_knn
from .partner_chance import PartnerChance, partner_chance
from .predictivity import Prediction, Predictivity, linear_predictivity
from .procrustes import Procrustes, RotationScore, procrustes
from .residual_stream import ResidualStream, StreamIntervals
from .rotated_basis import rotated_basis
from .rsa import RSA, rsa
from .shape_distances import permutation_distance, shape_distance
from .soft_matching import SoftMatching, partial_soft_matching, soft_matching
from .sparse_map import PAPER_PENALTY, SparseMap, ridge_map, sparse_map
from .stream_along import stream_along
from .subspace_angles import SubspaceAngles, subspace_angles
from .unit_verdicts import unit_verdicts
from .universality import RotatedCounts, Universality, universality
from .universe import Universe, match_universe

__all__ = [
    "PAPER_LEAF",
    "PAPER_PENALTY",
    "RSA",
    "Agglomeration",
    "Agreement",
    "CanonicalCorrelations",
    "Chance",
    "ChanceLevels",
    "ClusterNode",
    "Correlation",
    "DesignEffect",
    "EffectiveDimension",
    "EqualWidth",
    "Estimate",
    "HeldOutMatching",
    "IdentityIntervals",
    "IdentityShare",
    "Ladder",
    "LayerCoupling",
    "LayerSimilarities",
    "Locality",
    "Matching",
    "MutualInformation",
    "PartnerChance",
    "PenaltyChoice",
    "Prediction",
    "Predictivity",
    "Procrustes",
    "ResidualStream",
    "RotatedCounts",
    "RotationScore",
    "Scores",
    "Similarities",
    "SoftMatching",
    "SparseMap",
    "StreamIntervals",
    "SubspaceAngles",
    "UnitClusters",
    "Universality",
    "Universe",
    "agglomerate_map",
    "agreement",
    "calibrated",
    "cca",
    "chance",
    "choose_penalty",
    "cknna",
    "cluster_units",
    "contrast",
    "correlation",
    "cross_fitted",
    "design_effect",
    "effective_dimension",
    "equal_width",
    "excess_over_gaussian",
    "held_out_matching",
    "held_out_scores",
    "identity_share",
    "jackknife",
    "ladder",
    "layer_coupling",
    "layer_matrix",
    "leave_one_net_out",
    "linear_cka",
    "linear_predictivity",
    "local_or_distributed",
    "match_best",
    "match_one_to_one",
    "match_universe",
    "matched_interval",
    "mended",
    "mutual_information",
    "mutual_knn",
    "overlap",
    "partial_soft_matching",
    "partner_chance",
    "permutation_distance",
    "procrustes",
    "pwcca",
    "rbf_cka",
    "ridge_map",
    "rotated_basis",
    "rsa",
    "shape_distance",
    "soft_matching",
    "sparse_map",
    "stability",
    "stream_along",
    "subspace_angles",
    "svcca",
    "unit_verdicts",
    "universality",
]
