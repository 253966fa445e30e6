"""Ridge regression with a penalty for each feature space and voxel, by himalaya's solvers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from skdnn._array_blocks import WORK_ELEMENTS, Array, not_finite
from skdnn._optional import import_optional
from skdnn._sklearn import Interval, fit_context
from skdnn._wording import listed
from skdnn.encoding._blocks_of_columns import blocks_of_columns
from skdnn.encoding._layers._features import LayerFeatures, read_layers
from skdnn.encoding._ridge._folds_and_penalties import check_alphas, make_folds
from skdnn.encoding._ridge._scores import ScoresOfTargets
from skdnn.encoding._shared_checks import check_rows


class BandedRidgeCV(ScoresOfTargets, MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Ridge regression on several feature spaces, each with a penalty of its own for each voxel.

    A single penalty asks all features the same question; a layer of 60,000 units and a table of
    20 categories need different ones. Shares of the spaces are drawn at random and chosen, with
    the strength of the penalty, by cross-validation for each voxel (Dupré la Tour et al., 2022).
    The solvers are himalaya's, on kernels; the extra ``himalaya`` installs it.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,), default=(0.01, 0.1, 1, 10, 100, 1000, 10000)
        Strengths of the penalty, for kernels whose mean diagonal is 1.
    layers : mapping of str to slice or indices, or array-like of shape (n_features,), default=None
        Which columns of X belong to which space, as for :class:`LayerwiseEncoder`. With X as
        :class:`LayerFeatures` or dict, the spaces to use.
    n_iter : int or array-like of shape (n_iter, n_spaces), default=50
        How many shares of the spaces are tried, or the shares themselves: ``np.eye(n)`` lets one
        space win, ``[[1, 1]]`` weighs all alike.
    cv : int, splitter or iterable, default=5
        How training rows are held out. The folds of an integer are shuffled.
    fit_intercept : bool, default=True
        Whether to fit the means.
    target_chunk : int, default=None
        Voxels that are solved together; None takes all at once.
    random_state : int, RandomState instance or None, default=0
        Draws the shares and shuffles the folds.

    Attributes
    ----------
    band_names_ : list of str
        Names of the spaces.
    shares_ : ndarray of shape (n_spaces, n_targets)
        Share of each space in the kernel of each target; they add up to 1.
    alpha_ : ndarray of shape (n_targets,)
        Strength of the penalty of each target.
    band_alphas_ : ndarray of shape (n_spaces, n_targets)
        The penalties on the features as they were given; infinite where a space has no share.
    cv_scores_ : ndarray of shape (n_targets,)
        Mean :math:`R^2` on held-out rows of the best shares and strength.
    n_features_in_ : int
        Number of features of all spaces.

    See Also
    --------
    LayerwiseEncoder : One layer for each voxel, or with ``select="stack"`` a mix of predictions.
    voxel_variance_partitioning : What spaces explain alone and together.

    Notes
    -----
    With :math:`\hat K_b` the inner products of the centred features of space :math:`b`, divided
    by their mean diagonal :math:`s_b` over the training rows, predictions are those of kernel
    ridge regression with :math:`\sum_b \gamma_b \hat K_b` and the penalty :math:`\alpha`: of a
    ridge regression with the penalty :math:`\alpha s_b / \gamma_b` on the features of space
    :math:`b`. Dividing makes the search fair to spaces of different sizes.

    *When to take which.* ``LayerwiseEncoder(select="stack")`` fits each layer by itself and mixes
    the predictions; it has one penalty per layer, takes one pass, and predicts about as well.
    Banded ridge fits all spaces together: take it to ask how much each contributes
    (:meth:`contributions`), and where spaces are of different kinds.

    References
    ----------
    Dupré la Tour, T., Eickenberg, M., Nunez-Elizalde, A. O., & Gallant, J. L. (2022).
    Feature-space selection with banded ridge regression. NeuroImage, 264, 119728.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import BandedRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> spaces = {"early": rng.normal(size=(90, 40)), "late": 100 * rng.normal(size=(90, 60))}
    >>> voxels = np.column_stack([spaces["early"][:, 0], spaces["late"][:, 0]])
    >>> ridge = BandedRidgeCV(n_iter=20).fit(spaces, voxels)
    >>> (ridge.shares_ > 0.5).astype(int)  # a row for each space
    array([[1, 0],
           [0, 1]])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "alphas": ["array-like", Interval(Integral, 0, None, closed="neither")],
        "layers": [Mapping, "array-like", None],
        "n_iter": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "fit_intercept": ["boolean"],
        "target_chunk": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    scoring = "r2"

    def __init__(
        self,
        alphas: ArrayLike = (0.01, 0.1, 1, 10, 100, 1000, 10000),
        *,
        layers: Mapping[str, Any] | ArrayLike | None = None,
        n_iter: int | ArrayLike = 50,
        cv: Any = 5,
        fit_intercept: bool = True,
        target_chunk: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.alphas = alphas
        self.layers = layers
        self.n_iter = n_iter
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.target_chunk = target_chunk
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> BandedRidgeCV:
        """Choose shares and penalty of each target, and fit them to all rows.

        Parameters
        ----------
        X : LayerFeatures, dict of str to array, DataFrame or array-like
            Features of all spaces, (n_samples, n_features) side by side or (n_samples, n_units)
            each.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Responses, a column for each voxel.
        groups : array-like of shape (n_samples,), default=None
            What must stay together when rows are held out; goes to the splitter.

        Returns
        -------
        self : BandedRidgeCV
            The fitted estimator.

        Raises
        ------
        ImportError
            If himalaya is not installed.
        ValueError
            If X or y holds NaN or infinity, a space is constant, or `n_iter` holds shares for
            another number of spaces.
        """
        kernel_ridge = import_optional("himalaya.kernel_ridge", "for banded ridge regression")
        scoring = import_optional("himalaya.scoring", "for banded ridge regression")
        alphas = check_alphas(self.alphas)
        features = read_layers(X, self.layers)
        check_rows(features, y)
        Y = check_array(y, dtype=np.float64, ensure_2d=False, allow_nd=False, input_name="y")
        self._single = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        if len(Y) != len(features):
            raise ValueError(f"X has {len(features)} rows and y {len(Y)}.")
        rng = check_random_state(self.random_state)
        folds = make_folds(self.cv, features, Y, groups, rng, shuffle=True)
        if folds is None:
            raise ValueError("cv=None: a single row has no R2. Give a number of folds.")
        self.band_names_ = features.names
        self.n_features_in_ = features.shape[1]
        self._train = features
        self._means = [self._mean(name, features.layer(name)) for name in features.names]
        kernels = self._products(features, features)
        self._scales = np.trace(kernels, axis1=1, axis2=2) / len(Y)
        flat = [name for name, s in zip(features.names, self._scales, strict=True) if not s > 0]
        if flat:
            raise ValueError(f"the features of {listed(flat)} are the same in all rows.")
        kernels /= self._scales[:, None, None]
        with _numpy_backend(), np.errstate(divide="ignore"):  # the logarithm of no share
            found = kernel_ridge.solve_multiple_kernel_ridge_random_search(
                kernels,
                Y,
                n_iter=self._shares(len(features.names), rng),
                alphas=alphas,
                score_func=scoring.r2_score,
                cv=check_cv(folds),
                fit_intercept=self.fit_intercept,
                return_weights="dual",
                n_targets_batch=self.target_chunk,
                n_targets_batch_refit=self.target_chunk,
                progress_bar=False,
            )
        self._deltas, self._dual, scores = found[:3]
        self._intercept = found[3] if self.fit_intercept else np.zeros(Y.shape[1])
        weights = np.exp(self._deltas)  # share over strength
        self.alpha_ = 1 / weights.sum(axis=0)
        self.shares_ = weights * self.alpha_
        with np.errstate(divide="ignore"):
            self.band_alphas_ = self._scales[:, None] / weights
        self.cv_scores_ = scores.max(axis=0)
        return self

    def _shares(self, n_bands: int, rng: np.random.RandomState) -> Array:
        """The shares to try, each summing to 1: all alike first, then one space alone, then drawn.

        Half are drawn from a flat Dirichlet distribution and half from one that leaves most to
        few spaces, as himalaya does.
        """
        if np.ndim(self.n_iter):
            given = np.asarray(self.n_iter, dtype=np.float64)
            if given.ndim != 2 or given.shape[1] != n_bands or (given < 0).any():
                raise ValueError(
                    f"n_iter has shape {given.shape}: give a row of shares of {n_bands} spaces, "
                    "none below 0, for each try."
                )
            return given / given.sum(axis=1, keepdims=True)
        n_iter = int(self.n_iter)  # type: ignore[arg-type]
        sure = np.vstack([np.full((1, n_bands), 1 / n_bands), np.eye(n_bands)])
        drawn = [
            rng.dirichlet(np.full(n_bands, (1.0, 0.1)[number % 2])) for number in range(n_iter)
        ]
        return np.vstack([sure, *drawn])[: max(n_iter, 1)]

    def _mean(self, name: str, array: Any) -> Array:
        """Mean of each feature, with a look at all of them; zeros without an intercept."""
        mean = np.zeros(array.shape[1])
        for columns, (block,) in blocks_of_columns(array):
            if not_finite(block).size:
                raise ValueError(f"The features of {name!r} hold NaN or infinity.")
            if self.fit_intercept:
                mean[columns] = block.mean(axis=0)
        return mean

    def _products(self, rows: LayerFeatures, columns: LayerFeatures) -> Array:
        """Inner products of centred features: (n_spaces, n_rows, n_columns)."""
        out = np.zeros((len(self.band_names_), len(rows), len(columns)))
        step = max(1, WORK_ELEMENTS // max(len(rows), len(columns)))
        for product, name, mean in zip(out, self.band_names_, self._means, strict=True):
            pairs = zip(
                blocks_of_columns(rows.layer(name), step=step),
                blocks_of_columns(columns.layer(name), step=step),
                strict=True,
            )
            for (part, (first,)), (_, (second,)) in pairs:
                product += (first - mean[part]) @ (second - mean[part]).T
        return out

    def predict_bands(self, X: Any) -> Array:
        """Predict from each space alone; the sum, with the intercept, is the prediction.

        Parameters
        ----------
        X : LayerFeatures, dict of str to array, DataFrame or array-like
            Features of the same spaces as in ``fit``.

        Returns
        -------
        parts : ndarray of shape (n_spaces, n_samples, n_targets)
            Without the intercept.
        """
        check_is_fitted(self)
        features = read_layers(X, self.layers)
        sizes = {name: features.layer(name).shape[1] for name in features.names}
        fitted = {name: self._train.layer(name).shape[1] for name in self.band_names_}
        if {name: sizes.get(name) for name in fitted} != fitted:
            raise ValueError(f"X has spaces {sizes}, but {fitted} were fitted.")
        kernels = self._products(features, self._train) / self._scales[:, None, None]
        return np.stack(
            [k @ (self._dual * np.exp(d)) for k, d in zip(kernels, self._deltas, strict=True)]
        )

    def predict(self, X: Any) -> Array:
        """Predict each target from all spaces.

        Parameters
        ----------
        X : LayerFeatures, dict of str to array, DataFrame or array-like
            Features of the same spaces as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_samples, n_targets) or (n_samples,)
            Predictions.
        """
        predicted = self.predict_bands(X).sum(axis=0) + self._intercept
        return predicted[:, 0] if self._single else predicted

    def _with_model(self) -> NDArray[np.bool_]:
        return np.ones(len(self.cv_scores_), dtype=bool)

    def contributions(self, X: Any, y: ArrayLike) -> Array:
        r"""Split :math:`R^2` into what each space contributes, the product measure.

        Parameters
        ----------
        X : LayerFeatures, dict of str to array, DataFrame or array-like
            Features; of rows that were not fitted, to say what each space predicts.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Responses.

        Returns
        -------
        parts : ndarray of shape (n_spaces, n_targets)
            They add up to :math:`R^2` with means taken off; NaN for constant targets.

        Notes
        -----
        :math:`R^2_b = \sum \hat y_b (2y - \hat y) / \sum y^2`, over rows, with means of these rows
        taken off (Dupré la Tour et al., 2022). A part is below 0 where a space makes the
        prediction worse.
        """
        parts = self.predict_bands(X)
        parts -= parts.mean(axis=1, keepdims=True)
        truth = np.asarray(y, dtype=np.float64).reshape(parts.shape[1], -1)
        truth = truth - truth.mean(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (parts * (2 * truth - parts.sum(axis=0))).sum(axis=1) / (truth**2).sum(axis=0)
        return np.where(np.ptp(truth, axis=0) > 0, found, np.nan)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.layers is not None
        return tags


@contextmanager
def _numpy_backend() -> Iterator[None]:
    """himalaya's backend is one for the whole process: it is put back."""
    backends = import_optional("himalaya.backend", "for banded ridge regression")
    before = backends.get_backend()
    backends.set_backend("numpy")
    try:
        yield
    finally:
        backends.set_backend(before)
