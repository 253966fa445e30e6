"""Many networks compared with each other, and with brains and behaviour."""

from skdnn.model_comparison._compare import compare_models
from skdnn.model_comparison._result import ModelComparison
from skdnn.model_comparison._score_rdms import score_rdms

__all__ = ["ModelComparison", "compare_models", "score_rdms"]
