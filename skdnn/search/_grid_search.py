"""GridSearchCV with a step before the search, which is never left out in silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn.model_selection import GridSearchCV

from skdnn._sklearn import require

_HOOKS = ("_check_input_parameters", "_run_search")


class PreparedGridSearchCV(GridSearchCV):
    """A grid search that calls `_prepare` before it fits anything.

    ``GridSearchCV.fit`` is relied on to call two methods that are private. A version that does
    not would be a plain grid search: it is refused.
    """

    _checked_cv_orig: Any  # the folds: made by GridSearchCV.fit, replaced by `_prepare`

    def fit(self, X: Any, y: Any = None, **params: Any) -> PreparedGridSearchCV:
        """As of GridSearchCV, but RuntimeError where a method is not called."""
        for hook in _HOOKS:
            require(hasattr(GridSearchCV, hook), f"its GridSearchCV has no method {hook}")
        self.__dict__.pop("_checked_cv_orig", None)
        try:
            return super().fit(X, y, **params)
        finally:
            self.__dict__.pop("_is_prepared", None)

    def _prepare(self, X: Any, y: Any, split_params: dict[str, Any]) -> None:
        """Called when arguments are sorted out and nothing has been computed."""
        raise NotImplementedError

    def _check_input_parameters(self, X: Any, y: Any, split_params: dict[str, Any]) -> None:
        super()._check_input_parameters(X=X, y=y, split_params=split_params)
        kept = "_checked_cv_orig" in vars(self)
        require(kept, "its GridSearchCV.fit keeps the folds elsewhere than in _checked_cv_orig")
        self._prepare(X, y, split_params)
        self._is_prepared = True

    def _run_search(
        self, evaluate_candidates: Callable[..., Any], *, callback_ctx: Any = None
    ) -> None:
        prepared = "_is_prepared" in vars(self)
        require(prepared, "its GridSearchCV.fit does not call _check_input_parameters")
        evaluate = partial(evaluate_candidates, cv=self._checked_cv_orig)
        super()._run_search(evaluate, callback_ctx=callback_ctx)
