"""Callbacks of scikit-learn, for a search that runs as a copy: they see the search itself."""

from __future__ import annotations

import inspect
from typing import Any

_HOOKS = ("setup", "teardown", "on_fit_task_begin", "on_fit_task_end")


def pass_on(running: Any, search: Any) -> None:
    """Let the callbacks of a running copy see `search` in its place."""
    callbacks = getattr(running, "_skl_callbacks", [])  # scikit-learn has no public way to ask
    if callbacks:
        running.set_callbacks(*(_PassedOn(each, running, search) for each in callbacks))


class _PassedOn:
    """A callback that is told of another estimator; in other processes, the callback itself."""

    def __init__(self, callback: Any, running: Any, search: Any) -> None:
        self._callback = callback
        for name in _HOOKS:
            setattr(self, name, _Hook(getattr(callback, name), running, search))
        if hasattr(callback, "max_propagation_depth"):
            self.max_propagation_depth = callback.max_propagation_depth

    def __reduce__(self) -> Any:
        return _itself, (self._callback,)


class _Hook:
    """A method of a callback, with its signature, which says what it wants to know."""

    def __init__(self, method: Any, running: Any, search: Any) -> None:
        self._method, self._running, self._search = method, running, search
        self.__signature__ = inspect.signature(method)

    def __call__(self, estimator: Any, context: Any, **about: Any) -> Any:
        seen = self._search if estimator is self._running else estimator
        return self._method(seen, context, **about)


def _itself(callback: Any) -> Any:
    return callback
