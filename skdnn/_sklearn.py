"""The one place that imports what scikit-learn keeps private."""

from __future__ import annotations

from sklearn.base import _fit_context as fit_context
from sklearn.decomposition._pca import _infer_dimension as infer_dimension
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils._set_output import _get_output_config


def wants_dataframe(estimator: object) -> bool:
    """Whether `estimator` was asked to return pandas from ``transform``."""
    return _get_output_config("transform", estimator)["dense"] == "pandas"


__all__ = [
    "Interval",
    "RealNotInt",
    "StrOptions",
    "fit_context",
    "infer_dimension",
    "safe_indexing",
    "wants_dataframe",
]
