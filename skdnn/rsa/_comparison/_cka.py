"""Similarity of representations without RDMs: centred kernel alignment and Procrustes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skdnn.rsa._comparison._centred_products import (
    Gram,
    Patterns,
    Rows,
    centred_gram,
    check_same_rows,
    gaussian_gram,
    hsic,
    own_hsic,
    read_patterns,
    table,
)

Array = NDArray[np.float64]
KERNELS = ("linear", "rbf")

_FLAT = "does not vary between the conditions"
_EQUIDISTANT = "has conditions that are all equally far apart, or no variation"


def cka(
    X: Any,
    Y: Any,
    kernel: str = "linear",
    *,
    debiased: bool = False,
    gamma: float | None = None,
    bandwidth: float = 1.0,
    batch_size: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    block_size: int | None = None,
) -> Any:
    r"""Centred kernel alignment (CKA) of two representations of the same conditions.

    Parameters
    ----------
    X, Y : array-like, DataFrame or lazy array of shape (n_conditions, n_features)
        One pattern per row, of any real dtype; the numbers of features may differ. A list or a
        dict of several (layers, subjects) is compared with all of the other side. Neither a
        memory map nor a lazy array (a dataset of h5py, a stored layer) is loaded whole.
    kernel : {"linear", "rbf"}, default="linear"
        Inner product of two patterns, or :math:`\exp(-\gamma \lVert x_i - x_j \rVert^2)`.
    debiased : bool, default=False
        Use the unbiased estimator of HSIC, for four conditions or more: unrelated features then
        score 0 on average, and single scores may be negative. The biased value grows with the
        number of features and is near 1 for wide random features of few conditions.
    gamma : float, default=None
        Of the Gaussian, for X and Y alike. None is the median heuristic,
        :math:`\gamma = 1 / 2\sigma^2` with :math:`\sigma` = `bandwidth` times the median
        distance between two conditions, in each of X and Y separately.
    bandwidth : float, default=1.0
        See `gamma`. Kornblith et al. report 0.2, 0.4 and 0.8.
    batch_size : int, default=None
        Average the unbiased HSIC over random batches of at least so many conditions (Nguyen et
        al., 2021), for too many conditions for an n x n matrix; needs ``debiased=True``. The
        median heuristic takes the first batch.
    random_state : int, RandomState or None, default=None
        Draws the batches.
    block_size : int, default=None
        How many columns (rows, for fewer features than rows) are read and computed on at a time;
        None takes some megabytes. It changes nothing but round-off.

    Returns
    -------
    similarity : float, ndarray or DataFrame
        A float for one X and one Y; an array of shape (number of X, number of Y) if there are
        lists; a DataFrame labelled by the keys if there are dicts. float64; 1 for equal
        representations; NaN where features don't vary.

    Raises
    ------
    ValueError
        If a parameter is unknown or out of range, the rows of X and Y differ in number or in
        their (string) labels, there are fewer than three (debiased: four) conditions, or there
        is NaN or infinity, naming the rows.
    TypeError
        If X or Y is sparse or holds no real numbers.

    Warns
    -----
    RuntimeWarning
        If a similarity is NaN, naming the cause.

    See Also
    --------
    procrustes_distance : A metric between representations.
    CKAScorer : CKA in cross-validation.
    compare_rdms : Its ``"cosine_cov"`` of squared Euclidean RDMs is the linear biased CKA.

    Notes
    -----
    With the matrices :math:`K` and :math:`L` of the kernel between conditions,

    .. math:: \mathrm{CKA} = \frac{\mathrm{HSIC}(K, L)}
        {\sqrt{\mathrm{HSIC}(K, K)\,\mathrm{HSIC}(L, L)}}.

    The biased estimator is :math:`\mathrm{HSIC} = \mathrm{tr}(K H L H) / (n - 1)^2` with the
    centring matrix :math:`H`. The unbiased one, with :math:`\tilde K` and :math:`\tilde L` zero
    on the diagonal, is

    .. math:: \frac{1}{n (n - 3)} \left[ \mathrm{tr}(\tilde K \tilde L)
        + \frac{1^\top \tilde K 1\, 1^\top \tilde L 1}{(n - 1)(n - 2)}
        - \frac{2}{n - 2} 1^\top \tilde K \tilde L 1 \right].

    Rotating, shifting or scaling all features alike changes no CKA (with the median heuristic
    for ``"rbf"``); another invertible linear map does.

    The linear kernel takes the products of features
    (:math:`\mathrm{HSIC} \propto \lVert X_c^\top Y_c \rVert_F^2`) where both sides together have
    fewer features than conditions, and no n x n matrix is made; else the products of conditions.
    Both give the same. Features are centred in float64 before anything is multiplied. For k
    representations against m, each matrix is made once, and the fewer of both sides are held in
    memory.

    References
    ----------
    Kornblith, S., Norouzi, M., Lee, H., & Hinton, G. (2019). Similarity of neural network
    representations revisited. ICML.

    Song, L., Smola, A., Gretton, A., Bedo, J., & Borgwardt, K. (2012). Feature selection via
    dependence maximization. Journal of Machine Learning Research, 13, 1393-1434.

    Nguyen, T., Raghu, M., & Kornblith, S. (2021). Do wide and deep networks learn the same
    things? ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import cka
    >>> rng = np.random.default_rng(0)
    >>> X, unrelated = rng.normal(size=(20, 500)), rng.normal(size=(20, 300))
    >>> round(cka(X, unrelated), 2), round(cka(X, unrelated, debiased=True), 2)
    (0.95, 0.03)
    >>> cka({"conv1": X, "conv2": X[:, :9]}, {"V1": 2 * X + 3}).round(2)
             V1
    conv1  1.00
    conv2  0.58
    """
    check_cka_settings(kernel, gamma, bandwidth)
    _check_count(block_size, "block_size", 1)
    _check_count(batch_size, "batch_size", 4)
    if batch_size is not None and not debiased:
        raise ValueError(
            f"batch_size={batch_size} needs debiased=True: the bias depends on the batch's size."
        )
    sides = _read(X, "X"), _read(Y, "Y")
    xs, ys = sides[0].patterns, sides[1].patterns
    check_same_rows([*xs, *ys], 4 if debiased else 3)
    n = xs[0].shape[0]
    if batch_size is None:
        centre = Centring(kernel, gamma, bandwidth, block_size, _few_features(xs, ys))
        values, undefined = cka_table(xs, ys, centre, debiased)
    else:
        centre = Centring(kernel, gamma, bandwidth, block_size)
        order = check_random_state(random_state).permutation(n)
        batches = [np.sort(rows) for rows in np.array_split(order, max(1, n // batch_size))]
        values, undefined = _batched_cka_table(xs, ys, centre, batches)
    warn_undefined(undefined, "CKA", stacklevel=3)
    return _shaped(values, *sides)


def procrustes_distance(
    X: Any, Y: Any, *, angular: bool = False, block_size: int | None = None
) -> Any:
    r"""Orthogonal Procrustes distance: how far representations are from rotations of each other.

    Parameters
    ----------
    X, Y : array-like, DataFrame or lazy array of shape (n_conditions, n_features)
        One pattern per row; as in :func:`cka`, several in a list or dict, and the numbers of
        features may differ: the narrower one counts as padded with zeros.
    angular : bool, default=False
        Return the angle in radians instead.
    block_size : int, default=None
        As in :func:`cka`.

    Returns
    -------
    distance : float, ndarray or DataFrame
        Of the shape that :func:`cka` returns. Between 0 and :math:`\sqrt 2` (angular: and
        :math:`\pi / 2`); NaN where features don't vary.

    Raises
    ------
    ValueError
        If the rows of X and Y differ in number or in their (string) labels, there are fewer than
        three conditions, or there is NaN or infinity, naming the rows.
    TypeError
        If X or Y is sparse or holds no real numbers.

    Warns
    -----
    RuntimeWarning
        If a distance is NaN, naming the cause.

    See Also
    --------
    cka : A similarity that weights large dimensions more.
    scipy.linalg.orthogonal_procrustes : The rotation itself.
    scipy.spatial.procrustes : Its disparity is :math:`1 - s^2`, see Notes.

    Notes
    -----
    Both are centred and scaled to unit Frobenius norm. Then, over orthogonal :math:`Q`
    (rotations and reflections),

    .. math:: d = \min_Q \lVert X - Y Q \rVert_F = \sqrt{2 - 2 s}, \quad
        s = \lVert X^\top Y \rVert_*,

    with the nuclear norm (sum of singular values) :math:`s`; the angular distance is
    :math:`\arccos s`. Both are metrics: symmetric, zero only for rotated, shifted or scaled
    copies, and with the triangle inequality (Williams et al., 2021). Ding et al. (2021) report
    :math:`d^2`. Like the biased CKA, :math:`s` grows with the number of features: compare
    distances of equally wide representations, or with those of shuffled rows.

    With more features than conditions, :math:`s` comes from the n x n inner products of
    conditions, :math:`s = \mathrm{tr}\,(K^{1/2} L K^{1/2})^{1/2}`, by Cholesky roots of both.
    Directions whose singular value is below about 1e-7 of the largest then count as zero, which
    may cost :math:`s` some 1e-8; otherwise it is right to about 1e-11. :math:`d` of copies is
    :math:`10^{-8}` rather than 0, the root of rounding.

    References
    ----------
    Ding, F., Denain, J.-S., & Steinhardt, J. (2021). Grounding representation similarity through
    statistical testing. NeurIPS.

    Williams, A. H., Kunz, E., Kornblith, S., & Linderman, S. (2021). Generalized shape metrics
    on neural representations. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import procrustes_distance
    >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> rotated = 3 * X @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 1
    >>> round(procrustes_distance(X, rotated), 6)
    0.0
    >>> round(procrustes_distance(X, X[:, :1]), 3)
    0.857
    """
    _check_count(block_size, "block_size", 1)
    sides = _read(X, "X"), _read(Y, "Y")
    xs, ys = sides[0].patterns, sides[1].patterns
    check_same_rows([*xs, *ys], 3)
    centre = Centring(size=block_size, few_features=_few_features(xs, ys))
    undefined: dict[str, str] = {}

    def make(patterns: Patterns) -> Any:
        item = centre(patterns)
        if item is None:
            undefined[patterns.name] = _FLAT
        return item

    def overlap(a: Any, b: Any) -> float:
        return math.nan if a is None or b is None else a.nuclear(b)

    similar = np.clip(table(xs, ys, make, overlap), 0, 1)
    warn_undefined(undefined, "Procrustes distance", stacklevel=3)
    return _shaped(np.arccos(similar) if angular else np.sqrt(2 - 2 * similar), *sides)


def check_cka_settings(kernel: str, gamma: float | None, bandwidth: float) -> None:
    """Raise ValueError for an unknown kernel or a width that is not positive."""
    if kernel not in KERNELS:
        raise ValueError(f"kernel={kernel!r} is not known. Choose one of {', '.join(KERNELS)}.")
    for value, name, none in ((gamma, "gamma", " or None"), (bandwidth, "bandwidth", "")):
        if value is None and none:
            continue
        if not isinstance(value, Real) or not 0 < float(value) < math.inf:
            raise ValueError(f"{name} must be a positive number{none}, got {value!r}.")


def _check_count(value: Any, name: str, least: int) -> None:
    if value is not None and (not isinstance(value, Integral) or int(value) < least):
        raise ValueError(f"{name} must be an integer of at least {least} or None, got {value!r}.")


@dataclass(frozen=True)
class _Side:
    """One or several representations, as they were given."""

    patterns: list[Patterns]
    keys: list[Any] | None = None  # of a dict
    single: bool = False

    def labels(self, name: str) -> list[Any]:
        """For the axis of a table."""
        return self.keys or ([name] if self.single else list(range(len(self.patterns))))


def _read(given: Any, name: str) -> _Side:
    """A dict, a list whose items are two-dimensional, or a single representation."""
    if isinstance(given, Mapping):
        keys = list(given)
    elif isinstance(given, list | tuple) and given and _n_dimensions(given[0]) == 2:
        keys = list(range(len(given)))
    else:
        return _Side([read_patterns(given, name)], single=True)
    if not keys:
        raise ValueError(f"{name} is empty: give one representation or more.")
    patterns = [read_patterns(given[key], f"{name}[{key!r}]") for key in keys]
    return _Side(patterns, keys if isinstance(given, Mapping) else None)


def _n_dimensions(item: Any) -> int:
    shape = getattr(item, "shape", None)
    return len(np.shape(item) if shape is None else shape)


def _shaped(values: Array, x: _Side, y: _Side) -> Any:
    if x.single and y.single:
        return float(values[0, 0])
    if x.keys is None and y.keys is None:
        return values
    return pd.DataFrame(values, index=x.labels("X"), columns=y.labels("Y"))


def _few_features(xs: Sequence[Patterns], ys: Sequence[Patterns]) -> bool:
    """Whether products of features cost less than those of conditions, for each pair."""
    return max(p.shape[1] for p in xs) + max(p.shape[1] for p in ys) < xs[0].shape[0]


@dataclass(frozen=True)
class Centring:
    """Prepares patterns for products; None for such that don't vary."""

    kernel: str = "linear"
    gamma: float | None = None
    bandwidth: float = 1.0
    size: int | None = None
    few_features: bool = False

    def __call__(self, patterns: Patterns, gamma: float | None = None) -> Gram | Rows | None:
        if self.kernel == "linear" and self.few_features:
            rows = Rows(patterns, self.size)
            return rows if rows.varies else None
        gram = centred_gram(patterns, self.size)
        if gram is None:
            return None
        if self.kernel == "linear":
            return Gram(patterns, gram)
        known = self.gamma if gamma is None else gamma
        return Gram(patterns, *gaussian_gram(gram, known, self.bandwidth, patterns.name))


