"""Representational similarity analysis: RDMs, their comparison, and a scorer for scikit-learn."""

from skdnn.rsa._ceiling import NoiseCeiling, noise_ceiling
from skdnn.rsa._comparison import compare_rdms
from skdnn.rsa._convert import from_rsatoolbox, to_rsatoolbox
from skdnn.rsa._dissimilarity import category_rdm, compute_rdm
from skdnn.rsa._folds import best_by_pairs, weighted_scores
from skdnn.rsa._mixture import LayerMixtureRSA, stack_layers
from skdnn.rsa._noise import estimate_noise_precision
from skdnn.rsa._partitioning import variance_partitioning
from skdnn.rsa._rdm import RDM
from skdnn.rsa._regression import RegressionRSA, partial_rdm_correlation, regression_rsa
from skdnn.rsa._reweighting import FeatureReweightedRSA
from skdnn.rsa._scorer import RSAScorer
from skdnn.rsa._similarity import cka, procrustes_distance
from skdnn.rsa._similarity_scorer import CKAScorer

__all__ = [
    "RDM",
    "CKAScorer",
    "FeatureReweightedRSA",
    "LayerMixtureRSA",
    "NoiseCeiling",
    "RSAScorer",
    "RegressionRSA",
    "best_by_pairs",
    "category_rdm",
    "cka",
    "compare_rdms",
    "compute_rdm",
    "estimate_noise_precision",
    "from_rsatoolbox",
    "noise_ceiling",
    "partial_rdm_correlation",
    "procrustes_distance",
    "regression_rsa",
    "stack_layers",
    "to_rsatoolbox",
    "variance_partitioning",
    "weighted_scores",
]
