"""What scikit-learn keeps private must be there, or its version is named."""

from __future__ import annotations

import runpy

import pytest
import sklearn
import sklearn.utils._param_validation
from sklearn.base import BaseEstimator

import skdnn._sklearn


@pytest.mark.parametrize(
    ("owner", "name", "kind"),
    [
        (sklearn.utils._param_validation, "RealNotInt", ImportError),
        (sklearn.utils, "_safe_indexing", ImportError),
        pytest.param(
            *(BaseEstimator, "_get_fitted_attr_html", RuntimeError),
            marks=pytest.mark.skipif(
                not hasattr(BaseEstimator, "_get_fitted_attr_html"),
                reason="before 1.9, pictures show no attributes",
            ),
        ),
    ],
)
def test_a_missing_part_is_named_with_the_version(
    owner: object, name: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(owner, name)
    with pytest.raises(kind, match=f"scikit-learn {sklearn.__version__}: .*{name}"):
        runpy.run_path(skdnn._sklearn.__file__)
