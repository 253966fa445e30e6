from ._comparison._ceiling import NoiseCeiling, noise_ceiling
from ._comparison._cka import cka, procrustes_distance
from ._comparison._compare import compare_rdms
from ._comparison._convert import from_rsatoolbox, to_rsatoolbox
from ._dissimilarity._category import category_rdm
from ._dissimilarity._compute import compute_rdm
from ._dissimilarity._noise import estimate_noise_precision
from ._dissimilarity._rdm import RDM
from ._fitting._mixture import LayerMixtureRSA, stack_layers
from ._fitting._partial import partial_rdm_correlation
from ._fitting._partitioning import variance_partitioning
from ._fitting._regression import RegressionRSA, regression_rsa
from ._fitting._reweighting import FeatureReweightedRSA
from ._inference._bootstrap import bootstrap_rsa
from ._inference._permutation import PermutationResult, permutation_test
from ._inference._planned import planned_comparisons
from ._inference._random_effects import random_effects_test, subject_layer_table
from ._inference._results import BootstrapResult
from ._scoring._cka_scorer import CKAScorer
from ._scoring._folds import best_by_pairs, weighted_scores
from ._scoring._scorer import RSAScorer

__all__ = [
    "RDM",
    "BootstrapResult",
    "CKAScorer",
    "FeatureReweightedRSA",
    "LayerMixtureRSA",
    "NoiseCeiling",
    "PermutationResult",
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
