"""Each layer read once, and reduced to what n images have in common: folds cost n x n numbers."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import FeatureUnion, Pipeline

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._search._extractors import grids_of, make_candidates, rebuild
from skdnn._search._folds import Folds
from skdnn._search._invariant_steps import exact, is_claimed, why_not
from skdnn._sklearn import safe_indexing, wants_dataframe
from skdnn.decomposition import isometric
from skdnn.decomposition._directions import mirror_between, mirrored

_SAME = 1e-6  # scores in other coordinates; rounding is far below, a step that looks is far above
_WHOLE = ("steps", "transform_input")
_AXES = ("svd_solver", "algorithm")  # of a grid: ways of computing that would be set to one
# Of more images, products of all pairs, and a file of them for each layer, no longer pay.
MOST = 5000
_PLAIN = (str, int, float, bool, type(None), np.generic)
_MIRRORS = 8
_TRIED = 16  # settings of known steps that the guard tries, of however many
# By the parameters of what makes them, features of all images: a file of float64 and its shape, or
# why there are none.
Reduced = dict[str, Any]


def _turned(features: NDArray[Any]) -> NDArray[np.float64]:
    """The same rows in other coordinates, and more of them; the ones are ones again.

    Mirrors whose normals are random and orthogonal to the ones, always the same.
    """
    size = features.shape[1]
    wide = 2 * size + 1
    turned, ones = np.zeros((len(features), wide)), np.zeros(wide)
    turned[:, :size], ones[:size] = features, 1 / np.sqrt(size)
    turned = mirrored(turned, mirror_between(ones, np.full(wide, 1 / np.sqrt(wide))))
    for normal in np.random.default_rng(0).normal(size=(_MIRRORS, wide)):
        normal = normal - normal.mean()
        turned = mirrored(turned, normal / np.linalg.norm(normal))
    return turned


class ReducedFeatures(TransformerMixin, BaseEstimator):
    """In a pipeline, in place of the step that turns images into features: looks them up.

    X are numbers of images. It takes the parameters of that step, whatever they are.
    """

    def __init__(
        self, reduced: Reduced, chosen: Mapping[str, Any] | None = None, turned: bool = False
    ) -> None:
        self.reduced = reduced
        self.chosen = dict(chosen or {})
        self.turned = turned

    @property
    def key(self) -> str:
        """By which its features are found."""
        return repr(sorted(self.chosen.items()))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return dict(self.chosen)

    def set_params(self, **params: Any) -> ReducedFeatures:
        self.chosen.update(params)
        return self

    def __sklearn_clone__(self) -> ReducedFeatures:
        return ReducedFeatures(self.reduced, self.chosen, self.turned)

    def fit(self, X: Any, y: Any = None) -> ReducedFeatures:
        """Nothing is learnt; an error that there was is raised."""
        found = self.reduced[self.key]
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Features of the images of these numbers."""
        path, shape = self.fit(X).reduced[self.key]
        rows = np.asarray(np.memmap(path, np.float64, "r", shape=shape)[np.asarray(X)])
        return _turned(rows) if self.turned else rows

    def __sklearn_is_fitted__(self) -> bool:
        return True


@contextmanager
def reduced(
    estimator: Any,
    param_grid: Any,
    X: Any,
    y: Any,
    folds: Folds,
    scoring: Any,
    *,
    is_grid: bool = True,
) -> Iterator[tuple[Any, Any, str]]:
    """Reduce the features of all candidates for the time of a search.

    Parameters
    ----------
    estimator, param_grid : object
        Of the search; its extractors have caches that are filled.
    X : sequence of n_images
        As for the search.
    y : object
        Its target.
    folds : list of (train, test)
        Its folds.
    scoring : object
        Its scorers.
    is_grid : bool, default=True
        Whether it runs over the grid, as a class of one's own may not.

    Yields
    ------
    estimator, param_grid : object
        Those of the search, with features that are looked up until the end of the context; as
        they were given if the folds must see the features themselves.
    reason : str
        Empty, or why they must.
    """
    own_way = "" if is_grid else "the search has a way of its own through the grid"
    reason = own_way or _why_not(estimator, param_grid, len(X), folds, scoring)
    if reason:
        yield estimator, param_grid, reason
        return
    with tempfile.TemporaryDirectory(prefix="skdnn-") as folder:
        found: Reduced = {}
        name = estimator.steps[0][0]
        own = rebuild(estimator, exact)
        own.steps = [(name, ReducedFeatures(found)), *own.steps[1:]]
        own.memory = None
        grid = _with_tokens(param_grid, name, found)
        candidates = make_candidates(estimator, param_grid)
        for (_, candidate), params in zip(candidates, ParameterGrid(grid), strict=True):
            key = _with(own, params)[0].key
            if key not in found and not reason:
                found[key] = _features(candidate[0], X, f"{folder}/{len(found)}")
                if found[key] is None:
                    reason = "there are NaN or infinity among them"
        with warnings.catch_warnings():  # the folds say it again
            warnings.simplefilter("ignore")
            reason = reason or _guard(own, grid, y, folds, scoring)
        yield (estimator, param_grid, reason) if reason else (own, grid, "")


