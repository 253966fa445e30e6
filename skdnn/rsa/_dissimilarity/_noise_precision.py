"""The precision of noise between features: estimated, checked, and used to whiten patterns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, eigh
from sklearn.covariance import ledoit_wolf

from skdnn._array_blocks import Array, refuse_sparse, row_parts

# A negative eigenvalue below this share of the largest is rounding.
_ROUNDING = 1e-10


def estimate_noise_precision(
    residuals: ArrayLike | Sequence[ArrayLike],
    method: str = "shrinkage_diag",
    *,
    dof: float | None = None,
) -> Any:
    r"""Precision (inverse covariance) of the noise, from residuals.

    Parameters
    ----------
    residuals : array-like of shape (n_residuals, n_features), or list of these
        What is left of the measurements after the conditions' effects are taken out, e.g. the
        residuals of a first-level model, or repeated measurements less their condition's mean.
        Their mean over rows is removed. A list (or a 3-D array) gives a list, e.g. one for
        each fold.
    method : {"shrinkage_diag", "ledoit_wolf", "full", "diag"}, default="shrinkage_diag"
        With the sample covariance :math:`S`:

        - ``"shrinkage_diag"``: :math:`S` with its off-diagonal entries multiplied by
          :math:`1 - \hat\lambda`, the shrinkage towards the diagonal of Schaefer and Strimmer;
        - ``"ledoit_wolf"``: shrinkage towards a multiple of the identity, as in
          :func:`sklearn.covariance.ledoit_wolf`;
        - ``"full"``: :math:`S`, which needs more residuals than features;
        - ``"diag"``: the variances alone.
    dof : float, default=None
        Degrees of freedom that sums of squares are divided by. None is ``n_residuals - 1``, and
        ``n_residuals`` for ``"ledoit_wolf"``, as in scikit-learn. Give the residual degrees of
        freedom of the model where it has taken out more than a mean.

    Returns
    -------
    precision : ndarray of shape (n_features, n_features), float64
        Symmetric. For ``"diag"`` the diagonal alone, of shape (n_features,). A list of these for
        a list of residuals.

    Raises
    ------
    ValueError
        If `method` is unknown, `dof` is no positive number, residuals are not finite, a feature
        has no variance, or the covariance has no inverse.

    See Also
    --------
    compute_rdm : Takes it as ``noise_precision``, for Mahalanobis and crossnobis distances.
    sklearn.covariance.ledoit_wolf : The covariance behind ``"ledoit_wolf"``.

    Notes
    -----
    The same as ``rsatoolbox.data.noise.prec_from_residuals``, but for these: its ``"diag"`` is a
    square matrix with zeros; its ``"shrinkage_eye"`` is ``"ledoit_wolf"`` with
    ``dof=n_residuals - 1``; a list with a list of `dof` fails there, and here `dof` is one
    number; a feature without variance gives NaN there and is an error here.

    References
    ----------
    Ledoit, O., & Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance
    matrices. Journal of Multivariate Analysis, 88(2), 365-411.

    Schaefer, J., & Strimmer, K. (2005). A shrinkage approach to large-scale covariance matrix
    estimation and implications for functional genomics. Statistical Applications in Genetics and
    Molecular Biology, 4(1), 32.

    Walther, A., Nili, H., Ejaz, N., Alink, A., Kriegeskorte, N., & Diedrichsen, J. (2016).
    Reliability of dissimilarity measures for multi-voxel pattern analysis. NeuroImage, 137,
    188-200.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import estimate_noise_precision
    >>> residuals = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 2.0, 4.0]
    >>> estimate_noise_precision(residuals, "diag").round(2)
    array([1.04, 0.27, 0.06])
    >>> estimate_noise_precision(residuals).shape
    (3, 3)
    """
    if method not in _COVARIANCES:
        raise ValueError(
            f"method={method!r} is not known: choose one of "
            f"{', '.join(repr(name) for name in _COVARIANCES)}."
        )
    if dof is not None and not (isinstance(dof, Real) and np.isfinite(dof) and dof > 0):
        raise ValueError(f"dof must be a positive number or None, got {dof!r}.")
    several = isinstance(residuals, list | tuple) and np.ndim(residuals[0]) == 2
    if several or (isinstance(residuals, np.ndarray) and residuals.ndim == 3):
        return [_precision(one, method, dof) for one in residuals]  # type: ignore[union-attr]
    return _precision(residuals, method, dof)


def _precision(residuals: Any, method: str, dof: float | None) -> Array:
    refuse_sparse(residuals, "residuals")
    rows = np.asarray(residuals, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] < 2 or rows.shape[1] < 1:
        raise ValueError(
            "residuals must be 2-D, (n_residuals, n_features), with two rows or more, got "
            f"shape {rows.shape}."
        )
    if not np.isfinite(rows).all():
        raise ValueError("residuals contain NaN or infinity: drop those rows or features first.")
    constant = np.flatnonzero((rows == rows[0]).all(axis=0))
    if constant.size:
        raise ValueError(
            f"residuals of feature(s) {', '.join(map(str, constant[:8]))} have no variance: "
            "leave these features out, here and in the patterns."
        )
    covariance = covariance_of(rows - rows.mean(axis=0), method, dof)
    if covariance.ndim == 1:
        return 1 / covariance
    too_few = len(rows) - 1 < rows.shape[1] and method == "full"
    try:
        if too_few:
            raise LinAlgError
        factor = cholesky(covariance, lower=True)
    except LinAlgError:
        raise ValueError(
            f"The {method!r} covariance of {rows.shape[1]} features from {len(rows)} residuals "
            "has no inverse: choose method='shrinkage_diag', 'ledoit_wolf' or 'diag'."
        ) from None
    precision = cho_solve((factor, True), np.eye(len(covariance)))
    return (precision + precision.T) / 2


def _variances(rows: Array, dof: float | None) -> Array:
    return np.einsum("ij,ij->j", rows, rows) / (dof or len(rows) - 1)


def _covariance(rows: Array, dof: float | None) -> Array:
    return rows.T @ rows / (dof or len(rows) - 1)


def _ledoit_wolf(rows: Array, dof: float | None) -> Array:
    covariance = ledoit_wolf(rows, assume_centered=True)[0]
    return covariance * (len(rows) / (dof or len(rows)))


def _shrunk_to_diagonal(rows: Array, dof: float | None) -> Array:
    """The share of the correlations' squares that is their estimated sampling variance goes."""
    n = len(rows)
    covariance = _covariance(rows, dof)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance * ((dof or n - 1) / (n - 1)) / np.outer(deviation, deviation)
    squared = np.square(rows / deviation)
    squares = squared.T @ squared / (n - 1)
    variance = n / (dof or n - 1) ** 2 * (squares - correlation**2)
    np.fill_diagonal(variance, 0.0)
    np.fill_diagonal(correlation, 0.0)
    total = np.sum(correlation**2)
    shrinkage = min(max(variance.sum() / total, 0.0), 1.0) if total > 0 else 1.0
    diagonal = np.diag(covariance).copy()
    covariance *= 1 - shrinkage
    np.fill_diagonal(covariance, diagonal)
    return covariance


