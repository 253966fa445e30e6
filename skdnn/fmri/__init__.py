"""Responses of fMRI to images, trial by trial: from a GLM's betas and BIDS events to rows."""

from skdnn.fmri._betas import Betas
from skdnn.fmri._compare_regions import compare_regions
from skdnn.fmri._encode_regions import encode_regions
from skdnn.fmri._load import load_betas
from skdnn.fmri._load_subjects import load_subjects
from skdnn.fmri._search_regions import search_regions
from skdnn.fmri._searchlight._estimate import SearchlightEstimate, estimate_searchlight
from skdnn.fmri._searchlight._group_test import SearchlightTest
from skdnn.fmri._searchlight._result import SearchlightResult
from skdnn.fmri._searchlight._searchlight_rsa import searchlight_rsa

__all__ = [
    "Betas",
    "SearchlightEstimate",
    "SearchlightResult",
    "SearchlightTest",
    "compare_regions",
    "encode_regions",
    "estimate_searchlight",
    "load_betas",
    "load_subjects",
    "search_regions",
    "searchlight_rsa",
]
