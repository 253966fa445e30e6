from .comparison._ceiling import NoiseCeiling, noise_ceiling
from .comparison._cka import cka, procrustes_distance
from .comparison._compare import compare_rdms
from .comparison._convert import from_rsatoolbox, to_rsatoolbox
from .dissimilarity._category import category_rdm
from .dissimilarity._compute import compute_rdm
from .dissimilarity._noise import estimate_noise_precision
from .dissimilarity._rdm import RDM
from .fitting._mixture import LayerMixtureRSA, stack_layers
from .fitting._partial import partial_rdm_correlation
from .fitting._partitioning import variance_partitioning
from .fitting._regression import RegressionRSA, regression_rsa
from .fitting._reweighting import FeatureReweightedRSA
from .inference._bootstrap import bootstrap_rsa
from .inference._permutation import permutation_test
from .inference._planned import planned_comparisons
from .inference._random_effects import random_effects_test, subject_layer_table
from .scoring._cka_scorer import CKAScorer
from .scoring._folds import best_by_pairs, weighted_scores
from .scoring._scorer import RSAScorer

__all__ = [
    "RDM",
    "CKAScorer",
    "FeatureReweightedRSA",
    "LayerMixtureRSA",
    "NoiseCeiling",
    "RSAScorer",
    "RegressionRSA",
    "best_by_pairs",
    "bootstrap_rsa",
    "category_rdm",
    "cka",
    "compare_rdms",
    "compute_rdm",
    "estimate_noise_precision",
    "from_rsatoolbox",
    "noise_ceiling",
    "partial_rdm_correlation",
    "permutation_test",
    "planned_comparisons",
    "procrustes_distance",
    "random_effects_test",
    "regression_rsa",
    "stack_layers",
    "subject_layer_table",
    "to_rsatoolbox",
    "variance_partitioning",
    "weighted_scores",
]
