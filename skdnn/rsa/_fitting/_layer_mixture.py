"""Mixtures of layers' RDMs: non-negative weights, learnt from the training conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.spatial.distance import squareform
from sklearn.utils.validation import check_is_fitted, validate_data

from skdnn._sklearn import fit_context
from skdnn.rsa._comparison._rdm_stack import check_square, check_unique, pair_positions, rdm_name
from skdnn.rsa._dissimilarity._compute_rdm import check_metric, compute_rdm
from skdnn.rsa._fitting._rdm_predictor import (
    SHARED_CONSTRAINTS,
    RDMPredictor,
    best_alpha,
    check_length,
    condition_folds,
    held_out_scores,
    needed_target,
    read_alphas,
)

Array = NDArray[np.float64]
Positions = dict[str, NDArray[np.intp]]

_NO_PENALTY = np.zeros(1)
# A spread over pairs below this share of the largest value is round-off.
_CONSTANT = 1e-12


def stack_layers(features: Mapping[str, ArrayLike]) -> tuple[NDArray[Any], NDArray[np.object_]]:
    """Put the features of several layers side by side.

    Parameters
    ----------
    features : dict of str to array-like of shape (n_conditions, ...)
        Features by layer, as ``DNNFeatureExtractor.extract`` gives them; those of more
        dimensions are flattened.

    Returns
    -------
    X : ndarray of shape (n_conditions, n_features)
        All features, in the order of the layers.
    groups : ndarray of shape (n_features,), object
        Name of each column's layer.

    Raises
    ------
    ValueError
        If there is no layer, or layers have different numbers of conditions.

    See Also
    --------
    LayerMixtureRSA : Takes both.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import stack_layers
    >>> X, groups = stack_layers({"conv1": np.zeros((5, 2, 3)), "fc6": np.ones((5, 4))})
    >>> X.shape
    (5, 10)
    >>> groups[[0, 5, 6]]
    array(['conv1', 'conv1', 'fc6'], dtype=object)
    """
    arrays = {name: np.asarray(values) for name, values in features.items()}
    lengths = {name: values.shape[0] if values.ndim else 0 for name, values in arrays.items()}
    if not arrays or len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(
            f"features must hold layers with the same number of conditions, got {lengths}."
        )
    flat = {name: values.reshape(len(values), -1) for name, values in arrays.items()}
    groups = np.repeat(
        np.array(list(flat), dtype=object), [values.shape[1] for values in flat.values()]
    )
    return np.concatenate(list(flat.values()), axis=1), groups


class LayerMixtureRSA(RDMPredictor):
    r"""Predict an RDM as a non-negative mixture of the RDMs of several layers.

    Each layer's features become an RDM; non-negative least squares gives each RDM a weight, so
    that their sum fits the target's dissimilarities among the training conditions, and
    ``predict`` mixes the layers' RDMs of other conditions (Khaligh-Razavi & Kriegeskorte, 2014).

    Parameters
    ----------
    comparison : str, default="spearman"
        How the mixture and the target RDM are compared in ``score``, and in choosing alpha; see
        :func:`skdnn.rsa.compare_rdms`.
    groups : array-like, dict or None, default=None
        Which columns of X are which layer's: the layer of each column, as
        :func:`skdnn.rsa.stack_layers` gives it, or a dict from layer to a slice, mask or list of
        column positions. None: the columns of X are a MultiIndex of layer and unit. Precomputed
        RDMs need none.
    metric : str, default="correlation"
        Dissimilarity of a layer's features, see :func:`skdnn.rsa.compute_rdm`.
        ``"precomputed"``: X holds labelled RDMs side by side, a DataFrame whose columns are a
        MultiIndex of layer and condition; as in y, the row labels pick the columns, so that
        cross-validation may slice rows only.
    target : {"auto", "rdm", "patterns"}, default="auto"
        What y is, see :class:`RSAScorer`.
    target_metric : str, default="correlation"
        Dissimilarity for patterns in y.
    fit_intercept : bool, default=True
        Add a constant to all pairs. It changes no correlation.
    alphas : float or array-like, default=0.0
        Strength of a ridge penalty on the weights, per pair: with 1 it counts as much as the
        variance of one layer's RDM. 0 is plain non-negative least squares. Of several values,
        the one with the best score in cross-validation over the training conditions is taken;
        None is 0.
    cv : int, splitter or iterable, default=None
        The inner cross-validation that chooses among several alphas; its folds are folds of
        *conditions*. An int is a shuffled :class:`~sklearn.model_selection.KFold`; None is five
        folds, or fewer where a fold would have less than four conditions. A splitter must need
        no y.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds where `cv` is None or an int.

    Attributes
    ----------
    weights_ : ndarray of shape (n_layers,), float64
        Weight of each layer's normalised RDM, none negative.
    layer_names_ : list of str
        Names of the layers, in the order of the weights.
    intercept_ : float
        Constant that is added to all pairs.
    rdm_mean_ : ndarray of shape (n_layers,), float64
        Mean of each layer's RDM over the training pairs; 0 without an intercept.
    rdm_scale_ : ndarray of shape (n_layers,), float64
        Its standard deviation over them (root mean square without an intercept);
        infinite for an RDM that is constant there.
    alpha_ : float
        The penalty that was taken.
    alphas_ : ndarray of shape (n_alphas,), float64
        The penalties that were tried.
    cv_scores_ : ndarray of shape (n_alphas,) or None
        Mean score of each over the inner folds; None if there was only one.
    target_ : {"rdm", "patterns"}
        What y was taken for.
    rdm_names_ : list of str
        Names of the separate RDMs in y; empty if there is only one.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    See Also
    --------
    stack_layers : Features of several layers side by side.
    FeatureReweightedRSA : A weight for every feature.
    regression_rsa : Several RDMs at once, without held-out conditions.

    Notes
    -----
    With layers' RDMs :math:`r_k`, normalised over the :math:`P` training pairs by their mean
    :math:`m_k` and scale :math:`s_k`, and target :math:`d`, the weights minimise

    .. math::
        \sum_{i<j} \Big( d_{ij} - b - \sum_k w_k \frac{r_{k,ij} - m_k}{s_k} \Big)^2
        + \alpha P \sum_k w_k^2, \qquad w_k \ge 0.

    Means and scales are those of the training pairs in ``predict`` too, so nothing of the
    test conditions goes into the weights. Non-negative weights keep a sum of squared Euclidean
    distances one of a concatenation of the layers, each scaled.

    *Several RDMs in y* (MultiIndex columns) have one set of weights in common, fitted to the
    mean of the RDMs, each z-scored over the training pairs first.

    *Unknown pairs* (NaN in y or a layer's RDM) are left out of the fit, and are NaN in the
    prediction where a layer with a positive weight lacks them.

    If no layer is positively related to the target, all weights are zero: the predicted RDM is
    constant, and scores 0. Such folds belong in the mean over folds; without them it would be
    below 0 where there is no relation.

    References
    ----------
    Khaligh-Razavi, S.-M., & Kriegeskorte, N. (2014). Deep supervised, but not unsupervised,
    models may explain IT cortical representation. PLOS Computational Biology, 10(11), e1003915.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import KFold, cross_val_score
    >>> from skdnn.rsa import LayerMixtureRSA, stack_layers
    >>> rng = np.random.default_rng(0)
    >>> X, groups = stack_layers({name: rng.normal(size=(40, 30)) for name in ("a", "b", "c")})
    >>> voxels = np.c_[X[:, :30], 0.6 * X[:, 60:]]  # layers "a" and "c"
    >>> model = LayerMixtureRSA("pearson", groups=groups)
    >>> dict(zip(model.fit(X, voxels).layer_names_, model.weights_.round(3).tolist()))
    {'a': 0.134, 'b': 0.001, 'c': 0.048}
    >>> cross_val_score(model, X, voxels, cv=KFold(4, shuffle=True, random_state=0)).round(2)
    array([0.99, 0.98, 0.98, 0.99])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        **SHARED_CONSTRAINTS,
        "groups": ["array-like", dict, None],
        "metric": [str],
    }

    def __init__(
        self,
        comparison: str = "spearman",
        *,
        groups: ArrayLike | Mapping[str, Any] | None = None,
        metric: str = "correlation",
        target: str = "auto",
        target_metric: str = "correlation",
        fit_intercept: bool = True,
        alphas: float | ArrayLike | None = 0.0,
        cv: Any = None,
        random_state: Any = None,
    ) -> None:
        self.comparison = comparison
        self.groups = groups
        self.metric = metric
        self.target = target
        self.target_metric = target_metric
        self.fit_intercept = fit_intercept
        self.alphas = alphas
        self.cv = cv
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> LayerMixtureRSA:
        """Learn the weights from the pairs of the training conditions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_features)
            Features of all layers side by side, or labelled RDMs.
        y : array-like or DataFrame of shape (n_conditions, n_columns)
            Target: patterns or labelled RDM, as :class:`RSAScorer` takes it.

        Returns
        -------
        self : LayerMixtureRSA
            The estimator itself.

        Raises
        ------
        ValueError
            If y is refused (see :class:`RSAScorer`), the columns of X cannot be told apart into
            layers, or no target RDM varies among the conditions.
        """
        if self.metric != "precomputed":
            check_metric(self.metric, None, None)
        layers = self._layer_rdms(X, reset=True)
        targets = self._read_y(X, y)
        self.layer_names_ = list(layers)
        rdms = np.stack(list(layers.values()))
        n_conditions = np.shape(X)[0]
        check_length(targets, n_conditions)
        target = needed_target(targets)
        self.alphas_ = read_alphas(self.alphas, _NO_PENALTY, zero=True)
        self.alpha_, self.cv_scores_ = float(self.alphas_[0]), None
        if len(self.alphas_) > 1:
            folds = condition_folds(self.cv, n_conditions, self.random_state)

            def fit_predict(train: Any, test: Any, known: Array, alphas: Array) -> Array:
                seen = rdms[:, pair_positions(train, n_conditions)]
                fitted = fit_mixture(seen, known, alphas, self.fit_intercept)
                return mix(rdms[:, pair_positions(test, n_conditions)], *fitted)

            self.cv_scores_ = held_out_scores(
                fit_predict, targets, self.alphas_, folds, self.comparison
            )
            self.alpha_ = best_alpha(self.alphas_, self.cv_scores_)
        weights, intercept, self.rdm_mean_, self.rdm_scale_ = fit_mixture(
            rdms, target, np.array([self.alpha_]), self.fit_intercept
        )
        self.weights_ = weights[0]
        self.intercept_ = float(intercept)
        return self

    @property
    def _compares_by(self) -> str:
        return self.metric

    def predict(self, X: ArrayLike | pd.DataFrame) -> Array:
        """Mixed RDM of the conditions in X.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_features)
            Features or labelled RDMs of any conditions, of the layers seen in ``fit``.

        Returns
        -------
        rdm : ndarray of shape (n_conditions, n_conditions), float64
            Symmetric, with a zero diagonal.
        """
        check_is_fitted(self)
        layers = self._layer_rdms(X, reset=False)
        if set(layers) != set(self.layer_names_):
            raise ValueError(
                f"X has the layers {list(layers)}, but the weights are of {self.layer_names_}."
            )
        rdms = np.stack([layers[name] for name in self.layer_names_])
        pairs = mix(
            rdms, self.weights_[None], np.float64(self.intercept_), self.rdm_mean_, self.rdm_scale_
        )[0]
        return squareform(pairs, checks=False)

    def _layer_rdms(self, X: Any, *, reset: bool) -> dict[str, Array]:
        """Condensed RDM of each layer."""
        if self.metric == "precomputed":
            # Columns are conditions: their number is free, but that of the layers is not.
            if reset:
                self.n_features_in_ = np.shape(X)[1]
            return _precomputed(X)
        columns = X.columns if isinstance(X, pd.DataFrame) else None
        index = X.index if isinstance(X, pd.DataFrame) else None
        features = validate_data(self, X, reset=reset, ensure_min_samples=2)
        positions = layer_positions(self.groups, columns, features.shape[1])
        out = {}
        for name, where in positions.items():
            part = features[:, where]
            labelled = part if index is None else pd.DataFrame(part, index=index)
            rdm = np.asarray(compute_rdm(labelled, self.metric))
            out[name] = squareform(rdm, checks=False)
        return out


