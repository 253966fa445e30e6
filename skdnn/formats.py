"""Files of other laboratories: MATLAB features, BdPy's brain data, accuracies, betas of fMRI."""

from skdnn.io._accuracies import as_hierarchy, read_accuracies, read_settings, score_accuracies
from skdnn.io._bdata import BData, read_bdata, write_bdata
from skdnn.io._feature_folders import (
    MatFeatures,
    read_feature_folder,
    read_unit_index,
    write_feature_folder,
    write_unit_index,
)
from skdnn.io._mat import read_mat, write_mat
from skdnn.io._nifti import NiftiBetas, read_betas
from skdnn.io._nifti_writing import write_map
from skdnn.io._trials import read_trials

__all__ = [
    "BData",
    "MatFeatures",
    "NiftiBetas",
    "as_hierarchy",
    "read_accuracies",
    "read_bdata",
    "read_betas",
    "read_feature_folder",
    "read_mat",
    "read_settings",
    "read_trials",
    "read_unit_index",
    "score_accuracies",
    "write_bdata",
    "write_feature_folder",
    "write_map",
    "write_mat",
    "write_unit_index",
]
