from ._comparison._cka import cka, procrustes_distance
from ._comparison._compare_rdms import compare_rdms
from ._comparison._noise_ceiling import NoiseCeiling, noise_ceiling
from ._comparison._rsatoolbox import from_rsatoolbox, to_rsatoolbox
from ._dissimilarity._category_rdm import category_rdm
from ._dissimilarity._compute_rdm import compute_rdm
from ._dissimilarity._noise_precision import estimate_noise_precision
from ._dissimilarity._rdm_transformer import RDM
from ._fitting._feature_reweighting import FeatureReweightedRSA
from ._fitting._layer_mixture import LayerMixtureRSA, stack_layers
from ._fitting._partial_correlation import partial_rdm_correlation
from ._fitting._regression import RegressionRSA, regression_rsa
from ._fitting._variance_partitioning import variance_partitioning
from ._inference._bootstrap import bootstrap_rsa
from ._inference._bootstrap_result import BootstrapResult
from ._inference._permutation_test import PermutationResult, permutation_test
from ._inference._planned_comparisons import planned_comparisons
from ._inference._random_effects_test import random_effects_test, subject_layer_table
from ._inference._time_course_result import TimeCourseTest
from ._inference._time_course_test import time_course_test
from ._scoring._cka_scorer import CKAScorer
from ._scoring._rsa_scorer import RSAScorer
from ._scoring._weighted_by_pairs import best_by_pairs, weighted_scores
from ._time._compute_rdm_movie import compute_rdm_movie
from ._time._condition_tests import ceiling_test_over_time, condition_test_over_time
from ._time._peak_latencies import LatencyOrder
from ._time._rdm_movie import RDMMovie
from ._time._read_movie import read_rdm_movie
from ._time._temporal_generalization import TemporalGeneralization, temporal_generalization
from ._time._time_resolved_result import TimeResolvedRSA
from ._time._time_resolved_rsa import time_resolved_rsa

__all__ = [
    "RDM",
    "BootstrapResult",
    "CKAScorer",
    "FeatureReweightedRSA",
    "LatencyOrder",
    "LayerMixtureRSA",
    "NoiseCeiling",
    "PermutationResult",
    "RDMMovie",
    "RSAScorer",
    "RegressionRSA",
    "TemporalGeneralization",
    "TimeCourseTest",
    "TimeResolvedRSA",
    "best_by_pairs",
    "bootstrap_rsa",
    "category_rdm",
    "ceiling_test_over_time",
    "cka",
    "compare_rdms",
    "compute_rdm",
    "compute_rdm_movie",
    "condition_test_over_time",
    "estimate_noise_precision",
    "from_rsatoolbox",
    "noise_ceiling",
    "partial_rdm_correlation",
    "permutation_test",
    "planned_comparisons",
    "procrustes_distance",
    "random_effects_test",
    "read_rdm_movie",
    "regression_rsa",
    "stack_layers",
    "subject_layer_table",
    "temporal_generalization",
    "time_course_test",
    "time_resolved_rsa",
    "to_rsatoolbox",
    "variance_partitioning",
    "weighted_scores",
]