def layer_positions(groups: Any, columns: pd.Index | None, n_features: int) -> Positions:
    """Positions of each layer's columns."""
    if groups is None:
        if not isinstance(columns, pd.MultiIndex):
            raise ValueError(
                "Which columns of X are which layer's? Pass groups=, e.g. X, groups = "
                "skdnn.rsa.stack_layers(features), or a DataFrame whose columns are a MultiIndex "
                "of layer and unit."
            )
        groups = [rdm_name(key) for key in columns.droplevel(-1)]
    if isinstance(groups, Mapping):
        found = {str(name): _column_numbers(where, n_features) for name, where in groups.items()}
        empty = [name for name, where in found.items() if len(where) == 0]
        if empty or not found:
            raise ValueError(f"groups has no columns for {', '.join(map(repr, empty)) or 'any'}.")
        return found
    labels = np.asarray(groups, dtype=object)
    if labels.shape != (n_features,):
        raise ValueError(
            f"groups has shape {labels.shape}, but must name the layer of each of the "
            f"{n_features} columns of X."
        )
    codes, names = pd.factorize(labels)
    if (codes < 0).any():
        raise ValueError("groups has no layer for some columns of X: each needs a name.")
    return {str(name): np.flatnonzero(codes == code) for code, name in enumerate(names)}


