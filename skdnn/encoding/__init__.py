"""Encoding and decoding: brain responses from features, features from brain responses.

=============  ==================================================================
``ridge``      ridge regression with a penalty for each voxel
``layers``     the layer of each voxel
``decoding``   units of a network from patterns of voxels
``hierarchy``  the brain hierarchy score
``scores``     how well responses are predicted, and how sure that is
``repeats``    repeated presentations: averages, reliability, folds
=============  ==================================================================
"""

from skdnn.encoding.decoding._select_k_best import SelectKBestRidge
from skdnn.encoding.hierarchy._bootstrap import bootstrap_hierarchy_score
from skdnn.encoding.hierarchy._p_values import hierarchy_p_values
from skdnn.encoding.hierarchy._permutation import hierarchy_permutation_test
from skdnn.encoding.hierarchy._score import (
    brain_hierarchy_score,
    pool_subjects,
    top_level_table,
)
from skdnn.encoding.hierarchy._study import BrainHierarchyScore
from skdnn.encoding.layers._encoder import LayerwiseEncoder
from skdnn.encoding.layers._features import LayerFeatures
from skdnn.encoding.layers._nested import nested_encoding
from skdnn.encoding.layers._pooled import pool_folds
from skdnn.encoding.repeats._averages import (
    align_responses,
    average_repeats,
    repeat_weights,
    trial_weights,
)
from skdnn.encoding.repeats._reliability import (
    explainable_variance,
    ncsnr,
    ncsnr_ceiling,
    split_half_reliability,
)
from skdnn.encoding.repeats._splits import StimulusKFold, check_disjoint, stimulus_groups
from skdnn.encoding.ridge._voxelwise import VoxelwiseRidgeCV
from skdnn.encoding.scores._correlation import (
    correlation_score,
    explained_variance_score,
    pattern_correlation,
    profile_correlation,
    r2_score,
)
from skdnn.encoding.scores._identification import identification_accuracy
from skdnn.encoding.scores._normalized import normalize_scores
from skdnn.encoding.scores._significance import (
    bootstrap_scores,
    correlation_p_values,
    score_p_values,
)

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
    "top_level_table",
    "trial_weights",
]
