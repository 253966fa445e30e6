from ._bands._banded_ridge import BandedRidgeCV
from ._bands._partitioning import voxel_variance_partitioning
from ._decoding._select_k_best import SelectKBestRidge
from ._hierarchy._accuracies import pool_subjects
from ._hierarchy._bootstrap import HierarchyBootstrap, bootstrap_hierarchy_score
from ._hierarchy._p_values import hierarchy_p_values
from ._hierarchy._permutation import hierarchy_permutation_test
from ._hierarchy._score import (
    HierarchyDetails,
    brain_hierarchy_score,
    top_level_table,
)
from ._hierarchy._study import BrainHierarchyScore
from ._layers._encoder import LayerwiseEncoder
from ._layers._features import LayerFeatures
from ._layers._nested import nested_encoding
from ._layers._pooled import pool_folds
from ._repeats._averages import (
    AveragedRepeats,
    align_responses,
    average_repeats,
    repeat_weights,
    trial_weights,
)
from ._repeats._noise_ceilings import (
    explainable_variance,
    ncsnr,
    ncsnr_ceiling,
    split_half_reliability,
)
from ._repeats._stimulus_folds import StimulusKFold, check_disjoint, stimulus_groups
from ._ridge._voxelwise import VoxelwiseRidgeCV
from ._scores._correlation import (
    correlation_score,
    explained_variance_score,
    pattern_correlation,
    profile_correlation,
    r2_score,
)
from ._scores._identification import identification_accuracy
from ._scores._normalized import NormalizedScores, normalize_scores
from ._scores._permutation_and_bootstrap import (
    ScoreInterval,
    bootstrap_scores,
    correlation_p_values,
    score_p_values,
)
from ._scores._summary import summarize_voxels

__all__ = [
    "AveragedRepeats",
    "BandedRidgeCV",
    "BrainHierarchyScore",
    "HierarchyBootstrap",
    "HierarchyDetails",
    "LayerFeatures",
    "LayerwiseEncoder",
    "NormalizedScores",
    "ScoreInterval",
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
    "voxel_variance_partitioning",
]
