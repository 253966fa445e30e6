"""Features in files: saved with their labels and their history, loaded only if nothing is lost."""

from skdnn.io._load import SavedFeatures, load_features
from skdnn.io._rdm import load_rdm, save_rdm
from skdnn.io._save import save_features

__all__ = ["SavedFeatures", "load_features", "load_rdm", "save_features", "save_rdm"]
