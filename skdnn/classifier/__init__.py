"""What networks say that images show, by name."""

from skdnn.classifier._classifier import DNNClassifier

__all__ = ["DNNClassifier"]
