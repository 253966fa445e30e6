"""Features in files: saved with their labels and their history, loaded only if nothing is lost."""

from skdnn.io._holds_rdms import holds_rdms
from skdnn.io._load_features import SavedFeatures, load_features
from skdnn.io._open_features import OpenFeatures, load_tables, open_features
from skdnn.io._rdm_files import load_rdm, save_rdm
from skdnn.io._save_features import save_features

__all__ = [
    "OpenFeatures",
    "SavedFeatures",
    "holds_rdms",
    "load_features",
    "load_rdm",
    "load_tables",
    "open_features",
    "save_features",
    "save_rdm",
]