def _column_numbers(where: Any, n_features: int) -> NDArray[np.intp]:
    try:
        numbers: NDArray[np.intp] = np.arange(n_features)[where]
    except IndexError as error:
        raise ValueError(f"groups asks for columns that X doesn't have: {error}") from error
    return numbers


def _precomputed(X: Any) -> dict[str, Array]:
    if not isinstance(X, pd.DataFrame) or not isinstance(X.columns, pd.MultiIndex):
        raise ValueError(
            "metric='precomputed' needs labelled RDMs side by side: pd.concat({'conv1': first, "
            "'fc6': second}, axis=1) of DataFrames whose index and columns are the conditions."
        )
    check_unique(X.index, "row labels of X")
    keys = X.columns.droplevel(-1)
    out = {}
    for key in keys.unique():
        name = rdm_name(key)
        part = X.loc[:, np.asarray(keys == key)]
        labels = part.columns.get_level_values(-1)
        check_unique(labels, f"column labels of {name!r} in X")
        positions = labels.get_indexer(X.index)
        if (positions < 0).any():
            missing = ", ".join(map(repr, X.index[positions < 0][:5]))
            raise ValueError(
                f"The RDM of {name!r} in X has no column for its rows {missing}: rows and "
                "columns need the same labels."
            )
        square = part.to_numpy(dtype=np.float64)[:, positions]
        out[name] = squareform(check_square(square, f"the RDM of {name!r} in X"), checks=False)
    return out


