"""The one place that imports what scikit-learn keeps private."""

from __future__ import annotations

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._set_output import _get_output_config


def wants_dataframe(estimator: object) -> bool:
    """Whether `estimator` was asked to return pandas from ``transform``."""
    return _get_output_config("transform", estimator)["dense"] == "pandas"


__all__ = [
    "Interval",
    "StrOptions",
    "fit_context",
    "wants_dataframe",
]