_COVARIANCES: dict[str, Callable[[Array, float | None], Array]] = {
    "shrinkage_diag": _shrunk_to_diagonal,
    "ledoit_wolf": _ledoit_wolf,
    "full": _covariance,
    "diag": _variances,
}


def covariance_of(centred: Array, method: str, dof: float | None = None) -> Array:
    """The covariance of residuals less their mean, or the variances alone for "diag"."""
    return _COVARIANCES[method](centred, dof)


def check_precision(precision: Any, n_features: int, name: str = "noise_precision") -> Array:
    """A precision as float64: its diagonal, or a symmetric matrix."""
    values = np.asarray(precision, dtype=np.float64)
    if values.shape not in ((n_features,), (n_features, n_features)):
        raise ValueError(
            f"{name} has shape {values.shape}: for {n_features} features it must be "
            f"({n_features}, {n_features}), or ({n_features},) for its diagonal alone."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    if values.ndim == 1 and values.min() < 0:
        raise ValueError(f"{name} has negative entries: a precision is 1 / variance.")
    if values.ndim == 2 and not np.allclose(
        values, values.T, rtol=1e-8, atol=1e-8 * np.abs(values).max()
    ):
        raise ValueError(f"{name} is not symmetric: it must be an inverse covariance.")
    return values


def precision_root(precision: Array) -> Array:
    """A matrix L with ``L @ L.T`` equal to the precision."""
    symmetric = (precision + precision.T) / 2
    try:
        return cholesky(symmetric, lower=True)
    except LinAlgError:
        values, vectors = eigh(symmetric)
    if values[0] < -_ROUNDING * np.abs(values).max():
        raise ValueError(
            "noise_precision has negative eigenvalues: it must be an inverse covariance "
            "(estimate_noise_precision gives one)."
        )
    return vectors * np.sqrt(np.maximum(values, 0.0))


def whitened(X: Any, root: Array) -> NDArray[np.float64]:
    """The rows of X less a common pattern, times `root`: all of them, in memory."""
    out = np.empty((X.shape[0], root.shape[1]))
    common: Array | None = None
    for rows, part in row_parts(X):
        part = part.astype(np.float64)
        # What all rows share changes no distance; without it fewer digits are lost.
        common = part.mean(axis=0) if common is None else common
        np.matmul(part - common, root, out=out[rows])
    return out
