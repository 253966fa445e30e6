"""Representational similarity analysis: RDMs, their comparison, and a scorer for scikit-learn."""

from skdnn.rsa._ceiling import NoiseCeiling, noise_ceiling
from skdnn.rsa._comparison import compare_rdms
from skdnn.rsa._dissimilarity import category_rdm, compute_rdm
from skdnn.rsa._rdm import RDM
from skdnn.rsa._scorer import RSAScorer

__all__ = [
    "RDM",
    "NoiseCeiling",
    "RSAScorer",
    "category_rdm",
    "compare_rdms",
    "compute_rdm",
    "noise_ceiling",
]
