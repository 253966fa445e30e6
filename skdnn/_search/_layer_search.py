"""LayerSearchCV: a grid search that sends each image through each network once."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from copy import copy
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.metaestimators import available_if

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._images import images_of
from skdnn._search._callbacks import pass_on
from skdnn._search._describe_search import Described
from skdnn._search._extractors import extractors_in
from skdnn._search._fit_memory import FitMemory
from skdnn._search._folds import make_folds, splitter_of
from skdnn._search._layer_profile import layer_profile
from skdnn._search._precompute import precompute
from skdnn._search._reduced_features import reduced
from skdnn._search._search_card import ShownWithScores
from skdnn._search._temporary_store import TemporaryStore, give_back, lend, with_hashed_weights
from skdnn._search._warn_of_signs import tell_signs
from skdnn._sklearn import fit_context
from skdnn._store import ActivationStore
from skdnn._threads import few_threads


def _with_store(name: str) -> Any:
    """A method of GridSearchCV, by a best estimator that finds its images in the store."""

    def check(search: LayerSearchCV) -> bool:
        try:
            getattr(super(LayerSearchCV, search), name)
        except AttributeError as error:
            raise error.__cause__ or error from None
        return True

    @available_if(check)
    @wraps(getattr(GridSearchCV, name))
    def method(self: LayerSearchCV, X: Any, *args: Any, **params: Any) -> Any:
        return getattr(super(LayerSearchCV, self._ready(X)), name)(X, *args, **params)

    return method


class LayerSearchCV(Described, ShownWithScores, GridSearchCV):
    """Grid search with cross-validation that sends each image through each network once.

    :class:`~sklearn.model_selection.GridSearchCV`, with the same results. But before the search,
    it finds the extractors in the estimator and in the grid, and stores the activations of all
    layers, poolings and models that will be asked for, in one pass through each network.

    Parameters
    ----------
    estimator : estimator
        Holds one or more :class:`~skdnn.DNNFeatureExtractor`, in pipelines, feature unions,
        column transformers or other estimators, however deep. Without any, this is
        GridSearchCV.
    param_grid : dict or list of dict
        Names of parameters and the values to try, e.g. ``{"dnn__layer": ["conv1", "conv2"]}``.
    scoring : str, callable, list, tuple or dict, default=None
        As for GridSearchCV; None is the estimator's ``score``.
    n_jobs : int, default=None
        Processes, for the pass through the networks and for the search.
    refit : bool, str or callable, default=True
        As for GridSearchCV.
    cv : int, cross-validation generator or iterable, default=None
        As for GridSearchCV, but the folds of an integer (None is 5) are shuffled: stimuli
        mostly come sorted by category.
    verbose : int, default=0
        As for GridSearchCV; more than 0 also shows the progress of the pass.
    pre_dispatch : int or str, default="2*n_jobs"
        As for GridSearchCV.
    error_score : "raise" or float, default="raise"
        Score of a candidate that fails, or an error at once.
    return_train_score : bool, default=False
        As for GridSearchCV.
    cache : str, path-like or ActivationStore, default=None
        Where activations of extractors without a cache of their own are kept. None is a
        temporary folder, shared with clones and removed together with the last of them.
    random_state : int, RandomState or None, default=0
        Seed of the shuffling where `cv` is an integer or None.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        As of GridSearchCV.
    best_estimator_ : estimator
        Refitted on all images. It holds no temporary store.
    best_score_ : float
        Mean score of the best candidate.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its place in ``cv_results_``.
    scorer_ : callable or dict
        The scorer.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds of refitting.
    multimetric_ : bool
        Whether there are several scores.
    classes_ : ndarray
        Classes, if the estimator is a classifier.
    n_features_in_ : int
        Number of features, if the estimator knows it.
    feature_names_in_ : ndarray of str
        Names of features, if the estimator knows them.
    layer_profile_ : DataFrame
        Scores by layer, see below.
    reduction_ : str
        Empty if the folds ran on reduced features (see Notes), else why they could not.

    Warns
    -----
    UserWarning
        If an extractor sees something else than X or columns of it, e.g. behind another step of
        a pipeline: it fills its store when it is fitted, layer by layer. Or if signs of
        components decide an RDM, see `keep_correlation` of :class:`~skdnn.GramPCA`.

    See Also
    --------
    skdnn.DNNFeatureExtractor : The extractor; its ``cache`` keeps activations for longer.
    skdnn.ActivationStore : What keeps them.
    sklearn.model_selection.GridSearchCV : Without the one pass.

    Notes
    -----
    Parameters, folds, the labels of y and the headers of image files are checked before the
    first pass.

    *Nested cross-validation.* Clones share the temporary store, so that
    ``cross_validate(LayerSearchCV(...), X, y)`` sends each image through the network once in
    all; to that end, clones also store all layers of the images that they predict or score. The
    folder is made where :mod:`tempfile` says (``TMPDIR`` decides); a search that is loaded from
    a file when that folder is gone makes a new one.

    *Reduced features.* Each layer is read once and turned into as many coordinates as there are
    images, and one (:func:`skdnn.decomposition.isometric`), and the folds run on these: a change
    of coordinates is no fit, so nothing leaks. It is done where every step behind the extractor
    is known to give the same for both: centring, :class:`~skdnn.GramPCA`, ``PCA``,
    ``TruncatedSVD``, ``Normalizer("l2")``, ``Ridge`` and ``RidgeCV`` (exact solvers, any sign),
    ``KernelRidge`` (linear, or rbf with a number as ``gamma``), ``PLSRegression(scale=False)``,
    :class:`~skdnn.encoding.VoxelwiseRidgeCV`, :class:`~skdnn.RDM` (correlation, cosine,
    Euclidean, Gaussian with a number as ``gamma``), :class:`~skdnn.RSAScorer`,
    :class:`~skdnn.rsa.CKAScorer` and scikit-learn's scorers; behind a decomposition also
    ``StandardScaler`` and every ``Normalizer``, but no correlation distance unless the components
    keep it. An estimator of one's own says so by the class attribute
    ``invariant_to_isometry = True``. The first fold is also run in coordinates that are turned
    at random; if that changes a score, the search goes back to the features. Scores are those on
    the features to rounding, which for features of float32 is 1e-5. Decompositions that draw at
    random (``PCA`` of wide data, by default) give the exact value in the folds.
    ``best_estimator_`` is fitted to the features.

    *Work that is not repeated.* Where the folds run on features, and the grid has other axes than
    those of the extractors, pipelines without ``memory`` get one for the time of the search: a
    transformer that has been fitted with the same parameters on the same data is not fitted
    again. What draws random numbers is only reused if its ``random_state`` is an int.

    *Other searches.* What ``RandomizedSearchCV`` draws,
    :class:`~sklearn.model_selection.ParameterSampler` draws too, and a list of grids of one
    candidate each is searched as any other:
    ``LayerSearchCV(pipe, [{k: [v] for k, v in p.items()} for p in ParameterSampler(...)])``.
    ``GridSearchCV``, ``RandomizedSearchCV`` and ``HalvingGridSearchCV`` themselves forward
    nothing when the extractor's cache is warm (:meth:`skdnn.DNNFeatureExtractor.precompute`).
    Halving with RSA needs three conditions in each test fold of the first round:
    ``min_resources`` of three times the number of folds at least, and better many more.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdnn import DNNFeatureExtractor, LayerSearchCV
    >>> rng = np.random.default_rng(0)
    >>> images = rng.integers(0, 256, (6, 40, 60, 3), dtype=np.uint8)
    >>> extractor = DNNFeatureExtractor("alexnet", weights=None, pooling="mean")
    >>> search = LayerSearchCV(
    ...     make_pipeline(extractor, Ridge()),
    ...     {"dnnfeatureextractor__layer": ["features.3", "features.0"]}, cv=3)
    >>> search.fit(images, rng.normal(size=(6, 2))).layer_profile_[["layer", "depth"]]
            layer  depth
    0  features.0      0
    1  features.3      3
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's convention)
        **GridSearchCV._parameter_constraints,
        "cache": [None, str, os.PathLike, ActivationStore],
        "random_state": ["random_state"],
    }

    estimator: Any
    param_grid: Any
    best_estimator_: Any

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: Any = "raise",
        return_train_score: bool = False,
        cache: Any = None,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.cache = cache
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> LayerSearchCV:
        """Store what all candidates need, then run the search.

        Parameters
        ----------
        X : sequence of n_images
            Images, paths, or a table with columns of paths, as the estimator takes them. Of a
            dataset of h5py, no fold is read into memory.
        y : array-like of n_images rows, default=None
            Target.
        **params : dict
            As for GridSearchCV: passed on to the estimator, the scorer and the splitter.

        Returns
        -------
        self : LayerSearchCV
            The search itself.

        Raises
        ------
        ValueError
            For wrong parameters or layers in the grid, folds that are too small, labels of `y`
            that don't match the images, or images that can't be read, all before the first
            pass. What `error_score` is made for comes later.
        """
        running = copy(self)  # its parameters are others, and nobody else has it
        running.__dict__.pop("reduction_", None)
        pass_on(running, self)
        running.cv = splitter_of(self, y)
        extractors = extractors_in([self.estimator, self.param_grid])
        is_grid = type(self)._run_search is GridSearchCV._run_search
        with warnings.catch_warnings():  # for what is said here, once
            known = isinstance(self.estimator, BaseEstimator)
            if known:
                tell_signs(self.estimator, self.param_grid, self.scoring)
            if not known or not extractors:
                return self._take_over(GridSearchCV.fit(running, X, y, **params), None)
            X = images_of(X)  # of a dataset, folds are read image by image
            split_params, fit_params, params = self._routed(params)
            folds = make_folds(running.cv, X, y, self.estimator, self.scoring, **split_params)
            running.cv = folds
            store = self._open_store(extractors)
            given = with_hashed_weights(self.estimator, self.param_grid)
            tolerant = self.error_score != "raise"
            (estimator, grid), repeats = self._precomputed(
                given, store, X, y, verbose=self.verbose, tolerant=tolerant, warn=True
            )
            with reduced(estimator, grid, X, y, folds, self.scoring, is_grid=is_grid) as found:
                running.estimator, running.param_grid, running.reduction_ = found
                self._tell(running.reduction_, len(X))
                if running.reduction_:
                    self._fit_on_images(running, repeats, X, y, params)
                else:
                    with few_threads(len(X)):
                        GridSearchCV.fit(running, np.arange(len(X)), y, **params)
            if self.refit and not running.reduction_:
                self._refit(running, (estimator, grid), X, y, fit_params)
        self._put_back(running, store, extractors)
        chosen = running.best_index_ if self.refit or not running.multimetric_ else None
        profile = None
        if is_grid:
            profile = layer_profile(estimator, grid, running.cv_results_, self.refit, X, chosen)
        return self._take_over(running, profile)

    @property
    def layer_profile_(self) -> pd.DataFrame:
        """Scores by layer, in the order of the network.

        Returns
        -------
        profile : DataFrame
            A row for each layer (a list of layers or a glob is one), with the columns ``layer``,
            ``depth``, ``mean``, ``std``, ``rank``, and the folds ``split0``, ``split1``, ...; also
            ``model``, ``pooling``, ``extractor`` or ``metric`` where there are several, and
            ``ceiling_lower`` and ``ceiling_upper`` with ``RSAScorer(detail=True)`` and several
            subjects. If the grid has other axes, the best candidate of each layer is shown, its
            parameters in further columns, and ``optimistic`` is True: it was chosen on the folds
            that it is scored on.
        """
        profile = self.__dict__.get("_layer_profile")
        if profile is None:
            what = "had no axis of layers" if hasattr(self, "cv_results_") else "was not fitted"
            raise AttributeError(
                f"There is no layer_profile_: the search {what}. Fit it with a grid that has the "
                "parameter 'layer' of a DNNFeatureExtractor."
            )
        return profile

    score = _with_store("score")
    score_samples = _with_store("score_samples")
    predict = _with_store("predict")
    predict_proba = _with_store("predict_proba")
    predict_log_proba = _with_store("predict_log_proba")
    decision_function = _with_store("decision_function")
    transform = _with_store("transform")

    def _routed(self, params: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Of fit's parameters: those of the splitter, of the estimator, and all but the first."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **params)
            rest = {*routed.estimator.fit, *routed.scorer.score}
            others = {name: params[name] for name in params if name in rest}
            return routed.splitter.split, routed.estimator.fit, others
        others = {name: value for name, value in params.items() if name != "groups"}
        return {"groups": params.get("groups")}, others, others

    def _tell(self, reason: str, n: int) -> None:
        if self.verbose > 0:
            from skdnn._progress import tell

            shared = f"what {n} images have in common, {n} x {n + 1} numbers a layer"
            what = f"all units: {reason}" if reason else shared
            tell(f"[LayerSearchCV] folds run on {what}")

    def _fit_on_images(
        self, running: LayerSearchCV, repeats: bool, X: Any, y: Any, params: dict[str, Any]
    ) -> None:
        """As any search, but that fits which repeat are kept."""
        memory = FitMemory() if repeats else None
        try:
            lent = lend((running.estimator, running.param_grid), None, memory)
            running.estimator, running.param_grid = lent
            GridSearchCV.fit(running, X, y, **params)
        finally:
            if memory is not None:
                memory.clear()

    def _refit(self, running: LayerSearchCV, lent: Any, X: Any, y: Any, params: Any) -> None:
        """Fit the best candidate to all images, with all its units."""
        # GridSearchCV has fitted it to their coordinates: one fit of few numbers, by which it
        # checks `refit`, chooses, and lets callbacks count what they announced.
        best = ParameterGrid(lent[1])[running.best_index_]
        estimator = clone(lent[0]).set_params(**clone(best, safe=False))
        start = time.perf_counter()
        estimator.fit(X, **({} if y is None else {"y": y}), **params)
        running.refit_time_ = time.perf_counter() - start
        running.best_estimator_ = estimator
        if hasattr(estimator, "feature_names_in_"):
            running.feature_names_in_ = estimator.feature_names_in_

    def _put_back(
        self,
        running: LayerSearchCV,
        store: ActivationStore | None,
        extractors: Sequence[DNNFeatureExtractor],
    ) -> None:
        """Put the user's own parameters where the results hold what stands for them."""
        results = running.cv_results_
        pairs = zip(ParameterGrid(self.param_grid), ParameterGrid(running.param_grid), strict=True)
        for number, ((mine, lent), held) in enumerate(zip(pairs, results["params"], strict=False)):
            for name, value in mine.items():
                if held.get(name) is lent[name] and lent[name] is not value:
                    held[name] = results[f"param_{name}"][number] = value
        if self.refit:
            lent_store = None if any(each.cache is store for each in extractors) else store
            running.best_estimator_ = give_back(running.best_estimator_, lent_store)

    def _take_over(self, running: LayerSearchCV, profile: pd.DataFrame | None) -> LayerSearchCV:
        """What was found, from the copy that has run: all at once, or nothing."""
        self.__dict__.pop("reduction_", None)  # of an earlier fit
        found = {k: v for k, v in vars(running).items() if k.endswith("_") and k[0] != "_"}
        self.__dict__.update(found, _layer_profile=profile)
        return self

    def _precomputed(
        self, given: Any, store: ActivationStore | None, X: Any, y: Any = None, **options: Any
    ) -> tuple[tuple[Any, Any], bool]:
        """Estimator and grid whose extractors find X in a store, and whether fits repeat."""
        estimator, grid = lend(given, store)
        repeats = precompute(estimator, grid, X, y, n_jobs=self.n_jobs, **options)
        return (estimator, grid), repeats

    def _open_store(self, extractors: Sequence[DNNFeatureExtractor]) -> ActivationStore | None:
        """What is lent to extractors without a cache; None where none of them needs it."""
        if all(each.cache is not None for each in extractors):
            return None
        if self.cache is None:
            return self._temporary_store().open()
        is_open = isinstance(self.cache, ActivationStore)
        return self.cache if is_open else ActivationStore(self.cache)

    def _temporary_store(self) -> TemporaryStore:
        return self.__dict__.setdefault("_temporary", TemporaryStore())

    def _ready(self, X: Any) -> LayerSearchCV:
        """A copy whose best estimator has the store; the search itself stays as it is."""
        best = self.__dict__.get("best_estimator_")
        found = extractors_in(best)
        if not found:
            return self
        store = self._open_store(found)
        if "_is_clone" in self.__dict__:
            # Other clones will want other layers of these images, e.g. in the next outer fold.
            self._precomputed((self.estimator, self.param_grid), store, X, tolerant=True)
        if store is None:
            return self
        twin = copy(self)
        twin.best_estimator_ = lend(best, store)
        return twin

    def __sklearn_clone__(self) -> LayerSearchCV:
        twin = super().__sklearn_clone__()
        if extractors_in([self.estimator, self.param_grid]):
            twin._is_clone = True
            if self.cache is None:
                twin._temporary = self._temporary_store()
        return twin