def fit_mixture(
    rdms: Array, target: Array, alphas: Array, intercept: bool
) -> tuple[Array, np.float64, Array, Array]:
    """Weights (n_alphas, n_layers), intercept, and the mean and scale of each RDM.

    Rows of `rdms` are condensed RDMs; pairs that are NaN anywhere are left out.
    """
    known = ~(np.isnan(target) | np.isnan(rdms).any(axis=0))
    if known.sum() < 2:
        raise ValueError(
            "Fewer than two pairs of training conditions are known (not NaN) in y and in every "
            "layer's RDM."
        )
    part, wanted = rdms[:, known], target[known]
    mean = part.mean(axis=1) if intercept else np.zeros(len(part))
    constant = wanted.mean() if intercept else np.float64(0)
    centred = part - mean[:, None]
    scale = np.sqrt(np.mean(centred**2, axis=1))
    scale[scale <= _CONSTANT * np.abs(part).max(axis=1)] = np.inf  # constant: adds nothing
    design = (centred / scale[:, None]).T
    # Least squares on the triangle is least squares on all pairs.
    rotation, triangle = np.linalg.qr(design)
    right = rotation.T @ (wanted - constant)
    padding = np.zeros(len(rdms))
    weights = np.stack(
        [
            nnls(
                np.concatenate([triangle, np.sqrt(alpha * len(wanted)) * np.eye(len(rdms))]),
                np.concatenate([right, padding]),
            )[0]
            for alpha in alphas
        ]
    )
    return weights, constant, mean, scale


def mix(rdms: Array, weights: Array, intercept: np.float64, mean: Array, scale: Array) -> Array:
    """Predicted pairs, a row for each row of weights."""
    used = (weights > 0).any(axis=0)  # NaN of layers without a weight are nobody's
    normalised = (rdms[used] - mean[used, None]) / scale[used, None]
    return intercept + weights[:, used] @ normalised
