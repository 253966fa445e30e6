"""The one place that knows what scikit-learn keeps private."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.base import _fit_context as fit_context
from sklearn.decomposition._pca import _infer_dimension as infer_dimension
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils._set_output import _get_output_config


def wants_dataframe(estimator: object) -> bool:
    """Whether `estimator` was asked to return pandas from ``transform``."""
    return _get_output_config("transform", estimator)["dense"] == "pandas"


class StoredAttributesHTML:
    """Mixin for estimators with properties that are costly: their pictures leave these out.

    scikit-learn's picture of an estimator asks for every attribute whose name ends in an
    underscore, and would compute what takes gigabytes or minutes each time it is displayed.
    """

    def _get_fitted_attr_html(self, doc_link: str = "") -> Any:
        """As scikit-learn does, of an object that has the attributes but not the properties."""
        cls = type(self)
        stand_in = type(cls.__name__, (BaseEstimator,), {"__doc__": cls.__doc__})()
        stand_in.__dict__.update(vars(self))
        return BaseEstimator._get_fitted_attr_html(stand_in, doc_link)


__all__ = [
    "Interval",
    "RealNotInt",
    "StoredAttributesHTML",
    "StrOptions",
    "fit_context",
    "infer_dimension",
    "safe_indexing",
    "wants_dataframe",
]
