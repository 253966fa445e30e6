"""DNNFeatureExtractor: activations of a deep network as features of images."""

from skdnn._feature_extractor._extractor import DNNFeatureExtractor
from skdnn._feature_extractor._precompute_many import precompute_many
from skdnn._feature_extractor._untrained_twins import check_twin, twins_of

__all__ = ["DNNFeatureExtractor", "check_twin", "precompute_many", "twins_of"]
