"""Representational similarity analysis: RDMs, their comparison, inference, and scores.

=================  ===============================================================
``dissimilarity``  from patterns to RDMs
``comparison``     similarity of RDMs and of representations, noise ceilings
``scoring``        the same in scikit-learn's cross-validation
``fitting``        models whose RDM is fitted to data
``inference``      intervals and tests
=================  ===============================================================
"""

from skdnn.rsa.comparison._ceiling import NoiseCeiling, noise_ceiling
from skdnn.rsa.comparison._cka import cka, procrustes_distance
from skdnn.rsa.comparison._compare import compare_rdms
from skdnn.rsa.comparison._convert import from_rsatoolbox, to_rsatoolbox
from skdnn.rsa.dissimilarity._category import category_rdm
from skdnn.rsa.dissimilarity._compute import compute_rdm
from skdnn.rsa.dissimilarity._noise import estimate_noise_precision
from skdnn.rsa.dissimilarity._rdm import RDM
from skdnn.rsa.fitting._mixture import LayerMixtureRSA, stack_layers
from skdnn.rsa.fitting._partial import partial_rdm_correlation
from skdnn.rsa.fitting._partitioning import variance_partitioning
from skdnn.rsa.fitting._regression import RegressionRSA, regression_rsa
from skdnn.rsa.fitting._reweighting import FeatureReweightedRSA
from skdnn.rsa.inference._bootstrap import bootstrap_rsa
from skdnn.rsa.inference._permutation import permutation_test
from skdnn.rsa.inference._planned import planned_comparisons
from skdnn.rsa.inference._random_effects import random_effects_test, subject_layer_table
from skdnn.rsa.scoring._cka_scorer import CKAScorer
from skdnn.rsa.scoring._folds import best_by_pairs, weighted_scores
from skdnn.rsa.scoring._scorer import RSAScorer

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
