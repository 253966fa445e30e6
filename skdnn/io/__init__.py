"""Features in files: saved with their labels and their history, loaded only if nothing is lost."""

from skdnn.io._load import SavedFeatures, load_features
from skdnn.io._save import save_features

__all__ = ["SavedFeatures", "load_features", "save_features"]
