"""DNNFeatureExtractor: activations of a deep network as features of images."""

from skdnn.feature_extractor._extractor import DNNFeatureExtractor
from skdnn.feature_extractor._many import precompute_many

__all__ = ["DNNFeatureExtractor", "precompute_many"]
