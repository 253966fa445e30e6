"""Responses of fMRI to images, trial by trial: from a GLM's betas and BIDS events to rows."""

from skdnn.fmri._betas import Betas
from skdnn.fmri._compare_regions import compare_regions
from skdnn.fmri._encode_regions import encode_regions
from skdnn.fmri._load import load_betas
from skdnn.fmri._load_subjects import load_subjects
from skdnn.fmri._search_regions import search_regions

__all__ = [
    "Betas",
    "compare_regions",
    "encode_regions",
    "load_betas",
    "load_subjects",
    "search_regions",
]
