"""Ridge regression for many voxels, each with a penalty of its own."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from skdnn._array_blocks import Array, checked_features
from skdnn._sklearn import Interval, StoredAttributesHTML, StrOptions, fit_context
from skdnn.encoding._ridge._cross_validation import cv_scores
from skdnn.encoding._ridge._device import Device
from skdnn.encoding._ridge._folds_and_penalties import check_alphas, make_folds, working_dtype
from skdnn.encoding._ridge._products import FeatureProducts
from skdnn.encoding._ridge._scores import ScoresOfTargets, choose, choose_one
from skdnn.encoding._ridge._solution import solve
from skdnn.encoding._ridge._targets import Targets, check_targets, read_targets
from skdnn.encoding._shared_checks import check_rows, check_weights


class VoxelwiseRidgeCV(
    StoredAttributesHTML, ScoresOfTargets, MultiOutputMixin, RegressorMixin, BaseEstimator
):
    r"""Ridge regression with the penalty of each voxel chosen by cross-validation.

    What scikit-learn's :class:`~sklearn.linear_model.RidgeCV` does for a few targets, for tens of
    thousands: all penalties and all targets of a fold come from one eigendecomposition, in the
    primal or the dual form, whichever is smaller. Groups are respected inside, X and y may stay
    on disk, and ``score`` is one number, so that pipelines and searches take it.

    Parameters
    ----------
    alphas : array-like or float, default=(0.1, 1, 10, 100, 1000, 10000, 100000)
        Penalties to choose from, all positive.
    cv : int, splitter, iterable or None, default=5
        How rows are held out to choose the penalty. An integer is that many folds: of successive
        rows, **not shuffled**, as everywhere in scikit-learn (see `random_state`), or with
        ``groups`` whole groups. None leaves out each row in turn, in closed form.
    scoring : {"r2", "correlation"}, default="r2"
        What the chosen penalty makes best: the mean over folds, or with ``cv=None`` the score of
        all left-out predictions together.
    fit_intercept : bool, default=True
        Whether to fit a constant, which is not penalised.
    alpha_per_target : bool, default=True
        Whether each target has its own penalty. False takes the one whose score is best in the
        mean over targets.
    solver : {"auto", "primal", "dual"}, default="auto"
        What is decomposed: inner products of features or of rows. ``"auto"`` takes the dual form
        where there are more features than rows to fit on, for each fold anew.
    store : {"auto", "coef", "dual"}, default="auto"
        What a fit in the dual form keeps: a coefficient for each feature and target; a
        coefficient for each row and target, and the rows of X themselves (not a copy); or
        whichever takes less memory.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Of products with targets, coefficients and predictions; ``"auto"`` is that of X where it
        is float32, else float64. Inner products and eigenvectors are float64 always.
    nan_targets : {"error", "nan"}, default="error"
        What to do with targets that hold NaN or infinity: refuse them, or leave them without a
        model, with NaN for coefficients, predictions and scores.
    target_chunk : int, default=None
        Targets that are read and computed on at a time, at most. None takes 1024 or so.
    device : str, default="cpu"
        ``"cpu"`` computes with numpy; any other is a device of torch, such as ``"cuda"``.
    random_state : int, RandomState instance or None, default=None
        Shuffles the rows (or groups) before an integer `cv` parts them; None does not shuffle.

    Attributes
    ----------
    alpha_ : ndarray of shape (n_targets,), or float
        The chosen penalty of each target, NaN where there is no model; a number if y was
        one-dimensional or ``alpha_per_target=False``.
    best_score_ : ndarray of shape (n_targets,), or float
        Its cross-validated score.
    cv_scores_ : ndarray of shape (n_alphas, n_targets) or (n_alphas,)
        Cross-validated score of each penalty.
    coef_ : ndarray of shape (n_targets, n_features_in_) or (n_features_in_,)
        Coefficients. Where only ``dual_coef_`` is kept, they are computed when asked for.
    dual_coef_ : ndarray of shape (n_samples, n_targets) or None
        Coefficients of the centred rows of ``X_fit_``, if they are what is kept.
    X_fit_ : ndarray or lazy array of shape (n_samples, n_features_in_) or None
        The rows of ``fit``, if ``dual_coef_`` is kept.
    intercept_ : ndarray of shape (n_targets,), or float
        The constant of each target.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    Warns
    -----
    RuntimeWarning
        With the number of targets that are constant, or with ``nan_targets="nan"`` not all
        numbers.

    See Also
    --------
    LayerwiseEncoder : Chooses a layer for each voxel too.
    sklearn.linear_model.RidgeCV : One penalty for all targets unless ``cv=None``.

    Notes
    -----
    **Stimuli are often sorted** by category or by session. With successive rows as folds, the
    model is then tested on kinds of stimuli that it was not fitted on, and large penalties win:
    give ``random_state``, a shuffled splitter, or ``groups`` where repeats of an image or the
    images of a run must stay together.

    **The solution.** With centred rows :math:`X_c`, the dual form is
    :math:`w = X_c^\top (X_c X_c^\top + \alpha I)^{-1} y_c`, the primal
    :math:`w = (X_c^\top X_c + \alpha I)^{-1} X_c^\top y_c`. In the dual form X is read once by
    blocks of columns; the Gram matrix of each fold is a part of that of all rows, centred anew.
    Folds whose targets are constant have no score and don't count. Of equal scores the first
    penalty wins; a target without a score in any fold takes the largest.

    Leaving out row i, the residual is :math:`e_i / (1 - h_i)` with residual :math:`e_i` and
    leverage :math:`h_i` of the fit to all rows. Then ``scoring="r2"`` chooses as the mean squared
    error does.

    **Lazy arrays.** X and y may be anything with ``shape``, a numpy ``dtype``, and slicing by rows
    and columns: a dataset of h5py, a stored layer; a :class:`numpy.memmap` stays on disk too. The
    dual form holds blocks of X, some matrices of rows by rows, and blocks of targets; the primal
    one all of X in float64. Blocks of targets are shared out among as many threads as BLAS has.

    **float32** halves the time, and is exact to about 1e-5 relative; penalties whose scores are
    closer than that may change places.

    The metadata ``groups`` of ``fit`` is requested with ``set_fit_request(groups=True)`` where
    scikit-learn's metadata routing is enabled.

    References
    ----------
    Hoerl, A. E., & Kennard, R. W. (1970). Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics, 12(1), 55-67.

    Dupré la Tour, T., Eickenberg, M., Nunez-Elizalde, A. O., & Gallant, J. L. (2022).
    Feature-space selection with banded ridge regression. NeuroImage, 264, 119728.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import VoxelwiseRidgeCV
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(100, 300))
    >>> voxels = features[:, :3] @ rng.normal(size=(3, 4)) + rng.normal(size=(100, 4))
    >>> model = VoxelwiseRidgeCV([1, 100, 1000], random_state=0).fit(features[:80], voxels[:80])
    >>> model.alpha_
    array([  1., 100., 100.,   1.])
    >>> model.score_per_target(features[80:], voxels[80:]).shape
    (4,)
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "alphas": ["array-like", Interval(Real, 0, None, closed="neither")],
        "cv": ["cv_object"],
        "scoring": [StrOptions({"r2", "correlation"})],
        "fit_intercept": ["boolean"],
        "alpha_per_target": ["boolean"],
        "solver": [StrOptions({"auto", "primal", "dual"})],
        "store": [StrOptions({"auto", "coef", "dual"})],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "nan_targets": [StrOptions({"error", "nan"})],
        "target_chunk": [Interval(Integral, 1, None, closed="left"), None],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        alphas: ArrayLike = (0.1, 1, 10, 100, 1000, 10000, 100000),
        *,
        cv: Any = 5,
        scoring: str = "r2",
        fit_intercept: bool = True,
        alpha_per_target: bool = True,
        solver: str = "auto",
        store: str = "auto",
        dtype: str = "auto",
        nan_targets: str = "error",
        target_chunk: int | None = None,
        device: str = "cpu",
        random_state: Any = None,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.fit_intercept = fit_intercept
        self.alpha_per_target = alpha_per_target
        self.solver = solver
        self.store = store
        self.dtype = dtype
        self.nan_targets = nan_targets
        self.target_chunk = target_chunk
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike | Any,
        y: ArrayLike | Any,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | float | None = None,
    ) -> VoxelwiseRidgeCV:
        """Choose a penalty for each target, and fit it to all rows.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Features.
        y : array-like or lazy array of shape (n_samples,) or (n_samples, n_targets)
            Responses, a column for each voxel.
        groups : array-like of shape (n_samples,), default=None
            What must stay together when rows are held out; goes to the splitter.
        sample_weight : float or array-like of shape (n_samples,), default=None
            Weights of the rows, as :class:`~sklearn.linear_model.Ridge` takes them: the squared
            errors are multiplied by them, and means are weighted. Numbers of repeats, for
            averages of repeats. Scores of held-out rows are not weighted.

        Returns
        -------
        self : VoxelwiseRidgeCV
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, or under ``nan_targets="error"`` y, has NaN or infinity; if penalties are not
            positive; if weights are negative; or if ``groups`` are given with ``cv=None``.
        """
        alphas = check_alphas(self.alphas)
        check_rows(X, y)
        X = checked_features(self, X, reset=True, min_rows=2)
        weights = check_weights(sample_weight, X.shape[0])
        Y, self._single = check_targets(y, X.shape[0], self)
        chance = self.random_state
        folds = make_folds(self.cv, X, y, groups, chance, shuffle=chance is not None)
        targets = read_targets(
            Y,
            centre=self.fit_intercept,
            nan_targets=self.nan_targets,
            size=self.target_chunk,
            stacklevel=4,
            weights=weights,
        )
        device = Device(self.device, working_dtype(self.dtype, X.dtype))
        problem = FeatureProducts(
            X,
            fit_intercept=self.fit_intercept,
            solver=self.solver,
            device=device,
            weights=weights,
        )
        scores = cv_scores(problem, targets, folds, alphas, self.scoring)
        alpha = self._choose(scores, alphas, targets)
        self._solution = solution = solve(problem, targets, alpha, store=self.store)
        self.dual_coef_ = solution.dual
        self.X_fit_ = solution.X
        self.intercept_ = solution.intercept[0] if self._single else solution.intercept
        return self

    def _choose(self, scores: Array, alphas: Array, targets: Targets) -> Array:
        """Set what is known of the penalties; returns one for each target."""
        usable = targets.usable
        alpha, best = choose(scores, alphas, usable)
        if not self.alpha_per_target:
            alpha, best = choose_one(scores, alphas, usable)
        if self._single or not self.alpha_per_target:
            self.alpha_: Any = float(alpha[usable][0]) if usable.any() else float("nan")
        else:
            self.alpha_ = alpha
        self.best_score_ = float(best[0]) if self._single else best
        self.cv_scores_ = scores[:, 0] if self._single else scores
        self._usable = usable
        return alpha

    @property
    def coef_(self) -> NDArray[np.floating]:
        """Coefficients of features, computed where only those of rows are kept.

        Returns
        -------
        coef : ndarray of shape (n_targets, n_features_in_) or (n_features_in_,)
            Of the estimator's dtype.
        """
        if not hasattr(self, "_solution"):
            raise AttributeError("coef_ is there after fit.")
        coef = self._solution.coefficients()
        return coef[0] if self._single else coef

    def predict(self, X: ArrayLike | Any) -> NDArray[np.floating]:
        """Predict responses.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : ndarray of shape (n_samples, n_targets) or (n_samples,)
            NaN for targets without a model.
        """
        check_is_fitted(self)
        predicted = self._solution.predict(checked_features(self, X, reset=False), "X")
        return predicted[:, 0] if self._single else predicted

    def _with_model(self) -> NDArray[np.bool_]:
        return self._usable
