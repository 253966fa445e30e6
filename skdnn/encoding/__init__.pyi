from .decoding._select_k_best import SelectKBestRidge
from .hierarchy._bootstrap import bootstrap_hierarchy_score
from .hierarchy._p_values import hierarchy_p_values
from .hierarchy._permutation import hierarchy_permutation_test
from .hierarchy._score import (
    brain_hierarchy_score,
    pool_subjects,
    top_level_table,
)
from .hierarchy._study import BrainHierarchyScore
from .layers._encoder import LayerwiseEncoder
from .layers._features import LayerFeatures
from .layers._nested import nested_encoding
from .layers._pooled import pool_folds
from .repeats._averages import (
    align_responses,
    average_repeats,
    repeat_weights,
    trial_weights,
)
from .repeats._reliability import (
    explainable_variance,
    ncsnr,
    ncsnr_ceiling,
    split_half_reliability,
)
from .repeats._splits import StimulusKFold, check_disjoint, stimulus_groups
from .ridge._voxelwise import VoxelwiseRidgeCV
from .scores._correlation import (
    correlation_score,
    explained_variance_score,
    pattern_correlation,
    profile_correlation,
    r2_score,
)
from .scores._identification import identification_accuracy
from .scores._normalized import normalize_scores
from .scores._significance import (
    bootstrap_scores,
    correlation_p_values,
    score_p_values,
)
from .scores._summary import summarize_voxels

__all__ = [
    "BrainHierarchyScore",
    "LayerFeatures",
    "LayerwiseEncoder",
    "SelectKBestRidge",
    "StimulusKFold",
    "VoxelwiseRidgeCV",
    "align_responses",
    "average_repeats",
    "bootstrap_hierarchy_score",
    "bootstrap_scores",
    "brain_hierarchy_score",
    "check_disjoint",
    "correlation_p_values",
    "correlation_score",
    "explainable_variance",
    "explained_variance_score",
    "hierarchy_p_values",
    "hierarchy_permutation_test",
    "identification_accuracy",
    "ncsnr",
    "ncsnr_ceiling",
    "nested_encoding",
    "normalize_scores",
    "pattern_correlation",
    "pool_folds",
    "pool_subjects",
    "profile_correlation",
    "r2_score",
    "repeat_weights",
    "score_p_values",
    "split_half_reliability",
    "stimulus_groups",
    "summarize_voxels",
    "top_level_table",
    "trial_weights",
]
