"""What networks say that images show, by name."""

from skdnn._classifier._classifier import DNNClassifier

__all__ = ["DNNClassifier"]