def cka_table(
    xs: Sequence[Patterns], ys: Sequence[Patterns], centre: Centring, debiased: bool
) -> tuple[Array, dict[str, str]]:
    """CKA of each of xs with each of ys, and why some are NaN."""
    undefined: dict[str, str] = {}

    def make(patterns: Patterns) -> tuple[Any, float]:
        item = centre(patterns)
        own = 0.0 if item is None else own_hsic(item, debiased)
        if own == 0:
            undefined[patterns.name] = _FLAT if item is None else _EQUIDISTANT
        return item, own

    def measure(a: tuple[Any, float], b: tuple[Any, float]) -> float:
        (x, own_x), (y, own_y) = a, b
        if own_x == 0 or own_y == 0:
            return math.nan
        both = hsic(x.inner(y), x.diagonal, y.diagonal, debiased)
        return both / math.sqrt(own_x * own_y)

    values = np.clip(table(xs, ys, make, measure), -1, 1)
    return values, {p.name: undefined[p.name] for p in (*xs, *ys) if p.name in undefined}


def _batched_cka_table(
    xs: Sequence[Patterns],
    ys: Sequence[Patterns],
    centre: Centring,
    batches: Sequence[NDArray[np.intp]],
) -> tuple[Array, dict[str, str]]:
    """CKA of unbiased HSICs that are summed over batches, and why some are NaN."""
    first: dict[int, Any] = {}  # sets the scale, and the width of a kernel, of later batches
    both = np.zeros((len(xs), len(ys)))
    own = {p.key: 0.0 for p in (*xs, *ys)}
    for rows in batches:
        here: dict[int, float] = {}
        make = _make_batch(centre, first, here)
        both += table([p.take(rows) for p in xs], [p.take(rows) for p in ys], make, _batch_hsic)
        for key, value in here.items():
            own[key] += value
    undefined = {p.name: _EQUIDISTANT for p in (*xs, *ys) if own[p.key] == 0}
    norms = [np.array([math.sqrt(own[p.key] or math.nan) for p in side]) for side in (xs, ys)]
    return np.clip(both / np.outer(*norms), -1, 1), undefined


