"""The one place that knows what scikit-learn keeps private."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sklearn
from sklearn.base import BaseEstimator

_REFUSED = (
    "skdnn does not work with scikit-learn {version}: {reason}. Install the version that skdnn "
    'asks for (pip install --upgrade "scikit-learn>=1.6.1"), or a newer skdnn.'
)

try:
    from sklearn.base import _fit_context as fit_context
    from sklearn.decomposition._pca import _infer_dimension as infer_dimension
    from sklearn.utils import _safe_indexing as safe_indexing
    from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
    from sklearn.utils._set_output import _get_output_config
except ImportError as error:
    raise ImportError(_REFUSED.format(version=sklearn.__version__, reason=error)) from error


def require(found: bool, reason: str) -> None:
    """Refuse a scikit-learn that lacks what a feature of ours hangs on.

    Without it, the feature would be switched off, and nobody would know.

    Parameters
    ----------
    found : bool
        Whether it is there.
    reason : str
        What is not, and whose it is.

    Raises
    ------
    RuntimeError
        If it is not there; names the version of scikit-learn.
    """
    if not found:
        raise RuntimeError(_REFUSED.format(version=sklearn.__version__, reason=reason))


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


class CardWhenFitted:
    """Mixin for estimators: once they are fitted, a card stands above scikit-learn's picture."""

    def _card(self) -> str:
        """A fragment of HTML, empty before `fit`."""
        raise NotImplementedError

    @property
    def _repr_html_(self) -> Callable[[], str]:
        picture = super()._repr_html_  # type: ignore[misc]  # no such attribute: text is wanted
        return lambda: self._card() + picture()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        shown: dict[str, str] = super()._repr_mimebundle_(**options)  # type: ignore[misc]
        return {k: self._card() + v if k == "text/html" else v for k, v in shown.items()}


require(
    hasattr(BaseEstimator, "_repr_html_") and hasattr(BaseEstimator, "_repr_mimebundle_"),
    "its BaseEstimator has no _repr_html_ or no _repr_mimebundle_, by which notebooks show it",
)
require(
    hasattr(BaseEstimator, "_get_fitted_attr_html")
    or tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9),  # shows no such attributes
    "its BaseEstimator has no _get_fitted_attr_html, by which costly attributes are not shown",
)

__all__ = [
    "CardWhenFitted",
    "Interval",
    "RealNotInt",
    "StoredAttributesHTML",
    "StrOptions",
    "fit_context",
    "infer_dimension",
    "require",
    "safe_indexing",
    "wants_dataframe",
]