def _why_not(estimator: Any, param_grid: Any, n: int, folds: Folds, scoring: Any) -> str:
    if n > MOST:
        return f"there are {n} images, more than {MOST}"
    if not isinstance(estimator, Pipeline):
        return f"the estimator is no Pipeline but {type(estimator).__name__}"
    if getattr(estimator, "transform_input", None):
        return "the pipeline transforms parameters of fit too"
    n_train = min(len(train) for train, _ in folds)
    for params, candidate in make_candidates(estimator, param_grid):
        (name, head), *rest = candidate.steps
        if not _only_extracts(head):
            return f"the step {name!r} does more than to extract features"
        for key in params:
            if key.rpartition("__")[2] in _AXES or key in _WHOLE:
                return f"the grid sets {key}"
        found = why_not(rest, scoring, n_train)
        if found:
            return found
    return ""


def _only_extracts(step: Any) -> bool:
    """Whether a step gives features of each image, whatever the others are."""
    if wants_dataframe(step):
        return False
    if isinstance(step, Pipeline):
        return len(step.steps) == 1 and _only_extracts(step.steps[0][1])
    if isinstance(step, FeatureUnion):
        return all(part == "drop" or _only_extracts(part) for _, part in step.transformer_list)
    if isinstance(step, ColumnTransformer):
        parts = [part for _, part, _ in step.transformers]
        return step.remainder == "drop" and all(p == "drop" or _only_extracts(p) for p in parts)
    return type(step) is DNNFeatureExtractor  # a class of one's own may learn from other images


def _with(own: Pipeline, params: Mapping[str, Any]) -> Pipeline:
    """A copy with these parameters, which are copied too, as a search does it."""
    made: Pipeline = clone(own).set_params(**clone(params, safe=False))
    return made


def _with_tokens(param_grid: Any, name: str, found: Reduced) -> Any:
    """The grid for looked-up features: what is no plain value has a short name in its place."""

    def axis(key: str, values: Any, grid: int) -> Any:
        if key == name:
            return [ReducedFeatures(found, {"": f"{key} {grid}.{k}"}) for k in range(len(values))]
        if key.startswith(f"{name}__"):
            return [v if _is_plain(v) else f"{key} {grid}.{k}" for k, v in enumerate(values)]
        return [rebuild(value, exact) for value in values]

    return [
        {key: axis(key, values, number) for key, values in grid.items()}
        for number, grid in enumerate(grids_of(param_grid))
    ]


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _features(head: Any, X: Any, path: str) -> tuple[str, tuple[int, ...]] | Exception | None:
    """All images' features, in as few numbers as tell them apart; or why there are none.

    None of what is not finite: the steps behind say what they think of that.
    """
    try:
        features = np.asarray(clone(head).fit_transform(X))
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        return error  # raised in each fold, as without
    try:
        coordinates = isometric(features).astype(np.float64, copy=False)
    except ValueError:
        return None
    coordinates.tofile(path)
    return path, coordinates.shape


def _guard(own: Pipeline, grid: Any, y: Any, folds: Folds, scoring: Any) -> str:
    """Why the coordinates do count after all: what the first fold gives in others, too."""
    train, test = folds[0]
    y_train, y_test = (None if y is None else safe_indexing(y, rows) for rows in (train, test))
    for params in _worth_trying(own, grid, scoring):
        pair = [_with(own, params) for _ in range(2)]
        pair[1][0].turned = True
        try:
            scores = []
            for each in pair:
                each.fit(train, y_train)
                scores.append(check_scoring(each, scoring)(each, test, y_test))
        except Exception as error:
            if any(error is each for each in own[0].reduced.values()):
                continue  # each fold meets it again
            return f"on the first fold there was {type(error).__name__}: {error}"
        if not _same(*scores):
            name = _culprit(pair[0], pair[1], test)
            return f"the step {name!r} gives something else for them"
    return ""


def _worth_trying(own: Pipeline, grid: Any, scoring: Any) -> list[dict[str, Any]]:
    """Candidates with each choice of features, and with each setting of the steps behind them.

    Of settings of known steps, penalties for instance, some; of what is known by its own word
    alone, all.
    """
    head = own.steps[0][0]
    found: dict[str, dict[str, Any]] = {}
    settings: dict[str, dict[str, Any]] = {}
    claimed = False
    for params in ParameterGrid(grid):
        (_, lookup), *rest = _with(own, params).steps
        behind = {k: v for k, v in params.items() if k != head and not k.startswith(f"{head}__")}
        found.setdefault(lookup.key, params)
        settings.setdefault(joblib.hash(behind), params)
        claimed = claimed or is_claimed(rest, scoring)
    step = 1 if claimed else -(-len(settings) // _TRIED)
    some = list(settings.values())[step - 1 :: step]
    return list({id(each): each for each in [*found.values(), *some]}.values())  # each once


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_same(a[key], b[key]) for key in a)
    return bool(np.isclose(a, b, rtol=_SAME, atol=_SAME, equal_nan=True))


def _culprit(plain: Pipeline, turned: Pipeline, rows: NDArray[Any]) -> str:
    """The first step behind which the two differ in more than their coordinates."""
    values: list[Any] = [each[0].transform(rows) for each in (plain, turned)]
    for (name, a), (_, b) in zip(plain.steps[1:], turned.steps[1:], strict=True):
        if a is None or isinstance(a, str):
            continue
        if not hasattr(a, "transform"):
            return name
        values = [np.asarray(s.transform(v)) for s, v in zip((a, b), values, strict=True)]
        one, other = (v @ v.T for v in values)
        if not np.allclose(one, other, rtol=_SAME, atol=_SAME * np.abs(one).max()):
            return name
    return plain.steps[-1][0]
