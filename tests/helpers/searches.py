"""Two searches that should say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose


def scores(search: Any) -> dict[str, np.ndarray]:
    """Scores of folds, their means, and their ranks."""
    return {k: v for k, v in search.cv_results_.items() if "test" in k or "train" in k}


def assert_same_results(search: Any, reference: Any) -> None:
    """The same candidates and scores.

    To rounding; where the search ran on reduced features, in float64, and the reference on
    features of float32, to the rounding of these.
    """
    rounding = {"rtol": 1e-9, "atol": 1e-12}
    if getattr(search, "reduction_", "none") == "":
        rounding = {"rtol": 0, "atol": 1e-5}
    assert search.cv_results_.keys() == reference.cv_results_.keys()
    for key, values in scores(reference).items():
        assert_allclose(search.cv_results_[key], values, err_msg=key, **rounding)
    assert search.cv_results_["params"] == reference.cv_results_["params"]
