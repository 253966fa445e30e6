"""Encoding models over several layers, the layer of each voxel chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from skdnn._array_blocks import Array
from skdnn._sklearn import Interval, StrOptions, fit_context
from skdnn.encoding._layers._features import LayerFeatures, read_layers
from skdnn.encoding._layers._stacking import residual_products, simplex_weights
from skdnn.encoding._ridge._cross_validation import Fold, cv_scores
from skdnn.encoding._ridge._device import Device
from skdnn.encoding._ridge._folds_and_penalties import check_alphas, make_folds, working_dtype
from skdnn.encoding._ridge._products import FeatureProducts
from skdnn.encoding._ridge._scores import ScoresOfTargets, choose, mean_of_known
from skdnn.encoding._ridge._solution import Solution, solve
from skdnn.encoding._ridge._targets import Targets, check_targets, read_targets
from skdnn.encoding._shared_checks import check_rows

# Matrices of rows by rows that are kept for all layers, rather than made anew.
_KEPT_BYTES = 2**30


class LayerwiseEncoder(ScoresOfTargets, MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Predict each voxel from its best layer, chosen by cross-validation inside ``fit``.

    For each layer and voxel, the penalty of a ridge regression is chosen on held-out training
    images, and so is the layer of the voxel. What ``score`` and ``cross_val_score`` then see are
    images that had no part in the choice.

    Parameters
    ----------
    alphas : array-like or float, default=(0.1, 1, 10, 100, 1000, 10000, 100000)
        Penalties to choose from, all positive.
    layers : dict or array-like of shape (n_features,), default=None
        Which columns of X belong to which layer, where X is one table: a label for each column,
        or a dict of layer to slice or indices. With X as :class:`LayerFeatures` or dict, the
        layers to use. None uses all of those, or takes the first level of the columns of a
        DataFrame.
    select : {"layer", "best_overall", "stack"}, default="layer"
        ``"layer"``: each voxel its own. ``"best_overall"``: the one whose score is best in the
        mean over voxels. ``"stack"``: predictions of all layers are mixed for each voxel, with
        weights that are not negative, add up to 1, and make the held-out squared error smallest.
    cv : int, splitter, iterable or None, default=5
        How training rows are held out, see :class:`VoxelwiseRidgeCV`. Unlike there, the folds of
        an integer are shuffled: stimuli mostly come sorted by category.
    scoring : {"r2", "correlation"}, default="r2"
        What penalty and layer make best.
    fit_intercept : bool, default=True
        Whether to fit a constant, which is not penalised.
    solver : {"auto", "primal", "dual"}, default="auto"
        See :class:`VoxelwiseRidgeCV`; decided for each layer.
    store : {"auto", "coef", "dual"}, default="auto"
        What is kept of a fit in the dual form, see :class:`VoxelwiseRidgeCV`.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Of products with targets, coefficients and predictions; ``"auto"`` is float32 if all
        layers are, else float64.
    nan_targets : {"error", "nan"}, default="error"
        What to do with targets that hold NaN or infinity.
    target_chunk : int, default=None
        Targets that are read and computed on at a time, at most.
    device : str, default="cpu"
        ``"cpu"`` computes with numpy; any other is a device of torch, such as ``"cuda"``.
    random_state : int, RandomState instance or None, default=0
        Seed of the shuffling where `cv` is an integer; None shuffles anew each time.

    Attributes
    ----------
    layer_names_ : list of str
        The layers, in the order of X.
    layer_ : ndarray of object, shape (n_targets,)
        Layer of each target, None where there is no model; with ``select="stack"`` the one of
        largest weight.
    alpha_ : ndarray of shape (n_targets,)
        Penalty in that layer.
    alphas_ : ndarray of shape (n_layers, n_targets)
        The chosen penalty in each layer.
    cv_scores_ : ndarray of shape (n_layers, n_targets)
        Cross-validated score of each layer with its chosen penalty.
    weights_ : ndarray of shape (n_layers, n_targets)
        Share of each layer in the prediction: zeros and ones unless ``select="stack"``.
    n_features_in_ : int
        Number of features of all layers together.

    Warns
    -----
    RuntimeWarning
        With the number of targets that are constant, or with ``nan_targets="nan"`` not all
        numbers.

    See Also
    --------
    VoxelwiseRidgeCV : The same for one layer.
    LayerFeatures : Several layers as one X.
    nested_encoding : Evaluates it, with a table of voxels as the result.

    Notes
    -----
    All candidate layers come from one pass through the network:
    ``LayerFeatures(extractor.extract(images, layers))``, or from disk:
    ``LayerFeatures({layer: stored, ...})`` with lazy arrays.

    The cross-validated score of the chosen layer is the best of several and therefore too high;
    only images that are not in ``fit`` say how well a voxel is predicted. Layers with more units
    are not favoured by chance, but by having more to offer to the regression: compare sizes
    before reading a map of layers as one of a hierarchy.

    *Stacking.* With held-out residuals :math:`r_l` of the layers, the weights minimise
    :math:`\lVert \sum_l w_l r_l \rVert^2` over the simplex, for each voxel.

    References
    ----------
    Güçlü, U., & van Gerven, M. A. J. (2015). Deep neural networks reveal a gradient in the
    complexity of neural representations across the ventral stream. Journal of Neuroscience,
    35(27), 10005-10014.

    Lin, R., Naselaris, T., Kay, K., & Wehbe, L. (2024). Stacked regressions and structured
    variance partitioning for interpretable brain maps. NeuroImage, 298, 120772.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import LayerFeatures, LayerwiseEncoder
    >>> rng = np.random.default_rng(0)
    >>> layers = {"early": rng.normal(size=(90, 40)), "late": rng.normal(size=(90, 60))}
    >>> voxels = np.column_stack([layers["early"][:, :2], layers["late"][:, :1]])
    >>> encoder = LayerwiseEncoder(random_state=0).fit(LayerFeatures(layers), voxels)
    >>> encoder.layer_.tolist()
    ['early', 'early', 'late']
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "alphas": ["array-like", Interval(Real, 0, None, closed="neither")],
        "layers": [dict, "array-like", None],
        "select": [StrOptions({"layer", "best_overall", "stack"})],
        "cv": ["cv_object"],
        "scoring": [StrOptions({"r2", "correlation"})],
        "fit_intercept": ["boolean"],
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
        layers: Mapping[str, Any] | ArrayLike | None = None,
        select: str = "layer",
        cv: Any = 5,
        scoring: str = "r2",
        fit_intercept: bool = True,
        solver: str = "auto",
        store: str = "auto",
        dtype: str = "auto",
        nan_targets: str = "error",
        target_chunk: int | None = None,
        device: str = "cpu",
        random_state: Any = 0,
    ) -> None:
        self.alphas = alphas
        self.layers = layers
        self.select = select
        self.cv = cv
        self.scoring = scoring
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.store = store
        self.dtype = dtype
        self.nan_targets = nan_targets
        self.target_chunk = target_chunk
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike | Any, groups: ArrayLike | None = None) -> LayerwiseEncoder:
        """Choose the layer and penalty of each target, and fit them to all rows.

        Parameters
        ----------
        X : LayerFeatures, dict of str to array, DataFrame or array-like
            Features of all layers, (n_samples, n_features) side by side or (n_samples, n_units)
            each.
        y : array-like or lazy array of shape (n_samples,) or (n_samples, n_targets)
            Responses, a column for each voxel.
        groups : array-like of shape (n_samples,), default=None
            What must stay together when rows are held out; goes to the splitter.

        Returns
        -------
        self : LayerwiseEncoder
            The fitted estimator.

        Raises
        ------
        ValueError
            If it cannot be told which columns are which layer, if X or y has NaN or infinity, or
            a parameter is invalid.
        """
        alphas = check_alphas(self.alphas)
        features = read_layers(X, self.layers)
        check_rows(features, y)
        Y, self._single = check_targets(y, len(features), self)
        folds = make_folds(self.cv, features, y, groups, self.random_state, shuffle=True)
        targets = read_targets(
            Y,
            centre=self.fit_intercept,
            nan_targets=self.nan_targets,
            size=self.target_chunk,
            stacklevel=4,
        )
        self._sizes = {name: features.layer(name).shape[1] for name in features.names}
        self.layer_names_ = features.names
        self.n_features_in_ = features.shape[1]
        self._dtype = working_dtype(self.dtype, features.common_dtype())
        problem = self._problems(features)
        self._search(problem, targets, folds, alphas)
        self._select(problem, targets, folds)
        self._solve(problem, targets)
        return self

    def _problems(self, features: LayerFeatures) -> Callable[[str], FeatureProducts]:
        """The problem of a layer by its name; all are kept where that takes little memory."""
        device = Device(self.device, self._dtype)

        def make(name: str) -> FeatureProducts:
            return FeatureProducts(
                features.layer(name),
                fit_intercept=self.fit_intercept,
                solver=self.solver,
                device=device,
                name=f"layer {name!r}",
            )

        n_rows = len(features)
        taken = sum(3 * 8 * min(n_rows, size) ** 2 for size in self._sizes.values())
        return cache(make) if taken <= _KEPT_BYTES else make

    def _search(
        self,
        problem: Callable[[str], FeatureProducts],
        targets: Targets,
        folds: Sequence[Fold] | None,
        alphas: Array,
    ) -> None:
        """Choose the penalty of each layer and target."""
        found = []
        for name in self.layer_names_:
            scores = cv_scores(problem(name), targets, folds, alphas, self.scoring)
            found.append(choose(scores, alphas, targets.usable))
        self.alphas_ = np.stack([alpha for alpha, _ in found])
        self.cv_scores_ = np.stack([score for _, score in found])

    def _select(
        self,
        problem: Callable[[str], FeatureProducts],
        targets: Targets,
        folds: Sequence[Fold] | None,
    ) -> None:
        """Choose the share of each layer in each target."""
        usable, each = targets.usable, np.arange(targets.shape[1])
        if self.select == "stack":
            problems = [problem(name) for name in self.layer_names_]
            products = residual_products(problems, targets, folds, self.alphas_)
            self.weights_ = simplex_weights(products, usable)
        else:
            best = best_layers(self.cv_scores_, overall=self.select == "best_overall")
            self.weights_ = np.where(usable, np.arange(len(self._sizes))[:, None] == best, np.nan)
        first = np.argmax(np.nan_to_num(self.weights_), axis=0)
        names = np.array([*self.layer_names_, None], dtype=object)
        self.layer_ = names[np.where(usable, first, -1)]
        self.alpha_ = self.alphas_[first, each]

    def _solve(self, problem: Callable[[str], FeatureProducts], targets: Targets) -> None:
        """Fit each layer to the targets that it has a share in."""
        self._solutions: dict[str, tuple[NDArray[np.intp], Solution]] = {}
        for layer, name in enumerate(self.layer_names_):
            which = np.nan_to_num(self.weights_[layer]) > 0
            if which.any():
                solution = solve(
                    problem(name), targets, self.alphas_[layer], store=self.store, which=which
                )
                self._solutions[name] = np.flatnonzero(which), solution
        constant = targets.constant
        self._constants = np.where(constant, targets.mean, np.nan)

    def layer_coef(self, layer: str) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
        """Give the coefficients of one layer.

        Parameters
        ----------
        layer : str
            Its name.

        Returns
        -------
        targets : ndarray of int, shape (n_chosen,)
            Which targets have a share of this layer in their prediction.
        coef : ndarray of shape (n_chosen, n_units)
            Their coefficients, before they are weighted by ``weights_``.
        """
        check_is_fitted(self)
        if layer not in self._sizes:
            raise ValueError(f"layer={layer!r} is none of {self.layer_names_}.")
        if layer not in self._solutions:
            return np.zeros(0, dtype=np.intp), np.zeros((0, self._sizes[layer]))
        targets, solution = self._solutions[layer]
        return targets, solution.coefficients()

    def predict(self, X: Any) -> NDArray[np.floating]:
        """Predict each target from its own layer, or mix of layers.

        Parameters
        ----------
        X : LayerFeatures, dict of str to array, DataFrame or array-like
            Features of the same layers as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_samples, n_targets) or (n_samples,)
            NaN for targets without a model.
        """
        check_is_fitted(self)
        features = read_layers(X, self.layers)
        sizes = {name: features.layer(name).shape[1] for name in features.names}
        if {name: sizes.get(name) for name in self._sizes} != self._sizes:
            raise ValueError(f"X has layers {sizes}, but {self._sizes} were fitted.")
        out = np.tile(self._constants, (len(features), 1))
        covered = np.isfinite(self.weights_).all(axis=0)
        out[:, covered] = 0
        for layer, name in enumerate(self.layer_names_):
            if name in self._solutions:
                targets, solution = self._solutions[name]
                predicted = solution.predict(features.layer(name), f"layer {name!r}")
                out[:, targets] += self.weights_[layer, targets] * predicted
        out = out.astype(self._dtype, copy=False)
        return out[:, 0] if self._single else out

    def _with_model(self) -> NDArray[np.bool_]:
        return np.array([layer is not None for layer in self.layer_])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.layers is not None
        return tags


def best_layers(scores: Array, *, overall: bool) -> NDArray[np.intp]:
    """Place of the best layer of each target, or of the one that is best in the mean."""
    if overall:
        scores = np.broadcast_to(mean_of_known(scores)[:, None], scores.shape)
    return np.where(np.isnan(scores), -np.inf, scores).argmax(axis=0)
