from ._holds_rdms import holds_rdms
from ._load_features import SavedFeatures, load_features
from ._open_features import OpenFeatures, load_tables, open_features
from ._rdm_files import load_rdm, save_rdm
from ._rdm_movie_files import load_rdm_movie, save_rdm_movie
from ._save_features import save_features

__all__ = [
    "OpenFeatures",
    "SavedFeatures",
    "holds_rdms",
    "load_features",
    "load_rdm",
    "load_rdm_movie",
    "load_tables",
    "open_features",
    "save_features",
    "save_rdm",
    "save_rdm_movie",
]