def _make_batch(
    centre: Centring, first: dict[int, Any], own: dict[int, float]
) -> Callable[[Patterns], tuple[Any, float]]:
    """Patterns of a batch, and their scale; `own` takes their HSIC with themselves."""

    def make(patterns: Patterns) -> tuple[Any, float]:
        known = first.get(patterns.key)
        item = centre(patterns, None if known is None else known[1])
        if item is None:
            return None, 0.0
        trace, _ = first.setdefault(patterns.key, (item.trace, item.gamma))
        scale = item.trace / trace
        own[patterns.key] = scale**2 * own_hsic(item, debiased=True)
        return item, scale

    return make


def _batch_hsic(a: tuple[Any, float], b: tuple[Any, float]) -> float:
    (x, scale_x), (y, scale_y) = a, b
    if x is None or y is None:
        return 0.0
    return scale_x * scale_y * hsic(x.inner(y), x.diagonal, y.diagonal, debiased=True)


def warn_undefined(undefined: Mapping[str, str], what: str, stacklevel: int) -> None:
    """One warning for all that are NaN."""
    if undefined:
        causes = "; ".join(f"{name} {reason}" for name, reason in undefined.items())
        warnings.warn(f"{what} is NaN: {causes}.", RuntimeWarning, stacklevel=stacklevel)
